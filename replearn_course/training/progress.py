"""Progress: a bar in a terminal, a widget in a notebook, one line an epoch where nobody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["Progress"]


class Progress:
    """A bar over all steps of a training.

    Args:
        epochs: of the whole training.
        steps: of an epoch.
        shown: whether anything is printed.
    """

    def __init__(self, epochs: int, steps: int, shown: bool) -> None:
        self.epochs, self.steps, self.epoch = epochs, steps, 0
        # A recorded notebook would keep a widget that stands still, a log file a thousand lines of bars.
        self.plain = shown and (
            bool(os.environ.get("REPLEARN_RECORDING")) or not (_in_notebook() or sys.stderr.isatty())
        )
        self.bar: Any = None
        if shown and not self.plain:
            from tqdm.auto import tqdm  # the widget in a notebook that has ipywidgets

            self.bar = tqdm(total=epochs * steps, unit="step", dynamic_ncols=True, leave=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def rows(self, rows: list[dict[str, float]]) -> None:
        """Epochs that were trained before this call."""
        self.epoch = len(rows)
        if self.bar is not None:
            self.bar.update(self.epoch * self.steps)

    def step(self, step: int, means: Callable[[], dict[str, float]]) -> None:
        """A step was made; the means are only asked for when the bar is drawn."""
        if self.bar is not None:
            done = self.epoch * self.steps + step
            if self.bar.update(done - self.bar.n):
                text = " ".join(f"{name} {value:.3g}" for name, value in means().items())
                self.bar.set_description(f"epoch {self.epoch + 1}/{self.epochs} {text}", refresh=False)

    def row(self, row: dict[str, float]) -> None:
        """An epoch ended."""
        self.epoch += 1
        if self.plain:
            shown = " ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in ("epoch", "lr"))
            print(f"epoch {self.epoch}/{self.epochs} {shown}", flush=True)


def _in_notebook() -> bool:
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython is not None and type(get_ipython()).__name__ in (
        "ZMQInteractiveShell",
        "Shell",
    )  # Jupyter, Colab
