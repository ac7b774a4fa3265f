"""MoCo: a contrastive loss against a queue of keys, made by a slow copy of the encoder."""

from __future__ import annotations

import copy
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replearn_course.errors import ReplearnError, check_count
from replearn_course.losses import InfoNCELoss
from replearn_course.methods.multi_view import check_image_views, projector_or
from replearn_course.networks import Encoder
from replearn_course.precision import at_least_float32
from replearn_course.training.ranks import gather

__all__ = ["MoCo"]


class MoCo(nn.Module):
    r"""Momentum contrast: one view asks, the other answers among the keys of the last batches.

    The query :math:`q` comes from encoder and projector, the key :math:`k_+` from their slow copy, and the negatives are
    the keys of earlier batches, kept in a queue. Before each batch the copy follows:

    .. math:: \theta_k \leftarrow m\, \theta_k + (1 - m)\, \theta_q

    and after it the batch's keys take the place of the oldest. The queue begins with random directions.

    Shuffled batch norm. Were the key's batch norm to see the same images as the query's, its statistics would give the
    answer away. The paper shuffles the batch over GPUs; on one device the keys are passed in ``groups`` shuffled parts,
    each with statistics of its own. One group is right for encoders without batch norm, such as N1.

    Args:
        encoder: gives the representations.
        projector: from representation to projection; by default the two layers of v2. For v1, one linear layer.
        queue: keys that are kept. A batch larger than it keeps its last ones.
        momentum: m, in [0, 1].
        temperature: 0.2 is v2's, 0.07 v1's.
        groups: parts in which batch norm sees the keys.

    Source: He et al. 2020, https://arxiv.org/abs/1911.05722, equations 1 and 2, algorithm 1; v2: Chen et al. 2020,
    https://arxiv.org/abs/2003.04297. Document D1 writes of a memory bank of all objects: that is Wu et al. 2018, which
    MoCo's queue replaced. Deviation: parts of one batch on one device in place of shuffling over devices.
    """

    queue: Tensor
    oldest: Tensor

    def __init__(
        self,
        encoder: Encoder,
        projector: nn.Module | None = None,
        *,
        queue: int = 4096,
        momentum: float = 0.99,
        temperature: float = 0.2,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ReplearnError(f"momentum: expected between 0 and 1, got {momentum}")
        check_count(queue=queue, groups=groups)
        self.loss = InfoNCELoss(temperature)
        self.encoder, self.projector = encoder, projector_or(projector, "moco-v2", encoder)
        self.key_encoder, self.key_projector = (
            copy.deepcopy(network).requires_grad_(False) for network in (self.encoder, self.projector)
        )
        self.momentum, self.groups = momentum, groups
        blank = next(encoder.parameters()).new_zeros(1, encoder.embedding_size)
        with torch.no_grad():
            key = self.key_projector.eval()(blank)  # (1, d)
        self.key_projector.train(self.projector.training)
        self.register_buffer("queue", F.normalize(torch.randn(queue, key.shape[1]).to(key), dim=1))  # (K, d)
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))  # the row that the next key overwrites

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        """The loss of two views ``(N, C, H, W)`` of the same images; in training the copy and the queue move on.

        Args:
            views: the first asks, the second answers.

        Raises:
            ReplearnError: for another number of views, fewer than two images in all or in a group, or views of unequal shape.
        """
        check_image_views(views)
        if len(views) > 2:
            raise ReplearnError(f"views: MoCo compares two, a query and a key, got {len(views)}")
        query, key = views
        if self.training:
            if len(key) < 2 * self.groups:
                raise ReplearnError(f"groups: {self.groups} of {len(key)} images leave some with fewer than two")
            self.follow()
        with torch.no_grad():
            k = gather(self.keys(key))  # (N, d), N over all processes
        q = gather(at_least_float32(self.projector(self.encoder(query))))  # (N, d)
        report = self.loss(q, k, self.queue.to(q.dtype, copy=True))  # a copy: the queue moves before backward
        if self.training:
            self.enqueue(F.normalize(k, dim=1))
        return report._asdict()

    @torch.no_grad()
    def follow(self) -> None:
        """Move the slow copy by 1 − m towards the networks that are trained; batch norm has its own statistics."""
        slow = chain(self.key_encoder.parameters(), self.key_projector.parameters())
        fast = chain(self.encoder.parameters(), self.projector.parameters())
        for k, q in zip(slow, fast, strict=True):
            k.lerp_(q, 1 - self.momentum)

    def keys(self, views: Tensor) -> Tensor:
        """The keys ``(N, d)`` of views ``(N, C, H, W)``, each shuffled part with batch statistics of its own."""
        if self.groups == 1 or not self.training:
            return at_least_float32(self.key_projector(self.key_encoder(views)))
        order = torch.randperm(len(views), device=views.device)
        parts = [self.key_projector(self.key_encoder(part)) for part in views[order].tensor_split(self.groups)]
        return at_least_float32(torch.cat(parts))[order.argsort()]

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Write the keys ``(N, d)`` over the oldest rows of the queue."""
        keys = keys[-len(self.queue) :]
        rows = (self.oldest + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[rows] = keys.to(self.queue.dtype)
        self.oldest.copy_((self.oldest + len(keys)) % len(self.queue))
