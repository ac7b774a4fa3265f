"""A student's working folder: write it, check it, watch it, reset it.

Progress is stored nowhere: it is what the checks say about the files. torch is imported with the first check.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replearn_course.errors import ReplearnError
from replearn_course.exercises import Chapter, chapters, digest, parse, resolve
from replearn_course.files import atomic_write

if TYPE_CHECKING:
    from replearn_course.checks import Result


def find_folder(given: Path | None = None) -> Path:
    """Find the working folder: the one given, else the current folder, else its subfolder ``exercises``.

    Raises:
        ReplearnError: where none of them holds exercise files.
    """
    files = [c.file for c in chapters().values()]
    candidates = [given] if given else [Path.cwd(), Path.cwd() / "exercises"]
    for folder in candidates:
        if any((folder / name).is_file() for name in files):
            return folder
    raise ReplearnError(
        f"no exercise files such as {files[0]} in {candidates[0]}; `replearn init my-exercises` makes a folder of them"
    )


def init(folder: Path) -> dict[Path, bool]:
    """Write the exercises of all chapters into a folder; files that exist are kept as they are.

    Returns:
        each path, and whether it was written.

    Raises:
        ReplearnError: where the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReplearnError(f"{folder}: expected a folder that can be made, got: {error.strerror}") from error
    written = {}
    for chapter in chapters().values():
        script = folder / chapter.file
        for path, text in ((script, chapter.script()), (script.with_suffix(".ipynb"), chapter.notebook(_url()))):
            written[path] = not path.exists()
            if written[path]:
                atomic_write(path, text)
    return written


def _url() -> str:
    """Return the repository's public address as the installed package states it."""
    entries = dict(u.split(", ", 1) for u in metadata("replearn-course").get_all("Project-URL") or [])
    return entries["Repository"]


@dataclass(frozen=True)
class Loaded:
    """What a student's file defines, and the error that ended it, if one did."""

    names: dict[str, Any]
    error: str = ""


def load(path: Path) -> Loaded:
    """Run a student's file as a fresh module, its ``check`` lines muted; an error is described, not raised."""
    from replearn_course.checks import muted

    module = types.ModuleType(path.stem)  # not "__main__": what the student guards by that name does not run here
    module.__file__ = str(path)
    sys.modules[path.stem] = module  # dataclasses look their module up
    try:
        code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        with muted():
            exec(code, module.__dict__)
    except SyntaxError as error:
        line = f"\n    {error.text.strip()}" if error.text else ""
        where = Path(error.filename or path).name
        return Loaded(vars(module), f"{where}, line {error.lineno}: {type(error).__name__}: {error.msg}{line}")
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
        where = f"{path.name}, line {frames[0].lineno}" if frames else path.name
        line = f"\n    {frames[0].line}" if frames else ""
        return Loaded(vars(module), f"{where}: {type(error).__name__}: {error}{line}")
    finally:
        sys.modules.pop(path.stem, None)
    return Loaded(vars(module))


def check_folder(folder: Path, names: list[str]) -> Iterator[Result]:
    """Check exercises, file by file, each file loaded once.

    Args:
        folder: the working folder.
        names: full names, such as ``"ch04.triplet_loss"``.
    """
    from replearn_course.checks.core import Outcome, Result, run

    loaded: dict[str, Loaded] = {}
    for name in names:
        chapter, short = name.split(".")
        path = chapter_file(folder, chapters()[chapter])
        if chapter not in loaded:
            loaded[chapter] = load(path)
        found = loaded[chapter]
        if short in found.names:
            yield run(name, found.names[short])
        elif found.error:
            hint = "mend this line first: the function cannot be reached before the file loads"
            yield Result(name, [Outcome("the file loads", False, found.error, hint)], 1)
        else:
            hint = f"`replearn reset {name}` puts it back, and keeps a copy of your file"
            yield Result(name, [Outcome("the function exists", False, f"no function {short} in {path.name}", hint)], 1)


def names_in(folder: Path, target: str | None) -> list[str]:
    """Return the exercises that a target means; without a target, those of the chapters that the folder holds."""
    if target is not None:
        return resolve(target)
    return [name for c in chapters().values() if (folder / c.file).is_file() for name in c.exercises]


