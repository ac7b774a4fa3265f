"""Contrastive losses on views: find the other view of an image among the other images.

NT-Xent (SimCLR) takes the negatives from the batch, InfoNCE with a queue (MoCo) from batches seen before.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from replearn_course.errors import ReplearnError, check_embeddings, check_positive
from replearn_course.losses.distances import unit_vectors
from replearn_course.losses.views import check_views
from replearn_course.precision import at_least_float32

__all__ = ["InfoNCELoss", "InfoNCETerms", "NTXentLoss", "info_nce", "nt_xent"]


class InfoNCETerms(NamedTuple):
    """The loss, which carries the gradient, and what says how hard the task is, which does not."""

    loss: Tensor
    accuracy: Tensor
    """Share, from 0 to 1, of the comparisons in which the positive is more similar than every negative."""
    positive: Tensor
    """Mean cosine of positives, from -1 to 1."""


def nt_xent(z: Tensor, temperature: float = 0.5) -> InfoNCETerms:
    r"""NT-Xent loss of V views, the mean over anchors and their positives.

    For the anchor :math:`i`, a positive :math:`p` and the negatives :math:`n`, it is

    .. math::
        -\log \frac{e^{s_{ip} / \tau}}{e^{s_{ip} / \tau} + \sum_{n} e^{s_{in} / \tau}}, \quad
        s_{ij} = \frac{z_i \cdot z_j}{\|z_i\| \|z_j\|}

    Every view of every image is an anchor, its positives are the other V - 1 views of its image, one at a time, and its
    negatives :math:`n` all V (N - 1) views of the other images. With V = 2 this is the paper's loss: 2 N anchors, one
    positive and 2 (N - 1) negatives each. With more, the other positives stay out of the denominator: there they would
    be pushed away as if they were negatives.

    No similarity of a view with itself enters, and the positive stands once in the denominator. Computed as
    :math:`\operatorname{softplus}(\log \sum_n e^{s_{in}/\tau} - s_{ip}/\tau)`: no exponential overflows at a small
    temperature, and a loss near 0 keeps its digits. A zero vector has cosine 0 with everything and gradient 0.

    At a collapse it is :math:`\log(1 + V (N - 1))`.

    Source: Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning of Visual Representations
    (SimCLR), ICML 2020, equation 1, https://arxiv.org/abs/2002.05709. More than two views: the choice made here.

    Args:
        z: embeddings of views ``(V, N, d)``, of any length.
        temperature: :math:`\tau`, above 0.

    Raises:
        ReplearnError: for a wrong shape or dtype, fewer than two views or images, NaN or infinity, or a temperature
            that is not above 0.
    """
    check_positive(temperature=temperature)
    check_views(z)
    n_views, n, _ = z.shape
    with torch.autocast(z.device.type, enabled=False):
        u = unit_vectors(at_least_float32(z)).flatten(0, 1)
        logits = (u @ u.T).view(n_views, n, n_views, n) / temperature
        own = torch.eye(n, dtype=torch.bool, device=z.device)[:, None]  # (N, 1, N): views of the anchor's own image
        negatives = logits.masked_fill(own, -torch.inf).flatten(2)
        # (N, V, V): the cosines of each image's views with each other, of which those of different views are wanted.
        positives = logits.diagonal(dim1=1, dim2=3).permute(2, 0, 1)
        other = ~torch.eye(n_views, dtype=torch.bool, device=z.device)
        positives = positives[:, other].view(n, n_views, n_views - 1).transpose(0, 1)
        return _terms(positives, negatives, temperature)


def info_nce(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float = 0.07) -> InfoNCETerms:
    r"""InfoNCE loss of queries, each with one positive and with the same negatives for all.

    .. math::
        \frac1N \sum_i -\log
        \frac{e^{q_i \cdot k_i / \tau}}{e^{q_i \cdot k_i / \tau} + \sum_{n=1}^{K} e^{q_i \cdot k^-_n / \tau}}

    with all vectors scaled to length 1. For MoCo the positives come from the momentum encoder, without a gradient, and
    the negatives from its queue. The positive is not among the negatives: the queue is updated after the loss.

    Source: He, Fan, Wu, Xie, Girshick, Momentum Contrast for Unsupervised Visual Representation Learning (MoCo), CVPR
    2020, equation 1, https://arxiv.org/abs/1911.05722 (:math:`\tau = 0.07`). MoCo v2, https://arxiv.org/abs/2003.04297,
    has the same loss with :math:`\tau = 0.2`.

    Args:
        query: embeddings ``(N, d)``.
        positive: embeddings ``(N, d)``, row i the other view of the image of query i.
        negatives: embeddings ``(K, d)`` of other images.
        temperature: :math:`\tau`, above 0.

    Raises:
        ReplearnError: for a wrong shape, dtype or device, NaN or infinity, or a temperature that is not above 0.
    """
    check_positive(temperature=temperature)
    check_embeddings(query=query, positive=positive, negatives=negatives)
    if positive.shape != query.shape:
        raise ReplearnError(f"positive: expected shape {tuple(query.shape)} as query, got {tuple(positive.shape)}")
    if negatives.shape[1] != query.shape[1]:
        raise ReplearnError(
            f"negatives: expected embeddings of {query.shape[1]} dimensions as in query, got {negatives.shape[1]}"
        )
    for name, x in (("positive", positive), ("negatives", negatives)):
        if x.device != query.device:
            raise ReplearnError(f"{name}: expected on {query.device} as query, got {x.device}")
        if x.dtype != query.dtype:
            raise ReplearnError(f"{name}: expected {query.dtype} as query, got {x.dtype}")
    with torch.autocast(query.device.type, enabled=False):
        q, k, queue = (unit_vectors(at_least_float32(x)) for x in (query, positive, negatives))
        return _terms((q * k).sum(dim=1, keepdim=True) / temperature, q @ queue.T / temperature, temperature)


class NTXentLoss(nn.Module):
    """:func:`nt_xent` with its temperature held."""

    def __init__(self, temperature: float = 0.5) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        self.temperature = temperature

    def forward(self, z: Tensor) -> InfoNCETerms:
        """Return the loss of the views ``(V, N, d)`` and its terms."""
        return nt_xent(z, self.temperature)

    def extra_repr(self) -> str:
        """Return the temperature, for ``repr``."""
        return f"temperature={self.temperature}"


class InfoNCELoss(nn.Module):
    """:func:`info_nce` with its temperature held."""

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        self.temperature = temperature

    def forward(self, query: Tensor, positive: Tensor, negatives: Tensor) -> InfoNCETerms:
        """Return the loss of the queries and its terms."""
        return info_nce(query, positive, negatives, self.temperature)

    def extra_repr(self) -> str:
        """Return the temperature, for ``repr``."""
        return f"temperature={self.temperature}"


def _terms(positives: Tensor, negatives: Tensor, temperature: float) -> InfoNCETerms:
    """From logits: positives ``(..., P)``, each compared with all negatives ``(..., K)`` of its row."""
    loss = -logsigmoid(positives - negatives.logsumexp(dim=-1, keepdim=True)).mean()
    with torch.no_grad():
        accuracy = (positives > negatives.amax(dim=-1, keepdim=True)).to(loss.dtype).mean()
        return InfoNCETerms(loss, accuracy, positives.mean() * temperature)
