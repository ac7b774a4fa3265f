"""EMP-SSL: many patches of an image meet in one place, and the patches of a batch fill the space."""

from __future__ import annotations

from torch import nn

from replearn_course.losses import EMPSSLLoss
from replearn_course.methods.multi_view import MultiViewMethod, projector_or
from replearn_course.networks import Encoder

__all__ = ["EMPSSL"]


class EMPSSL(MultiViewMethod):
    """Extreme multi-patch learning, by the loss :func:`~replearn_course.losses.emp_ssl`: tens of views, few epochs.

    Args:
        encoder: gives the representations; of patches, if the views are patches.
        projector: from representation to projection; by default the paper's two layers.
        similarity: weight of the cosine similarity of each view to the mean of its image's views.
        coding_rate: weight of the coding rate.
        eps: the distortion of the coding rate, ε; by default the authors' ε² of 0.2.

    Source: Tong et al. 2023, "EMP-SSL: Towards Self-Supervised Learning in One Training Epoch",
    https://arxiv.org/abs/2304.03977
    """

    def __init__(
        self,
        encoder: Encoder,
        projector: nn.Module | None = None,
        *,
        similarity: float = 200.0,
        coding_rate: float = 1.0,
        eps: float = 0.2**0.5,
    ) -> None:
        super().__init__(
            encoder,
            projector_or(projector, "emp-ssl", encoder),
            EMPSSLLoss(eps, similarity, coding_rate),
        )
