"""The public address has one source, pyproject.toml; whatever else holds it is derived."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import links  # noqa: E402

SLUG = links.own_slug(ROOT)
OWNER, NAME = SLUG.split("/")


def texts(root: Path) -> dict[str, str]:
    """Every text file that may be published, by its path."""
    folders = ("book", "exercises", "solutions", "replearn_course", "tools", "tests", "benchmarks", ".github")
    paths = [p for p in root.iterdir() if p.is_file()] + [p for folder in folders for p in (root / folder).rglob("*")]
    skipped = {"_build", "__pycache__", "_generated"}
    kinds = {".md", ".cff", ".yml", ".toml", ".ipynb", ".py", ".txt", ""}
    found = {}
    for path in paths:
        if (
            path.is_file()
            and path.suffix in kinds
            and not skipped & set(path.parts)
            and path.name != "requirements.lock"
        ):
            found[str(path.relative_to(root))] = path.read_text(encoding="utf-8", errors="ignore")
    return found


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "links.py"), "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that hold the address, with a README of every form and a chapter that has an install cell."""
    for place in ("pyproject.toml", *links.PLACES):
        for path in ROOT.glob(place):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    own = [
        f"git clone https://github.com/{SLUG}.git",
        f"[book](https://{OWNER}.github.io/{NAME}/ch04_triplet.html)",
        f"![picture](https://raw.githubusercontent.com/{SLUG}/main/book/images/home.png)",
        f"[exercises](https://colab.research.google.com/github/{SLUG}/blob/main/exercises/ch03_siamese.ipynb)",
        f"[![tests](https://github.com/{SLUG}/actions/workflows/tests.yml/badge.svg)](tests)",
        "[a peer](https://github.com/KevinMusgrave/pytorch-metric-learning)",
    ]
    (tmp_path / "README.md").write_text("\n\n".join(own))
    cell = {"cell_type": "code", "id": "a", "metadata": {"tags": ["install"]}, "source": ["old"], "outputs": []}
    other = cell | {"id": "b", "metadata": {}, "source": ["x = 1"]}
    notebook = {"cells": [cell, other], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "book" / "ch99_test.ipynb").write_text(json.dumps(notebook))
    assert run(tmp_path).returncode == 0
    return tmp_path


def test_the_repository_is_up_to_date():
    done = run(ROOT, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_other_address_of_the_project_is_written():
    ours = rf"(?:{re.escape(OWNER)}/[\w.-]+|[\w-]+/{re.escape(NAME)})(?![\w-])"
    pattern = re.compile(
        rf"(?:github(?:usercontent)?\.com|google\.com/github)/({ours})|https://({re.escape(OWNER)})\.github\.io/([\w-]+)"
    )
    wrong = []
    for name, text in texts(ROOT).items():
        for match in pattern.finditer(text):
            slug = match[1] or f"{match[2]}/{match[3]}"
            if slug.removesuffix(".git") != SLUG:
                wrong.append(f"{name}: {match[0]}")
    assert wrong == []


def test_only_derived_places_hold_the_address():
    allowed = {str(p.relative_to(ROOT)) for place in links.PLACES for p in ROOT.glob(place)} | {"pyproject.toml"}
    holders = {name for name, text in texts(ROOT).items() if f"github.com/{SLUG}" in text}
    assert holders <= allowed


def test_a_new_address_reaches_every_place(copy):
    pyproject = copy / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text().replace(f"https://github.com/{SLUG}", "https://github.com/someone/course")
    )
    before = {name for name, text in texts(copy).items() if SLUG in text}
    assert {"README.md", "CITATION.cff", "book/_config.yml", "book/ch99_test.ipynb"} <= before
    checked = run(copy, "--check")
    assert checked.returncode == 1
    assert all(name in checked.stdout for name in before)
    assert run(copy).returncode == 0
    after = texts(copy)
    assert {name for name, text in after.items() if SLUG in text or f"{OWNER}.github.io" in text} == set()
    assert run(copy, "--check").returncode == 0
    assert "git clone https://github.com/someone/course.git" in after["README.md"]
    assert "https://someone.github.io/course/ch04_triplet.html" in after["README.md"]
    assert "raw.githubusercontent.com/someone/course/main" in after["README.md"]
    assert "colab.research.google.com/github/someone/course/blob/main/exercises/ch03" in after["README.md"]
    assert "github.com/someone/course/actions/workflows/tests.yml" in after["README.md"]
    assert "KevinMusgrave/pytorch-metric-learning" in after["README.md"]  # other people's stay
    assert "git+https://github.com/someone/course" in after["book/ch99_test.ipynb"]


def test_install_cells_are_written_and_other_cells_kept(copy):
    first, second = json.loads((copy / "book" / "ch99_test.ipynb").read_text())["cells"]
    assert "".join(first["source"]) == links.install_source(SLUG)
    assert second["source"] == ["x = 1"]


def test_an_address_elsewhere_is_refused(copy):
    pyproject = copy / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("https://github.com/", "https://example.org/"))
    done = run(copy)
    assert done.returncode != 0
    assert "[project.urls] Repository: expected https://github.com/OWNER/NAME" in done.stderr
