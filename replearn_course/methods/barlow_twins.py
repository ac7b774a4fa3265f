"""Barlow Twins: make the cross-correlation matrix of two views the identity."""

from __future__ import annotations

from torch import nn

from replearn_course.losses import BarlowTwinsLoss
from replearn_course.methods.multi_view import MultiViewMethod, projector_or
from replearn_course.networks import Encoder

__all__ = ["BarlowTwins"]


class BarlowTwins(MultiViewMethod):
    """Redundancy reduction, by the loss :func:`~replearn_course.losses.barlow_twins`.

    Args:
        encoder: gives the representations.
        projector: from representation to projection; by default the paper's three layers of 8192.
        off_diagonal: the paper's λ, weight of the entries off the diagonal.

    Source: Zbontar et al. 2021, "Barlow Twins: Self-Supervised Learning via Redundancy Reduction",
    https://arxiv.org/abs/2103.03230
    """

    def __init__(self, encoder: Encoder, projector: nn.Module | None = None, off_diagonal: float = 5e-3) -> None:
        super().__init__(encoder, projector_or(projector, "barlow-twins", encoder), BarlowTwinsLoss(off_diagonal))
