"""The improved recipe: P×K batches, mining within the batch, views, a network with batch norm, a warm-up-cosine schedule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from replearn_course import plots
from replearn_course.data import PKBatches, RandomAffine, Splits
from replearn_course.experiments.mnist_triplet import probe
from replearn_course.experiments.runner import Context
from replearn_course.files import read_csv
from replearn_course.methods import InBatchTripletNetwork
from replearn_course.networks import ConvNet
from replearn_course.probes import embed, linear_probe
from replearn_course.training import warmup_cosine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "network", "run"]


@dataclass(frozen=True)
class Settings:
    """What the search on the validation split ended with; its path is in ``benchmarks/recipe.csv``."""

    embedding_size: int = 128
    width: int = 32
    normalise: bool = False
    miner: str = "batch-all"
    reduction: str = "mean"
    margin: float = 1.0
    p: int = 10
    k: int = 10
    epochs: int = 15
    batches: int = 200
    lr: float = 4e-3
    warmup: float = 0.1
    degrees: float = 10.0
    resize: float = 0.1
    shear: float = 0.1
    shift: float = 0.07


def network(settings: Settings) -> InBatchTripletNetwork:
    """The network before training."""
    encoder = ConvNet(settings.embedding_size, width=settings.width, normalise=settings.normalise)
    return InBatchTripletNetwork(encoder, settings.miner, settings.margin, reduction=settings.reduction)


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Train and probe with one seed."""
    data = context.data
    method = network(settings)
    views = RandomAffine(settings.degrees, settings.resize, settings.shear, settings.shift)
    history = context.fit(
        method,
        PKBatches(data.train, settings.p, settings.k, seed=context.seed, views=views, n_batches=settings.batches),
        torch.optim.Adam(method.parameters(), lr=settings.lr),
        epochs=settings.epochs,
        schedule=warmup_cosine(settings.warmup),
    )
    train_z, val_z = embed(method.encoder, data.train.images), embed(method.encoder, data.validation.images)
    chosen_by = linear_probe(train_z, data.train.labels.cpu(), val_z, data.validation.labels.cpu())
    outcome = probe(method.encoder, data.train, data.test)
    tflop = history.flop / 1e12
    outcome["metrics"] |= {"val_accuracy": chosen_by.top1, "seconds": history.seconds, "tflop": tflop}
    return {**outcome, "seconds": history.seconds, "tflop": tflop}


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """Loss, active share, and the test set by t-SNE."""
    rows = read_csv(context.folder / "history.csv")
    yield "loss", plots.curves({"training": [float(row["loss"]) for row in rows]}, f"{settings.miner} loss")
    yield "active", plots.curves({"training": [float(row["active"]) for row in rows]}, "active triplets")
    method = network(settings)
    context.restore(method)
    part = context.data.test.subset(torch.arange(min(len(context.data.test), 3000)))
    title = f"t-SNE, {part.name}, test images"
    yield "tsne", plots.scatter(plots.to_2d(embed(method.encoder, part.images)), part.labels, title)
