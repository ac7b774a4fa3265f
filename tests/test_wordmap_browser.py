"""The map of words in a browser: searched, clicked, zoomed and moved by mouse, keys and fingers, wide and narrow."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_book_browser import CONTRAST, SCREENS, Reader, browser, pytestmark, reader  # noqa: F401

from replearn_course.wordmap import word_map

STYLE = (Path(__file__).parents[1] / "book" / "_static" / "replearn.css").as_uri()
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><link rel="stylesheet" href="{style}"><style>
:root {{ color-scheme: light dark; --pst-color-background: white; --pst-color-text-base: #222832; }}
@media (prefers-color-scheme: dark) {{ :root {{ --pst-color-background: #121212; --pst-color-text-base: #ced6dd; }} }}
body {{ background: var(--pst-color-background); color: var(--pst-color-text-base); margin: 20px; max-width: 640px; }}
figure {{ margin: 0; }} .tall {{ height: 3000px; }}
</style><article class="bd-content">{figures}<p class="tall">below</p></article></html>"""

# Labels on the screen that cover each other: pairs of words.
COVERED = """svg => {
    const boxes = [...svg.querySelectorAll('[data-pixels]:not([display=none]) text')].map(t => {
        const b = t.getBBox(), m = t.getScreenCTM();
        return [t.textContent, b.x * m.a, b.y * m.a, (b.x + b.width) * m.a, (b.y + b.height) * m.a];
    });
    return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b =>
        a[1] < b[3] && b[1] < a[3] && a[2] < b[4] && b[2] < a[4]).map(b => a[0] + ' ' + b[0]));
}"""


