"""Distances between embeddings, exact for near-equal points and with a finite gradient everywhere.

Two traps are stepped around here, once, for all losses:

* **Digits.** ``|x|^2 + |y|^2 - 2 x.y`` (the Gram form) is one matrix product and so the fastest, but in float32 it
  subtracts numbers of the size of ``|x|^2`` to get ``|x - y|^2``: points closer than about ``3e-4 |x|`` come out as
  noise, and a collapsing embedding is just such a set of points. Here ``x - y`` is formed first.
* **The root at zero.** The derivative of ``sqrt`` is infinite at 0, and ``0 * inf`` is NaN. At distance 0 the gradient
  here is 0, a subgradient of the norm.

Half precision (float16, bfloat16) is computed and returned in float32, under autocast too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_embeddings, check_tensors, unknown_name
from replearn_course.precision import at_least_float32

__all__ = ["METRICS", "paired_distances", "pairwise_distances"]

METRICS = ("euclidean", "squared", "cosine")


def pairwise_distances(x: Tensor, y: Tensor | None = None, metric: str = "euclidean") -> Tensor:
    r"""Distance of every row of ``x`` to every row of ``y``.

    * ``"euclidean"``: :math:`\|x - y\|`, from 0 up. Its gradient at distance 0 is 0.
    * ``"squared"``: :math:`\|x - y\|^2`, from 0 up.
    * ``"cosine"``: :math:`1 - \frac{x \cdot y}{\|x\| \|y\|}`, from 0 to 2, computed as half the squared distance of the
      normalised vectors, which is the same number with its digits kept when it is small. A zero vector has no
      direction: it is at distance 1 from everything, with gradient 0.

    Args:
        x: embeddings ``(N, d)``.
        y: embeddings ``(M, d)``; ``x`` itself if None.
        metric: one of :data:`METRICS`.

    Returns:
        ``(N, M)``, float32 if the embeddings are of half precision.

    Raises:
        ReplearnError: for a wrong shape, dtype or device, NaN or infinity, or an unknown metric.
    """
    y = x if y is None else y
    _check(metric, x=x, y=y)
    with torch.autocast(x.device.type, enabled=False):
        x, y = _prepare(x, metric), _prepare(y, metric)
        distances = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
        if metric == "euclidean":
            return distances
        if metric == "squared":
            return distances.square()
        return distances.square() / 2 + (_is_zero(x)[:, None].to(x.dtype) + _is_zero(y).to(x.dtype)) / 2


def paired_distances(x: Tensor, y: Tensor, metric: str = "euclidean") -> Tensor:
    """Distance of each row of ``x`` to the same row of ``y``; the metrics of :func:`pairwise_distances`.

    Args:
        x: embeddings ``(N, d)``.
        y: embeddings ``(N, d)``.
        metric: one of :data:`METRICS`.

    Returns:
        ``(N,)``, float32 if the embeddings are of half precision.

    Raises:
        ReplearnError: for a wrong shape, dtype or device, NaN or infinity, or an unknown metric.
    """
    _check(metric, x=x, y=y)
    if len(x) != len(y):
        raise ReplearnError(f"y: expected as many rows as x, {len(x)}, got {len(y)}")
    with torch.autocast(x.device.type, enabled=False):
        x, y = _prepare(x, metric), _prepare(y, metric)
        if metric == "euclidean":
            return torch.linalg.vector_norm(x - y, dim=1)
        squared = (x - y).square().sum(dim=1)
        if metric == "squared":
            return squared
        return squared / 2 + (_is_zero(x).to(x.dtype) + _is_zero(y).to(x.dtype)) / 2


def unit_vectors(x: Tensor) -> Tensor:
    """Each vector along the last dimension at length 1, except zero vectors, which stay zero, with gradient 0."""
    zero = _is_zero(x)[..., None]
    # The largest entry is taken out first: squares of very small or large entries would under- or overflow.
    x = x / x.detach().abs().amax(dim=-1, keepdim=True).masked_fill(zero, 1.0)
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).masked_fill(zero, torch.inf)


def check_metric(metric: str) -> None:
    """Raise ReplearnError if ``metric`` is not one of METRICS."""
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)


def _check(metric: str, *, x: Tensor, y: Tensor) -> None:
    check_metric(metric)
    check_tensors(x=x, y=y)
    if x.device != y.device:
        raise ReplearnError(f"y: expected on {x.device} as x, got {y.device}")
    check_embeddings(x=x, y=y)
    if x.shape[1] != y.shape[1]:
        raise ReplearnError(f"y: expected embeddings of {x.shape[1]} dimensions as in x, got {y.shape[1]}")
    if x.dtype != y.dtype:
        raise ReplearnError(f"y: expected dtype {x.dtype} as x, got {y.dtype}")


def _prepare(x: Tensor, metric: str) -> Tensor:
    """At least float32; for the cosine of length 1, except zero vectors, which stay zero."""
    x = at_least_float32(x)
    if metric != "cosine":
        return x
    return unit_vectors(x)


def _is_zero(x: Tensor) -> Tensor:
    return (x == 0).all(dim=-1)
