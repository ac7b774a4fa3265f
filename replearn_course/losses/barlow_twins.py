"""Barlow Twins: the correlation matrix of two views is drawn to the identity."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from replearn_course.errors import check_not_negative
from replearn_course.losses.views import check_views, off_diagonal_squares
from replearn_course.precision import at_least_float32

__all__ = ["BarlowTwinsLoss", "BarlowTwinsTerms", "barlow_twins"]


class BarlowTwinsTerms(NamedTuple):
    """The loss, which carries the gradient, and its terms before their coefficient, which do not."""

    loss: Tensor
    on_diagonal: Tensor
    r""":math:`\sum_i (1 - c_{ii})^2`, from 0 to 4 d; d where views of an image have nothing in common."""
    off_diagonal: Tensor
    r""":math:`\sum_{i \ne j} c_{ij}^2`, from 0 to d (d - 1), the latter where all dimensions say the same."""


def barlow_twins(z: Tensor, off_diagonal: float = 5e-3) -> BarlowTwinsTerms:
    r"""Barlow Twins loss of V views.

    .. math::
        \sum_i (1 - c_{ii})^2 + \lambda \sum_i \sum_{j \ne i} c_{ij}^2, \quad
        c_{ij} = \frac{1}{N} \sum_b \hat z^A_{bi}\, \hat z^B_{bj}, \quad
        \hat z = \frac{z - \bar z}{\sqrt{\operatorname{Var}(z) + 10^{-5}}}

    Each dimension is centred and scaled over the batch, with the biased variance (divisor N) and the
    :math:`\varepsilon` of a batch normalisation, as in the paper's code; so :math:`c` is the correlation up to that
    :math:`\varepsilon`, and a constant dimension has correlation 0 with everything.

    Document D1 prints :math:`c_{ij}` without the centring, which the paper requires in words, and with the indices of
    :math:`z^A` swapped. Uncentred, it is the cosine of two columns: it would be near 1 for any two dimensions with
    means far from 0, whether they vary together or not.

    More than two views: the mean of the loss over all pairs of views.

    Where they cost less, :math:`(N, N)` matrices replace :math:`c`, see ``off_diagonal_squares``.

    Source: Zbontar, Jing, Misra, LeCun, Deny, Barlow Twins, ICML 2021, equations 1 and 2 and algorithm 1,
    https://arxiv.org/abs/2103.03230; its code, with :math:`\lambda = 0.0051`,
    https://github.com/facebookresearch/barlowtwins.

    Args:
        z: embeddings of views ``(V, N, d)``.
        off_diagonal: the coefficient :math:`\lambda`, at least 0.

    Raises:
        ReplearnError: for a wrong shape or dtype, fewer than two views or images, NaN or infinity, or a coefficient
            below 0.
    """
    check_not_negative(off_diagonal=off_diagonal)
    check_views(z)
    with torch.autocast(z.device.type, enabled=False):
        normalised = [batch_norm(x, None, None, training=True) for x in at_least_float32(z).unbind()]
        diagonals, squares = off_diagonal_squares(normalised, z.shape[1], across=True)
        on = (1 - diagonals).square().sum() / len(diagonals)
        off = squares / len(diagonals)
        loss = on + off_diagonal * off
    return BarlowTwinsTerms(loss, on.detach(), off.detach())


class BarlowTwinsLoss(nn.Module):
    """:func:`barlow_twins` with its coefficient held."""

    def __init__(self, off_diagonal: float = 5e-3) -> None:
        super().__init__()
        check_not_negative(off_diagonal=off_diagonal)
        self.off_diagonal = off_diagonal

    def forward(self, z: Tensor) -> BarlowTwinsTerms:
        """Return the loss of the views ``(V, N, d)`` and its terms."""
        return barlow_twins(z, self.off_diagonal)

    def extra_repr(self) -> str:
        """Return the coefficient, for ``repr``."""
        return f"off_diagonal={self.off_diagonal}"
