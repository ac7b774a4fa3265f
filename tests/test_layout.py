"""The package reads in the order in which data flow: a room imports only rooms that stand below it."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "replearn_course"

# From top to bottom. A strict order has no cycles, so this one list forbids both the circles and the way back up.
ROOMS = [
    "cli",
    "student_cli",
    "words_cli",
    "student",
    "exercises",
    "checks",
    "experiments",
    "probes",
    "words",
    "methods",
    "training",
    "data",
    "networks",
    "losses",
    "wordmap",
    "plots",
    "slider",
    "results",
    "scale",
    "files",
    "precision",
    "errors",
]
NOT_ROOMS = {"__init__", "__main__"}


def rooms() -> list[Path]:
    """The rooms that exist: modules and packages directly in the package."""
    found = [p for p in PACKAGE.iterdir() if p.suffix == ".py" or any(p.glob("*.py"))]
    return sorted(p for p in found if p.stem not in NOT_ROOMS)


def imported_rooms(source: str) -> set[str]:
    """The rooms that a module's text imports, at its top, in a function or for types alone."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; write the whole name"
            if node.module == "replearn_course":
                names |= {f"replearn_course.{alias.name}" for alias in node.names}
            elif node.module:
                names.add(node.module)
    parts = [name.split(".") for name in names]
    return {p[1] for p in parts if p[0] == "replearn_course" and len(p) > 1 and not p[1].startswith("__")}


def test_contributing_lists_the_rooms_in_this_order():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = next(b for b in text.split("```") if b.startswith("\ncli"))
    names = [re.split(r"\s{2,}", line)[0].split(", ") for line in block.strip().splitlines()]
    assert [name for line in names for name in line] == ROOMS


def test_every_room_has_its_place():
    assert {p.stem for p in rooms()} <= set(ROOMS), "give the new room its place in ROOMS"


@pytest.mark.parametrize("room", rooms(), ids=lambda p: p.stem)
def test_a_room_imports_only_what_stands_below_it(room):
    below = set(ROOMS[ROOMS.index(room.stem) :])
    for path in [room] if room.suffix == ".py" else sorted(room.rglob("*.py")):
        upward = imported_rooms(path.read_text(encoding="utf-8")) - below
        assert not upward, f"{path.relative_to(PACKAGE)} imports {sorted(upward)}, above {room.stem!r} in ROOMS"


def test_the_package_itself_imports_no_room():
    assert imported_rooms((PACKAGE / "__init__.py").read_text(encoding="utf-8")) == set()


def test_imported_rooms_sees_every_form():
    source = """
import replearn_course.data.views
from replearn_course import __version__, plots
from replearn_course.losses.triplet import batch_all
import torch
def f():
    from replearn_course.errors import ReplearnError
"""
    assert imported_rooms(source) == {"data", "plots", "losses", "errors"}
