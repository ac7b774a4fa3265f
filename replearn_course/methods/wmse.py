"""W-MSE: whiten the projections, then bring the views of an image together."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from replearn_course.losses import WMSELoss
from replearn_course.methods.multi_view import MultiViewMethod, projector_or
from replearn_course.networks import Encoder
from replearn_course.precision import at_least_float32
from replearn_course.training.ranks import from_first

__all__ = ["WMSE"]


class WMSE(MultiViewMethod):
    """Whitening MSE, by the loss :func:`~replearn_course.losses.w_mse`: W-MSE 2 with two views, W-MSE 4 with four.

    Args:
        encoder: gives the representations.
        projector: from representation to projection; by default the paper's two layers, which end in 64 dimensions.
        sub_batch: images that are whitened together; at least twice the dimension of the projection is safe.

    Source: Ermolov et al. 2021, "Whitening for Self-Supervised Representation Learning",
    https://arxiv.org/abs/2007.06346. Document D1 gives the projector one layer of 1024, which 512 vectors cannot whiten.
    """

    def __init__(self, encoder: Encoder, projector: nn.Module | None = None, sub_batch: int = 128) -> None:
        super().__init__(encoder, projector_or(projector, "wmse", encoder), WMSELoss(sub_batch))

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        """See :class:`~replearn_course.methods.MultiViewMethod`; all processes draw the same sub-batches."""
        z = self.project(views)
        seed = int(from_first(torch.randint(2**31, (1,), device=z.device)))
        return self.loss(z, torch.Generator().manual_seed(seed))._asdict()

    def head(self, h: Tensor) -> Tensor:
        """The projections, in float32 whatever the precision: what bf16 rounds off, the whitening would enlarge."""
        with torch.autocast(h.device.type, enabled=False):
            return self.projector(at_least_float32(h))
