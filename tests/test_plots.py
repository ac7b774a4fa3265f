"""Figures hold what they were given, and travel with escaped words."""

import base64
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from replearn_course import plots


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_show_escapes_words_and_closes():
    figure = plots.curves({"loss": [1.0, 0.5]})
    markup = plots.show(figure, 'a "curve" <that> falls', "x < y & <b>z</b>").data
    assert 'alt="a &quot;curve&quot; &lt;that&gt; falls"' in markup
    assert "<figcaption>x &lt; y &amp; &lt;b&gt;z&lt;/b&gt;</figcaption>" in markup
    assert 'src="data:image/' in markup
    assert not plt.fignum_exists(figure.number)


def test_show_draws_two_pixels_for_each_that_the_page_gives():
    markup = plots.show(plots.subplots(size=(6, 3))[0], "a", "c").data
    assert 'width="600" height="300"' in markup
    assert "replearn-wide" not in markup
    with Image.open(io.BytesIO(base64.b64decode(markup.partition("base64,")[2].partition('"')[0]))) as picture:
        assert picture.size == (1200, 600)
    assert "replearn-wide" in plots.show(plots.subplots(1, 3, size=(9, 3))[0], "a", "c").data


def test_curves_count_from_one_and_differ_in_more_than_colour():
    axes = plots.curves({"training": [3, 2, 1], "validation": [3, 2.5]}, "loss", "epoch", log=True).axes[0]
    first, second = axes.lines
    assert list(first.get_xdata()) == [1, 2, 3]
    assert list(second.get_ydata()) == [3, 2.5]
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("epoch", "loss", "log")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["training", "validation"]
    assert plots.curves({"alone": [1, 2]}).axes[0].get_legend() is None


def test_scatter_writes_each_class_at_its_median():
    z = torch.tensor([[0.0, 0], [2, 2], [1, 9], [5, 5], [5, 7]])
    y = torch.tensor([3, 3, 3, 8, 8])
    axes = plots.scatter(z, y, "title", limits=(-1, 10)).axes[0]
    assert axes.collections[0].get_offsets().tolist() == z.tolist()
    assert axes.collections[0].get_array().tolist() == y.tolist()
    assert {text.get_text(): text.get_position() for text in axes.texts} == {"3": (1, 2), "8": (5, 5)}
    assert axes.get_xlim() == axes.get_ylim() == (-1, 10)
    assert axes.get_title() == "title"
    named = plots.scatter(z, torch.tensor([0, 0, 0, 1, 1]), classes=["cat", "dog"]).axes[0]
    assert [text.get_text() for text in named.texts] == ["cat", "dog"]


def test_drawing_on_given_axes_makes_no_figure():
    figure, (left, right) = plots.subplots(1, 2)
    assert plots.scatter(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), axes=left) is figure
    assert plots.histograms({"a": torch.rand(50)}, "x", axes=right) is figure
    assert plt.get_fignums() == [figure.number]


def test_two_dimensions_are_left_alone_and_more_are_brought_to_two():
    z = torch.randn(20, 2)
    assert plots.to_2d(z) is z
    groups = torch.cat([torch.randn(15, 5), torch.randn(15, 5) + 20])
    flat = plots.to_2d(groups)
    assert flat.shape == (30, 2)
    assert torch.equal(flat, plots.to_2d(groups))
    a, b = flat[:15], flat[15:]
    assert torch.cdist(a, b).min() > torch.pdist(a).median()


def test_image_grid():
    images = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    figure = plots.image_grid(images, [f"no {i}" for i in range(5)], columns=3)
    assert len(figure.axes) == 6
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    assert [np.asarray(picture.get_array()).tolist() for picture in shown] == images[:, 0].tolist()
    assert {picture.get_clim() for picture in shown} == {(0, 255)}  # the same grey is the same number in every picture
    assert [axes.get_title() for axes in figure.axes] == [*(f"no {i}" for i in range(5)), ""]
    colour = plots.image_grid(torch.rand(2, 3, 4, 4)).axes[0].images[0]
    assert colour.get_array().shape == (4, 4, 3)
    assert plots.image_grid(torch.rand(1, 1, 4, 4)).axes[0].images[0].get_clim() == (0, 1)


def test_confusion_says_which_axis_is_the_truth():
    counts = [[50, 2], [0, 7]]
    axes = plots.confusion(counts, ["a", "b"]).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert [text.get_text() for text in axes.texts] == ["50", "2", "7"]  # zeros are left out
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    plots.confusion([[0, 0], [0, 1]], ["a", "b"])


def test_histograms_are_densities_with_named_lines():
    axes = plots.histograms(
        {"one": torch.rand(500), "other": torch.rand(400) + 2}, "distance", lines={"margin": 1.5}
    ).axes[0]
    names = {text.get_text() for text in axes.get_legend().get_texts()}
    assert names == {"one", "other", "margin"}
    assert list(axes.lines[-1].get_xdata()) == [1.5, 1.5]
    assert axes.get_xlabel() == "distance"
    many = plots.histograms({str(i): torch.rand(50) for i in range(8)}, "distance").axes[0]
    assert len(many.get_legend().get_texts()) == 8


def test_roc():
    far, tar = torch.tensor([0.0, 0.01, 1.0]), torch.tensor([0.2, 0.9, 1.0])
    axes = plots.roc({"ours": (far, tar)}).axes[0]
    line = axes.lines[0]
    assert line.get_ydata().tolist() == pytest.approx([0.2, 0.9, 1.0])
    assert axes.get_xscale() == "log"
    assert line.get_label() == "ours"
