"""Whitening MSE: whitened embeddings cannot collapse, so it is enough that views of an image agree."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from replearn_course.errors import ReplearnError, check_count, check_embeddings
from replearn_course.losses.distances import unit_vectors
from replearn_course.losses.views import check_views
from replearn_course.precision import at_least_float32, in_float64

__all__ = ["WMSELoss", "WMSETerms", "w_mse", "whiten"]


class WMSETerms(NamedTuple):
    """The loss, which carries the gradient, and what says how far to trust it, which does not."""

    loss: Tensor
    """Mean squared distance of whitened, normalised views of an image, from 0 to 4."""
    condition: Tensor
    r"""Condition number of the worst covariance matrix, :math:`\|\Sigma\|_1 \|\Sigma^{-1}\|_1`, from 1 up.

    The whitening stretches some directions by its root more than others, and rounding errors with them: the seven
    digits of embeddings in float32 are used up at :math:`10^{14}`.
    """


def whiten(x: Tensor) -> Tensor:
    r"""Whiten embeddings: their mean becomes 0 and their covariance, with divisor N - 1, the identity.

    .. math:: z = W (x - \bar x), \quad W = L^{-1}, \quad \Sigma = L L^\top

    L is the Cholesky factor, lower triangular. Then :math:`W \Sigma W^\top = I`, and
    :math:`W^\top W = \Sigma^{-1}`. (Document D1 prints :math:`W W^\top = \Sigma^{-1}`, which whitens only where
    :math:`W W^\top = W^\top W`, as for a symmetric W.) Any rotation of z would be as white; this one
    makes the first dimension of z the first of x, scaled, and takes from each later one what the earlier ones tell of it.

    Computed in float64; the gradient passes through the covariance.

    Args:
        x: embeddings ``(N, d)``, N greater than d.

    Returns:
        ``(N, d)`` in the dtype of ``x``, float32 if that is of half precision.

    Raises:
        ReplearnError: for a wrong shape or dtype, NaN or infinity, N not greater than d, or a covariance that is
            singular up to rounding.
    """
    check_embeddings(x=x)
    _check_rank("x", len(x), x.shape[1], group="batch")
    with torch.autocast(x.device.type, enabled=False):
        return _whiten(in_float64(x))[0].to(x.device, at_least_float32(x).dtype)


def w_mse(
    z: Tensor,
    sub_batch: int | None = None,
    iterations: int = 1,
    together: bool = False,
    generator: torch.Generator | None = None,
) -> WMSETerms:
    r"""Whitening MSE loss of V views: their mean squared distance once they are whitened and normalised.

    It is the mean over images and pairs of views of

    .. math:: \left\| \frac{w_i}{\|w_i\|} - \frac{w'_i}{\|w'_i\|} \right\|^2

    with whitened embeddings :math:`w` (:func:`whiten`). Constant or correlated dimensions do not survive the whitening,
    so nothing else is needed against a collapse.

    The images are put into sub-batches at random, the same for all views, each sub-batch of each view is whitened by
    its own mean and covariance, and the loss is averaged over ``iterations`` such partitions. So do the authors' code
    and their section on batch slicing. With ``together`` the views of a sub-batch share one mean and covariance, as in
    their first equations and in document D1; then V times as many embeddings serve to estimate it.

    The covariance of ``n`` embeddings has rank n - 1 at most: ``n`` must exceed d, and the authors take twice d.
    Document D1 says that the decomposition always exists; with its 1024 dimensions and two views of 256 images it never
    does. Computed in float64, in which near-singular matrices keep their digits.

    Source: Ermolov, Siarohin, Sangineto, Sebe, Whitening for Self-Supervised Representation Learning, ICML 2021,
    section 3, https://arxiv.org/abs/2007.06346; its code, https://github.com/htdt/self-supervised. A zero vector (an
    embedding exactly at the mean) has no direction and stays zero here.

    Args:
        z: embeddings of views ``(V, N, d)``.
        sub_batch: images in a sub-batch, a divisor of N; all N if None.
        iterations: how often the images are partitioned anew; more than once only makes sense with a sub-batch.
        together: whether the views of a sub-batch are whitened together instead of one by one.
        generator: a generator on the CPU for the partition; the global one if None.

    Raises:
        ReplearnError: for a wrong shape or dtype, fewer than two views or images, NaN or infinity, a sub-batch that
            does not divide N or has no more embeddings than dimensions, or a covariance singular up to rounding.
    """
    _check_partition(sub_batch, iterations)
    check_views(z)
    n_views, n, d = z.shape
    size = n if sub_batch is None else sub_batch
    if n % size:
        raise ReplearnError(f"sub_batch: expected a divisor of the batch, {n}, got {size}")
    _check_rank("z", n_views * size if together else size, d, group=f"sub-batch of {size} images")
    with torch.autocast(z.device.type, enabled=False):
        wide = in_float64(z)
        losses, conditions = [], []
        for _ in range(iterations):
            order = torch.randperm(n, generator=generator).to(wide.device)
            parts = wide[:, order].unflatten(1, (-1, size)).transpose(0, 1)  # (N / size, V, size, d)
            white, condition = _whiten(parts.flatten(1, 2) if together else parts)
            u = unit_vectors(white.view(parts.shape))
            # Over all pairs, the mean squared distance is twice the unbiased variance.
            losses.append(2 * (u - u.mean(dim=1, keepdim=True)).square().sum() / (n * (n_views - 1)))
            conditions.append(condition)
        terms = torch.stack(losses).mean(), torch.stack(conditions).max()
        return WMSETerms(*(x.to(z.device, at_least_float32(z).dtype) for x in terms))


class WMSELoss(nn.Module):
    """:func:`w_mse` with its settings held."""

    def __init__(self, sub_batch: int | None = None, iterations: int = 1, together: bool = False) -> None:
        super().__init__()
        _check_partition(sub_batch, iterations)
        self.sub_batch = sub_batch
        self.iterations = iterations
        self.together = together

    def forward(self, z: Tensor, generator: torch.Generator | None = None) -> WMSETerms:
        """Return the loss of the views ``(V, N, d)`` and the condition number."""
        return w_mse(z, self.sub_batch, self.iterations, self.together, generator)

    def extra_repr(self) -> str:
        """Return the settings, for ``repr``."""
        return f"sub_batch={self.sub_batch}, iterations={self.iterations}, together={self.together}"


def _whiten(x: Tensor) -> tuple[Tensor, Tensor]:
    """Whiten each batch of ``(..., N, d)`` in float64; the greatest condition number."""
    x = x - x.mean(dim=-2, keepdim=True)
    covariance = x.mT @ x / (x.shape[-2] - 1)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    with torch.no_grad():
        variances = covariance.diagonal(dim1=-2, dim2=-1)
        condition = variances.new_tensor(torch.inf)
        if not failed.any():
            inverse = torch.cholesky_inverse(factor)
            condition = (torch.linalg.matrix_norm(covariance, 1) * torch.linalg.matrix_norm(inverse, 1)).max()
    if not condition < 0.01 / torch.finfo(x.dtype).eps:  # at most two digits would be left
        raise ReplearnError(
            "the covariance of the embeddings is singular up to rounding: dimensions are constant or tell only what "
            f"others tell (variances from {variances.min().item():.2g} to {variances.max().item():.2g}). The "
            "embeddings have collapsed, or d is too large"
        )
    return torch.linalg.solve_triangular(factor, x.mT, upper=False).mT, condition


def _check_rank(name: str, n: int, d: int, group: str) -> None:
    if n <= d:
        raise ReplearnError(
            f"{name}: cannot whiten d = {d} dimensions: the {n} embeddings of a {group} have a covariance of rank "
            f"{n - 1} at most. What fits: at most {n - 1} dimensions (better {n // 2}), or more than {d} embeddings "
            f"(better {2 * d})"
        )


def _check_partition(sub_batch: int | None, iterations: int) -> None:
    check_count(iterations=iterations)
    if sub_batch is not None:
        check_count(sub_batch=sub_batch)
