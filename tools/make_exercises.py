"""Write exercises/ anew from solutions/, or with --check say which files differ from what would be written."""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

from replearn_course.exercises import chapters
from replearn_course.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent


def generated(root: Path = ROOT) -> dict[Path, str]:
    """Path -> content of every file under exercises/."""
    url = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    files = {}
    for chapter in chapters(root / "solutions").values():
        script = root / "exercises" / chapter.file
        files[script] = chapter.script()
        files[script.with_suffix(".ipynb")] = chapter.notebook(url)
    return files


def drifted(root: Path = ROOT) -> list[Path]:
    """Files of exercises/ that are absent, differ, or should not be there."""
    files = generated(root)
    differ = [p for p, text in files.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    stray = [p for p in (root / "exercises").glob("*") if p.suffix in (".py", ".ipynb") and p not in files]
    return sorted(differ + stray)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    if parser.parse_args(argv).check:
        names = [str(p.relative_to(root)) for p in drifted(root)]
        if names:
            print(
                "not what tools/make_exercises.py writes (edit solutions/ and run it):",
                *names,
                sep="\n  ",
                file=sys.stderr,
            )
        return 1 if names else 0
    (root / "exercises").mkdir(exist_ok=True)
    for path, text in generated(root).items():
        atomic_write(path, text)
        print(path.relative_to(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
