"""The book builds without a warning, its links lead somewhere, and its tables are those of the ledger."""

from __future__ import annotations

import html.parser
import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
import urllib.parse
from pathlib import Path

import pytest
import yaml
from book_pages import BUILD, ROOT, book  # noqa: F401

from replearn_course import results


def load_extension():
    spec = importlib.util.spec_from_file_location("replearn_book", ROOT / "book" / "_ext" / "replearn_book.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


extension = load_extension()


class Page(html.parser.HTMLParser):
    """The links, anchors and pictures of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.anchors, self.images, self.text = [], set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        self.links += [attributes[key] for key in ("href", "src") if attributes.get(key)]
        if tag == "img":
            self.images.append(attributes)

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def pages(book) -> dict[Path, Page]:  # noqa: F811
    return {path.resolve(): Page(path) for path in book.rglob("*.html") if "_static" not in path.parts}


def test_every_page_of_the_contents_is_built(book):  # noqa: F811
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    names = [toc["root"]] + [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert [name for name in names if not (book / f"{name}.html").exists()] == []


def test_every_internal_link_leads_somewhere(pages):
    broken = []
    for path, page in pages.items():
        for link in page.links:
            url = urllib.parse.urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(url.path)).resolve() if url.path else path
            anchor = urllib.parse.unquote(url.fragment)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].anchors):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_no_page_loads_anything_from_elsewhere(book):  # noqa: F811
    loads = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")
    # What a page names about itself is not loaded: its address on the web, and the index of licences.
    found = [(p.name, m) for p in book.glob("*.html") for m in loads.findall(p.read_text()) if "canonical" not in m]
    assert found == []


def test_every_picture_has_a_description(pages):
    bare = [
        (path.name, image.get("src", "")[:60])
        for path, page in pages.items()
        for image in page.images
        if not (image.get("alt") or "").strip() or image["alt"] == image.get("src")
    ]
    assert bare == []


def test_chapters_open_in_colab(pages):
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    slug = address.removeprefix("https://github.com/")
    chapters = [(path, page) for path, page in pages.items() if re.match(r"ch\d\d_", path.name)]
    assert chapters
    for path, page in chapters:
        link = f"https://colab.research.google.com/github/{slug}/blob/main/book/{path.stem}.ipynb"
        assert link in page.links, path.name


def test_every_claim_is_on_the_page_of_claims(book):  # noqa: F811
    rows = len(re.findall(r"<tr class=\"row-(?:even|odd)\">\s*<td", (book / "claims.html").read_text()))
    assert rows == len(results.claims()) + len(results.results())


def test_every_public_name_is_in_the_reference(book):  # noqa: F811
    import replearn_course.losses as losses

    anchors = Page(book / "api.html").anchors
    public = [name for name in losses.__all__ if callable(getattr(losses, name))]
    assert [name for name in public if f"replearn_course.losses.{name}" not in anchors] == []


# -- tables ------------------------------------------------------------------------------------------------------------


def row(**changes):
    common = {
        "experiment": "mnist",
        "metric": "top_1",
        "value": 0.98812,
        "spread": 0.0004,
        "unit": "fraction",
        "seeds": 3,
    }
    common |= {"data": "MNIST", "scale": "cpu", "device": "cpu", "protocol": "a|b", "claimed": "0.99", "document": "D3"}
    return common | {"date": "2026-01-02T03:04:05"} | changes


def cells_of(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_measured_table_has_claim_value_and_spread():
    lines = extension.measured([row()]).splitlines()
    assert lines[0] == "### `mnist`"
    assert cells_of(lines[4]) == [r"top\_1", "0.99 (D3)", "0.9881 ± 0.0004"]
    assert lines[6] == r"MNIST · scale cpu · 3 seeds · cpu · 2026-01-02. a\|b."
    assert cells_of(extension.measured([row(claimed=None, seeds=[0, 1])]).splitlines()[4])[1] == "–"


def test_measured_runs_have_a_table_each():
    text = extension.measured([row(), row(metric="top_5"), row(scale="full", seeds=1)])
    assert text.count("| Metric |") == 2
    assert "scale full · 1 seed ·" in text


def claim(**changes):
    common = {
        "system": "N1",
        "dataset": "",
        "metric": "top-1",
        "value": "0.5",
        "spread": "",
        "unit": "",
        "protocol": "",
    }
    return common | {"kind": "quoted", "source": "A 2015", "reading": "odd"} | changes


def test_what_all_claims_of_a_place_share_stands_below_their_table():
    text = extension.claims_of_place("table 1", [claim(), claim(metric="top-5")])
    assert "| System, data | Metric | Value |\n" in text
    assert text.count("Quoted from another paper: A 2015.") == text.count("odd") == 1
    mixed = extension.claims_of_place("table 1", [claim(), claim(kind="result", source="", reading="")])
    assert "| Kind | Note |" in mixed
    assert "\n1. odd\n" in mixed


def test_tables_without_data_say_how_to_make_it():
    assert "replearn run" in extension.measured([])
    assert "make bench" in extension.speed([])


def test_home_page_has_the_first_slider_of_the_chapter(tmp_path):
    outputs = [{"text": "x"}, {"data": {"text/html": ["<figure class=", '"replearn-slider">a</figure>']}}]
    chapter = tmp_path / "chapter.ipynb"
    chapter.write_text(json.dumps({"cells": [{}, {"outputs": outputs}]}))
    assert '\n<figure class="replearn-slider">a</figure>\n' in extension.motion(chapter)


def test_benchmark_table_names_machine_and_date():
    line = {"name": "batch-all", "peer": "pml", "ours_s": 0.01234567, "peer_s": 1.0, "ratio": 81.0, "ours_mib": 3.0}
    text = extension.speed([line | {"peer_mib": 90.0, "machine": "2 cores", "date": "2026-01-02T00:00"}])
    assert "**Against pml**" in text
    assert "| batch-all | 0.01235 | 1 | 81 | 3 | 90 |" in text
    assert "2 cores, 2026-01-02" in text


# -- the build fails when it should ------------------------------------------------------------------------------------


def small_book(folder: Path, text: str) -> Path:
    """A book of one page with our configuration."""
    source = folder / "book"
    source.mkdir()
    for name in ("_config.yml", "references.bib"):
        shutil.copy(ROOT / "book" / name, source)
    shutil.copytree(ROOT / "book" / "_ext", source / "_ext", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "images").mkdir()
    (source / "images" / "home.png").touch()
    (source / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (source / "index.md").write_text(f"# Title\n\n{text}\n")
    return source


def test_references_to_nothing_are_errors(tmp_path):
    text = "[x](#no-such-place) {py:func}`replearn_course.losses.no_such_loss` {cite}`nobody1999` {term}`no such term`"
    source = small_book(tmp_path, text)
    done = subprocess.run([*BUILD, "--book", str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for name in ("no-such-place", "no_such_loss", "nobody1999", "no such term"):
        assert name in done.stderr, f"no warning about {name}:\n{done.stderr}"


def test_a_missing_chapter_is_named(tmp_path):
    source = small_book(tmp_path, "")
    (source / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nparts:\n  - caption: C\n    chapters:\n      - file: ch99\n"
    )
    done = subprocess.run([*BUILD, "--book", str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "book/ch99.ipynb" in done.stderr
    assert "Traceback" not in done.stderr
