"""Which images go together: random pairs, random triplets, and batches of P classes × K images.

All are tensor operations on the labels alone: no loop over images, and the same indices for the same generator on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_labels, check_tensors

__all__ = ["pk_batches", "random_pairs", "random_triplets"]


class _ByClass:
    """The items sorted by class: class c holds ``order[start[c] : start[c] + count[c]]``."""

    def __init__(self, labels: Tensor) -> None:
        check_tensors(labels=labels)
        check_labels(labels.numel(), labels=labels)
        labels = labels.cpu()
        self.classes, self.of = labels.unique(return_inverse=True)  # (C,), (N,) class index of each item
        self.order = self.of.argsort(stable=True)
        self.count = self.of.bincount(minlength=len(self.classes))
        self.start = self.count.cumsum(0) - self.count
        self.rank = torch.empty_like(self.order)  # the place of each item within its class
        self.rank[self.order] = torch.arange(len(labels)) - self.start[self.of[self.order]]

    def positives(self, items: Tensor, generator: torch.Generator) -> Tensor:
        """Another item of the same class for each item, uniformly."""
        count = self.count[self.of[items]]
        step = 1 + _below(count - 1, generator)
        return self.order[self.start[self.of[items]] + (self.rank[items] + step) % count]

    def negatives(self, items: Tensor, generator: torch.Generator) -> Tensor:
        """An item of any other class for each item, uniformly over the items."""
        start, count = self.start[self.of[items]], self.count[self.of[items]]
        place = _below(len(self.order) - count, generator)
        return self.order[torch.where(place < start, place, place + count)]  # steps over the item's own class

    def need(self, what: str) -> None:
        """Positives need two members in each class, negatives two classes."""
        if len(self.classes) < 2:
            raise ReplearnError(f"labels: {what} need at least two classes, got {len(self.classes)}")
        if (self.count < 2).any():
            lonely = self.classes[self.count < 2].tolist()
            raise ReplearnError(
                f"labels: {what} need at least two members in each class, but class {lonely[0]} has one"
                + (f" (and {len(lonely) - 1} more such)" if len(lonely) > 1 else "")
            )


def _below(bound: Tensor, generator: torch.Generator) -> Tensor:
    """A uniform integer in [0, bound) for each entry of ``bound``."""
    drawn = torch.rand(bound.shape, generator=generator, dtype=torch.float64) * bound
    return drawn.long().minimum(bound - 1)


def random_triplets(labels: Tensor, generator: torch.Generator) -> Tensor:
    """One random triplet for each item: the item, another of its class, one of any other class.

    Args:
        labels: ``(N,)`` integers.
        generator: decides the order and the draws.

    Returns:
        ``(N, 3)`` indices anchor, positive, negative, in random order; each item is an anchor once.

    Raises:
        ReplearnError: with fewer than two classes, or a class of one member.

    Source: document D3, whose triplets are drawn once; ours are new in each epoch.
    """
    groups = _ByClass(labels)
    groups.need("triplets")
    anchors = torch.randperm(len(labels), generator=generator)
    return torch.stack([anchors, groups.positives(anchors, generator), groups.negatives(anchors, generator)], dim=1)


def random_pairs(labels: Tensor, generator: torch.Generator, same_share: float = 0.5) -> tuple[Tensor, Tensor]:
    """One random pair for each item: with another of its class, or with one of another class.

    Args:
        labels: ``(N,)`` integers.
        generator: decides the order and the draws.
        same_share: the share of pairs of one class, in [0, 1].

    Returns:
        ``(N, 2)`` indices and ``(N,)`` bool, true where the two are of one class.

    Raises:
        ReplearnError: with fewer than two classes, or a class of one member.
    """
    if not 0 <= same_share <= 1:
        raise ReplearnError(f"same_share: expected between 0 and 1, got {same_share}")
    groups = _ByClass(labels)
    groups.need("pairs")
    first = torch.randperm(len(labels), generator=generator)
    same = torch.arange(len(labels)) < round(same_share * len(labels))  # the order is random already
    second = torch.where(same, groups.positives(first, generator), groups.negatives(first, generator))
    mixed = torch.randperm(len(labels), generator=generator)
    return torch.stack([first, second], dim=1)[mixed], same[mixed]


def pk_batches(labels: Tensor, p: int, k: int, generator: torch.Generator, n_batches: int | None = None) -> Tensor:
    """Batches of P classes × K images, for mining within the batch.

    Classes are drawn without repetition within a batch; the images of a class are dealt like cards: reshuffled when fewer
    than K are left, so none returns before nearly all of its class have been seen.

    Args:
        labels: ``(N,)`` integers.
        p: classes a batch.
        k: images a class.
        generator: decides all draws.
        n_batches: how many; by default as many as ``N // (P K)``, one pass over the data on average.

    Returns:
        ``(n_batches, P K)`` indices.

    Raises:
        ReplearnError: with fewer than P classes, or a class with fewer than K images.

    Source: Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification", section 2,
    https://arxiv.org/abs/1703.07737
    """
    groups = _ByClass(labels)
    if p < 2 or k < 2:
        raise ReplearnError(f"p, k: expected at least 2 classes of at least 2 images, got p={p}, k={k}")
    if len(groups.classes) < p:
        raise ReplearnError(f"p: a batch needs {p} classes, the labels have {len(groups.classes)}")
    if (groups.count < k).any():
        worst = groups.count.argmin()
        raise ReplearnError(
            f"k: a batch needs {k} images of each class, but class {groups.classes[worst]} has {groups.count[worst]}"
        )
    if n_batches is None:
        n_batches = max(1, len(labels) // (p * k))
    chosen = torch.rand(n_batches, len(groups.classes), generator=generator).argsort(dim=1)[:, :p]  # (n, P)
    batches = torch.empty(n_batches, p, k, dtype=torch.long)
    for c in range(len(groups.classes)):
        where = chosen == c  # (n, P): the batches in which class c plays
        hands = int(where.sum())
        a_pass = int(groups.count[c]) // k
        members = groups.order[groups.start[c] : groups.start[c] + groups.count[c]]
        passes = [
            members[torch.randperm(len(members), generator=generator)][: a_pass * k].view(a_pass, k)
            for _ in range(-(-hands // a_pass))
        ]
        if hands:
            batches[where] = torch.cat(passes)[:hands]
    return batches.view(n_batches, p * k)
