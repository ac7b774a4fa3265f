"""Document D3: a triplet network on MNIST by random triplets, with 2-D and 64-D embeddings, and a linear classifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from replearn_course import plots
from replearn_course.data import ImageSet, Splits, TripletBatches
from replearn_course.experiments.runner import Context
from replearn_course.files import read_csv
from replearn_course.methods import TripletNetwork
from replearn_course.networks import SmallCNN
from replearn_course.probes import embed, knn, linear_probe, report, retrieval
from replearn_course.training import plateau

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "probe", "run"]


@dataclass(frozen=True)
class Settings:
    """D3's settings; ``images`` takes only so many of the training images, ``drawn`` is that of TripletBatches."""

    embedding_size: int = 64
    margin: float = 1.5
    batch_size: int = 32
    lr: float = 1e-4
    factor: float = 0.5
    lr_patience: int = 3
    patience: int = 8
    epochs: int = 50
    images: int | None = None
    drawn: str = "each epoch"


def network(settings: Settings) -> TripletNetwork:
    """The network before training."""
    return TripletNetwork(SmallCNN(settings.embedding_size), settings.margin)


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Train and probe with one seed."""
    train = _training_images(context, settings)
    method = network(settings)
    history = context.fit(
        method,
        TripletBatches(train, settings.batch_size, seed=context.seed, drawn=settings.drawn),
        torch.optim.Adam(method.parameters(), lr=settings.lr),
        epochs=settings.epochs,
        schedule=plateau(settings.factor, settings.lr_patience),
        validation=TripletBatches(context.data.validation, 256, seed=0),
        patience=settings.patience,
    )
    outcome = probe(method.encoder, train, context.data.test)
    outcome["metrics"] |= {"stop_epoch": history.epochs, "active": history.rows[-1]["active"]}
    return {**outcome, "stopped": history.stopped, "seconds": history.seconds, "tflop": history.flop / 1e12}


def probe(encoder: torch.nn.Module, train: ImageSet, test: ImageSet) -> dict[str, Any]:
    """What the embeddings are worth: linear probe with its report, nearest neighbours, retrieval."""
    train_z, test_z = embed(encoder, train.images), embed(encoder, test.images)
    train_y, test_y = train.labels.cpu(), test.labels.cpu()
    linear = linear_probe(train_z, train_y, test_z, test_y)
    found = report(test_y, linear.predictions, test.classes)
    nearest = retrieval(test_z, test_y)
    metrics = {
        "accuracy": linear.top1,
        "top5": linear.top5,
        "knn": knn(train_z, train_y, test_z, test_y, k=5).top1,
        "recall_at_1": nearest.recall[1],
        "map_at_r": nearest.map_at_r,
    }
    for name, row in [
        *zip(test.classes, found.rows, strict=True),
        ("macro", found.macro),
        ("weighted", found.weighted),
    ]:
        metrics |= {f"precision_{name}": row.precision, f"recall_{name}": row.recall, f"f1_{name}": row.f1}
    return {"metrics": metrics, "confusion": found.confusion.tolist(), "probe_losses": linear.losses}


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """Loss curves, the active share, and the embeddings of the test set."""
    rows = read_csv(context.folder / "history.csv")
    column = lambda name: [float(row[name]) for row in rows]  # noqa: E731
    yield "loss", plots.curves({"training": column("loss"), "validation": column("val_loss")}, "triplet loss")
    yield "active", plots.curves({"training": column("active"), "validation": column("val_active")}, "active triplets")
    method = network(settings)
    context.restore(method)
    for name, part in (("train", _training_images(context, settings)), ("test", context.data.test)):
        part = part.subset(torch.arange(min(len(part), 5000)))
        z, y = embed(method.encoder, part.images), part.labels.cpu()
        title = f"{part.name}, {name}ing images" if name == "train" else f"{part.name}, test images"
        yield f"embeddings-{name}", plots.scatter(plots.to_2d(z), y, title)


def _training_images(context: Context[Splits], settings: Settings) -> ImageSet:
    train = context.data.train
    if settings.images is None or settings.images >= len(train):
        return train
    return train.split(settings.images)[1]
