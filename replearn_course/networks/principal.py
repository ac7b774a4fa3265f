"""Pixels as they are, and the principal components of any representation: what needs no training."""

from __future__ import annotations

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_embeddings
from replearn_course.networks.encoders import Representation
from replearn_course.precision import in_float64

__all__ = ["Pixels", "PrincipalComponents"]


class Pixels(Representation):
    """The pixels themselves, ``(N, C H W)`` of images ``(N, C, H, W)``.

    Args:
        embedding_size: C H W.
    """

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.embedding_size = embedding_size

    def forward(self, images: Tensor) -> Tensor:
        """Flatten the images."""
        return images.flatten(1)


class PrincipalComponents(Representation):
    r"""The first k principal components of a representation: ``(N, k)``, :math:`U^\top (h - \mu)`.

    With the mean :math:`\mu` and the covariance :math:`\Sigma = \sum_i \lambda_i u_i u_i^\top` of the representations h of some
    images, the columns of U are the :math:`u_i` of the largest :math:`\lambda_i`, the largest first: of all linear maps to k
    dimensions the one that loses the least squares. No labels are used.

    Args:
        encoder: what gives h.
        mean: ``(d,)``.
        directions: ``(d, k)``, orthonormal columns.
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, encoder: Representation, mean: Tensor, directions: Tensor) -> None:
        super().__init__()
        self.encoder, self.embedding_size = encoder, directions.shape[1]
        self.register_buffer("mean", mean)
        self.register_buffer("directions", directions)

    @classmethod
    def fit(cls, encoder: Representation, z: Tensor, k: int) -> PrincipalComponents:
        """Find the components of representations ``z`` ``(N, d)``, which ``encoder`` gave of the training images.

        Raises:
            ReplearnError: for malformed representations, or fewer than k of them or of their dimensions.
        """
        check_embeddings(z=z)
        if not 1 <= k <= min(z.shape):
            raise ReplearnError(f"k: expected 1 to {min(z.shape)}, the smaller side of z, got {k}")
        centred = in_float64(z)
        mean = centred.mean(dim=0)
        centred = (
            centred - mean if centred is z else centred.sub_(mean)
        )  # in place: of wide representations a copy is gigabytes
        _, vectors = torch.linalg.eigh(centred.T @ centred)  # ascending
        return cls(encoder, mean.to(z), vectors[:, -k:].flip(1).to(z))

    def forward(self, images: Tensor) -> Tensor:
        """The components ``(N, k)`` of images ``(N, C, H, W)``."""
        return (self.encoder(images) - self.mean) @ self.directions
