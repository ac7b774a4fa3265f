"""Triplet networks: an anchor shall be nearer to its positive than to its negative, by a margin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from replearn_course.losses import InBatchTripletLoss, TripletMarginLoss
from replearn_course.networks import Encoder
from replearn_course.precision import at_least_float32
from replearn_course.training.ranks import gather

__all__ = ["InBatchTripletNetwork", "TripletNetwork"]


class TripletNetwork(nn.Module):
    """Three images through the same weights, trained by the triplet margin loss.

    Args:
        encoder: gives the embeddings.
        margin: how much nearer the positive shall be, in the units of the distance.
        metric: ``"euclidean"``, ``"squared"`` or ``"cosine"``.

    Source: Hoffer and Ailon 2015, "Deep metric learning using Triplet network", https://arxiv.org/abs/1412.6622 (the
    network); Schroff et al. 2015, "FaceNet", https://arxiv.org/abs/1503.03832 (the loss, there on squared distances).
    """

    def __init__(self, encoder: Encoder, margin: float = 1.0, metric: str = "euclidean") -> None:
        super().__init__()
        self.encoder, self.loss = encoder, TripletMarginLoss(margin, metric)

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> dict[str, Tensor]:
        """The loss of a batch of triplets of images ``(B, C, H, W)``, and the share of them that still teach."""
        a, p, n = at_least_float32(self.encoder(torch.cat([anchor, positive, negative]))).chunk(3)  # (B, d) each
        found = self.loss(a, p, n)
        return {"loss": found.loss, "active": found.active}


class InBatchTripletNetwork(nn.Module):
    """One image at a time; the triplets are found among the embeddings of a batch.

    A batch of P classes × K images holds P K (K − 1) (P − 1) K triplets, for the price of P K passes of the encoder.

    Args:
        encoder: gives the embeddings.
        miner: which triplets count, a key of :data:`~replearn_course.losses.MINERS`.
        margin: how much nearer the positive shall be.
        metric: ``"euclidean"``, ``"squared"`` or ``"cosine"``.
        reduction: what the mean goes over, ``"mean"``, ``"active"`` or ``"sum"``; see
            :func:`~replearn_course.losses.batch_all`.

    Source: Hermans et al. 2017, https://arxiv.org/abs/1703.07737
    """

    def __init__(
        self,
        encoder: Encoder,
        miner: str = "batch-all",
        margin: float = 1.0,
        metric: str = "euclidean",
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.encoder, self.loss = encoder, InBatchTripletLoss(miner, margin, metric, reduction)

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The loss of a batch ``(P K, C, H, W)`` with labels ``(P K,)``, of all processes together."""
        z = gather(at_least_float32(self.encoder(images)))
        found = self.loss(z, gather(labels))
        return {"loss": found.loss, "active": found.active}
