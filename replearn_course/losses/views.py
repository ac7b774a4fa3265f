"""What the losses on several views share: the check of their input, and the products of views.

Views are one tensor ``(V, N, d)``: V views of each of N images, embedded in d dimensions. Row i of every view comes
from image i.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_tensors

__all__ = ["check_views", "off_diagonal_squares"]


def check_views(z: Tensor) -> None:
    """Check that ``z`` holds views ``(V, N, d)``: at least two, of at least two images, floating, finite.

    Raises:
        ReplearnError: saying what came and what is expected.
    """
    check_tensors(z=z)
    if z.ndim != 3:
        raise ReplearnError(f"z: expected views of shape (V, N, d), got {tuple(z.shape)}")
    n_views, n, d = z.shape
    if n_views < 2:
        raise ReplearnError(f"z: expected at least two views, got shape {tuple(z.shape)}, V = {n_views}")
    if n < 2:
        raise ReplearnError(
            f"z: expected at least two images, got shape {tuple(z.shape)}, N = {n}: "
            "a batch of one has neither a variance nor negatives"
        )
    if not d:
        raise ReplearnError(f"z: expected at least one dimension, got shape {tuple(z.shape)}")
    if not z.is_floating_point():
        raise ReplearnError(f"z: expected a floating dtype, got {z.dtype}")
    # NaN and infinity survive a sum, which is far cheaper than to ask each value; a sum may also overflow.
    if not z.detach().sum().isfinite() and not (finite := z.isfinite().all(dim=2)).all():
        view, row = (~finite).nonzero()[0].tolist()
        raise ReplearnError(f"z: expected finite values, got NaN or infinity, first in view {view}, row {row}")


def off_diagonal_squares(views: Sequence[Tensor], divisor: int, *, across: bool) -> tuple[Tensor, Tensor]:
    r"""Diagonals of the products :math:`X_v^\top X_w / m` of views, and the sum of squares of all that is off them.

    With centred columns and :math:`m = N - 1` these are covariances, with scaled ones and N correlations.

    These ``(d, d)`` products need not be formed to know that sum. With the ``(N, N)`` matrices
    :math:`K_v = X_v X_v^\top`,

    .. math::
        \|X_v^\top X_w\|_F^2 = \operatorname{tr}(X_w^\top X_v X_v^\top X_w) = \langle K_v, K_w \rangle,

    which takes :math:`N^2 d` multiplications instead of :math:`N d^2`; the squares of the diagonal are taken off again.
    The form is chosen by shape, so that forward and backward together are the faster: two products a view
    (:math:`K_v` and the gradient), in the direct form two a view with itself and three a pair of different views. So
    the change is at d = N for a view with itself, and at d = 1.6 N for one pair.

    The subtraction costs no digits that matter where dimensions are of comparable size: it is made only where N is of the
    order of d or less, and there the off-diagonal part is of the size of the diagonal
    (:func:`~replearn_course.losses.covariance_floor` says why). One dimension a thousand times as large as the others hides
    their part of the sum from float32. The direct form sets the diagonal to zero instead.

    Args:
        views: V tensors ``(N, d)``.
        divisor: m.
        across: False for each view with itself, V products; True for each pair :math:`v < w`, V (V - 1) / 2 of them.

    Returns:
        The diagonals, one row ``(d,)`` a product, and a scalar, the sum over all products.
    """
    return _OffDiagonalSquares.apply(across, divisor, *views)


class _OffDiagonalSquares(torch.autograd.Function):
    """The gradient by hand: autograd would take two products for the two factors of a square, which are one."""

    @staticmethod
    def forward(ctx: Any, across: bool, divisor: int, *views: Tensor) -> tuple[Tensor, Tensor]:
        n, d = views[0].shape
        ctx.across, ctx.divisor = across, divisor
        ctx.pairs = list(combinations(range(len(views)), 2)) if across else [(v, v) for v in range(len(views))]
        ctx.gram = _gram_is_cheaper(n, d, len(views), across)
        if ctx.gram:
            grams = [x @ x.T for x in views]
            # What each view's own matrix is multiplied with: itself, or the sum of the others.
            matrices = [torch.stack(grams).sum(dim=0) - k for k in grams] if across else grams
            diagonals = torch.stack([(views[v] * views[w]).sum(dim=0) for v, w in ctx.pairs])
            total = torch.stack([(k * m).sum() for k, m in zip(grams, matrices, strict=True)]).sum()
            total = total / (2 if across else 1) - diagonals.square().sum()
        else:
            matrices = [views[v].T @ views[w] for v, w in ctx.pairs]
            diagonals = torch.stack([m.diagonal() for m in matrices])
            for m in matrices:
                m.fill_diagonal_(0)
            total = torch.stack([m.square().sum() for m in matrices]).sum()
        ctx.save_for_backward(diagonals, *matrices, *views)
        return diagonals / divisor, total / divisor**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_diagonals: Tensor, of_total: Tensor) -> tuple[Tensor | None, ...]:
        diagonals, *saved = ctx.saved_tensors
        of_diagonals, of_total = of_diagonals / ctx.divisor, of_total / ctx.divisor**2
        n_views = len(ctx.needs_input_grad) - 2
        matrices, views = saved[:-n_views], saved[-n_views:]
        ways = 2 if ctx.across else 4  # a view with itself holds each X twice
        gradients: list[Any]
        if ctx.gram:
            gradients = [(m * (ways * of_total)) @ x for m, x in zip(matrices, views, strict=True)]
            for (v, w), row in zip(ctx.pairs, of_diagonals - 2 * of_total * diagonals, strict=True):
                gradients[v].addcmul_(views[w], row)
                gradients[w].addcmul_(views[v], row)
        else:
            gradients = [None] * n_views
            for (v, w), m, row in zip(ctx.pairs, matrices, of_diagonals, strict=True):
                m = m * (ways * of_total)
                m.diagonal().copy_(row if ctx.across else 2 * row)
                gradients[w] = _add_product(gradients[w], views[v], m)
                if ctx.across:
                    gradients[v] = _add_product(gradients[v], views[w], m.T)
        return None, None, *gradients


def _gram_is_cheaper(n: int, d: int, n_views: int, across: bool) -> bool:
    """Whether (N, N) matrices take less time, by the counts in ``off_diagonal_squares``.

    The three products of a pair are counted as 2.5: measured, since the other form takes the diagonals extra.
    """
    direct = 2.5 * n_views * (n_views - 1) / 2 if across else 2 * n_views
    return 2 * n_views * n < direct * d


def _add_product(total: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    return a @ b if total is None else total.addmm_(a, b)
