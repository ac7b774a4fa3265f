"""The floors that every later number stands on: pixels, their principal components, untrained encoders, k-means features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

from replearn_course import plots
from replearn_course.data import Splits, to_float
from replearn_course.experiments.runner import Context
from replearn_course.networks import KMeansFeatures, encoder
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
    labels = train.labels.cpu(), test.labels.cpu()
    metrics: dict[str, float] = {}

    def probe(name: str, train_z: Tensor, test_z: Tensor) -> None:
        found = linear_probe(train_z, labels[0], test_z, labels[1])
        metrics.update({name: found.top1, f"{name}_dimensions": train_z.shape[1]})

    train_pixels, test_pixels = (to_float(images.images).flatten(1).cpu() for images in (train, test))
    probe("pixels", train_pixels, test_pixels)
    probe("pca", *_components(train_pixels, test_pixels, min(settings.components, train_pixels.shape[1])))
    for name in settings.untrained.split():
        torch.manual_seed(context.seed)
        network = encoder(name, train.images.shape[1]).to(context.setting.device)
        # In 10 batches, each weighing the same; the running mean of training would keep a third of its first values.
        update_bn(map(to_float, train.images[:2560].split(256)), network)
        probe(f"untrained_{name}", *(embed(network, images.images) for images in (train, test)))
    kmeans = KMeansFeatures.fit(
        to_float(train.images), settings.centroids, patches=settings.patches, seed=context.seed
    ).to(context.setting.device)
    probe("kmeans", *(embed(kmeans, images.images, batch_size=50) for images in (train, test)))
    return {"metrics": metrics}


def _components(train: Tensor, test: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The first ``k`` principal components, of the training images' covariance."""
    mean = train.mean(dim=0)
    _, vectors = torch.linalg.eigh((train - mean).T @ (train - mean))
    return (train - mean) @ vectors[:, -k:], (test - mean) @ vectors[:, -k:]


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """The centroids of k-means, as patches."""
    train = context.data.published
    kmeans = KMeansFeatures.fit(to_float(train.images[:5000]), 64, patches=20_000, seed=context.seed)
    p = kmeans.patch
    patches = kmeans.centroids.view(64, -1, p, p)
    low, high = patches.amin((1, 2, 3), keepdim=True), patches.amax((1, 2, 3), keepdim=True)
    yield "centroids", plots.image_grid((patches - low) / (high - low), columns=16)
