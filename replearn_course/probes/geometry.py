"""Collapse, seen before it costs a training: how far embeddings spread, in how many dimensions, and how views agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replearn_course.data import ImageSet, Transform, ViewBatches
from replearn_course.errors import ReplearnError, check_embeddings, check_tensors
from replearn_course.probes.embed import embed

__all__ = ["CollapseMonitor", "alignment", "effective_rank", "spread", "uniformity"]


def effective_rank(z: Tensor) -> float:
    r"""How many dimensions embeddings ``(N, d)`` use: 1 when they lie on a line, d when they fill all alike.

    With the singular values :math:`\sigma` of the centred embeddings and :math:`p_i = \sigma_i / \sum_j \sigma_j`:
    :math:`\exp\left(-\sum_i p_i \log p_i\right)`; 0 for embeddings that are all equal, up to rounding in their dtype.

    Raises:
        ReplearnError: for malformed embeddings.

    Source: Roy and Vetterli 2007, "The effective rank: A measure of effective dimensionality",
    https://infoscience.epfl.ch/record/110188. Deviation: the embeddings are centred first, since a common mean tells
    nothing about an image.
    """
    check_embeddings(z=z)
    rounding = torch.finfo(z.dtype).eps * z.double().norm()
    z = z.double() - z.double().mean(dim=0)
    sigma = torch.linalg.svdvals(z)
    if sigma[0] <= rounding:  # else the directions of the rounding errors, all alike, would count as dimensions
        return 0.0
    return torch.special.entr(sigma / sigma.sum()).sum().exp().item()


def spread(z: Tensor) -> float:
    r"""How far embeddings ``(N, d)`` spread, whatever their length: 0 at collapse, near 1 at best.

    :math:`\sqrt d` times the mean over the dimensions of the standard deviation of :math:`z / \lVert z \rVert`. For directions
    uniform on the sphere it is 1.

    Raises:
        ReplearnError: for malformed embeddings.

    Source: Chen and He 2021, "Exploring Simple Siamese Representation Learning", section 4.1,
    https://arxiv.org/abs/2011.10566
    """
    check_embeddings(z=z)
    return (F.normalize(z.double(), dim=1).std(dim=0, correction=0).mean() * z.shape[1] ** 0.5).item()


def alignment(z: Tensor) -> float:
    r"""How far apart the views ``(V, N, d)`` of an image lie on the unit sphere: 0 when they coincide, 4 when opposite.

    The mean of :math:`\lVert z_a / \lVert z_a \rVert - z_b / \lVert z_b \rVert \rVert^2` over images and pairs of views.

    Raises:
        ReplearnError: for another shape, or a single view.

    Source: Wang and Isola 2020, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere", equation 3 with α = 2, https://arxiv.org/abs/2005.10242
    """
    check_tensors(z=z)
    if z.ndim != 3 or len(z) < 2:
        raise ReplearnError(f"z: expected (V, N, d) of two views or more, got {tuple(z.shape)}")
    z = F.normalize(z.double(), dim=2)
    views = len(z)
    to_mean = (z - z.mean(dim=0)).square().sum(dim=2).mean()  # the mean over pairs is 2 V / (V − 1) times this
    return (2 * views / (views - 1) * to_mean).item()


def uniformity(z: Tensor, t: float = 2.0) -> float:
    r"""How evenly embeddings ``(N, d)`` cover the unit sphere: 0 at collapse, −t × 2 and a little at best.

    :math:`\log \mathrm{mean}_{i < j}\, \exp(-t \lVert z_i - z_j \rVert^2)` of the normalised embeddings.

    Raises:
        ReplearnError: for malformed embeddings, or a single one.

    Source: Wang and Isola 2020, equation 5, https://arxiv.org/abs/2005.10242
    """
    check_embeddings(z=z)
    if len(z) < 2:
        raise ReplearnError(f"z: expected two embeddings or more, got {len(z)}")
    squared = torch.pdist(F.normalize(z.double(), dim=1)).square()
    return ((-t * squared).logsumexp(dim=0) - math.log(len(squared))).item()


class CollapseMonitor:
    """Numbers for ``fit(validation=...)``: the geometry of the representations of a few images, each epoch the same ones.

    Args:
        data: images; the first ``images`` of a random order that is always the same.
        views: a transform for each view, two or more.
        images: how many.
    """

    def __init__(self, data: ImageSet, views: Sequence[Transform], images: int = 1000) -> None:
        self.batches = ViewBatches(data, min(images, len(data)), views)

    def __call__(self, method: nn.Module) -> dict[str, float]:
        """The numbers of a method's encoder: ``spread``, ``rank``, ``alignment``, ``uniformity``.

        The first, second and fourth are of the first view, and :func:`effective_rank` and its neighbours say what they are.
        """
        encoder: Any = method.encoder
        views = next(iter(self.batches.epoch(0)))
        h = torch.stack([embed(encoder, view, len(view)) for view in views])  # (V, N, d)
        return {
            "spread": spread(h[0]),
            "rank": effective_rank(h[0]),
            "alignment": alignment(h),
            "uniformity": uniformity(h[0]),
        }
