"""A map of words that is searched, zoomed and moved on a page without a kernel."""

from __future__ import annotations

import html
import itertools
import math
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from replearn_course.errors import ReplearnError, check_embeddings
from replearn_course.plots import COLOURS

if TYPE_CHECKING:
    from IPython.display import HTML
    from torch import Tensor

__all__ = ["LIMIT_KIB", "word_map"]

LIMIT_KIB = 150

# The drawing is WIDTH units wide, so that whole numbers suffice at the largest zoom; its labels have FONT pixels.
WIDTH = 10_000
ASPECTS = (0.6, 0.8)  # height to width, whatever the places are
MARGIN_X, MARGIN_TOP, MARGIN_BOTTOM = 500, 650, 200
FONT = 13
RAISED = 0.4  # em between a dot and the label above it

# How wide the whole map is, in pixels, when labels appear: from a telephone to the largest zoom, by steps of a quarter.
PIXELS = [round(300 * 1.25**step) for step in range(22)]
SHOWN = 700  # what a page gives, as far as Python knows

_EVENTS = ("click", "keydown", "wheel", "pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave")


def word_map(
    words: Sequence[str],
    places: Tensor,
    *,
    neighbours: Sequence[Sequence[int]] | None = None,
    groups: Sequence[int] | None = None,
    group_names: Sequence[str] | None = None,
    alt: str,
    caption: str,
) -> HTML:
    """Draw words as a map in which a word is searched, and its neighbours are shown where they lie.

    All words are dots. Labels of one size appear where they hide no other; the more the map is enlarged, the more of
    them. A word that is searched or clicked is shown with its ``neighbours``, which are those of the space that was
    flattened: where the map tears them apart, the reader sees it. The HTML ``<figure>`` works by mouse, touch and
    keyboard without a kernel and without a script; 1500 words with 10 neighbours stay below 150 KiB, and a larger
    figure warns.

    Args:
        words: ``N`` of them, the most important first: earlier words get labels before later ones.
        places: ``(N, 2)``, drawn with the same scale on both axes.
        neighbours: for each word the positions of its nearest words, nearest first.
        groups: for each word the number of its group, 0 to 5, which gives its colour.
        group_names: names by number of group; the numbers by default.
        alt: what is seen, for readers who do not see it.
        caption: what to look for, shown below.

    Returns:
        The figure, which a notebook displays.

    Raises:
        ReplearnError: when there are no words, lengths differ, a place is not finite, or a neighbour or group is none.
    """
    from IPython.display import HTML

    _check(words, places, neighbours, groups, group_names)
    x, y, height = _fit(places)
    from_pixels = _label_pixels(words, x, y, height)
    order = sorted(range(len(words)), key=lambda i: from_pixels[i])  # stable: the first words stay first
    figure = _figure(
        [words[i] for i in order],
        [(x[i], y[i]) for i in order],
        [from_pixels[i] for i in order],
        height,
        neighbours=_renumber(neighbours, order),
        groups=[int(groups[i]) for i in order] if groups is not None else None,
        names=_names(groups, group_names),
        alt=alt,
        caption=caption,
    )
    if (kib := len(figure.encode()) / 1024) > LIMIT_KIB:
        warnings.warn(
            f"the map of {len(words)} words holds {kib:.0f} KiB, more than {LIMIT_KIB}: use fewer words or neighbours",
            stacklevel=2,
        )
    return HTML(figure)


