"""What few labels are worth alone: an encoder trained from scratch on 1 % and 10 % of the labels, on both datasets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from replearn_course import plots
from replearn_course.data import Splits
from replearn_course.data.tiny_imagenet import PUBLISHED_PER_CLASS
from replearn_course.experiments.evaluation import few_labels
from replearn_course.experiments.runner import Context
from replearn_course.experiments.self_supervised import another
from replearn_course.networks import encoder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "run"]


@dataclass(frozen=True)
class Settings:
    """The protocol is that of :func:`~replearn_course.experiments.evaluation.few_labels`, with one rate for all weights.

    Attributes:
        lr1: the rate on 1 % of the labels: a few steps from nothing, which have to go far.
        lr10: on 10 %.
        transfer: the other dataset, its images brought to a side of ``transfer_size``; 0 for their own.
    """

    encoder: str = "n1"
    lr1: float = 0.3
    lr10: float = 0.1
    transfer: str = "tiny-imagenet"
    transfer_size: int = 0


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Fine-tune a network that knows nothing."""
    other = another(context, settings.transfer, settings.transfer_size)
    metrics = context.once("partial", lambda: _from_scratch(context, settings, context.data, None))
    there = context.once("transfer", lambda: _from_scratch(context, settings, other, PUBLISHED_PER_CLASS))
    metrics |= {f"transfer_{name}": value for name, value in there.items()}
    return {"metrics": metrics, "other_data": [other.name]}


def _from_scratch(
    context: Context[Splits], settings: Settings, data: Splits, per_class: int | None
) -> dict[str, float]:
    torch.manual_seed(context.seed)
    network = encoder(settings.encoder, data.published.images.shape[1]).to(context.setting.device)
    how: dict[str, Any] = {"seed": context.seed, "setting": context.setting, "say": context.say, "per_class": per_class}
    found: dict[str, float] = {}
    for share, lr in (("1", settings.lr1), ("10", settings.lr10)):
        found |= few_labels(network, data.published, data.test, shares=[share], lr=lr, encoder_lr=lr, **how)
    return found


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """Some of the images that 1 % of the labels are of."""
    few = context.data.published.fraction(0.01, context.seed)
    yield "labelled", plots.image_grid(few.images[:40], columns=10)
