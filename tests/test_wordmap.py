"""The map's HTML is parsed, and its labels are measured with a real font; test_wordmap_browser uses it in a browser."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from test_slider import Elements

from replearn_course.errors import ReplearnError
from replearn_course.plots import COLOURS
from replearn_course.wordmap import LIMIT_KIB, word_map

LINE = 1.2  # em, of a line of text


class Map(Elements):
    """The parsed figure: elements, and every word with its place and the width of the map that shows it."""

    def __init__(self, text: str):
        self.words: list[str] = []
        self.places: list[tuple[int, int]] = []
        self.pixels: list[float] = []
        self.texts: dict[str, str] = {}
        self.open: list[str] = []
        self.level = math.nan
        super().__init__(text)
        self.width, self.height = map(int, self.one("svg")["viewbox"].split()[2:])

    def handle_starttag(self, tag, attributes):
        super().handle_starttag(tag, attributes)
        given = dict(attributes)
        if tag not in ("input", "path"):
            self.open.append(tag)
        if "data-pixels" in given:
            self.level = float(given["data-pixels"])
        if tag == "text":
            self.words.append("")
            self.places.append((int(given["x"]), int(given["y"])))
            self.pixels.append(self.level)

    def handle_endtag(self, tag):
        if tag != "path":
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] == "text":
            self.words[-1] += data
        self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data


def draw(words, places, **settings) -> Map:
    return Map(word_map(words, places, **{"alt": "a map", "caption": "see", **settings}).data)


def places(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def names(n: int) -> list[str]:
    """Words of 2 to 12 letters, Latin and Cyrillic."""
    return ["".join(chr((97, 1072)[i % 2] + (i * k * k + k) % 26) for k in range(2 + i % 11)) for i in range(n)]


def label_box(word: str, x: float, y: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the label above the dot at pixel (x, y), in the widest common font."""
    width, _, _ = TextToPath().get_text_width_height_descent(word, FontProperties(family="DejaVu Sans", size=13), False)
    return x - width / 2, y - LINE * 13, x + width / 2, y


