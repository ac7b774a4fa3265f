"""Fine-tuning: the encoder trained on, with a linear classifier, on few labels; and what goes wrong where it is not frozen."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from replearn_course.data import ImageSet, ViewBatches
from replearn_course.data.views import Compose, Transform
from replearn_course.errors import ReplearnError, check_count, check_not_negative, check_positive
from replearn_course.methods import Supervised
from replearn_course.networks import Representation
from replearn_course.probes.embed import embed
from replearn_course.scale import Setting
from replearn_course.training import fit, warmup_cosine

__all__ = ["FineTuned", "accuracies", "fine_tune"]

TRAINED = ("all", "classifier", "classifier and statistics")


@dataclass(frozen=True)
class FineTuned:
    """What :func:`fine_tune` found.

    Attributes:
        top1: accuracy on the test images, a fraction in [0, 1].
        top5: the share whose class is among the 5 largest logits.
        seen: accuracy on the images trained on: no measure of anything but memory, and what a slip would report.
        images: labelled images trained on.
        losses: the cross-entropy by epoch.
        encoder: the copy that was trained.
        classifier: the linear layer on it.
    """

    top1: float
    top5: float
    seen: float
    images: int
    losses: list[float]
    encoder: Representation
    classifier: nn.Linear


def fine_tune(
    encoder: Representation,
    train: ImageSet,
    test: ImageSet,
    *,
    trained: str = "all",
    epochs: int = 20,
    batch_size: int = 256,
    lr: float = 0.1,
    encoder_lr: float | None = None,
    views: Transform | None = None,
    seed: int = 0,
    setting: Setting | None = None,
) -> FineTuned:
    """Train a linear classifier on an encoder, and the encoder with it, and test both after the last epoch.

    SGD with momentum 0.9, the rate falling to zero by a cosine. The encoder that is given stays as it was: a copy is trained.

    Args:
        encoder: pre-trained, or new for the control from scratch.
        train: the labelled images.
        test: tested once, at the end.
        trained: ``"all"``; ``"classifier"`` alone, with the encoder in evaluation mode; or ``"classifier and statistics"``, the
            slip of a probe that freezes the weights and leaves batch norm in training mode.
        epochs: passes over ``train``; the last batch of each may be short.
        batch_size: images a step.
        lr: of the classifier.
        encoder_lr: of the encoder; by default ``lr``.
        views: changes the images at random; by default they are seen as they are.
        seed: of order, views and the classifier's first weights.
        setting: device, precision, threads.

    Raises:
        ReplearnError: for another ``trained``, no image, other classes in ``test``, or numbers that are out of range.
        KeyboardInterrupt: when it was asked to end, for then it has nothing to say.

    Source: the protocol of Zhai et al. 2019, https://arxiv.org/abs/1905.03670, that SimCLR, Barlow Twins and VICReg follow: 20
    epochs at batch 256, rates of their own for classifier and encoder.
    """
    if trained not in TRAINED:
        raise ReplearnError(f"trained: expected one of {', '.join(TRAINED)}, got {trained!r}")
    check_count(epochs=epochs, batch_size=batch_size, images=len(train))
    check_positive(lr=lr)
    if encoder_lr is not None:
        check_not_negative(encoder_lr=encoder_lr)
    if train.classes != test.classes:
        first = next((pair for pair in zip(train.classes, test.classes, strict=False) if pair[0] != pair[1]), ())
        got = f"{first[1]!r} in the place of {first[0]!r}" if first else f"{len(test.classes)}"
        raise ReplearnError(f"test: expected the {len(train.classes)} classes of train, got {got}")
    encoder = copy.deepcopy(encoder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method = Supervised(encoder if trained == "all" else _Frozen(encoder, trained), len(train.classes))
    method.to(next((p.device for p in encoder.parameters()), "cpu"))
    groups: list[dict[str, Any]] = [{"params": method.classifier.parameters(), "lr": lr}]
    if trained == "all":
        groups.append({"params": encoder.parameters(), "lr": lr if encoder_lr is None else encoder_lr})
    seen = [views or Compose(())]
    batches = ViewBatches(train, min(batch_size, len(train)), seen, seed=seed, labels=True, drop_last=False)
    history = fit(
        method,
        batches,
        torch.optim.SGD(groups, lr=lr, momentum=0.9),
        epochs=epochs,
        schedule=warmup_cosine(0.0),
        setting=setting,
        progress=False,
    )
    if history.stopped == "interrupted":  # of a few seconds: there is no checkpoint to go on from
        raise KeyboardInterrupt
    top1, top5 = accuracies(encoder, method.classifier, test)
    return FineTuned(
        top1=top1,
        top5=top5,
        seen=accuracies(encoder, method.classifier, train)[0],
        images=len(train),
        losses=history.column("loss"),
        encoder=encoder,
        classifier=method.classifier,
    )


@torch.no_grad()
def accuracies(encoder: nn.Module, classifier: nn.Linear, test: ImageSet) -> tuple[float, float]:
    """Top-1 and top-5 accuracy of an encoder with a classifier on it, fractions in [0, 1]."""
    z = embed(encoder, test.images).to(classifier.weight.device)
    ranked = classifier(z).topk(min(5, classifier.out_features), dim=1).indices.cpu()
    hits = ranked == test.labels.cpu()[:, None]
    return hits[:, 0].double().mean().item(), hits.any(dim=1).double().mean().item()


class _Frozen(Representation):
    """An encoder that is not trained; with ``"classifier and statistics"`` its batch norm does not know it."""

    def __init__(self, encoder: Representation, trained: str) -> None:
        super().__init__()
        self.encoder, self.fixed = encoder, trained == "classifier"
        self.embedding_size = encoder.embedding_size
        encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> _Frozen:
        super().train(mode)
        self.encoder.train(mode and not self.fixed)
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self.encoder(images)