def chapter_file(folder: Path, chapter: Chapter) -> Path:
    """Return the student's file of a chapter.

    Raises:
        ReplearnError: where it is absent.
    """
    path = folder / chapter.file
    if not path.is_file():
        raise ReplearnError(f"{path} is not there; `replearn init {folder}` writes what is missing")
    return path


def line_of(folder: Path, name: str) -> int:
    """Return the line of an exercise's function in the student's file, or 1 where it is not found."""
    chapter, short = name.split(".")
    text = chapter_file(folder, chapters()[chapter]).read_text(encoding="utf-8", errors="replace")
    found = re.search(rf"^def {short}\b", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def reset(folder: Path, target: str) -> dict[Path, Path | None]:
    """Put exercises back to what they were at first; the file as it was is kept beside it.

    Args:
        folder: the working folder.
        target: a chapter or an exercise.

    Returns:
        each file that was written -> the copy of its old content (None where there was no file). A file in which
        nothing had changed is left out.

    Raises:
        ReplearnError: for an unknown target, or an exercise whose cells are not found in the file.
    """
    done: dict[Path, Path | None] = {}
    for chapter in (c for c in chapters().values() if any(n in c.exercises for n in resolve(target))):
        path = folder / chapter.file
        names = [n for n in resolve(target) if n in chapter.exercises]
        if not path.is_file():
            atomic_write(path, chapter.script())
            done[path] = None
            continue
        old = path.read_bytes()
        whole = len(names) == len(chapter.exercises)
        new = chapter.script() if whole else _with_first_cells(old.decode("utf-8", "replace"), chapter, names[0])
        if new.encode() != old:
            done[path] = atomic_write(_free_name(path), old)
            atomic_write(path, new)
    return done


def _with_first_cells(text: str, chapter: Chapter, name: str) -> str:
    """Replace the cells of one exercise by those of the untouched file, and leave all others."""
    short = name.split(".")[1]
    cells = parse(text)
    if not any(c.exercise == short for c in cells):
        raise ReplearnError(
            f"the heading of {name} is not in {chapter.file}; `replearn reset {chapter.name}` resets the whole file"
        )
    before = "".join(text.splitlines(keepends=True)[: cells[0].line - 1])
    first = "".join(c.raw for c in parse(chapter.script()) if c.exercise == short)
    kept = [c for c in cells if c.exercise != short]
    place = next(i for i, c in enumerate(cells) if c.exercise == short)
    return before + "".join(c.raw for c in kept[:place]) + first + "".join(c.raw for c in kept[place:])


def _free_name(path: Path) -> Path:
    """Return the first free name for a copy: ``ch04_triplet.py.1.bak``, ``ch04_triplet.py.2.bak``, ..."""
    number = 1
    while (copy := path.with_name(f"{path.name}.{number}.bak")).exists():
        number += 1
    return copy


def watch(folder: Path, names: list[str], interval: float = 0.3) -> Iterator[list[Result]]:
    """Check all exercises once, then each whose cells change on disk; yields the results of each round, without end.

    A change outside of the exercises, such as an import, checks again all that were begun. A save without a change
    checks again what the last change checked.

    Args:
        folder: the working folder.
        names: the exercises that are watched.
        interval: seconds between two looks at the files.
    """
    from replearn_course.checks.core import NOT_DONE

    paths = {c.name: chapter_file(folder, c) for c in chapters().values() if any(n in c.exercises for n in names)}
    seen = {chapter: _stamp(path) for chapter, path in paths.items()}
    digests = {chapter: digest(_text(path)) for chapter, path in paths.items()}
    yield list(check_folder(folder, names))
    last: list[str] = []
    while True:
        time.sleep(interval)
        for chapter, path in paths.items():
            stamp = _stamp(path)
            if stamp in (seen[chapter], None):  # None: an editor is just replacing the file
                continue
            old, new = digests[chapter], digest(_text(path))
            seen[chapter], digests[chapter] = stamp, new
            mine = [n for n in names if n.startswith(f"{chapter}.")]
            if old.get("") != new.get(""):
                results = [r for r in check_folder(folder, mine) if r.status != NOT_DONE]
            else:
                last = [n for n in mine if old.get(n.split(".")[1]) != new.get(n.split(".")[1])] or last
                results = list(check_folder(folder, [n for n in last if n in mine]))
            if results:
                yield results


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
