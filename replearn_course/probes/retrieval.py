"""Retrieval: whether a query finds the items of its class before the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError
from replearn_course.probes.inputs import check_split
from replearn_course.probes.neighbours import CHUNK, neighbours

__all__ = ["Retrieval", "retrieval"]


@dataclass(frozen=True)
class Retrieval:
    """What :func:`retrieval` found, with its protocol.

    Attributes:
        recall: Recall@k by k, fractions in [0, 1].
        map_at_r: mean average precision at R, in [0, 1].
        r_precision: mean share of relevant items among the R nearest, in [0, 1].
        queries: queries that were counted.
        left_out: queries without a relevant item in the gallery, which were not.
        leave_one_out: whether the queries were their own gallery.
        metric: the distance.
    """

    recall: dict[int, float]
    map_at_r: float
    r_precision: float
    queries: int
    left_out: int
    leave_one_out: bool
    metric: str


def retrieval(
    query_z: Tensor,
    query_y: Tensor,
    gallery_z: Tensor | None = None,
    gallery_y: Tensor | None = None,
    ks: Sequence[int] = (1, 5, 10),
    metric: str = "euclidean",
    chunk: int = CHUNK,
) -> Retrieval:
    r"""Rank the gallery by distance from each query and measure how early the query's class comes.

    A gallery item is relevant when it has the query's label. With :math:`R` relevant items for a query and
    :math:`r_i = 1` when the :math:`i`-th nearest is relevant:

    - Recall@k is the share of queries with a relevant item among the k nearest;
    - R-precision is :math:`\frac{1}{R} \sum_{i=1}^{R} r_i`;
    - MAP@R is the mean over queries of :math:`\frac{1}{R} \sum_{i=1}^{R} r_i P_i` with
      :math:`P_i = \frac{1}{i} \sum_{j \le i} r_j`.

    Source: Musgrave, Belongie and Lim 2020, "A Metric Learning Reality Check", section 3.2
    (https://arxiv.org/abs/2003.08505). Of items at equal distance the earlier one in the gallery comes first.

    Args:
        query_z: embeddings of the queries ``(Q, d)``.
        query_y: their labels ``(Q,)``.
        gallery_z: embeddings that are searched ``(N, d)``; ``None`` for the queries themselves, leave-one-out: an
            item never retrieves itself.
        gallery_y: their labels ``(N,)``.
        ks: the k of Recall@k.
        metric: a metric of :func:`~replearn_course.losses.distances.pairwise_distances`.
        chunk: queries at a time; memory is proportional to ``chunk * N``.

    Raises:
        ReplearnError: for malformed input, a gallery without labels or labels without a gallery, a k larger than the
            gallery, or no query with a relevant item.
    """
    if (gallery_z is None) != (gallery_y is None):
        raise ReplearnError("gallery_z, gallery_y: expected both or neither, got one of them")
    leave_one_out = gallery_z is None
    if gallery_z is None or gallery_y is None:
        gallery_z, gallery_y = query_z, query_y
    check_split(query_z=query_z, query_y=query_y, gallery_z=gallery_z, gallery_y=gallery_y)
    size = len(gallery_z) - leave_one_out
    if not ks or min(ks) < 1 or max(ks) > size:
        raise ReplearnError(f"ks: expected numbers from 1 to {size}, the size of the gallery, got {tuple(ks)}")

    classes, counts = gallery_y.unique(return_counts=True)
    place = torch.searchsorted(classes, query_y).clamp(max=len(classes) - 1)
    relevant_count = counts[place] * (classes[place] == query_y) - int(leave_one_out)  # R of each query
    kept = relevant_count > 0
    if not kept.any():
        raise ReplearnError("query_y: no query has an item of its class in the gallery")

    depth = max(*ks, int(relevant_count.max()))
    found = dict.fromkeys(ks, 0)
    precision_sum = average_precision_sum = 0.0
    ranks = torch.arange(1, depth + 1, device=query_z.device)
    for part, _, rows in neighbours(query_z, gallery_z, depth, metric=metric, chunk=chunk, leave_one_out=leave_one_out):
        keep, r = kept[part], relevant_count[part, None]
        relevant = (gallery_y[rows] == query_y[part, None])[keep]
        r = r[keep]
        for k in found:
            found[k] += int(relevant[:, :k].any(dim=1).sum())
        within = relevant & (ranks <= r)
        precision = relevant.cumsum(dim=1) / ranks.double()
        precision_sum += (within.sum(dim=1, keepdim=True) / r.double()).sum().item()
        average_precision_sum += (within * precision / r).sum().item()
    queries = int(kept.sum())
    return Retrieval(
        recall={k: hits / queries for k, hits in found.items()},
        map_at_r=average_precision_sum / queries,
        r_precision=precision_sum / queries,
        queries=queries,
        left_out=len(query_z) - queries,
        leave_one_out=leave_one_out,
        metric=metric,
    )
