"""What every encoder of images is asked, the same way: linear probes, neighbours, fine-tuning on few labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from replearn_course.data import ImageSet
from replearn_course.errors import ReplearnError
from replearn_course.networks import Representation
from replearn_course.probes import LinearProbe, effective_rank, embed, fine_tune, knn, linear_probe, spread
from replearn_course.scale import Setting

__all__ = ["SHARES", "LinearProbes", "decays_of", "evaluate", "few_labels", "labelled"]

SHARES = {"1": 0.01, "10": 0.1}
SGD_RATES = (0.01, 0.1, 1.0, 10.0, 100.0)


def decays_of(text: str) -> list[float]:
    """The weight decays that a setting lists, such as ``"1e-5 1e-3"``.

    Raises:
        ReplearnError: for none, or something else than finite numbers from 0 up.
    """
    try:
        decays = [*map(float, text.split())]
    except ValueError:
        decays = []
    if not decays or not all(0 <= decay < float("inf") for decay in decays):
        raise ReplearnError(f"weight_decays: expected finite numbers from 0 up such as '1e-5 1e-3', got {text!r}")
    return decays


@dataclass(frozen=True)
class LinearProbes:
    """Linear probes of frozen embeddings; what a protocol leaves open is chosen on a tenth of the training ones.

    Attributes:
        z: training embeddings ``(N, d)`` with labels ``y``.
        test_z: test embeddings ``(M, d)`` with labels ``test_y``.
        seed: of the order whose first tenth is held out to choose by, and of document D1's probe.
        device: where probes are trained; ``None`` for where the embeddings are.
    """

    z: Tensor
    y: Tensor
    test_z: Tensor
    test_y: Tensor
    seed: int
    device: torch.device | None = None

    def ours(self, weight_decays: Sequence[float] = (1e-5,)) -> dict[str, float]:
        """L-BFGS on standardised embeddings, with the best of the weight decays."""
        decay, found = self._best(weight_decays, lambda value: {"weight_decay": value})
        return {"top1": found.top1, "top5": found.top5, "weight_decay": decay}

    def as_d1(self) -> dict[str, float]:
        """Document D1's: SGD, 20 epochs, batch 256, embeddings as they are; it states no learning rate."""
        rule: dict[str, Any] = {"optimizer": "sgd", "standardise": False, "weight_decay": 0.0, "seed": self.seed}
        lr, found = self._best(SGD_RATES, lambda value: rule | {"lr": value})
        return {"d1_top1": found.top1, "d1_top5": found.top5, "d1_lr": lr}

    def _best(self, values: Sequence[float], rule: Callable[[float], dict[str, Any]]) -> tuple[float, LinearProbe]:
        """The value whose probe is best on the held-out embeddings, and its probe of all on the test set.

        Of values that are equally good it is the first; one at which the loss is not finite counts as never right. A single
        value is taken without a trial.
        """
        z, y = self.z, self.y
        order = torch.randperm(len(z), generator=torch.Generator().manual_seed(self.seed))
        tenth = max(1, len(z) // 10)
        kept, held = order[tenth:], order[:tenth]

        def accuracy(value: float) -> float:
            try:
                return linear_probe(z[kept], y[kept], z[held], y[held], **rule(value), device=self.device).top1
            except ReplearnError:  # the loss is not finite
                return 0.0

        best = values[0] if len(values) == 1 else max(values, key=accuracy)
        return best, linear_probe(z, y, self.test_z, self.test_y, **rule(best), device=self.device)


def labelled(train: ImageSet, share: str, seed: int, per_class: int | None = None) -> ImageSet:
    """The images of a share of the labels, chosen by class; ``share`` and ``per_class`` are those of :func:`few_labels`.

    Raises:
        ReplearnError: when it leaves a class without images, or a class of ``train`` has fewer.
    """
    part = SHARES[share]
    return train.per_class(round(part * per_class), seed) if per_class else train.fraction(part, seed)


def few_labels(
    encoder: Representation,
    train: ImageSet,
    test: ImageSet,
    *,
    per_class: int | None = None,
    lr: float,
    encoder_lr: float,
    seed: int,
    setting: Setting,
    shares: Iterable[str] = tuple(SHARES),
    say: Callable[[str], object] = print,
) -> dict[str, float]:
    """Fine-tuned on 1 % and 10 % of the labels, chosen by class and seed, for 20 epochs at batch 256.

    Args:
        encoder: pre-trained, or new for the control; left as it was.
        train: the labelled images to choose from.
        test: tested once for each share.
        per_class: how many images of a class were published, where ``train`` holds fewer of them.
        lr: of the classifier.
        encoder_lr: of the encoder.
        seed: of the choice of labels and of fine-tuning.
        setting: device, precision, threads.
        shares: names of those in ``SHARES``.
        say: told of a share that is left out, since it leaves a class without images or training diverged.
    """
    metrics: dict[str, float] = {}
    for name in shares:
        try:
            few = labelled(train, name, seed, per_class)
            found = fine_tune(encoder, few, test, lr=lr, encoder_lr=encoder_lr, seed=seed, setting=setting)
        except ReplearnError as error:  # a class without images, or a loss that is no longer finite
            say(f"left out: fine-tuning on {name} % of the labels; {error}")
            continue
        metrics |= {f"partial{name}_{what}": getattr(found, what) for what in ("top1", "top5", "seen")}
    return metrics


def evaluate(
    encoder: Representation, train: ImageSet, test: ImageSet, *, seed: int, weight_decays: Sequence[float] = (1e-5,)
) -> dict[str, Any]:
    """The frozen encoder: linear probes, neighbours, and the geometry of its test embeddings."""
    train_z, test_z = embed(encoder, train.images), embed(encoder, test.images)
    train_y, test_y = train.labels.cpu(), test.labels.cpu()
    probes = LinearProbes(train_z, train_y, test_z, test_y, seed, train.images.device)
    k = min(200, len(train_z))
    return {
        **probes.ours(weight_decays),
        **probes.as_d1(),
        "knn": knn(train_z, train_y, test_z, test_y, k=k, temperature=0.07, metric="cosine").top1,
        "dimensions": train_z.shape[1],
        "rank": effective_rank(test_z),
        "spread": spread(test_z),
    }
