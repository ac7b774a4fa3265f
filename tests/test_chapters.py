"""Every chapter carries the outputs of one clean recorded run, and says how it was made."""

from __future__ import annotations

import re
import sys
import tempfile
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import links  # noqa: E402
import record  # noqa: E402

from replearn_course.scale import SCALES  # noqa: E402

CHAPTERS = sorted((ROOT / "book").glob("*.ipynb"))
HOMES = "|".join(re.escape(f"{home}/") for home in (Path.home(), tempfile.gettempdir(), ROOT, ROOT.parent))
# A name before the slash makes it part of an address or of a longer path.
MACHINE = re.compile(rf"(?<![\w.:/~$-])(?:/(?:home|Users|root|mnt)/|{HOMES})")


class Pictures(HTMLParser):
    """The pictures of an HTML output, and whether each stands in a figure with a caption."""

    def __init__(self, text: str):
        super().__init__()
        self.images, self.captions, self.figures = [], 0, 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))
        if tag == "svg":  # a map of words
            self.images.append({"alt": dict(attributes).get("aria-label")})
        self.captions += tag == "figcaption"
        self.figures += tag == "figure"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [(n, out) for n, cell in enumerate(notebook.cells, 1) for out in cell.get("outputs", [])]


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return nbformat.read(request.param, as_version=4)


def test_there_are_chapters():
    numbers = {path.stem[:4] for path in CHAPTERS}
    assert {"ch02", "ch03", "ch04", "ch08", "ch09", "ch10", "ch11", "ch12"} <= numbers


def test_every_cell_was_run_in_order_without_error_or_noise(chapter):
    nbformat.validate(chapter)
    counts = [cell.execution_count for cell in code_cells(chapter)]
    assert counts == list(range(1, len(counts) + 1))
    for number, output in outputs(chapter):
        assert output.output_type != "error", f"cell {number}"
        assert not (output.output_type == "stream" and output.name == "stderr"), f"cell {number}: {output.text}"
        assert record.WIDGET not in output.get("data", {}), f"cell {number} keeps a widget"
    assert any(output for _, output in outputs(chapter))


def test_metadata_says_how_it_was_made(chapter):
    assert set(chapter.metadata) == {"kernelspec", "language_info", "replearn"}
    facts = chapter.metadata.replearn
    assert set(facts) == {"scale", "device", "data", "date", "seed", "versions"}
    assert facts.scale in SCALES
    assert facts.scale != "smoke", "a chapter is recorded on the real data"
    assert facts.device
    assert facts.data
    assert isinstance(facts.seed, int)
    assert date.fromisoformat(facts.date) <= date.today()
    assert {"python", "replearn-course", "torch", "torchvision", "numpy"} <= set(facts.versions)


def test_no_path_of_a_machine(chapter):
    text = nbformat.writes(chapter)
    assert [text[max(0, m.start() - 40) : m.end() + 40] for m in MACHINE.finditer(text)] == []


def test_every_picture_has_description_and_caption(chapter):
    shown = 0
    for number, output in outputs(chapter):
        kinds = set(output.get("data", {}))
        assert not any(kind.startswith("image/") for kind in kinds), f"cell {number}: a bare figure; use plots.show"
        found = Pictures("".join(output.get("data", {}).get("text/html", "")))
        for image in found.images:
            assert len(image.get("alt") or "") >= 15, f"cell {number}: alt text {image.get('alt')!r}"
        assert len(found.images) == found.figures == found.captions, f"cell {number}: a picture outside of a figure"
        shown += len(found.images)
    assert shown


def test_first_code_cell_installs(chapter):
    first = code_cells(chapter)[0]
    assert "install" in first.metadata.tags
    assert first.source == links.install_source(links.own_slug(ROOT))
    assert first.outputs == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_not_heavy(path):
    assert path.stat().st_size < record.LIMIT_MIB * 2**20
