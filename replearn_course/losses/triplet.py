r"""Triplet margin loss, on given triplets and on all or chosen triplets of a batch.

A triplet is an anchor :math:`a`, a positive :math:`p` (another item of its class) and a negative :math:`n` (an item of
another class). Its loss is the hinge :math:`\max(0, d_{ap} - d_{an} + m)`.

A batch of :math:`B` embeddings holds up to :math:`B^3 / 4` triplets but only :math:`B^2` distances. The miners here
never form the triplets: they need :math:`O(B^2)` memory and :math:`O(B^2 \log B)` time, and give the value and the
gradient of the explicit triple loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from replearn_course.errors import (
    ReplearnError,
    check_embeddings,
    check_labels,
    check_not_negative,
    check_tensors,
    unknown_name,
)
from replearn_course.losses.distances import check_metric, paired_distances, pairwise_distances

__all__ = [
    "MINERS",
    "REDUCTIONS",
    "InBatchTripletLoss",
    "TripletLoss",
    "TripletMarginLoss",
    "batch_all",
    "batch_hard",
    "easy",
    "semi_hard",
    "triplet_margin_loss",
]

REDUCTIONS = ("mean", "active", "sum")


class TripletLoss(NamedTuple):
    """What every triplet loss returns.

    ``loss`` is the only one that carries a gradient. Without any triplet it is a zero on which ``backward`` works, and
    ``active`` and ``count`` are 0.
    """

    loss: Tensor
    """The loss, a scalar, reduced as ``reduction`` says."""
    active: Tensor
    """Share, from 0 to 1, of the triplets whose hinge is positive, those that still teach. A scalar."""
    count: Tensor  # type: ignore[assignment]  # a field hides the method of tuple
    """Number of triplets that the miner chose, over which ``reduction="mean"`` divides. An integer scalar."""


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    metric: str = "euclidean",
    reduction: str = "mean",
) -> TripletLoss:
    r"""Loss of given triplets, :math:`\max(0, d_{ap} - d_{an} + m)` each.

    ``reduction="mean"``, over all triplets given, is the convention of ``torch.nn.TripletMarginLoss``. That one takes
    the norm of :math:`x - y + 10^{-6}`, here of :math:`x - y`: a distance differs by at most :math:`10^{-6} \sqrt d`.

    Args:
        anchor: embeddings ``(N, d)``.
        positive: embeddings ``(N, d)``, of the classes of the anchors.
        negative: embeddings ``(N, d)``, of other classes.
        margin: by how much a negative must be farther than the positive, in units of the metric; at least 0.
        metric: see :func:`~replearn_course.losses.pairwise_distances`.
        reduction: ``"mean"`` over all triplets, ``"active"`` for the mean over those with a positive hinge, or
            ``"sum"``.

    Raises:
        ReplearnError: for a wrong shape, dtype or device, NaN or infinity, a margin below 0, an unknown metric or
            reduction.
    """
    _check_coefficients(margin, metric, reduction)
    check_tensors(anchor=anchor, positive=positive, negative=negative)
    for name, z in (("positive", positive), ("negative", negative)):
        if z.shape != anchor.shape:
            raise ReplearnError(f"{name}: expected shape {tuple(anchor.shape)} as anchor, got {tuple(z.shape)}")
    check_embeddings(anchor=anchor, positive=positive, negative=negative)
    d_ap = paired_distances(anchor, positive, metric)
    d_an = paired_distances(anchor, negative, metric)
    return _reduce_hinges((d_ap + margin - d_an).relu(), reduction)


def batch_all(
    z: Tensor, labels: Tensor, margin: float = 1.0, metric: str = "euclidean", reduction: str = "mean"
) -> TripletLoss:
    """Loss of all triplets of a batch.

    ``reduction="active"`` is the form that Hermans et al. call "all non-zero": the mean over all fades as triplets
    come to satisfy the margin, because their zeros are counted too.

    Source: Hermans, Beyer, Leibe, In Defense of the Triplet Loss for Person Re-Identification, 2017, section 2,
    https://arxiv.org/abs/1703.07737. The algorithm: :func:`_loss_of_band`.

    Args:
        z: embeddings ``(B, d)``.
        labels: integer classes ``(B,)``, on the device of ``z``.
        margin: by how much a negative must be farther than the positive, in units of the metric; at least 0.
        metric: see :func:`~replearn_course.losses.pairwise_distances`.
        reduction: ``"mean"`` over all triplets, ``"active"`` for the mean over those with a positive hinge, or
            ``"sum"``.

    Raises:
        ReplearnError: for a wrong shape, dtype or device, NaN or infinity, a margin below 0, an unknown metric or
            reduction.
    """
    d, pos, neg = _distances_and_masks(z, labels, margin, metric, reduction)
    count = (pos.sum(dim=1) * neg.sum(dim=1)).sum()
    return _loss_of_band(d, pos, neg, margin, reduction, semi_hard_only=False, count=count)


def semi_hard(
    z: Tensor, labels: Tensor, margin: float = 1.0, metric: str = "euclidean", reduction: str = "mean"
) -> TripletLoss:
    r"""Loss of all semi-hard triplets of a batch: :math:`d_{ap} < d_{an} < d_{ap} + m`.

    The negative is farther than the positive, but not by the margin. Both bounds are strict: with
    :math:`d_{an} = d_{ap}` the triplet is hard, with :math:`d_{an} = d_{ap} + m` it has nothing to teach. So each
    triplet of the band has a positive hinge: ``"mean"`` and ``"active"`` agree, and ``active`` is 1 whenever ``count``
    is not 0; for the share of violated triplets in the batch use :func:`batch_all`.

    FaceNet looks for semi-hard negatives with squared distances of normalised embeddings (``metric="squared"``) and
    takes one negative for a pair of anchor and positive; here all of the band are taken, as in
    pytorch-metric-learning.

    Source: Schroff, Kalenichenko, Philbin, FaceNet, CVPR 2015, section 3.2, https://arxiv.org/abs/1503.03832. The
    algorithm: :func:`_loss_of_band`. Arguments and errors: :func:`batch_all`.
    """
    d, pos, neg = _distances_and_masks(z, labels, margin, metric, reduction)
    return _loss_of_band(d, pos, neg, margin, reduction, semi_hard_only=True)


def batch_hard(
    z: Tensor, labels: Tensor, margin: float = 1.0, metric: str = "euclidean", reduction: str = "mean"
) -> TripletLoss:
    """Loss of one triplet for each anchor: its farthest positive and its nearest negative.

    Anchors without a positive or without a negative are left out. The gradient of a tie is shared equally, so that
    the order of the batch does not matter.

    Source: Hermans, Beyer, Leibe, 2017, equation 5, https://arxiv.org/abs/1703.07737 (there a sum over the batch).
    Arguments and errors: :func:`batch_all`.
    """
    d, pos, neg = _distances_and_masks(z, labels, margin, metric, reduction)
    anchors = pos.any(dim=1) & neg.any(dim=1)
    d, pos, neg = d[anchors], pos[anchors], neg[anchors]
    d_ap = d.masked_fill(~pos, -torch.inf).amax(dim=1)
    d_an = d.masked_fill(~neg, torch.inf).amin(dim=1)
    return _reduce_hinges((d_ap + margin - d_an).relu(), reduction)


def easy(
    z: Tensor, labels: Tensor, margin: float = 1.0, metric: str = "euclidean", reduction: str = "mean"
) -> TripletLoss:
    """Loss of one triplet for each anchor: its nearest positive and its farthest negative, the mirror of batch-hard.

    The easy positive is that of Xuan et al., who pair it with hard or semi-hard negatives; with the easiest negative
    it shows how little easy triplets teach: the hinge is soon 0 and the gradient with it, while most of the batch
    still violates the margin. (pytorch-metric-learning calls "easy" all triplets that satisfy the margin; their loss
    is 0 by definition, so nothing could be trained with them.)

    Anchors without a positive or without a negative are left out; the gradient of a tie is shared equally.

    Source of the easy positive: Xuan, Stylianou, Pless, Improved Embeddings with Easy Positive Triplet Mining, WACV
    2020, https://arxiv.org/abs/1904.04370. Arguments and errors: :func:`batch_all`.
    """
    d, pos, neg = _distances_and_masks(z, labels, margin, metric, reduction)
    anchors = pos.any(dim=1) & neg.any(dim=1)
    d, pos, neg = d[anchors], pos[anchors], neg[anchors]
    d_ap = d.masked_fill(~pos, torch.inf).amin(dim=1)
    d_an = d.masked_fill(~neg, -torch.inf).amax(dim=1)
    return _reduce_hinges((d_ap + margin - d_an).relu(), reduction)


MINERS: dict[str, Callable[..., TripletLoss]] = {
    "batch-all": batch_all,
    "batch-hard": batch_hard,
    "semi-hard": semi_hard,
    "easy": easy,
}


class TripletMarginLoss(nn.Module):
    """:func:`triplet_margin_loss` with its coefficients held."""

    def __init__(self, margin: float = 1.0, metric: str = "euclidean", reduction: str = "mean") -> None:
        super().__init__()
        _check_coefficients(margin, metric, reduction)
        self.margin = margin
        self.metric = metric
        self.reduction = reduction

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> TripletLoss:
        """Return the loss of the triplets given."""
        return triplet_margin_loss(anchor, positive, negative, self.margin, self.metric, self.reduction)

    def extra_repr(self) -> str:
        """Return the coefficients, for ``repr``."""
        return f"margin={self.margin}, metric={self.metric!r}, reduction={self.reduction!r}"


class InBatchTripletLoss(nn.Module):
    """A miner of :data:`MINERS` with its coefficients held."""

    def __init__(
        self, miner: str = "batch-all", margin: float = 1.0, metric: str = "euclidean", reduction: str = "mean"
    ) -> None:
        super().__init__()
        if miner not in MINERS:
            raise unknown_name("miner", miner, MINERS)
        _check_coefficients(margin, metric, reduction)
        self.miner = miner
        self.margin = margin
        self.metric = metric
        self.reduction = reduction

    def forward(self, z: Tensor, labels: Tensor) -> TripletLoss:
        """Return the loss of the triplets that the miner finds in the batch."""
        return MINERS[self.miner](z, labels, self.margin, self.metric, self.reduction)

    def extra_repr(self) -> str:
        """Return the coefficients, for ``repr``."""
        return f"{self.miner!r}, margin={self.margin}, metric={self.metric!r}, reduction={self.reduction!r}"


def _loss_of_band(
    d: Tensor,
    pos: Tensor,
    neg: Tensor,
    margin: float,
    reduction: str,
    *,
    semi_hard_only: bool,
    count: Tensor | None = None,
) -> TripletLoss:
    r"""Loss of all triplets with a positive hinge or, of those, of the semi-hard, without forming any.

    Where the hinge is positive it is linear, so the sum over the active triplets is

    .. math:: \sum_{a,p} k_{ap}\, d_{ap} - \sum_{a,n} k_{an}\, d_{an} + m K

    where :math:`k_{ap}` is the number of active triplets of :math:`a` with the positive :math:`p`, :math:`k_{an}` that
    with the negative :math:`n`, and :math:`K` that of all. Sort an anchor's negatives: those with
    :math:`d_{an} < d_{ap} + m` come first, and a binary search for :math:`d_{ap} + m` counts them. Sort its positives:
    those with :math:`d_{ap} + m > d_{an}` come last, and a search for :math:`d_{an}` counts them. The semi-hard band
    takes a second search each, for the triplets with :math:`d_{an} \le d_{ap}`, which are left out.

    The counts are integers and piecewise constant, so they are themselves the gradient by the distances. The terms
    nearly cancel (their sizes add up to some :math:`K d`, while the loss may be far smaller), hence the sum in
    float64. MPS has no float64: there the value is off by some :math:`10^{-7} d` a triplet, the gradient stays exact.
    """
    with torch.no_grad():
        reach = d + margin
        positives = d.masked_fill(~pos, torch.inf).sort(dim=1).values
        negatives = d.masked_fill(~neg, torch.inf).sort(dim=1).values
        # Both sides compare the same floats, d_an and d_ap + m, so that they count the same triplets.
        with_positive = torch.searchsorted(negatives, reach)
        reached_by_none = torch.searchsorted(positives + margin, d, right=True)
        if semi_hard_only:
            with_positive -= torch.searchsorted(negatives, d, right=True)
            with_negative = torch.searchsorted(positives, d) - reached_by_none
            # Where d + m rounds to d, the bounds cross and the band is empty.
            with_positive.clamp_(min=0)
            with_negative.clamp_(min=0)
        else:
            with_negative = pos.sum(dim=1, keepdim=True) - reached_by_none
        weight = torch.where(pos, with_positive, -with_negative).masked_fill_(~(pos | neg), 0)
        active = with_positive[pos].sum()
        count = active if count is None else count
    wide = torch.float32 if d.device.type == "mps" else torch.float64
    total = (weight.to(wide) * d.to(wide)).sum() + margin * active.to(wide)
    return _reduce(total.to(d.dtype), active, count, reduction)


def _reduce_hinges(hinges: Tensor, reduction: str) -> TripletLoss:
    active = (hinges > 0).sum()
    return _reduce(hinges.sum(), active, torch.full_like(active, len(hinges)), reduction)


def _reduce(total: Tensor, active: Tensor, count: Tensor, reduction: str) -> TripletLoss:
    divisor = {"mean": count, "active": active, "sum": torch.ones_like(count)}[reduction]
    return TripletLoss(total / divisor.clamp(min=1), active.to(total.dtype) / count.clamp(min=1), count)


def _distances_and_masks(
    z: Tensor, labels: Tensor, margin: float, metric: str, reduction: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Distances ``(B, B)`` and where the column is a positive, and a negative, of the row."""
    _check_coefficients(margin, metric, reduction)
    check_embeddings(z=z)
    check_labels(len(z), labels=labels)
    if labels.device != z.device:
        raise ReplearnError(f"labels: expected on {z.device} as z, got {labels.device}")
    same = labels[:, None] == labels
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    return pairwise_distances(z, metric=metric), same & ~itself, ~same


def _check_coefficients(margin: float, metric: str, reduction: str) -> None:
    check_not_negative(margin=margin)
    check_metric(metric)
    if reduction not in REDUCTIONS:
        raise unknown_name("reduction", reduction, REDUCTIONS)
