"""Siamese networks on MNIST pairs: the contrastive loss in two forms, and a module that gives the probability of sameness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from replearn_course import plots
from replearn_course.data import ImageSet, PairBatches, Splits, random_pairs
from replearn_course.experiments.runner import Context
from replearn_course.methods import SiameseNetwork, SiameseVerifier
from replearn_course.networks import SmallCNN
from replearn_course.probes import accuracy_at, choose_threshold, embed, linear_probe, verification

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["METHODS", "Settings", "figures", "network", "pair_distances", "run"]

#: The three ways of comparing, and what a legend calls them.
METHODS = {
    "hadsell": "contrastive loss, Hadsell et al.",
    "d3": "contrastive loss, form of D3",
    "verifier": "probability of sameness",
}


@dataclass(frozen=True)
class Settings:
    """The document gives none for its Siamese network: these are those of its triplet network where they carry over."""

    embedding_size: int = 64
    margin: float = 1.5
    batch_size: int = 128
    lr: float = 1e-3
    epochs: int = 5


def network(name: str, settings: Settings) -> SiameseNetwork | SiameseVerifier:
    """One of the three before training."""
    encoder = SmallCNN(settings.embedding_size)
    return SiameseVerifier(encoder) if name == "verifier" else SiameseNetwork(encoder, settings.margin, name)


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Train the three with one seed from the same initial encoder, and verify."""
    metrics: dict[str, float] = {}
    seconds, flop = 0.0, 0.0
    data = context.data
    for name in METHODS:
        torch.manual_seed(context.seed)
        method = network(name, settings)
        history = context.fit(
            method,
            PairBatches(data.train, settings.batch_size, seed=context.seed),
            torch.optim.Adam(method.parameters(), lr=settings.lr),
            name=name,
            epochs=settings.epochs,
            validation=PairBatches(data.validation, 256, seed=0),
        )
        seconds, flop = seconds + history.seconds, flop + history.flop
        threshold = choose_threshold(*pair_distances(method, data.validation, seed=1))
        distances, same = pair_distances(method, data.test, seed=2)
        found = verification(distances, same)
        train_z, test_z = embed(method.encoder, data.train.images), embed(method.encoder, data.test.images)
        linear = linear_probe(train_z, data.train.labels.cpu(), test_z, data.test.labels.cpu())
        metrics |= {
            f"{name}_auc": found.auc,
            f"{name}_eer": found.eer,
            f"{name}_pair_accuracy": accuracy_at(distances, same, threshold),
            f"{name}_accuracy": linear.top1,
        }
    return {"metrics": metrics, "seconds": seconds, "tflop": flop / 1e12}


def pair_distances(method: SiameseNetwork | SiameseVerifier, data: ImageSet, seed: int) -> tuple[Tensor, Tensor]:
    """One random pair for each image: how far apart the two are ``(N,)``, and whether they are of one class ``(N,)``."""
    pairs, same = random_pairs(data.labels, torch.Generator().manual_seed(seed))
    z = embed(method.encoder, data.images)
    device = next(method.parameters()).device
    with torch.no_grad():
        distances = method.distances(z[pairs[:, 0]].to(device), z[pairs[:, 1]].to(device))
    return distances.cpu(), same


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """Distance histograms and receiver operating characteristics on the test set."""
    found = {}
    for name, title in METHODS.items():
        method = network(name, settings)
        context.restore(method, name)
        distances, same = pair_distances(method, context.data.test, seed=2)
        found[title] = verification(distances, same)
        if name != "verifier":
            yield (
                f"distances-{name}",
                plots.histograms(
                    {"one class": distances[same], "different classes": distances[~same]},
                    "distance of the two embeddings",
                    lines={"margin": settings.margin},
                    title=f"{title}, {context.data.name}, test pairs",
                ),
            )
    yield "roc", plots.roc({title: (v.far, v.tar) for title, v in found.items()})
