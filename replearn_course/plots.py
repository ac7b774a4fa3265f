"""Figures: one theme for all, and the kinds of picture that the chapters share.

Every function returns a Matplotlib figure; :func:`show` puts it into a chapter with its caption and its alt text. Colours hold
for the colour-blind: viridis for classes, as document D3 likes it, and six colours of Okabe and Ito for curves.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from replearn_course.slider import image_uri

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

__all__ = ["confusion", "curves", "histograms", "image_grid", "labelled", "roc", "scatter", "show", "subplots", "to_2d"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))

WIDE = 700  # pixels beyond which a picture scrolls on a narrow screen rather than shrink until no one can read it

THEME = {
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.titlesize": "medium",
    "font.size": 11,
}


def subplots(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = (6.0, 3.6), **settings: Any
) -> tuple[Figure, Any]:
    """``matplotlib.pyplot.subplots`` in the course's theme.

    Args:
        rows: of axes.
        columns: of axes.
        size: width and height in inches.
        **settings: for ``matplotlib.pyplot.subplots``.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    from cycler import cycler

    cycle = cycler(color=COLOURS) + cycler(linestyle=STYLES)
    with mpl.rc_context({**THEME, "axes.prop_cycle": cycle}):  # type: ignore[dict-item]
        return plt.subplots(rows, columns, figsize=size, **settings)


def show(figure: Figure, alt: str, caption: str) -> HTML:
    """A figure for a chapter: picture, alt text for those who do not see it, caption that says what to see.

    Args:
        figure: closed afterwards.
        alt: what is drawn.
        caption: what to look for, with the data it was made with.
    """
    from IPython.display import HTML

    width, height = (round(inches * 100) for inches in figure.get_size_inches())
    kind = "replearn-figure replearn-wide" if width > WIDE else "replearn-figure"
    uri = image_uri(figure, quality=45, dpi=200)  # two pixels for each that the page gives, as most screens have
    return HTML(
        f'<figure class="{kind}"><img src="{uri}" alt="{html.escape(alt)}" width="{width}" height="{height}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def curves(
    values: Mapping[str, Sequence[float]], ylabel: str = "loss", xlabel: str = "epoch", log: bool = False
) -> Figure:
    """Named curves over 1, 2, 3, …, each with a colour and a dash of its own."""
    figure, axes = subplots()
    for name, column in values.items():
        axes.plot(range(1, len(column) + 1), column, label=name, marker="." if len(column) < 40 else None)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(values) > 1:
        axes.legend()
    return figure


def scatter(
    z: Tensor,
    labels: Tensor,
    title: str = "",
    *,
    limits: tuple[float, float] | None = None,
    classes: Sequence[str] | None = None,
    kind: str = "embedding",
    axes: Axes | None = None,
) -> Figure:
    """Points ``(N, 2)`` in viridis by label ``(N,)``, with the class written at the median of each.

    Args:
        z: places, in units of the embedding.
        labels: integers.
        title: above the axes.
        limits: of both axes, for pictures that shall be compared.
        classes: names by label; the labels themselves by default.
        kind: of the two dimensions, such as ``"t-SNE"``.
        axes: draw there instead of on a new figure.
    """
    import matplotlib.patheffects as effects

    figure = None
    if axes is None:
        figure, axes = subplots(size=(5.2, 4.8))
    y = labels.cpu()
    found = y.unique().tolist()
    axes.scatter(z[:, 0].cpu(), z[:, 1].cpu(), c=y, cmap="viridis", s=5, alpha=0.6, linewidths=0, rasterized=True)
    for label in found:
        x0, y0 = z[y == label].cpu().median(dim=0).values.tolist()
        name = classes[label] if classes else str(label)
        axes.text(x0, y0, name, weight="bold", ha="center", va="center", size=13).set_path_effects(
            [effects.withStroke(linewidth=3, foreground="white")]
        )
    axes.set(title=title, xlabel=f"{kind}, 1st dimension", ylabel=f"{kind}, 2nd dimension")
    if limits:
        axes.set(xlim=limits, ylim=limits)
    axes.set_aspect("equal", adjustable="box" if limits else "datalim")
    return figure or axes.figure  # type: ignore[return-value]


