"""SimCLR: find the other view of your image among all other images of the batch."""

from __future__ import annotations

from torch import nn

from replearn_course.losses import NTXentLoss
from replearn_course.methods.multi_view import MultiViewMethod, projector_or
from replearn_course.networks import Encoder

__all__ = ["SimCLR"]


class SimCLR(MultiViewMethod):
    """Contrastive learning within a batch, by the loss :func:`~replearn_course.losses.nt_xent`.

    Args:
        encoder: gives the representations.
        projector: from representation to projection; by default the paper's two layers.
        temperature: divides the cosine similarities; 0.5 is the paper's best on CIFAR-10.

    Source: Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations",
    https://arxiv.org/abs/2002.05709. Document D1 counts it among the supervised methods; it uses no labels.
    """

    def __init__(self, encoder: Encoder, projector: nn.Module | None = None, temperature: float = 0.5) -> None:
        super().__init__(encoder, projector_or(projector, "simclr", encoder), NTXentLoss(temperature))
