"""VICReg: views of an image agree, each dimension keeps its spread, and no two dimensions say the same."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from replearn_course.errors import ReplearnError, check_not_negative, unknown_name
from replearn_course.losses.views import check_views, off_diagonal_squares
from replearn_course.precision import at_least_float32

__all__ = ["VARIANTS", "VICRegLoss", "VICRegTerms", "Variant", "covariance_floor", "vicreg"]


class Variant(NamedTuple):
    """In what the published forms of VICReg differ."""

    invariance_over_d: bool
    """Whether the squared distance of two views is divided by d."""
    variance_halved: bool
    """Whether the variance term is the mean over the two views instead of their sum."""
    eps: float
    r"""What is added to the variance under the root."""


_EQUATIONS = Variant(invariance_over_d=False, variance_halved=False, eps=1e-4)
VARIANTS = {
    "paper": _EQUATIONS,
    "official": Variant(invariance_over_d=True, variance_halved=True, eps=1e-4),
    "d1-formula": _EQUATIONS,
    "d1-listing": Variant(invariance_over_d=True, variance_halved=False, eps=0.0),
}


class VICRegTerms(NamedTuple):
    """The loss, which carries the gradient, and its terms before their coefficients, which do not."""

    loss: Tensor
    invariance: Tensor
    """From 0 up; 0 where all views of each image coincide."""
    variance: Tensor
    """0 where each dimension has a standard deviation of at least 1; near 2 (``official``: 1) at a collapse."""
    covariance: Tensor
    """From 0 up; the sum of two branches, each bounded from below by :func:`covariance_floor`."""


def vicreg(
    z: Tensor, variant: str = "paper", invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> VICRegTerms:
    r"""VICReg loss of V views, :math:`\lambda s + \mu [v(Z) + v(Z')] + \nu [c(Z) + c(Z')]` for two.

    .. math::
        s(Z, Z') &= \frac1N \sum_i \|z_i - z'_i\|^2 \\
        v(Z) &= \frac1d \sum_j \max\left(0, 1 - \sqrt{\operatorname{Var}(z^j) + \varepsilon}\right) \\
        c(Z) &= \frac1d \sum_{j \ne k} C(Z)_{jk}^2, \quad
        C(Z) = \frac{1}{N - 1} \sum_i (z_i - \bar z)(z_i - \bar z)^\top

    with the unbiased variance (divisor :math:`N - 1`). The variants:

    * ``"paper"``: equations 1 to 6, as above, with :math:`\varepsilon = 10^{-4}`.
    * ``"official"``: the authors' code. The invariance is a mean over the d dimensions, where the equation sums, and
      the variance term is halved; with the same coefficients its invariance weighs d times less. lightly does so too.
    * ``"d1-formula"``: the formulas of document D1, which are the paper's (another name for the same settings).
    * ``"d1-listing"``: the code that D1 prints: the mean over d as in the official code, the variance summed as
      in the equation, and no :math:`\varepsilon`.

    Without :math:`\varepsilon` the root has no derivative where a dimension is constant; the gradient there is 0, a
    choice that PyTorch's ``std`` makes too. It is no way out of a collapse, and :math:`\varepsilon` gives none: at
    exactly equal embeddings the derivative of the variance itself is 0, in every variant.

    More than two views: the mean of the loss over all pairs of views. That is the mean of :math:`s` over pairs, and
    twice the mean of :math:`v` and of :math:`c` over views, so neither term grows with V.

    The covariance matrices are formed only where that is the faster way, see ``off_diagonal_squares``.

    Source: Bardes, Ponce, LeCun, VICReg, ICLR 2022, equations 1 to 6, https://arxiv.org/abs/2105.04906; its code,
    https://github.com/facebookresearch/vicreg.

    Args:
        z: embeddings of views ``(V, N, d)``.
        variant: one of :data:`VARIANTS`.
        invariance: the coefficient :math:`\lambda`, at least 0.
        variance: the coefficient :math:`\mu`, at least 0.
        covariance: the coefficient :math:`\nu`, at least 0.

    Raises:
        ReplearnError: for a wrong shape or dtype, fewer than two views or images, NaN or infinity, an unknown variant
            or a coefficient below 0.
    """
    _check(variant, invariance, variance, covariance)
    check_views(z)
    settings = VARIANTS[variant]
    with torch.autocast(z.device.type, enabled=False):
        views = at_least_float32(z).unbind()
        n, d = views[0].shape
        # The mean needs no gradient: that by the centred columns is itself centred.
        centred = [x - x.mean(dim=0).detach() for x in views]
        variances, covariances = off_diagonal_squares(centred, n - 1, across=False)
        # Below the smallest normal number the clamp passes no gradient: none at variance 0 without eps.
        std = (variances + settings.eps).clamp_min(torch.finfo(variances.dtype).tiny).sqrt()
        pairs = list(combinations(views, 2))
        s = torch.stack([mse_loss(a, b) for a, b in pairs]).mean() * (1 if settings.invariance_over_d else d)
        v = (1 - std).relu().mean() * (1 if settings.variance_halved else 2)
        c = covariances * (2 / (d * len(views)))
        loss = invariance * s + variance * v + covariance * c
    return VICRegTerms(loss, s.detach(), v.detach(), c.detach())


def covariance_floor(n: int, d: int) -> float:
    r"""The least that :math:`c(Z)` of :func:`vicreg` can be where each of the d dimensions has variance 1.

    .. math:: c(Z) \ge \max\left(0, \frac{d}{N - 1} - 1\right)

    N centred embeddings span at most :math:`r = \min(N - 1, d)` dimensions, so the covariance matrix has at most that
    many eigenvalues that are not 0. Their sum is the trace, d, so the sum of their squares is at least
    :math:`d^2 / r`, with equality where they are all equal; the diagonal accounts for d of it, and what is left,
    divided by d, is :math:`d / r - 1`. It is attained. With 256 images and 8192 dimensions it is 31.1: most of what the
    covariance term shows then is the batch size.

    Source: derived here.

    Args:
        n: images in the batch, at least 2.
        d: dimensions of the embedding, at least 1.

    Raises:
        ReplearnError: for fewer than two images or no dimension.
    """
    if n < 2:
        raise ReplearnError(f"n: expected at least 2 images, got {n}")
    if d < 1:
        raise ReplearnError(f"d: expected at least 1 dimension, got {d}")
    return max(0.0, d / (n - 1) - 1)


class VICRegLoss(nn.Module):
    """:func:`vicreg` with its coefficients held."""

    def __init__(
        self, variant: str = "paper", invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
    ) -> None:
        super().__init__()
        _check(variant, invariance, variance, covariance)
        self.variant = variant
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance

    def forward(self, z: Tensor) -> VICRegTerms:
        """Return the loss of the views ``(V, N, d)`` and its terms."""
        return vicreg(z, self.variant, self.invariance, self.variance, self.covariance)

    def extra_repr(self) -> str:
        """Return the coefficients, for ``repr``."""
        return f"{self.variant!r}, invariance={self.invariance}, variance={self.variance}, covariance={self.covariance}"


def _check(variant: str, invariance: float, variance: float, covariance: float) -> None:
    if variant not in VARIANTS:
        raise unknown_name("variant", variant, VARIANTS)
    check_not_negative(invariance=invariance, variance=variance, covariance=covariance)
