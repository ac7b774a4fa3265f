"""The k-nearest-neighbour probe: what the geometry of the embeddings says without any training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_positive
from replearn_course.probes.inputs import check_split
from replearn_course.probes.neighbours import CHUNK, neighbours

__all__ = ["KNN", "knn"]


@dataclass(frozen=True)
class KNN:
    """What :func:`knn` found, with its protocol.

    Attributes:
        top1: accuracy on the test set, a fraction in [0, 1].
        predictions: the predicted labels ``(M,)``, on the CPU.
        k: neighbours that voted.
        temperature: of the weighted vote; ``None`` for the plain vote.
        metric: the distance.
    """

    top1: float
    predictions: Tensor
    k: int
    temperature: float | None
    metric: str


def knn(
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    k: int = 5,
    temperature: float | None = None,
    metric: str = "euclidean",
    chunk: int = CHUNK,
) -> KNN:
    r"""Classify each test embedding by a vote of its ``k`` nearest training embeddings.

    Class :math:`c` gets the vote :math:`v_c = \sum_{i \in N_k} w_i [y_i = c]`. The plain vote has :math:`w_i = 1`.
    With a temperature :math:`w_i \propto \exp(s_i / \tau)`, as in Wu et al. 2018, "Unsupervised Feature Learning via
    Non-Parametric Instance Discrimination", section 3.4 (https://arxiv.org/abs/1805.01978), who use the cosine
    similarity, k = 200 and a temperature of 0.07: give ``metric="cosine"``. Deviation: for the other metrics
    :math:`s_i` is minus the distance.

    Ties: of classes with equal votes the one with the nearest member wins; of training embeddings at equal distance
    the earlier one counts as nearer. A test label that training never had is counted as wrong.

    Args:
        train_z: training embeddings ``(N, d)``.
        train_y: their labels ``(N,)``, any integers.
        test_z: test embeddings ``(M, d)``.
        test_y: their labels ``(M,)``.
        k: number of neighbours, from 1 to ``N``.
        temperature: above zero for the weighted vote, ``None`` for the plain one.
        metric: a metric of :func:`~replearn_course.losses.distances.pairwise_distances`.
        chunk: test embeddings at a time; memory is proportional to ``chunk * N``.

    Raises:
        ReplearnError: for malformed embeddings or labels, or ``k``, ``temperature`` or ``chunk`` out of range.
    """
    check_split(train_z=train_z, train_y=train_y, test_z=test_z, test_y=test_y)
    if not 1 <= k <= len(train_z):
        raise ReplearnError(f"k: expected 1 to {len(train_z)}, the number of training embeddings, got {k}")
    if temperature is not None:
        check_positive(temperature=temperature)
    classes, train_index = train_y.unique(return_inverse=True)
    predictions = torch.empty_like(test_y, dtype=classes.dtype)
    for part, distances, rows in neighbours(test_z, train_z, k, metric=metric, chunk=chunk):
        voters = train_index[rows]  # (chunk, k), the nearest first
        # The softmax is exp(s / T) up to a factor common to a row, and never overflows.
        weights = torch.ones_like(distances) if temperature is None else (-distances / temperature).softmax(dim=1)
        votes = weights.new_zeros(len(voters), len(classes)).scatter_add_(1, voters, weights)
        leads = (votes == votes.amax(dim=1, keepdim=True)).gather(1, voters)
        first = leads.to(torch.uint8).argmax(dim=1, keepdim=True)
        predictions[part] = classes[voters.gather(1, first)[:, 0]]
    top1 = (predictions == test_y).double().mean().item()
    return KNN(top1=top1, predictions=predictions.cpu(), k=k, temperature=temperature, metric=metric)
