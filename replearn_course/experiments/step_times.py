"""What a step of each method takes, on one machine and in turns: times of runs on several machines cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from replearn_course import plots
from replearn_course.data import ImageSet, Splits, ViewBatches
from replearn_course.errors import check_count
from replearn_course.experiments.registry import find
from replearn_course.experiments.runner import Context
from replearn_course.experiments.self_supervised import METHODS, build, transforms
from replearn_course.experiments.self_supervised import Settings as Method
from replearn_course.files import read_json
from replearn_course.training import fit, make_optimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "run"]


@dataclass(frozen=True)
class Settings:
    """The methods are those of the comparison, with its settings.

    Attributes:
        steps: of a method before the next one has its turn.
        turns: of each method that are timed, after one that is not.
    """

    steps: int = 20
    turns: int = 7

    def __post_init__(self) -> None:
        check_count(steps=self.steps, turns=self.turns)


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Train the methods in turns, from views to the optimizer's step; of each the median time of a step in milliseconds."""
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for turn in range(1 + settings.turns):
        for name, times in seconds.items():
            taken = _seconds(context, Method(**find(name).settings), settings.steps)
            if turn:
                times.append(taken)
    return {"metrics": {name: 1000 * median(times) for name, times in seconds.items()}}


def _seconds(context: Context[Splits], method: Method, steps: int) -> float:
    """Of a step, on average over the first ``steps`` from new weights, or as many as there are images for."""
    images: ImageSet = context.data.published
    if steps * method.batch_size < len(images):
        images = images.subset(torch.arange(steps * method.batch_size))
    torch.manual_seed(context.seed)
    network = build(method, images)
    views = transforms(method, images)
    batches = ViewBatches(
        images, min(method.batch_size, len(images)), views, seed=context.seed, labels=method.method == "supervised"
    )
    optimizer = make_optimizer(method.optimizer, network, method.lr, weight_decay=method.weight_decay)
    history = fit(network, batches, optimizer, epochs=1, setting=context.setting, progress=False)
    if history.stopped == "interrupted":  # of a few seconds: there is no checkpoint to go on from
        raise KeyboardInterrupt
    return history.seconds / len(batches)


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """A bar for each method."""
    found = read_json(context.folder / "metrics.json")["metrics"]
    figure, axes = plots.subplots(size=(6.4, 3.0))
    axes.barh(list(found), list(found.values()), color=plots.COLOURS[0])
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a step")
    yield "step-times", figure
