"""Few-shot classification: naming an item of a class of which only a few labelled items are known."""

from __future__ import annotations

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_count, check_embeddings, check_labels
from replearn_course.losses import pairwise_distances

__all__ = ["few_shot_accuracy"]


def few_shot_accuracy(z: Tensor, labels: Tensor, *, shots: int, episodes: int, seed: int = 0) -> float:
    """The share of queries that the nearest class mean names rightly, over random episodes.

    An episode takes ``shots`` labelled items of every class and one query item of one class; the query gets the class
    whose mean embedding is nearest. With one shot this is the nearest neighbour.

    Args:
        z: embeddings ``(N, d)``.
        labels: ``(N,)``; every class that occurs takes part in each episode.
        shots: labelled items a class.
        episodes: how many.
        seed: of the draws.

    Raises:
        ReplearnError: for malformed input, no shot or no episode, or a class with too few items for ``shots`` and a query.

    Source: the protocol of Lake et al. 2015 and Koch et al. 2015 (N-way one-shot), with class means for several shots
    after Snell et al. 2017, https://arxiv.org/abs/1703.05175
    """
    check_embeddings(z=z)
    check_labels(len(z), labels=labels)
    check_count(shots=shots, episodes=episodes)
    classes, labels = labels.cpu().unique(return_inverse=True)
    members = [(labels == c).nonzero()[:, 0] for c in range(len(classes))]
    if (fewest := min(map(len, members))) <= shots:
        raise ReplearnError(f"shots: expected fewer than the {fewest} items of the smallest class, got {shots}")
    generator = torch.Generator().manual_seed(seed)
    right = 0
    for episode in range(episodes):
        drawn = [m[torch.randperm(len(m), generator=generator)[: shots + 1]] for m in members]
        truth = episode % len(classes)
        means = torch.stack([z[items[:shots]].mean(dim=0) for items in drawn])  # (classes, d)
        query = z[drawn[truth][shots]][None]  # (1, d)
        right += int(pairwise_distances(query, means).argmin()) == truth
    return right / episodes