def words(n: int) -> list[str]:
    parts = ["ka", "lo", "mi", "ste", "ran", "wu", "xor", "ди", "под", "щу"]
    return [parts[i % 10] + parts[i // 10 % 10] + parts[i // 100 % 10] for i in range(n)]


@pytest.fixture(scope="module")
def page_path(tmp_path_factory) -> Path:
    """A map of 300 words, and a second one to see that they do not meet."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(300, 2, generator=generator)
    group = (torch.arange(300) % 3).tolist()
    full = torch.randn(300, 4, generator=generator)
    near = torch.cdist(full, full).topk(4, largest=False).indices[:, 1:].tolist()
    many = words(300)
    many[0], many[1], many[2] = "cat", "catalogue", "Cat"
    near[0] = [10, 20, 30]
    z[0], z[10], z[20], z[30] = torch.tensor([[0.5, 0.5], [0.9, 0.5], [0.5, 0.9], [0.2, 0.4]])
    first = word_map(
        many, z, neighbours=near, groups=group, group_names=["x", "y", "z"], alt="the first", caption="300 words"
    )
    second = word_map(["кот", "<script>alert(1)</script>"], torch.eye(2), alt="the second", caption="2 words")
    path = tmp_path_factory.mktemp("wordmap") / "page.html"
    path.write_text(PAGE.format(style=STYLE, figures=first.data + second.data), encoding="utf-8")
    return path


class Figure:
    """What a reader does with the first map, and what is seen."""

    def __init__(self, page):
        self.page = page
        self.all = page.locator("figure").first
        self.svg = self.all.locator("svg")
        self.field = self.all.get_by_label("word", exact=True)

    @property
    def view(self) -> list[float]:
        return [float(v) for v in self.svg.get_attribute("viewBox").split()]

    @property
    def said(self) -> str:
        return self.all.locator("output").inner_text()

    @property
    def highlighted(self) -> list[str]:
        return self.all.locator(".replearn-found text").all_text_contents()

    def button(self, name: str):
        return self.all.get_by_role("button", name=name)

    def dot(self, word: str) -> tuple[float, float]:
        """Where the word lies on the screen, in pixels."""
        return tuple(
            self.svg.evaluate(
                """(svg, word) => {
                    const t = [...svg.querySelectorAll('[data-pixels] text')].find(t => t.textContent === word);
                    const p = new DOMPoint(t.x.baseVal[0].value, t.y.baseVal[0].value).matrixTransform(svg.getScreenCTM());
                    return [p.x, p.y];
                }""",
                word,
            )
        )


@pytest.fixture
def figure(reader, page_path) -> Figure:  # noqa: F811
    reader.open(page_path)
    yield Figure(reader.page)
    assert reader.messages == []
    assert reader.asked_outside == []


both_screens = pytest.mark.parametrize("reader", SCREENS, indirect=True)


@both_screens
def test_a_typed_word_is_shown_with_its_neighbours(figure):
    whole = figure.view
    many = words(300)
    figure.field.fill("CATAL")
    assert figure.said.startswith("catalogue (y).")
    figure.field.fill("Cat")
    assert figure.said.startswith("Cat (z).")
    figure.field.fill("cat")
    assert figure.said.startswith(f"cat (x). Nearest in the full space: {many[10]}, {many[20]}, {many[30]}.")
    assert figure.said.endswith("Also begin with “cat”: Cat, catalogue.")
    assert figure.highlighted == ["cat", many[10], many[20], many[30]]
    x, y, width, height = figure.view
    assert width < whole[2]
    box = figure.svg.bounding_box()
    for word in figure.highlighted:
        across, down = figure.dot(word)
        assert box["x"] < across < box["x"] + box["width"]
        assert box["y"] < down < box["y"] + box["height"]
    figure.field.fill("catalogues")
    assert figure.said == "No word begins with “catalogues”."
    assert figure.highlighted == []
    assert figure.view == [x, y, width, height]
    figure.field.fill("")
    assert figure.said.startswith("Search a word")
    assert figure.view == whole
    second = figure.page.locator("figure").nth(1)
    assert second.locator("svg").get_attribute("viewBox").startswith("0 0 ")
    second.get_by_label("word", exact=True).fill("<SCR")
    assert second.locator("output").inner_text() == "<script>alert(1)</script>."


@both_screens
def test_no_label_covers_another_and_text_keeps_its_size(figure):
    counts = []
    for _ in range(7):
        assert figure.svg.evaluate(COVERED) == []
        size, scale = figure.svg.evaluate("e => [parseFloat(getComputedStyle(e).fontSize), e.getScreenCTM().a]")
        assert size * scale == pytest.approx(13, rel=0.02)
        counts.append(figure.all.locator("[data-pixels]:not([display=none]) text").count())
        figure.button("enlarge").click()
    assert 3 < counts[0] < counts[2] < counts[6]
    assert figure.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_a_clicked_dot_is_searched_and_a_drag_is_not(figure):
    where = figure.dot("cat")
    figure.page.mouse.move(*where)
    assert figure.highlighted == ["cat"]  # a word without a label is read by pointing at it
    figure.page.mouse.click(*where)
    assert figure.said.startswith("cat (x). Nearest")
    assert figure.field.input_value() == "cat"
    view, (x, y) = figure.view, figure.dot("cat")
    figure.page.mouse.move(x, y)
    figure.page.mouse.down()
    figure.page.mouse.move(x + 40, y + 30, steps=8)
    figure.page.mouse.up()
    assert figure.view[0] < view[0]
    assert figure.view[1] < view[1]
    assert figure.view[2:] == view[2:]
    across, down = figure.dot("cat")  # the word follows the hand, but for the pixels that told a drag from a click
    assert (across - x, down - y) == pytest.approx((40, 30), abs=7)
    label = figure.all.locator(".replearn-found text", has_text=words(300)[20])
    label.click()
    assert figure.field.input_value() == words(300)[20]


def test_keys_and_buttons_move_the_map(figure):
    whole = figure.view
    figure.button("enlarge").focus()
    figure.page.keyboard.press("Enter")
    near = figure.view
    assert near[2] == pytest.approx(whole[2] / 1.5, rel=0.01)
    assert near[0] + near[2] / 2 == pytest.approx(whole[2] / 2, rel=0.01)  # about the centre
    figure.svg.focus()
    for key, axis, sign in [("ArrowRight", 0, 1), ("ArrowLeft", 0, -1), ("ArrowDown", 1, 1), ("ArrowUp", 1, -1)]:
        before = figure.view
        figure.page.keyboard.press(key)
        assert (figure.view[axis] - before[axis]) * sign == pytest.approx(near[2] / 8, rel=0.01)
    assert figure.page.evaluate("() => scrollY") == 0
    figure.page.keyboard.press("+")
    assert figure.view[2] < near[2]
    figure.page.keyboard.press("-")
    assert figure.view[2] == pytest.approx(near[2], rel=0.01)
    figure.page.keyboard.press("0")
    assert figure.view == whole
    figure.page.keyboard.press("-")
    figure.page.keyboard.press("ArrowLeft")
    assert figure.view == whole  # there is nothing outside
    figure.button("enlarge").click()
    figure.field.focus()
    before = figure.view
    figure.page.keyboard.press("ArrowRight")  # belongs to the text
    assert figure.view == before
    figure.button("whole map").click()
    assert figure.view == whole


def test_the_wheel_scrolls_the_page_unless_ctrl_is_held(figure):
    whole, (x, y) = figure.view, figure.dot("cat")
    figure.page.mouse.move(x, y)
    figure.page.keyboard.down("Control")
    figure.page.mouse.wheel(0, -100)
    figure.page.wait_for_function(
        "w => +document.querySelector('svg').getAttribute('viewBox').split(' ')[2] < w", arg=whole[2]
    )
    figure.page.keyboard.up("Control")
    assert figure.dot("cat") == pytest.approx((x, y), abs=1)  # what is under the pointer stays there
    assert figure.page.evaluate("() => scrollY") == 0
    before = figure.view
    figure.page.mouse.wheel(0, 200)
    figure.page.wait_for_function("() => scrollY > 0")
    assert figure.view == before


@pytest.mark.parametrize("reader", ["narrow, dark"], indirect=True)
def test_fingers_pinch_the_map_and_scroll_the_page(figure):
    device = figure.page.context.new_cdp_session(figure.page)
    device.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    whole, box = figure.view, figure.svg.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": a, "y": b, "id": i} for i, (a, b) in enumerate(points)]
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    def swipe_up() -> None:
        touch("touchStart", (x, y))
        for step in range(1, 16):
            touch("touchMove", (x, y - 8 * step))
        touch("touchEnd")

    touch("touchStart", (x - 30, y), (x + 30, y))
    for apart in (40, 50, 60):
        touch("touchMove", (x - apart, y), (x + apart, y))
    touch("touchEnd")
    assert figure.view[2] == pytest.approx(whole[2] / 2, rel=0.1)
    assert figure.view[0] + figure.view[2] / 2 == pytest.approx(whole[2] / 2, rel=0.05)

    before = figure.view
    swipe_up()  # an enlarged map moves under the finger, the page does not
    assert figure.view[1] > before[1]
    assert figure.page.evaluate("() => scrollY") == 0

    figure.button("whole map").click()
    across, down = figure.dot("cat")
    touch("touchStart", (across + 2, down))
    touch("touchEnd")
    assert figure.field.input_value() == "cat"

    figure.button("whole map").click()
    swipe_up()  # a whole map lets the page scroll
    figure.page.wait_for_function("() => scrollY > 0")
    assert figure.view == whole


@both_screens
def test_words_and_dots_stand_out_from_the_page(figure):
    figure.field.fill("cat")
    for text in figure.all.locator("output, figcaption p, .replearn-found text").all():
        assert text.evaluate(CONTRAST) >= 4.5
    fill = figure.all.locator(".replearn-found text").first.evaluate(
        "e => [e, document.body].map(e => getComputedStyle(e).color)"
    )
    assert fill[0] == fill[1]
    opacity = "e => getComputedStyle(e).opacity"
    assert [float(g.evaluate(opacity)) for g in figure.all.locator("svg > g").all()] == [0.3, 0.3, 1]


def test_print_has_the_whole_map(figure):
    whole = figure.view
    figure.field.fill("cat")
    near = figure.view
    figure.page.evaluate(
        "() => addEventListener('beforeprint', () => document.body.title = document.querySelector('svg').getAttribute('viewBox'))"
    )
    figure.page.pdf()
    assert [float(v) for v in figure.page.locator("body").get_attribute("title").split()] == whole
    assert figure.view == near
    figure.page.emulate_media(media="print")
    assert not figure.field.is_visible()
