"""The floors that every later number stands on: pixels, their principal components, untrained encoders, k-means features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import update_bn

from replearn_course import plots
from replearn_course.data import Splits, to_float
from replearn_course.experiments.runner import Context
from replearn_course.networks import KMeansFeatures, Pixels, PrincipalComponents, Representation, encoder
from replearn_course.probes import embed, linear_probe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "run"]


@dataclass(frozen=True)
class Settings:
    """``components`` of PCA; ``centroids`` and ``patches`` of k-means; ``untrained`` names encoders."""

    components: int = 256
    centroids: int = 1600
    patches: int = 200_000
    untrained: str = "n1 n2 resnet18"


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Each representation, linearly probed on the test set."""
    train, test = context.data.published, context.data.test
    metrics: dict[str, float] = {}

    def probe(name: str, representation: Representation, batch_size: int = 512) -> None:
        train_z, test_z = (embed(representation, images.images, batch_size) for images in (train, test))
        found = linear_probe(train_z, train.labels.cpu(), test_z, test.labels.cpu())
        metrics.update({name: found.top1, f"{name}_dimensions": train_z.shape[1]})

    pixels = Pixels(train.images[0].numel())
    components = min(settings.components, pixels.embedding_size)
    probe("pixels", pixels)
    probe("pca", PrincipalComponents.fit(pixels, embed(pixels, train.images), components))
    for name in settings.untrained.split():
        torch.manual_seed(context.seed)
        network = encoder(name, train.images.shape[1]).to(context.setting.device)
        # In 10 batches, each weighing the same; the running mean of training would keep a third of its first values.
        update_bn(map(to_float, train.images[:2560].split(256)), network)
        probe(f"untrained_{name}", network)
    kmeans = KMeansFeatures.fit(
        to_float(train.images), settings.centroids, patches=settings.patches, seed=context.seed
    ).to(context.setting.device)
    probe("kmeans", kmeans, batch_size=50)
    return {"metrics": metrics}


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """The centroids of k-means, as patches."""
    train = context.data.published
    kmeans = KMeansFeatures.fit(to_float(train.images[:5000]), 64, patches=20_000, seed=context.seed)
    p = kmeans.patch
    patches = kmeans.centroids.view(64, -1, p, p)
    low, high = patches.amin((1, 2, 3), keepdim=True), patches.amax((1, 2, 3), keepdim=True)
    yield "centroids", plots.image_grid((patches - low) / (high - low), columns=16)
