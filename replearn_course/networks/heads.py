"""Heads: small modules that stand on embeddings."""

from __future__ import annotations

from torch import Tensor, nn

from replearn_course.errors import ReplearnError

__all__ = ["PairHead"]


class PairHead(nn.Module):
    """The module on the two outputs of a Siamese network: a logit that the two are of one class.

    ``logit = w · |h₁ − h₂| + b``, and ``sigmoid(logit)`` is the probability of sameness.

    Args:
        embedding_size: d.

    Source: Koch et al. 2015, "Siamese Neural Networks for One-shot Image Recognition", section 3.1,
    https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf. Document D3 names such a module and does not give it.
    """

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(embedding_size, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compare two embeddings ``(N, d)``, giving logits ``(N,)``."""
        if first.shape != second.shape:
            raise ReplearnError(f"second: expected the shape of first {tuple(first.shape)}, got {tuple(second.shape)}")
        return self.weigh((first - second).abs())[:, 0]
