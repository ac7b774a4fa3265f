"""Supervised training: the encoder with a linear classifier on it, by cross-entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replearn_course.errors import ReplearnError
from replearn_course.networks import Representation
from replearn_course.precision import at_least_float32

__all__ = ["Supervised"]


class Supervised(nn.Module):
    """What the others are compared with: views and their labels in, the cross-entropy out.

    Args:
        encoder: gives the representations, which stay when the classifier is taken off.
        classes: how many.
    """

    def __init__(self, encoder: Representation, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise ReplearnError(f"classes: expected 2 or more, got {classes}")
        self.encoder, self.classifier = encoder, nn.Linear(encoder.embedding_size, classes)

    def forward(self, *batch: Tensor) -> dict[str, Tensor]:
        """The loss of views ``(N, C, H, W)``, one or several, and labels ``(N,)``, and the accuracy in training."""
        *views, labels = batch
        logits = self.logits(torch.cat(views))  # (V N, classes)
        labels = labels.repeat(len(views))
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss": F.cross_entropy(logits, labels), "accuracy": accuracy}

    def logits(self, images: Tensor) -> Tensor:
        """The logits ``(N, classes)`` of images ``(N, C, H, W)``, in float32."""
        return at_least_float32(self.classifier(self.encoder(images)))
