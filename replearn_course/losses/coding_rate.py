"""Total coding rate, and EMP-SSL: many views near their mean, while the batch fills as many directions as it can."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from replearn_course.errors import ReplearnError, check_embeddings, check_not_negative, check_positive, check_tensors
from replearn_course.losses.distances import unit_vectors
from replearn_course.losses.views import check_views
from replearn_course.precision import at_least_float32

__all__ = ["EMPSSLLoss", "EMPSSLTerms", "emp_ssl", "total_coding_rate"]


class EMPSSLTerms(NamedTuple):
    """The loss, which carries the gradient, and its terms before their coefficients, which do not."""

    loss: Tensor
    similarity: Tensor
    """Mean cosine of a view and the mean of the views of its image, from 0 to 1."""
    coding_rate: Tensor
    """Mean over views of :func:`total_coding_rate`, from 0 up."""


def total_coding_rate(z: Tensor, eps: float = 0.2**0.5) -> Tensor:
    r"""Total coding rate of embeddings: the nats an embedding takes up to an error of eps.

    .. math:: R(Z) = \frac12 \log\det\left(I + \frac{d}{N \varepsilon^2} Z^\top Z\right)

    The determinant is taken of the smaller of :math:`Z^\top Z` and :math:`Z Z^\top`, which give the same, by a Cholesky
    decomposition.

    For embeddings of length 1 and :math:`r = \min(N, d)` it lies between
    :math:`\frac12 \log(1 + d / \varepsilon^2)`, all equal, and :math:`\frac r2 \log(1 + d / (r \varepsilon^2))`, spread
    evenly over r orthogonal directions. The eigenvalues of the matrix then lie between 1 and
    :math:`1 + d / \varepsilon^2`, so float32 serves down to an :math:`\varepsilon` of some :math:`10^{-3} \sqrt d`.

    Source: Yu, Chan, You, Song, Ma, Learning Diverse and Discriminative Representations via the Principle of Maximal
    Coding Rate Reduction, NeurIPS 2020, https://arxiv.org/abs/2006.08558.

    Args:
        z: embeddings ``(N, d)``, or several batches of them ``(..., N, d)``. They are not normalised here.
        eps: the error :math:`\varepsilon`, above 0.

    Returns:
        A scalar a batch, shape ``(...)``, from 0 up.

    Raises:
        ReplearnError: for a wrong shape or dtype, NaN or infinity, an ``eps`` not above 0 or so small that rounding
            makes the matrix singular.
    """
    check_positive(eps=eps)
    check_tensors(z=z)
    check_embeddings(z=z.flatten(0, -2) if z.ndim > 2 else z)
    with torch.autocast(z.device.type, enabled=False):
        return _coding_rate(at_least_float32(z), eps)


def emp_ssl(z: Tensor, eps: float = 0.2**0.5, similarity: float = 200.0, coding_rate: float = 1.0) -> EMPSSLTerms:
    r"""EMP-SSL loss of V views, :math:`-\lambda D - \mu R`, with all embeddings :math:`u` at length 1.

    .. math::
        D = \frac{1}{VN} \sum_{v,i} \cos(u_{vi}, \bar u_i), \quad \bar u_i = \frac1V \sum_v u_{vi}, \quad
        R = \frac1V \sum_v R(U_v)

    with :func:`total_coding_rate` :math:`R(U_v)` of each view. Since the :math:`u_{vi}` have length 1, the mean cosine
    with their mean is the length of that mean, :math:`D = \frac1N \sum_i \|\bar u_i\|`, and so it is computed.

    The cost grows with V, not with its pairs: made for tens of small views.

    Source: Tong, Chen, Ma, LeCun, EMP-SSL: Towards Self-Supervised Learning in One Training Epoch, 2023,
    https://arxiv.org/abs/2304.03977. Its code, https://github.com/tsb0601/EMP-SSL, normalises the embeddings in
    the network and has :math:`\varepsilon` where the paper has :math:`\varepsilon^2`: its 0.2 is ``eps=0.2 ** 0.5`` here.

    Args:
        z: embeddings of views ``(V, N, d)``, of any length.
        eps: the error of the coding rate, above 0.
        similarity: the coefficient :math:`\lambda`, at least 0.
        coding_rate: the coefficient :math:`\mu`, at least 0.

    Raises:
        ReplearnError: for a wrong shape or dtype, fewer than two views or images, NaN or infinity, an ``eps`` not above
            0 or a coefficient below 0.
    """
    check_positive(eps=eps)
    check_not_negative(similarity=similarity, coding_rate=coding_rate)
    check_views(z)
    with torch.autocast(z.device.type, enabled=False):
        u = unit_vectors(at_least_float32(z))
        d = torch.linalg.vector_norm(u.mean(dim=0), dim=-1).mean()
        r = _coding_rate(u, eps).mean()
        return EMPSSLTerms(-similarity * d - coding_rate * r, d.detach(), r.detach())


class EMPSSLLoss(nn.Module):
    """:func:`emp_ssl` with its coefficients held."""

    def __init__(self, eps: float = 0.2**0.5, similarity: float = 200.0, coding_rate: float = 1.0) -> None:
        super().__init__()
        check_positive(eps=eps)
        check_not_negative(similarity=similarity, coding_rate=coding_rate)
        self.eps = eps
        self.similarity = similarity
        self.coding_rate = coding_rate

    def forward(self, z: Tensor) -> EMPSSLTerms:
        """Return the loss of the views ``(V, N, d)`` and its terms."""
        return emp_ssl(z, self.eps, self.similarity, self.coding_rate)

    def extra_repr(self) -> str:
        """Return the coefficients, for ``repr``."""
        return f"eps={self.eps}, similarity={self.similarity}, coding_rate={self.coding_rate}"


def _coding_rate(z: Tensor, eps: float) -> Tensor:
    n, d = z.shape[-2:]
    gram = z @ z.mT if n < d else z.mT @ z
    identity = torch.eye(min(n, d), dtype=z.dtype, device=z.device)
    factor, failed = torch.linalg.cholesky_ex(identity + d / (n * eps**2) * gram)
    if failed.any():
        raise ReplearnError(f"eps: expected large enough for {z.dtype} at embeddings of this size, got {eps}")
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)  # the determinant is the square of their product