def test_labels_that_are_shown_together_are_free_of_each_other_and_of_the_edge():
    words = names(150)
    page = draw(words, places(150))
    assert sorted(page.words) == sorted(words)
    levels = sorted(set(page.pixels))
    counts = []
    for level in levels:
        zoom = level / page.width
        boxes = [
            label_box(word, x * zoom, y * zoom)
            for word, (x, y), start in zip(page.words, page.places, page.pixels, strict=True)
            if start <= level
        ]
        for a, b in itertools.combinations(boxes, 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert all(left >= 0 and top >= 0 and right <= level for left, top, right, _ in boxes)
        counts.append(len(boxes))
    assert counts[0] >= 5
    assert counts[-1] == 150  # at the largest zoom nothing is hidden


def test_earlier_words_are_labelled_first():
    near = torch.tensor([[0.0, 0.0], [0.05, 0.0], [1.0, 1.0], [-1.0, -1.0]])
    for words in (["first", "second", "c", "d"], ["second", "first", "c", "d"]):
        page = draw(words, near)
        start = dict(zip(page.words, page.pixels, strict=True))
        assert start[words[0]] == 300
        assert 300 < start[words[1]] < math.inf


def test_words_at_one_place_are_labelled_once():
    page = draw(["a", "b", "c"], torch.zeros(3, 2))
    assert page.words == ["a", "b", "c"]
    assert page.pixels[0] < math.inf
    assert page.pixels[1:] == [math.inf, math.inf]
    assert len(set(page.places)) == 1


def test_the_first_view_shows_what_fits_into_a_page():
    page = draw(names(150), places(150))
    shown = {float(a["data-pixels"]): a["display"] for tag, a in page.found if tag == "g" and "data-pixels" in a}
    assert {level for level, display in shown.items() if display == "inline"} == {p for p in shown if p <= 700}
    assert set(shown.values()) == {"inline", "none"}


@pytest.mark.parametrize("stretch", [(1, 1), (5, 1), (1, 5)])
def test_both_axes_have_one_scale_and_the_second_points_up(stretch):
    z = places(40) * torch.tensor(stretch)
    words = names(40)
    page = draw(words, z)
    drawn = dict(zip(page.words, page.places, strict=True))
    scale = {
        axis: (drawn[words[0]][axis] - drawn[words[1]][axis]) / (z[0, axis] - z[1, axis]).item() for axis in (0, 1)
    }
    assert scale[0] == pytest.approx(-scale[1], rel=0.02)
    assert scale[0] > 0
    for axis, size in enumerate((page.width, page.height)):
        assert all(0 < place[axis] < size for place in page.places)


def test_neighbours_name_the_same_words_after_the_map_has_ordered_them():
    n = 80
    words, z = names(n), places(n)
    rows = torch.cdist(z, z).topk(5, largest=False).indices[:, 1:]
    rows_of_words = {words[i]: [words[j] for j in row] for i, row in enumerate(rows.tolist())}
    for neighbours in (rows.tolist(), rows):
        page = draw(words, z, neighbours=neighbours)
        assert page.words != words  # or there would be nothing to renumber
        coded = page.one("figure")["data-near"].split(",")
        found = {page.words[i]: [page.words[int(j, 36)] for j in row.split()] for i, row in enumerate(coded)}
        assert found == rows_of_words


def test_groups_colour_the_dots_and_are_named():
    words, z = ["a", "b", "c"], torch.tensor([[0.0, 0], [1, 0], [0, 1]])
    page = draw(words, z, groups=[1, 0, 1], group_names=["even", "<odd>", "unused"])
    paths = {a["stroke"]: a["d"] for tag, a in page.found if tag == "path"}
    by_word = dict(zip(page.words, page.places, strict=True))
    assert list(paths) == list(COLOURS[:2])
    assert paths[COLOURS[0]] == "M{} {}h0".format(*by_word["b"])
    assert sorted(paths[COLOURS[1]].split("M")[1:]) == sorted("{} {}h0".format(*by_word[w]) for w in "ac")
    kinds = page.one("figure")["data-groups"]
    assert dict(zip(page.words, kinds, strict=True)) == {"a": "1", "b": "0", "c": "1"}
    assert page.texts["span"] == "word● even● <odd>"
    swatches = [a["style"] for tag, a in page.found if tag == "span" and "style" in a]
    assert swatches == [f"color:{colour}" for colour in COLOURS[:2]]
    assert draw(words, z, groups=torch.tensor([2, 0, 1])).texts["span"] == "word● 0● 1● 2"


def test_without_neighbours_and_groups_none_are_promised():
    page = draw(["a", "b"], torch.eye(2))
    assert not {"data-near", "data-groups"} & set(page.one("figure"))
    assert "nearest" not in page.texts["output"]
    assert "●" not in page.texts["span"]


def test_the_figure_needs_no_script_and_no_id_and_is_labelled():
    page = draw(["a", "b"], torch.eye(2), alt='two "words"')
    assert "script" not in [tag for tag, _ in page.found]
    assert not any("id" in attributes for _, attributes in page.found)
    assert page.one("svg")["aria-label"] == 'two "words"'
    assert page.one("svg")["role"] == "img"
    assert page.one("svg")["tabindex"] == "0"
    assert page.one("input")["type"] == "search"
    assert page.one("output")["aria-live"] == "polite"
    tags = [tag for tag, _ in page.found]
    assert tags.index("label") < tags.index("input") < tags.index("button") < tags.index("svg") < tags.index("output")
    buttons = [a for tag, a in page.found if tag == "button"]
    assert {a["type"] for a in buttons} == {"button"}  # none sends a form
    assert [a.get("aria-label") for a in buttons] == ["enlarge", "reduce", None]  # signs have names
    assert "\n" not in word_map(["a"], torch.ones(1, 2), alt="", caption="").data  # an empty line would end raw HTML


@given(st.lists(st.text(min_size=1, max_size=8).filter(str.isprintable), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_words_are_read_back_as_they_were(words):
    page = draw(words, places(len(words)))
    assert sorted(page.words) == sorted(words)


def test_texts_are_escaped():
    text = """<script>alert("1")</script> & 'кот'"""
    out = word_map([text], torch.ones(1, 2), groups=[0], group_names=[text], alt=text, caption=text).data
    assert "<script" not in out
    page = Map(out)
    assert page.words == [text]
    assert page.one("svg")["aria-label"] == text
    assert page.texts["p"] == text
    assert text in page.texts["span"]


def test_a_full_map_stays_below_the_limit_and_a_larger_one_warns():
    n = 1500
    words = [f"word{i:04d}" for i in range(n)]
    neighbours = [[(i + k) % n for k in range(1, 11)] for i in range(n)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = word_map(words, places(n), neighbours=neighbours, groups=[i % 6 for i in range(n)], alt="", caption="")
    assert len(out.data.encode()) < LIMIT_KIB * 1024
    with pytest.warns(UserWarning, match=rf"map of 1500 words holds \d+ KiB, more than {LIMIT_KIB}"):
        word_map([w * 5 for w in words], places(n), neighbours=neighbours, alt="", caption="")


TWO = {"words": ["a", "b"], "places": torch.eye(2)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"words": [], "places": torch.ones(0, 2)}, "words: expected at least one word"),
        ({"words": ["a"]}, r"places: expected shape (1, 2), one place a word, got (2, 2)"),
        ({"places": torch.ones(2, 3)}, "places: expected shape (2, 2), .* got (2, 3)"),
        ({"places": torch.tensor([[0.0, 0.0], [math.nan, 0.0]])}, "places: expected finite values, .* first in row 1"),
        ({"places": [[0, 0], [1, 1]]}, "places: expected a torch.Tensor, got builtins.list"),
        ({"neighbours": [[1]]}, "neighbours: expected 2, one a word, got 1"),
        ({"neighbours": [[1], [2]]}, "neighbours: expected positions of other words, 0 to 1, got 2 for word 1, 'b'"),
        ({"neighbours": [[-1], [0]]}, "got -1 for word 0, 'a'"),
        ({"neighbours": [[1], [0, 1]]}, "got 1 for word 1, 'b'"),
        ({"groups": [0]}, "groups: expected 2, one a word, got 1"),
        ({"groups": [0, 6]}, "groups: expected numbers from 0 to 5, .* got 6"),
        ({"groups": [0, -1]}, "groups: .* got -1"),
        ({"groups": [0, 1], "group_names": ["x"]}, "groups: expected numbers from 0 to 0, .* got 1"),
        ({"group_names": ["x"]}, "group_names: expected none without groups"),
    ],
)
def test_bad_input_is_named(wrong, message):
    with pytest.raises(ReplearnError, match=message.replace("(", r"\(").replace(")", r"\)")):
        word_map(**{**TWO, **wrong}, alt="", caption="")
