"""The floors that every later number stands on: pixels, their principal components, untrained encoders, k-means features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import update_bn

from replearn_course import plots
from replearn_course.data import Splits, to_float
from replearn_course.experiments.evaluation import LinearProbes
from replearn_course.experiments.runner import Context
from replearn_course.networks import KMeansFeatures, Pixels, PrincipalComponents, Representation, encoder
from replearn_course.probes import embed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "run"]


@dataclass(frozen=True)
class Settings:
    """Sizes of the representations, and what their probe may choose from.

    Attributes:
        components: of PCA.
        centroids: of k-means, and ``patches`` that they are learned from.
        untrained: names of encoders.
        weight_decays: of the probe, one of which is chosen on validation images: 16,000 dimensions need another than 256.
    """

    components: int = 256
    centroids: int = 1600
    patches: int = 200_000
    untrained: str = "n1 n2 resnet18"
    weight_decays: str = "1e-5 1e-4 1e-3 1e-2 1e-1"


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Each representation, linearly probed on the test set; with the weight decay that is best on validation images."""
    train, test, held = context.data.published, context.data.test, context.data.n_validation
    metrics: dict[str, float] = {}

    def probe(name: str, representation: Representation, batch_size: int = 512) -> None:
        metrics.update(context.once(name, lambda: probed(name, representation, batch_size)))

    def probed(name: str, representation: Representation, batch_size: int) -> dict[str, float]:
        z, y = embed(representation, train.images, batch_size), train.labels.cpu()

        test_z, decays = embed(representation, test.images, batch_size), [*map(float, settings.weight_decays.split())]
        found = LinearProbes(z, y, test_z, test.labels.cpu(), held, context.seed).ours(decays)
        return {
            name: found["top1"],
            f"{name}_dimensions": z.shape[1],
            f"{name}_weight_decay": found["weight_decay"],
        }

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
