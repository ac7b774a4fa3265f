"""Build the book with warnings as errors: `python tools/build_book.py [--out DIR]`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--book", type=Path, default=ROOT / "book", help="the folder of the sources")
    parser.add_argument("--out", type=Path, help="where _build goes; by default beside the sources")
    args = parser.parse_args()
    if missing := missing_sources(args.book):
        print("the book cannot be built; it names files that are not there:", *missing, sep="\n  ", file=sys.stderr)
        return 1
    start = time.monotonic()
    html = (args.out or args.book) / "_build" / "html"
    for stale in (html, html.with_name(".doctrees")):  # else a removed page stays, and its links with it
        shutil.rmtree(stale, ignore_errors=True)
    # -n: a reference to nothing is a warning; -W: a warning is an error; --all: changed CSS counts as a change.
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(args.book)]
    command += ["-W", "-n", "--keep-going", "--all", "--quiet"]
    if args.out:
        command += ["--path-output", str(args.out)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}, check=False)
    if done.returncode:
        print("the book was not built: the warnings above count as errors", file=sys.stderr)
        return 1
    print(f"built in {time.monotonic() - start:.0f} s; open {html / 'index.html'}")
    return 0


def missing_sources(book: Path) -> list[str]:
    """List the pages of the table of contents, and the README's picture, that are absent."""
    import yaml

    toc = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    names = [toc["root"]] + [chapter["file"] for part in toc.get("parts", []) for chapter in part["chapters"]]
    missing = [name for name in names if not any((book / f"{name}{end}").exists() for end in (".md", ".ipynb"))]
    hints = [f"book/{name}.ipynb or .md (a chapter is recorded with tools/record.py)" for name in missing]
    if not (book / "images" / "home.png").exists():
        hints.append("book/images/home.png (the picture of the README, from a real run)")
    return hints


if __name__ == "__main__":
    sys.exit(main())
