"""The floors that every later number stands on: pixels, their principal components, untrained encoders, k-means features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.swa_utils import update_bn

from replearn_course import plots
from replearn_course.data import Splits, to_float
from replearn_course.errors import unknown_name
from replearn_course.experiments.evaluation import LinearProbes, decays_of
from replearn_course.experiments.runner import Context
from replearn_course.networks import ENCODERS, KMeansFeatures, Pixels, PrincipalComponents, Representation, encoder
from replearn_course.probes import embed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "run"]


@dataclass(frozen=True)
class Settings:
    """Sizes of the representations, and what their probe may choose from.

    Attributes:
        components: of PCA.
        centroids: of k-means; each makes four numbers, so that ``few_centroids`` make as many as N1 gives.
        patches: that they are learned from.
        untrained: names of encoders.
        weight_decays: of the probe, one of which is chosen on a tenth of the training images: 16,000 dimensions need another
            than 256.

    Raises:
        ReplearnError: for an unknown encoder, or weight decays that are no such numbers.
    """

    components: int = 256
    centroids: int = 1600
    few_centroids: int = 64
    patches: int = 200_000
    untrained: str = "n1 n2 resnet18"
    weight_decays: str = "1e-5 1e-4 1e-3 1e-2 1e-1"

    def __post_init__(self) -> None:
        decays_of(self.weight_decays)
        for name in self.untrained.split():
            if name not in ENCODERS:
                raise unknown_name("encoder", name, ENCODERS)


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Each representation, linearly probed on the test set; with the weight decay that is best on a part of the training images."""
    train, test = context.data.published, context.data.test
    metrics: dict[str, float] = {}

    def probe(name: str, make: Callable[[], Representation], batch_size: int = 512) -> None:
        metrics.update(context.once(name, lambda: probed(name, make(), batch_size)))

    def probed(name: str, representation: Representation, batch_size: int) -> dict[str, float]:
        z, test_z = (embed(representation, part.images, batch_size) for part in (train, test))
        y, test_y, device = train.labels.cpu(), test.labels.cpu(), train.images.device
        found = LinearProbes(z, y, test_z, test_y, context.seed, device).ours(decays_of(settings.weight_decays))
        return {
            name: found["top1"],
            f"{name}_dimensions": z.shape[1],
            f"{name}_weight_decay": found["weight_decay"],
        }

    def components() -> Representation:
        z = embed(pixels, train.images)
        return PrincipalComponents.fit(pixels, z, min(settings.components, pixels.embedding_size))

    def untrained(name: str) -> Representation:
        torch.manual_seed(context.seed)
        network = encoder(name, train.images.shape[1]).to(context.setting.device)
        # In 10 batches, each weighing the same; the running mean of training would keep a third of its first values.
        update_bn(map(to_float, train.images[:2560].split(256)), network)
        return network

    def kmeans(centroids: int) -> Representation:
        some = {"patches": settings.patches, "seed": context.seed}
        return KMeansFeatures.fit(to_float(train.images), centroids, **some).to(context.setting.device)

    pixels = Pixels(train.images[0].numel())
    probe("pixels", lambda: pixels)
    probe("pca", components)
    for name in settings.untrained.split():
        probe(f"untrained_{name}", partial(untrained, name))
    probe("few_kmeans", partial(kmeans, settings.few_centroids))
    probe("kmeans", partial(kmeans, settings.centroids), batch_size=50)
    return {"metrics": metrics}


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """The centroids of k-means, as patches."""
    train = context.data.published
    kmeans = KMeansFeatures.fit(to_float(train.images[:5000]), 64, patches=20_000, seed=context.seed)
    p = kmeans.patch
    patches = kmeans.centroids.view(64, -1, p, p)
    low, high = patches.amin((1, 2, 3), keepdim=True), patches.amax((1, 2, 3), keepdim=True)
    yield "centroids", plots.image_grid((patches - low) / (high - low), columns=16)