def _check(
    words: Sequence[str],
    places: Tensor,
    neighbours: Sequence[Sequence[int]] | None,
    groups: Sequence[int] | None,
    group_names: Sequence[str] | None,
) -> None:
    """Raise ReplearnError for what :func:`word_map` cannot draw."""
    n = len(words)
    if not n:
        raise ReplearnError("words: expected at least one word, got none")
    check_embeddings(places=places)
    if tuple(places.shape) != (n, 2):
        raise ReplearnError(f"places: expected shape ({n}, 2), one place a word, got {tuple(places.shape)}")
    for name, column in (("neighbours", neighbours), ("groups", groups)):
        if column is not None and len(column) != n:
            raise ReplearnError(f"{name}: expected {n}, one a word, got {len(column)}")
    for i, row in enumerate(neighbours if neighbours is not None else ()):
        if wrong := [j for j in row if not 0 <= j < n or j == i]:
            raise ReplearnError(
                f"neighbours: expected positions of other words, 0 to {n - 1}, got {wrong[0]} for word {i}, {words[i]!r}"
            )
    if groups is None:
        if group_names is not None:
            raise ReplearnError("group_names: expected none without groups")
        return
    limit = len(COLOURS) if group_names is None else min(len(group_names), len(COLOURS))
    if wrong := [g for g in groups if not 0 <= g < limit]:
        raise ReplearnError(f"groups: expected numbers from 0 to {limit - 1}, one colour and name each, got {wrong[0]}")


def _names(groups: Sequence[int] | None, names: Sequence[str] | None) -> list[str]:
    """Names of the groups by number, up to the last that has words."""
    if groups is None:
        return []
    return [names[g] if names else str(g) for g in range(int(max(groups)) + 1)]


def _renumber(neighbours: Sequence[Sequence[int]] | None, order: list[int]) -> list[list[int]] | None:
    """Neighbours by the positions that the words have in ``order``."""
    if neighbours is None:
        return None
    position = {old: new for new, old in enumerate(order)}
    return [[position[int(j)] for j in neighbours[i]] for i in order]


def _fit(places: Tensor) -> tuple[list[int], list[int], int]:
    """Units of the drawing for the places, the second axis upwards, and the drawing's height."""
    z = places.detach().cpu().double()
    low, high = z.min(dim=0).values, z.max(dim=0).values
    span_x, span_y = (high - low).tolist()
    aspect = span_y / span_x if span_x else 1.0 if span_y else 0.0
    height = round(WIDTH * min(max(aspect, ASPECTS[0]), ASPECTS[1]))
    room_x, room_y = WIDTH - 2 * MARGIN_X, height - MARGIN_TOP - MARGIN_BOTTOM
    scale = min(room_x / span_x if span_x else room_x, room_y / span_y if span_y else room_y)
    middle = (low + high) / 2
    x = WIDTH / 2 + (z[:, 0] - middle[0]) * scale
    y = MARGIN_TOP + room_y / 2 - (z[:, 1] - middle[1]) * scale
    return x.round().int().tolist(), y.round().int().tolist(), height


def _label_width(word: str) -> float:
    """About how wide a word is written, in em, rather too much than too little."""
    return sum(1.0 if c in "mwMW@%ЖМШЩЮжмшщю" or unicodedata.east_asian_width(c) in "WF" else 0.64 for c in word)


def _label_pixels(words: Sequence[str], x: Sequence[int], y: Sequence[int], height: int) -> list[float]:
    """How many pixels wide the whole map must be for each label to hide no other; infinite where no zoom suffices.

    Labels keep their size while their places move apart. So two that are free of each other remain so, and the greedy
    choice of one step of :data:`PIXELS` holds in all later ones.
    """
    import torch

    width, line = torch.tensor([_label_width(word) for word in words]) * FONT, 1.3 * FONT
    place = torch.tensor([x, y]).float() / WIDTH
    apart = (place[:, :, None] - place[:, None, :]).abs()
    pair = torch.minimum((width[:, None] + width[None, :]) / 2 / apart[0], line / apart[1])  # (N, N) pixels
    edge = torch.minimum(place[0], 1 - place[0])
    alone = torch.maximum(width / 2 / edge, (line + RAISED * FONT) / place[1])
    from_pixels = torch.full((len(words),), torch.inf)
    hidden_until = alone.clone()  # by the labels placed so far and by the edge
    for pixels in PIXELS:
        for i in (from_pixels.isinf() & (hidden_until <= pixels)).nonzero()[:, 0].tolist():
            if hidden_until[i] <= pixels:
                from_pixels[i] = pixels
                hidden_until = torch.maximum(hidden_until, pair[i])
    return from_pixels.tolist()


