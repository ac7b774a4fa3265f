"""VICReg: bring the views together, keep each dimension's variance, remove the covariances."""

from __future__ import annotations

from torch import nn

from replearn_course.losses import VICRegLoss
from replearn_course.methods.multi_view import MultiViewMethod, projector_or
from replearn_course.networks import Encoder

__all__ = ["VICReg"]


class VICReg(MultiViewMethod):
    """Variance-invariance-covariance regularisation, by the loss :func:`~replearn_course.losses.vicreg`.

    Args:
        encoder: gives the representations.
        projector: from representation to projection; by default the paper's three layers of 8192.
        variant: which of the published forms of the loss; by default that of the authors' code, for which 25, 25 and 1 were chosen.
            The loss's own default is the paper's, whose invariance is larger by d.
        invariance: weight of the distance of the views.
        variance: weight of the hinge on the standard deviations.
        covariance: weight of the squared covariances.

    Source: Bardes et al. 2022, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning",
    https://arxiv.org/abs/2105.04906; document D1, sections 3.3 and 6.1.
    """

    def __init__(
        self,
        encoder: Encoder,
        projector: nn.Module | None = None,
        variant: str = "official",
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        loss = VICRegLoss(variant, invariance=invariance, variance=variance, covariance=covariance)
        super().__init__(encoder, projector_or(projector, "vicreg", encoder), loss)
