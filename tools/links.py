"""Write the project's public address wherever it is needed: `python tools/links.py [--check]`.

``[project.urls] Repository`` in pyproject.toml is its only source. From it follow the badges and links of README.md,
the repository of the book, CITATION.cff, and the install cells and Colab links of the notebooks. After a change of the
address, this tool finds the old one by those places, and replaces it everywhere.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Where the address may stand. The exercises are generated, from sources that do not hold it.
PLACES = (
    "*.md",
    "CITATION.cff",
    "environment.yml",
    ".github/workflows/*.yml",
    "book/*.yml",
    "book/*.md",
    "book/*.ipynb",
    "exercises/*.ipynb",
    "exercises/*.py",
)

_SLUG = r"([\w.-]+/[\w-]+)"
# Forms that only ever hold the project's own address; links to other people's repositories have none of them.
OWN_FORMS = (
    rf"(?m)^repository-code: \"?https://github\.com/{_SLUG}",
    rf"(?m)^  url: https://github\.com/{_SLUG}",
    rf"(?:pip install [^\n]*|replearn-course[^\n]* @ )git\+https://github\.com/{_SLUG}",
    rf"colab\.research\.google\.com/github/{_SLUG}",
    rf"https://github\.com/{_SLUG}/actions/workflows",
    rf"git clone https://github\.com/{_SLUG}",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail where something would change")
    parser.add_argument("--root", type=Path, default=ROOT)
    args = parser.parse_args()
    changed = {path: text for path, text in derived(args.root).items() if path.read_text(encoding="utf-8") != text}
    for path, text in changed.items():
        if not args.check:
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(args.root)}: {'differs from' if args.check else 'written from'} pyproject.toml")
    if changed and args.check:
        print("run `python tools/links.py`", file=sys.stderr)
    return int(bool(changed and args.check))


def derived(root: Path) -> dict[Path, str]:
    """Return the text that each file with an address should have."""
    slug = own_slug(root)
    texts = {path: path.read_text(encoding="utf-8") for place in PLACES for path in sorted(root.glob(place))}
    old = {found for text in texts.values() for form in OWN_FORMS for found in re.findall(form, text)} - {slug}
    for path, text in texts.items():
        for other in sorted(old):
            text = replace_slug(text, other, slug)
        if path.name == "CITATION.cff" and "\nrepository-code:" not in text:
            text = text.rstrip("\n") + f'\nrepository-code: "https://github.com/{slug}"\n'
        if path.parent.name == "book" and path.suffix == ".ipynb":
            text = with_install_cell(text, slug)
        texts[path] = text
    return texts


def own_slug(root: Path) -> str:
    """Return the ``owner/name`` of the public repository."""
    address = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    match = re.fullmatch(rf"https://github\.com/{_SLUG}", address)
    if not match:
        raise SystemExit(
            f"pyproject.toml, [project.urls] Repository: expected https://github.com/OWNER/NAME, got {address}"
        )
    return match[1]


def replace_slug(text: str, old: str, new: str) -> str:
    """Turn every address of one repository into that of another, its Pages site included."""
    (old_owner, old_name), (new_owner, new_name) = old.split("/"), new.split("/")
    hosts = r"((?:github|githubusercontent)\.com/|colab\.research\.google\.com/github/)"
    text = re.sub(rf"{hosts}{re.escape(old)}(?![\w-])", rf"\g<1>{new}", text)
    pages = rf"https://{re.escape(old_owner)}\.github\.io/{re.escape(old_name)}(?![\w-])"
    return re.sub(pages, f"https://{new_owner}.github.io/{new_name}", text)


def install_source(slug: str) -> str:
    """Write the first code cell of every chapter, which carries the tag ``install``."""
    return (
        "# In Colab: install the course; its torch, torchvision and numpy stay.\n"
        "# For a GPU there: Runtime, Change runtime type, T4 GPU.\n"
        "import sys\n"
        "\n"
        'if "google.colab" in sys.modules:\n'
        f"    %pip install --quiet git+https://github.com/{slug}"
    )


def with_install_cell(text: str, slug: str) -> str:
    """Give the cell tagged ``install`` the right source; leave everything else as it is."""
    notebook = json.loads(text)
    lines = install_source(slug).splitlines(keepends=True)
    cells = [cell for cell in notebook["cells"] if "install" in cell["metadata"].get("tags", [])]
    if all("".join(cell["source"]) == "".join(lines) for cell in cells):
        return text
    for cell in cells:
        cell["source"] = lines
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
