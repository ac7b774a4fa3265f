"""What few labels are worth alone: encoders trained from scratch on 1 % and 10 % of the labels, on both datasets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from replearn_course import plots
from replearn_course.data import ImageSet, Splits, load
from replearn_course.data.tiny_imagenet import PUBLISHED_PER_CLASS
from replearn_course.experiments.evaluation import few_labels
from replearn_course.experiments.runner import Context
from replearn_course.networks import encoder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "run"]


@dataclass(frozen=True)
class Settings:
    """The rates and the protocol of :func:`~replearn_course.experiments.evaluation.few_labels`."""

    encoders: str = "n1 n2"
    lr: float = 0.1
    transfer: str = "tiny-imagenet"


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Fine-tune networks that know nothing."""
    device = context.setting.device
    metrics: dict[str, float] = {}
    other = load(settings.transfer, context.setting.scale).to(device)
    for prefix, data, per_class in (("", context.data, None), ("transfer_", other, PUBLISHED_PER_CLASS)):
        for name in settings.encoders.split():
            found = _from_scratch(context, settings, name, data.published, data.test, per_class)
            metrics |= {f"{prefix}{name}_{metric}": value for metric, value in found.items()}
    return {"metrics": metrics}


def _from_scratch(
    context: Context[Splits], settings: Settings, name: str, train: ImageSet, test: ImageSet, per_class: int | None
) -> dict[str, float]:
    torch.manual_seed(context.seed)
    network = encoder(name, train.images.shape[1]).to(context.setting.device)
    how: dict[str, Any] = {"seed": context.seed, "setting": context.setting, "say": context.say}
    return few_labels(network, train, test, per_class=per_class, lr=settings.lr, encoder_lr=settings.lr, **how)


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """Some of the images that 1 % of the labels are of."""
    few = context.data.published.fraction(0.01, context.seed)
    yield "labelled", plots.image_grid(few.images[:40], columns=10)
