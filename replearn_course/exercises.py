"""The exercises as text: one source becomes the student's script, the Colab notebook, the hints and the solutions.

A source (``solutions/chNN_*.py``) is a script in percent format: cells begin with ``# %%``, text cells with
``# %% [markdown]``, and hints stand in a text cell with the tag ``hints``. An exercise begins with the heading
``## number. `name` (difficulty)`` and ends with its check cell. Lines from ``# BEGIN SOLUTION`` to ``# END SOLUTION``
are what the student writes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from replearn_course.errors import ReplearnError, unknown_name

_MARKER = re.compile(r"^# %%(?P<kind> \[markdown\])?(?P<rest>.*)$")
_SOLUTION = re.compile(r"^([ \t]*)# BEGIN SOLUTION\n.*?^[ \t]*# END SOLUTION\n", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## \d+\. `(?P<name>\w+)` \((?P<difficulty>[a-z]+)\)", re.MULTILINE)
_HOLE = r'\1raise NotImplementedError("not done yet")' + "\n"


@dataclass(frozen=True)
class Cell:
    """One cell of a script in percent format.

    Attributes:
        kind: ``"code"``, ``"markdown"`` or ``"hints"``.
        text: the code, or the text without comment signs.
        exercise: short name of the exercise that the cell belongs to, or an empty string.
        raw: the lines as they stand in the file, marker included.
        line: the line of the marker, from 1.
    """

    kind: str
    text: str
    exercise: str
    raw: str
    line: int


def parse(source: str) -> list[Cell]:
    """Split a script in percent format into its cells; what stands before the first marker is dropped."""
    cells: list[Cell] = []
    exercise, block, start = "", [], 0
    lines = [*source.splitlines(keepends=True), "# %%\n"]
    for number, line in enumerate(lines, 1):
        if not _MARKER.match(line):
            block.append(line)
            continue
        if start:
            cell = _cell(block, exercise, start)
            heading = _HEADING.search(cell.text) if cell.kind == "markdown" else None
            if heading:
                exercise = heading["name"]
            elif cell.kind == "markdown" and cell.text.startswith("## "):
                exercise = ""
            cells.append(replace(cell, exercise=exercise))
        block, start = [line], number
    return cells


def _cell(block: list[str], exercise: str, line: int) -> Cell:
    marker = _MARKER.match(block[0])
    assert marker is not None
    raw, body = "".join(block), "".join(block[1:])
    if not marker["kind"]:
        return Cell("code", body.strip("\n"), exercise, raw, line)
    kind = "hints" if "hints" in marker["rest"] else "markdown"
    return Cell(kind, re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip("\n"), exercise, raw, line)


@dataclass(frozen=True)
class Chapter:
    """The exercises of one chapter.

    Attributes:
        name: such as ``"ch04"``.
        file: such as ``"ch04_triplet.py"``.
        source: the script with solutions.
    """

    name: str
    file: str
    source: str

    @property
    def title(self) -> str:
        """The chapter's title, from the first heading, such as ``"Triplet networks"``."""
        return next(c.text for c in parse(self.source) if c.kind == "markdown").splitlines()[0].split(": ", 1)[1]

    @property
    def exercises(self) -> list[str]:
        """Full names in the order of the file, such as ``"ch04.triplet_loss"``."""
        return [f"{self.name}.{short}" for short in dict.fromkeys(c.exercise for c in parse(self.source)) if short]

    def hints(self, exercise: str) -> list[str]:
        """Return the hints of an exercise, from a nudge to nearly the answer."""
        text = next(c.text for c in self._cells(exercise) if c.kind == "hints")
        return [" ".join(h.split()) for h in re.split(r"^- ", text, flags=re.MULTILINE) if h.strip()]

    def solution(self, exercise: str) -> str:
        """Return the function as the course solves it."""
        code = next(c.text for c in self._cells(exercise) if c.kind == "code")
        return re.sub(r"^[ \t]*# (BEGIN|END) SOLUTION\n?", "", code, flags=re.MULTILINE).rstrip()

    def _cells(self, exercise: str) -> Iterator[Cell]:
        return (c for c in parse(self.source) if f"{self.name}.{c.exercise}" == exercise)

    def script(self) -> str:
        """Write the student's script: no solutions, no hints."""
        text = ""
        for cell in parse(self.source):
            # A hints cell leaves only its blank lines behind: two stand before a function.
            text = text.rstrip("\n") + "\n" * _newlines(cell.raw) if cell.kind == "hints" else text + cell.raw
        return _SOLUTION.sub(_HOLE, text)

    def notebook(self, url: str) -> str:
        """Write the student's notebook: a first cell that installs on Colab, hints folded, cell ids that stay.

        Args:
            url: public address of the repository, from which Colab installs.
        """
        cells = [("code", install_cell(url))]
        for cell in parse(self.source):
            if cell.kind == "hints":
                cells.append(("markdown", "\n\n".join(_folded(i, h) for i, h in enumerate(self._split(cell), 1))))
            else:
                cells.append((cell.kind, _SOLUTION.sub(_HOLE, cell.text + "\n").rstrip("\n")))
        document = {
            "cells": [_notebook_cell(kind, text, f"{self.name}-{i:02}") for i, (kind, text) in enumerate(cells)],
            "metadata": {
                "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                "language_info": {"name": "python"},
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def _split(self, cell: Cell) -> list[str]:
        return self.hints(f"{self.name}.{cell.exercise}")


def _newlines(text: str) -> int:
    return len(text) - len(text.rstrip("\n"))


def _folded(number: int, hint: str) -> str:
    return f"<details><summary>Hint {number}</summary>\n\n{hint}\n\n</details>"


def _notebook_cell(kind: str, text: str, identity: str) -> dict[str, object]:
    cell: dict[str, object] = {
        "cell_type": kind,
        "id": identity,
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell


def install_cell(url: str) -> str:
    """Write the first cell of a notebook: on Colab install the course, elsewhere nothing; then the versions."""
    return f"""\
# On Colab this installs the course and leaves torch, torchvision and numpy as they are. Elsewhere it installs nothing.
import sys
from importlib.metadata import version

if "google.colab" in sys.modules:
    import subprocess

    found = [f"{{name}}=={{version(name)}}" for name in ("torch", "torchvision", "numpy")]
    course = "replearn-course @ git+{url}"
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", course, *found], check=True)

print("replearn", version("replearn-course"), "| torch", version("torch"), "| the exercises need no GPU")"""


def chapters(folder: Path | None = None) -> dict[str, Chapter]:
    """All chapters that have exercises, by name.

    Args:
        folder: where the sources stand; by default those of this installation.

    Raises:
        ReplearnError: where the folder holds none.
    """
    folder = folder or sources()
    found = {}
    for path in sorted(folder.glob("ch[0-9][0-9]_*.py")):
        found[path.stem[:4]] = Chapter(path.stem[:4], path.name, path.read_text(encoding="utf-8"))
    if not found:
        raise ReplearnError(f"no exercises in {folder}: is the installation complete?")
    return found


def sources() -> Path:
    """Folder of the sources: inside the package in a wheel, at the root of the repository in a checkout."""
    package = Path(__file__).parent
    return next(
        (p for p in (package / "_solutions", package.parent / "solutions") if p.is_dir()), package / "_solutions"
    )


def resolve(target: str) -> list[str]:
    """Full names of the exercises that a target means.

    Args:
        target: ``"ch04"``, ``"ch04.triplet_loss"``, ``"triplet_loss"`` or a file such as ``"ch04_triplet.py"``.

    Raises:
        ReplearnError: naming the nearest targets.
    """
    by_chapter = {c.name: c.exercises for c in chapters().values()}
    chapter = Path(target).name[:4] if re.fullmatch(r"ch\d\d_\w+\.py", Path(target).name) else target
    if chapter in by_chapter:
        return by_chapter[chapter]
    every = [name for names in by_chapter.values() for name in names]
    found = [name for name in every if target in (name, name.split(".")[1])]
    if not found:
        raise unknown_name("exercise", target, [*by_chapter, *every, *(n.split(".")[1] for n in every)])
    return found


def digest(source: str) -> dict[str, str]:
    """For each exercise of a script a fingerprint of its cells; ``""`` stands for all that is outside of exercises."""
    texts: dict[str, str] = {}
    for cell in parse(source):
        texts[cell.exercise] = texts.get(cell.exercise, "") + cell.raw
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