def _figure(
    words: list[str],
    places: list[tuple[int, int]],
    from_pixels: list[float],
    height: int,
    *,
    neighbours: list[list[int]] | None,
    groups: list[int] | None,
    names: list[str],
    alt: str,
    caption: str,
) -> str:
    """Write the map as HTML, the words in order of appearance."""
    events = " ".join(f'on{event}="this.oninput(event)"' for event in _EVENTS)
    near = f' data-near="{_rows(neighbours)}"' if neighbours is not None else ""
    kinds = f' data-groups="{"".join(map(str, groups))}"' if groups is not None else ""
    legend = " ".join(
        f'<span data-group=""><span aria-hidden="true" style="color:{colour}">●</span> {html.escape(name)}</span>'
        for name, colour in zip(names, COLOURS, strict=False)
    )
    style = f"display:block;width:100%;font-size:{FONT * WIDTH // SHOWN}px;touch-action:pan-y;user-select:none"
    hint = f"Search a word, or click its dot{', to see its nearest words' if near else ''}."
    return (
        '<figure class="replearn-words mathjax_ignore tex2jax_ignore"'
        f'{near}{kinds} oninput="{html.escape(_handler())}" {events}>'
        '<div class="replearn-control"><label><span>word</span> '
        '<input type="search" autocomplete="off" autocapitalize="off" spellcheck="false"></label> '
        '<button type="button" value="1.5" aria-label="enlarge">+</button> '
        '<button type="button" value="0.667" aria-label="reduce">−</button> '
        '<button type="button" value="0">whole map</button></div>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(alt)}" tabindex="0" style="{style}" '
        'fill="currentColor" text-anchor="middle" onload="this.closest(\'figure\').oninput(event)">'
        f'<g stroke-width="5" stroke-linecap="round">{_dots(places, groups or [0] * len(words))}</g>'
        f'<g style="transform:translateY(-{RAISED}em)">{_labels(words, places, from_pixels)}</g>'
        '<g class="replearn-found"></g></svg>'
        f'<figcaption><output aria-live="polite">{hint} Drag to move; Ctrl and the wheel, or two fingers, to zoom.'
        "</output>"
        + (f'<p class="replearn-legend">{legend}</p>' if legend else "")
        + (f"<p>{html.escape(caption)}</p>" if caption else "")
        + "</figcaption></figure>"
    )


def _rows(neighbours: list[list[int]]) -> str:
    """Rows of positions in the shortest form that JavaScript reads, base 36."""
    import numpy as np

    return ",".join(" ".join(np.base_repr(j, 36).lower() for j in row) for row in neighbours)


def _dots(places: list[tuple[int, int]], groups: list[int]) -> str:
    """One path a group: lines without length, of which the round ends remain, of one size at every zoom."""
    paths = []
    for group, colour in zip(range(max(groups) + 1), COLOURS, strict=False):
        d = "".join(f"M{x} {y}h0" for (x, y), g in zip(places, groups, strict=True) if g == group)
        paths.append(f'<path data-dots="" vector-effect="non-scaling-stroke" stroke="{colour}" d="{d}"/>')
    return "".join(paths)


def _labels(words: list[str], places: list[tuple[int, int]], from_pixels: list[float]) -> str:
    """One group for all labels that appear together."""
    groups = []
    for pixels, members in itertools.groupby(
        zip(words, places, from_pixels, strict=True), key=lambda member: member[2]
    ):
        texts = "".join(f'<text x="{x}" y="{y}">{html.escape(word, quote=False)}</text>' for word, (x, y), _ in members)
        start = "Infinity" if math.isinf(pixels) else int(pixels)
        groups.append(f'<g data-pixels="{start}" display="{"inline" if pixels <= SHOWN else "none"}">{texts}</g>')
    return "".join(groups)


def _handler() -> str:
    """The JavaScript beside this module in one line, without comments."""
    text = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line for line in lines if line and not line.startswith("//"))
