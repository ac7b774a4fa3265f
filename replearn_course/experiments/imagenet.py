"""A suspect: what an encoder with weights of ImageNet is worth on both datasets, frozen and without any further training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from replearn_course import plots
from replearn_course.data import Splits
from replearn_course.data.tiny_imagenet import PUBLISHED_PER_CLASS
from replearn_course.errors import ReplearnError
from replearn_course.experiments.evaluation import SHARES, LinearProbes, labelled
from replearn_course.experiments.runner import Context
from replearn_course.experiments.self_supervised import another
from replearn_course.networks import Representation, Resized, encoder
from replearn_course.probes import embed, linear_probe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "run"]


@dataclass(frozen=True)
class Settings:
    """The encoder and what it sees.

    Attributes:
        encoder: by name, one with weights of ImageNet.
        sizes: the sides in pixels to which all images are brought, each measured by itself.
        transfer: the other dataset.

    Raises:
        ReplearnError: for sizes that are no numbers of pixels.
    """

    encoder: str = "efficientnet-lite0-imagenet"
    sizes: str = "64 128"
    transfer: str = "tiny-imagenet"

    def __post_init__(self) -> None:
        if not self.sizes or not all(size.isdecimal() and int(size) for size in self.sizes.split()):
            raise ReplearnError(f"sizes: expected sides in pixels such as '64 128', got {self.sizes!r}")


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Linear probes with all labels, and with 1 % and 10 % of them."""
    torch.manual_seed(context.seed)
    network = encoder(settings.encoder, context.data.published.images.shape[1]).to(context.setting.device)
    other = another(context, settings.transfer, 0)
    metrics: dict[str, Any] = {}
    for size in settings.sizes.split():
        resized = Resized(network, int(size))
        for name, data, per_class in (("", context.data, None), ("transfer_", other, PUBLISHED_PER_CLASS)):
            found = context.once(f"{name}{size}", partial(_probed, context, resized, data, per_class))
            metrics |= {f"{name}{metric}_{size}": value for metric, value in found.items()}
    return {"metrics": metrics, "other_data": [other.name]}


def _probed(context: Context[Splits], network: Representation, data: Splits, per_class: int | None) -> dict[str, float]:
    train, test, device = data.published, data.test, data.published.images.device
    z, test_z = embed(network, train.images), embed(network, test.images)
    y, test_y = train.labels.cpu(), test.labels.cpu()
    probes = LinearProbes(z, y, test_z, test_y, context.seed, device)
    found = probes.ours() | probes.as_d1()
    for share in SHARES:
        try:
            few = labelled(train, share, context.seed, per_class)
        except ReplearnError as error:  # a class without images
            context.say(f"left out: {share} % of the labels; {error}")
            continue
        own = linear_probe(embed(network, few.images), few.labels.cpu(), test_z, test_y, device=device)
        found |= {f"few{share}_top1": own.top1, f"few{share}_top5": own.top5}
    return found


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """Some of the test images as the encoder sees them, at the largest of the sizes."""
    size = max(map(int, settings.sizes.split()))
    yield "seen", plots.image_grid(context.data.test.subset(torch.arange(10)).resized(size).images, columns=5)
