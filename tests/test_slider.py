"""The slider's HTML is parsed, its pictures decoded, its live form driven; test_book_browser moves it in a browser."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from replearn_course.errors import ReplearnError
from replearn_course.slider import LIMIT_KIB, image_uri, is_live, slider


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPLEARN_LIVE", raising=False)
    monkeypatch.delenv("REPLEARN_SCALE", raising=False)


def bar(value: float):
    figure, axes = plt.subplots(figsize=(2, 1), dpi=50)
    axes.bar([0], [value])
    axes.set_ylim(0, 10)
    return figure


class Elements(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def one(self, tag: str) -> dict[str, str | None]:
        (attributes,) = [a for t, a in self.found if t == tag]
        return attributes


def picture(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)


def test_every_value_has_its_own_picture_text_and_description():
    page = Elements(slider(bar, [1, 5, 9], label="height", alt="a bar", start=1).data)
    frames = json.loads(page.one("figure")["data-frames"])
    assert [(text, alt) for text, alt, _ in frames] == [(str(v), f"a bar, height {v}") for v in (1, 5, 9)]
    ink = [(picture(uri) < 128).sum() for _, _, uri in frames]
    assert ink[0] < ink[1] < ink[2]  # the bar grows: each picture is of its own value
    assert picture(frames[0][2])[0, 0].min() > 250  # white paper, which a dark page needs
    shown = page.one("img")
    assert (shown["src"], shown["alt"]) == (frames[1][2], frames[1][1])
    assert (int(shown["width"]), int(shown["height"])) == picture(frames[0][2]).shape[1::-1]


def test_slider_is_labelled_and_speaks_its_value():
    page = Elements(slider(bar, [1, 5, 9], label="height", alt="a bar", text=lambda v: f"{v} cm", start=-1).data)
    tags = [tag for tag, _ in page.found]
    assert tags.index("label") < tags.index("input") < tags.index("output")
    control = page.one("input")
    assert control["type"] == "range"
    assert (control["min"], control["max"], control["step"], control["value"]) == ("0", "2", "1", "2")
    assert control["aria-valuetext"] == "9 cm"
    assert control["autocomplete"] == "off"  # else a reload keeps the thumb and loses the picture
    assert "script" not in tags
    assert not any("id" in attributes for _, attributes in page.found)  # two sliders on a page must not meet


def test_texts_are_escaped():
    text = '<b>"&'
    out = slider(bar, [1, 2], label=text, alt=lambda v: f"{text}{v}", caption=text, text=lambda v: f"{text}{v}").data
    assert "<b>" not in out
    page = Elements(out)
    assert page.one("img")["alt"] == f"{text}1"
    assert json.loads(page.one("figure")["data-frames"])[1][:2] == [f"{text}2", f"{text}2"]


def test_smoke_draws_three_and_closes_what_it_drew(monkeypatch):
    monkeypatch.setenv("REPLEARN_SCALE", "smoke")
    drawn = []
    before = plt.get_fignums()
    slider(lambda v: drawn.append(v) or bar(v), range(20), label="epoch", alt="a bar")
    assert drawn == [0, 10, 19]
    assert plt.get_fignums() == before


def test_large_figure_warns():
    def noise(seed):
        figure = plt.figure(figsize=(6, 6))
        figure.figimage(np.random.default_rng(seed).random((600, 600)))
        return figure

    with pytest.warns(UserWarning, match=rf"'epoch' holds \d+ KiB, more than {LIMIT_KIB}"):
        slider(noise, range(4), label="epoch", alt="noise", quality=80)


@pytest.mark.parametrize(
    ("values", "start", "message"),
    [
        ([], 0, "values: expected at least one"),
        ([1], 1, "start: expected .* among 1 values, got 1"),
        ([1], -2, "got -2"),
    ],
)
def test_bad_input_is_named(values, start, message):
    with pytest.raises(ReplearnError, match=message):
        slider(bar, values, label="x", alt="y", start=start)


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(ReplearnError, match="draw: expected figures of one size"):
        slider(lambda v: plt.figure(figsize=(v, 1)), [1, 2], label="x", alt="y")


def test_colab_and_the_variable_choose_the_live_form(monkeypatch):
    assert not is_live()
    monkeypatch.setitem(__import__("sys").modules, "google.colab", object())
    assert is_live()
    monkeypatch.setenv("REPLEARN_LIVE", "0")
    assert not is_live()
    monkeypatch.delitem(__import__("sys").modules, "google.colab")
    monkeypatch.setenv("REPLEARN_LIVE", "1")
    assert is_live()


def test_live_form_draws_the_chosen_value_anew(monkeypatch):
    ipywidgets = pytest.importorskip("ipywidgets")
    made, drawn, shown = [], [], []

    def interact(function, *, position):
        made.append((function, position))

    monkeypatch.setattr(ipywidgets, "interact", interact)
    monkeypatch.setattr("IPython.display.display", shown.append)
    out = slider(lambda v: drawn.append(v) or bar(v), [1, 5], label="height", alt="a bar", start=1, live=True)
    (function, control) = made[0]
    assert out is None
    assert (control.description, control.value, control.label) == ("height", 1, "5")
    function(0)
    assert drawn == [1]
    assert Elements(shown[0].data).one("img")["alt"] == "a bar, height 1"


def test_image_uri_is_smaller_at_lower_quality_and_closes():
    before = plt.get_fignums()
    assert len(image_uri(bar(3), quality=20)) < len(image_uri(bar(3), quality=95))
    assert plt.get_fignums() == before