def labelled(places: Tensor, names: Sequence[str], title: str = "", size: tuple[float, float] = (9.0, 7.0)) -> Figure:
    """Points ``(N, 2)`` with their names beside them, such as words; no axes, for the directions of t-SNE mean nothing."""
    figure, axes = subplots(size=size)
    axes.scatter(*places.T, s=4, color=COLOURS[0], linewidths=0)
    for (x, y), name in zip(places.tolist(), names, strict=True):
        axes.annotate(name, (x, y), (2, 1), textcoords="offset points", size=7)
    axes.set(title=title)
    axes.set_axis_off()
    return figure


def to_2d(z: Tensor, seed: int = 0) -> Tensor:
    """Two dimensions to draw: the embeddings themselves when they have two, else t-SNE (perplexity 30, PCA start).

    Args:
        z: ``(N, d)``.
        seed: of t-SNE.
    """
    import torch

    if z.shape[1] == 2:
        return z.cpu()
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(z) - 1) / 3)
    return torch.from_numpy(TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(z.cpu().numpy()))


def image_grid(images: Tensor, titles: Sequence[str] | None = None, columns: int = 8, size: float = 0.9) -> Figure:
    """Images ``(N, 1 or 3, H, W)``, uint8 or float in [0, 1], in rows of ``columns``, each with its title."""
    import torch

    rows = -(-len(images) // columns)
    tall = size * (1.35 if titles else 1.05)
    figure, grid = subplots(rows, columns, size=(size * columns, tall * rows), squeeze=False)
    for i, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if i < len(images):
            picture = images[i].cpu().movedim(0, -1).numpy()
            axes.imshow(
                picture[..., 0] if picture.shape[-1] == 1 else picture,
                cmap="gray",
                vmin=0,
                vmax=255 if images.dtype == torch.uint8 else 1,
            )
            if titles:
                axes.set_title(titles[i], size=9)
    return figure


def confusion(counts: Any, classes: Sequence[str], title: str = "") -> Figure:
    """A confusion matrix ``(C, C)``: rows the true class, columns the predicted one, colour on a logarithmic scale."""
    import numpy as np
    import seaborn as sns
    from matplotlib.colors import LogNorm

    counts = np.asarray(counts)
    figure, axes = subplots(size=(6.0, 5.2))
    sns.heatmap(
        counts,
        annot=True,
        fmt="d",
        cmap="viridis",
        norm=LogNorm(1, max(counts.max(), 2)),
        mask=counts == 0,
        ax=axes,
        xticklabels=list(classes),
        yticklabels=list(classes),
        annot_kws={"size": 9},
        cbar_kws={"label": "test images"},
    )
    axes.grid(False)
    axes.set(title=title, xlabel="predicted class", ylabel="true class")
    axes.tick_params(axis="y", rotation=0)
    return figure


def histograms(
    values: Mapping[str, Tensor],
    xlabel: str,
    *,
    lines: Mapping[str, float] | None = None,
    title: str = "",
    axes: Axes | None = None,
) -> Figure:
    """Densities of several sets of numbers over each other, with named vertical lines."""
    import seaborn as sns

    figure = None
    if axes is None:
        figure, axes = subplots()
    for (name, column), colour in zip(values.items(), itertools.cycle(COLOURS)):
        sns.histplot(
            column.cpu().numpy(), bins=60, stat="density", element="step", color=colour, alpha=0.35, label=name, ax=axes
        )
    for (name, x), colour in zip((lines or {}).items(), itertools.cycle(("black", "grey"))):
        axes.axvline(x, color=colour, linestyle="--", label=name)
    axes.set(xlabel=xlabel, ylabel="density", title=title)
    axes.legend()
    return figure or axes.figure  # type: ignore[return-value]


def roc(curves_of: Mapping[str, tuple[Tensor, Tensor]]) -> Figure:
    """Receiver operating characteristics, ``name: (false accept rate, true accept rate)``, the first axis logarithmic."""
    figure, axes = subplots(size=(5.2, 4.2))
    for name, (far, tar) in curves_of.items():
        axes.plot(far.clamp_min(1e-5), tar, label=name)
    axes.set(xscale="log", xlim=(1e-4, 1), ylim=(0, 1.02))
    axes.set(
        xlabel="false accepts, share of pairs of different classes", ylabel="true accepts, share of pairs of one class"
    )
    axes.legend(loc="lower right")
    return figure
