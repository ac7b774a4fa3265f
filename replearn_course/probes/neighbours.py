"""The nearest neighbours of many queries, in chunks that fit in memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from replearn_course.errors import check_count
from replearn_course.losses.distances import pairwise_distances

__all__ = ["CHUNK", "nearest", "neighbours"]

CHUNK = 512  # queries at a time: against 60,000 embeddings one float32 block of distances takes 123 MB


def nearest(distances: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the ``k`` smallest distances of each row, ascending; of equal ones the lower column comes first.

    ``torch.topk`` leaves the choice among equal distances open; here it is fixed, so that results do not depend on
    the chunk or the device.

    Args:
        distances: shape ``(Q, N)``.
        k: how many, at most ``N``.

    Returns:
        The distances and the columns, both ``(Q, k)``.
    """
    values, columns = distances.topk(min(k + 1, distances.shape[1]), largest=False, sorted=True)
    if values.shape[1] > k:
        # Only where the k-th and the next are equal is there more than one choice of k columns.
        open_rows = (values[:, k - 1] == values[:, k]).nonzero()[:, 0]
        columns = columns[:, :k].contiguous()
        if len(open_rows):
            block, last = distances[open_rows], values[open_rows, k - 1 : k]
            below, equal = block < last, block == last
            chosen = below | (equal & (equal.cumsum(dim=1) <= k - below.sum(dim=1, keepdim=True)))
            columns[open_rows] = chosen.nonzero()[:, 1].view(-1, k)
    columns = columns.sort(dim=1).values
    values, order = distances.gather(1, columns).sort(dim=1, stable=True)
    return values, columns.gather(1, order)


@torch.no_grad()
def neighbours(
    query: Tensor, gallery: Tensor, k: int, *, metric: str, chunk: int, leave_one_out: bool = False
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Go through the queries in chunks, with the ``k`` nearest gallery items of each.

    Args:
        query: shape ``(Q, d)``.
        gallery: shape ``(N, d)``.
        k: how many neighbours.
        metric: a metric of ``pairwise_distances``.
        chunk: queries at a time.
        leave_one_out: query ``i`` is gallery item ``i`` and never its own neighbour.

    Yields:
        The slice of the queries, their neighbours' distances ``(chunk, k)`` and gallery rows ``(chunk, k)``.
    """
    check_count(chunk=chunk)
    for start in range(0, len(query), chunk):
        part = slice(start, min(start + chunk, len(query)))
        distances = pairwise_distances(query[part], gallery, metric=metric)
        if leave_one_out:
            rows = torch.arange(part.stop - start, device=distances.device)
            distances[rows, rows + start] = torch.inf
        yield part, *nearest(distances, k)
