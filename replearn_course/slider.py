"""A figure with a slider: live with a kernel, and recorded so that it also moves on a page that has none."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from replearn_course.errors import ReplearnError
from replearn_course.scale import choose_scale

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.figure import Figure

__all__ = ["LIMIT_KIB", "image_uri", "is_live", "slider"]

LIMIT_KIB = 300
SMOKE_FRAMES = 3

# An attribute instead of a script: any number of sliders share a page, and none needs a name of its own.
_ON_INPUT = (
    "const f=this.closest('figure'),[t,a,s]=(f.frames??=JSON.parse(f.dataset.frames))[this.value],"
    "m=f.querySelector('img');m.src=s;m.alt=a;f.querySelector('output').value=t;this.setAttribute('aria-valuetext',t)"
)


def slider(
    draw: Callable[[Any], Figure],
    values: Sequence[Any],
    *,
    label: str,
    alt: str | Callable[[Any], str],
    caption: str = "",
    start: int = 0,
    text: Callable[[Any], str] = str,
    live: bool | None = None,
    quality: int = 55,
    dpi: int = 100,
) -> HTML | None:
    """Show ``draw(value)`` under a slider that runs over ``values``.

    Recorded (the default), each value is drawn once, and all pictures travel in one HTML ``<figure>`` whose slider
    works by mouse, touch and keyboard, without a kernel and without a script. About 20 values of a plain figure stay
    below 300 KiB; a larger figure warns. At scale ``smoke`` only the first, middle and last values are drawn.

    Live, an ``ipywidgets`` slider calls ``draw`` anew for each value, and ``values`` may be long.

    Args:
        draw: makes a Matplotlib figure of one value, the same size for every value; it need not close it.
        values: what the slider runs over, in order.
        label: what the slider moves, such as ``"epoch"``.
        alt: what is seen, for readers who do not see it: one text for all pictures, or a function of the value.
        caption: what to look for, shown below.
        start: the position (not the value) shown first, counted from 0; negative counts from the end.
        text: how a value is written.
        live: whether to use the kernel; by default :func:`is_live` decides.
        quality: WebP quality of the pictures, 1 to 100.
        dpi: pixels an inch.

    Returns:
        The recorded figure, which a notebook displays; nothing when live, as the widget displays itself.

    Raises:
        ReplearnError: when there is no value, ``start`` is outside, or the pictures differ in size.
    """
    values = list(values)
    if not values:
        raise ReplearnError("values: expected at least one value, got none")
    if not -len(values) <= start < len(values):
        raise ReplearnError(f"start: expected a position among {len(values)} values, got {start}")
    start %= len(values)

    def describe(value: Any) -> str:
        return alt(value) if callable(alt) else f"{alt}, {label} {text(value)}"

    def frame(value: Any) -> tuple[str, str, str]:
        return text(value), describe(value), image_uri(draw(value), quality=quality, dpi=dpi)

    if is_live() if live is None else live:
        _interact(frame, values, label=label, caption=caption, start=start, text=text)
        return None

    from IPython.display import HTML

    if choose_scale() == "smoke" and len(values) > SMOKE_FRAMES:
        shown = values[start]
        values = [values[0], values[len(values) // 2], values[-1]]
        start = next((i for i, value in enumerate(values) if value is shown), 0)
    frames = [frame(value) for value in values]
    sizes = {_size(uri) for _, _, uri in frames}
    if len(sizes) > 1:
        raise ReplearnError(f"draw: expected figures of one size, got {sorted(sizes)} pixels; set figsize and dpi")
    figure = _figure(frames, sizes.pop(), label=label, caption=caption, start=start)
    if (kib := len(figure) / 1024) > LIMIT_KIB:
        warnings.warn(
            f"the slider {label!r} holds {kib:.0f} KiB, more than {LIMIT_KIB}: use fewer values, points or dpi",
            stacklevel=2,
        )
    return HTML(figure)


def is_live() -> bool:
    """Whether sliders use the kernel: as ``REPLEARN_LIVE`` says (1 or 0), else in Colab only."""
    said = os.environ.get("REPLEARN_LIVE")
    return said == "1" if said else "google.colab" in sys.modules


def image_uri(figure: Figure, *, quality: int = 85, dpi: int = 100) -> str:
    """Draw a figure into a ``data:`` address of a WebP picture on white, and close it.

    White, so that axes and labels are read on a dark page too.

    Args:
        figure: a Matplotlib figure.
        quality: WebP quality, 1 to 100.
        dpi: pixels an inch.
    """
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="webp", dpi=dpi, facecolor="white", pil_kwargs={"quality": quality, "method": 6})
    plt.close(figure)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _size(uri: str) -> tuple[int, int]:
    """Width and height of a picture in pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return image.size


def _figure(frames: list[tuple[str, str, str]], size: tuple[int, int], *, label: str, caption: str, start: int) -> str:
    """Write a recorded slider as HTML: text, description and address of each picture wait in one attribute."""
    now, description, uri = (html.escape(part) for part in frames[start])
    below = f"<p>{html.escape(caption)}</p>" if caption else ""
    return (
        f'<figure class="replearn-slider" data-frames="{html.escape(json.dumps(frames))}">'
        f'<img src="{uri}" alt="{description}" width="{size[0]}" height="{size[1]}" style="background:white">'
        f'<figcaption><div class="replearn-control"><label><span>{html.escape(label)}</span> '
        f'<input type="range" min="0" max="{len(frames) - 1}" step="1" value="{start}" autocomplete="off" '
        f'aria-valuetext="{now}" oninput="{html.escape(_ON_INPUT)}"></label> '
        f'<output aria-live="off">{now}</output></div>{below}</figcaption></figure>'
    )


def _interact(
    frame: Callable[[Any], tuple[str, str, str]],
    values: list[Any],
    *,
    label: str,
    caption: str,
    start: int,
    text: Callable[[Any], str],
) -> None:
    """Show the same slider on a kernel."""
    import ipywidgets
    from IPython.display import HTML, display

    def show(position: int) -> None:
        _, description, uri = (html.escape(part) for part in frame(values[position]))
        below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        display(HTML(f'<figure><img src="{uri}" alt="{description}">{below}</figure>'))

    ipywidgets.interact(
        show,
        position=ipywidgets.SelectionSlider(
            options=[(text(value), i) for i, value in enumerate(values)],
            index=start,
            description=label,
            continuous_update=False,
        ),
    )
