"""Siamese networks: one encoder, two images, and a loss on how far apart they land."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replearn_course.losses import ContrastiveLoss, paired_distances
from replearn_course.networks import Encoder, PairHead
from replearn_course.precision import at_least_float32

__all__ = ["SiameseNetwork", "SiameseVerifier"]


class SiameseNetwork(nn.Module):
    """Two images through the same weights, trained by the contrastive loss on their Euclidean distance.

    Args:
        encoder: gives the embeddings.
        margin: how far apart images of different classes shall be, in the units of the embedding.
        form: of the loss, ``"hadsell"`` or ``"d3"``; see :func:`~replearn_course.losses.contrastive_loss`.

    Source: Hadsell, Chopra, LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping",
    http://yann.lecun.com/exdb/publis/pdf/hadsell-chopra-lecun-06.pdf; the network after Bromley et al. 1993.
    """

    def __init__(self, encoder: Encoder, margin: float = 1.0, form: str = "hadsell") -> None:
        super().__init__()
        self.encoder, self.loss = encoder, ContrastiveLoss(margin, form)

    def forward(self, first: Tensor, second: Tensor, same: Tensor) -> dict[str, Tensor]:
        """The loss of a batch of pairs: images ``(B, C, H, W)`` twice, and ``same`` ``(B,)`` bool."""
        h1, h2 = at_least_float32(self.encoder(torch.cat([first, second]))).chunk(
            2
        )  # one pass, so batch norm sees both
        return {"loss": self.loss(h1, h2, same)}

    def distances(self, first: Tensor, second: Tensor) -> Tensor:
        """How far apart two batches of embeddings ``(N, d)`` are, ``(N,)``: small means one class."""
        return paired_distances(first, second)


class SiameseVerifier(nn.Module):
    """Two images through the same weights, and a module on the two outputs that gives the probability of sameness.

    Trained by the cross-entropy of that probability. Document D3 describes this way of comparing first, and its loss is for
    the other; the two are compared in chapter 3.

    Source: Koch et al. 2015, https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.head = encoder, PairHead(encoder.embedding_size)

    def forward(self, first: Tensor, second: Tensor, same: Tensor) -> dict[str, Tensor]:
        """The loss of a batch of pairs, as in :class:`SiameseNetwork`."""
        h1, h2 = at_least_float32(self.encoder(torch.cat([first, second]))).chunk(2)
        return {"loss": F.binary_cross_entropy_with_logits(self.head(h1, h2), same.float())}

    @torch.no_grad()
    def distances(self, first: Tensor, second: Tensor) -> Tensor:
        """The negated logit of sameness ``(N,)``, so that small means one class, as for a distance."""
        return -self.head(first.to(self.head.weigh.weight), second.to(self.head.weigh.weight)).to(first)
