"""One-shot recognition of classes never seen in training: D3's 500 employees, made real by leaving digits out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from replearn_course import plots
from replearn_course.data import ImageSet, PairBatches, Splits, to_float
from replearn_course.experiments.mnist_siamese import pair_distances
from replearn_course.experiments.runner import Context
from replearn_course.methods import SiameseNetwork
from replearn_course.networks import SmallCNN
from replearn_course.probes import embed, few_shot_accuracy, verification

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "left_out", "run"]


@dataclass(frozen=True)
class Settings:
    """Our choice: the document has no such experiment, only its story."""

    embedding_size: int = 64
    margin: float = 1.5
    batch_size: int = 128
    lr: float = 1e-3
    epochs: int = 5
    episodes: int = 2000


def left_out(seed: int) -> tuple[list[int], list[int]]:
    """The five digits to train on and the five that training never sees, by the seed."""
    order = torch.randperm(10, generator=torch.Generator().manual_seed(seed)).tolist()
    return sorted(order[:5]), sorted(order[5:])


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Train on five digits with one seed, and try the other five."""
    seen, unseen = left_out(context.seed)
    data = context.data
    method = SiameseNetwork(SmallCNN(settings.embedding_size), settings.margin)
    new, old = data.test.of_classes(*unseen), data.test.of_classes(*seen)
    untrained = _few_shot(embed(method.encoder.to(context.setting.device), new.images), new, 1, settings)
    history = context.fit(
        method,
        PairBatches(data.train.of_classes(*seen), settings.batch_size, seed=context.seed),
        torch.optim.Adam(method.parameters(), lr=settings.lr),
        epochs=settings.epochs,
        validation=PairBatches(data.validation.of_classes(*seen), 256, seed=0),
    )
    z, pixels = embed(method.encoder, new.images), to_float(new.images).flatten(1).cpu()
    metrics = {
        "one_shot": _few_shot(z, new, 1, settings),
        "five_shot": _few_shot(z, new, 5, settings),
        "pixels_one_shot": _few_shot(pixels, new, 1, settings),
        "pixels_five_shot": _few_shot(pixels, new, 5, settings),
        "untrained_one_shot": untrained,
        "seen_one_shot": _few_shot(embed(method.encoder, old.images), old, 1, settings),
        "unseen_auc": verification(*pair_distances(method, new, seed=2)).auc,
        "seen_auc": verification(*pair_distances(method, old, seed=2)).auc,
    }
    return {
        "metrics": metrics,
        "seen": seen,
        "unseen": unseen,
        "seconds": history.seconds,
        "tflop": history.flop / 1e12,
    }


def _few_shot(z: Tensor, data: ImageSet, shots: int, settings: Settings) -> float:
    return few_shot_accuracy(z, data.labels.cpu(), shots=shots, episodes=settings.episodes)


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """Where the unseen digits land, and how far apart pairs of them are."""
    _, unseen = left_out(context.seed)
    method = SiameseNetwork(SmallCNN(settings.embedding_size), settings.margin)
    context.restore(method)
    new = context.data.test.of_classes(*unseen)
    part = new.subset(torch.arange(min(len(new), 2500)))
    title = f"t-SNE of digits never seen in training, {new.name}"
    yield "unseen", plots.scatter(plots.to_2d(embed(method.encoder, part.images)), part.labels, title)
    distances, same = pair_distances(method, new, seed=2)
    yield (
        "distances",
        plots.histograms(
            {"one class": distances[same], "different classes": distances[~same]},
            "distance of the two embeddings",
            lines={"margin": settings.margin},
            title=f"pairs of unseen digits, {new.name}",
        ),
    )
