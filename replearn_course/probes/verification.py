"""Verification, whether two items are of one class: accept a pair when its distance is at most a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_tensors

__all__ = ["Verification", "accuracy_at", "choose_threshold", "verification"]


@dataclass(frozen=True)
class Verification:
    """The ROC of a verifier; points run from "accept none" to "accept all", one for each distinct distance.

    Attributes:
        far: false accept rate, the accepted share of the different pairs, ``(T,)`` in [0, 1], ascending.
        tar: true accept rate, the accepted share of the same pairs, ``(T,)`` in [0, 1], ascending.
        thresholds: the distances ``(T,)``; the first is minus infinity.
        auc: area under the ROC: the probability that a same pair is closer than a different pair, ties as one half.
        eer: equal error rate, where the false accept rate is the false reject rate ``1 - tar``, in [0, 1].
        same: number of same pairs.
        different: number of different pairs.
    """

    far: Tensor
    tar: Tensor
    thresholds: Tensor
    auc: float
    eer: float
    same: int
    different: int

    def tar_at_far(self, far: float) -> float:
        """Give the largest true accept rate of a threshold whose false accept rate is at most ``far``.

        No interpolation: some threshold attains the value. A ``far`` below ``1 / different`` allows no false accept
        at all, so that its value is the one at a false accept rate of zero.

        Raises:
            ReplearnError: when ``far`` lies outside [0, 1].
        """
        if not 0 <= far <= 1:
            raise ReplearnError(f"far: expected a rate in [0, 1], got {far}")
        return self.tar[self.far <= far].max().item()


def verification(distances: Tensor, same: Tensor) -> Verification:
    """Measure how well distance tells same pairs from different ones: ROC, its area, equal error rate.

    The area is the trapezoidal one. The equal error rate is where the ROC, linear between its points, meets
    ``tar = 1 - far``. True and false accept rates are those of Schroff et al. 2015, "FaceNet", section 4, where they
    are called VAL and FAR (https://arxiv.org/abs/1503.03832).

    Args:
        distances: one for each pair ``(N,)``; small means alike. For similarities give their negatives.
        same: whether the pair is of one class ``(N,)``, bool or 0 and 1.

    Raises:
        ReplearnError: for malformed input or pairs of only one kind.
    """
    distances, same = _check_pairs(distances, same, both=True)
    thresholds, accepted_same, accepted_different = _accepted(distances, same)
    tar = accepted_same / accepted_same[-1]
    far = accepted_different / accepted_different[-1]
    # far - frr rises from -1 to 1: interpolate on the segment on which it crosses zero.
    excess = far + tar - 1
    i = int((excess >= 0).nonzero()[0, 0])
    share = -excess[i - 1] / (excess[i] - excess[i - 1])
    eer = far[i - 1] + share * (far[i] - far[i - 1])
    return Verification(
        far=far,
        tar=tar,
        thresholds=thresholds,
        auc=torch.trapezoid(tar, far).item(),
        eer=eer.item(),
        same=int(accepted_same[-1]),
        different=int(accepted_different[-1]),
    )


def choose_threshold(distances: Tensor, same: Tensor) -> float:
    """Choose the threshold with the greatest accuracy on these pairs; of equal ones the smallest.

    It lies halfway between neighbouring distances, minus infinity or infinity when accepting none or all is best.
    Choose it on one split and apply it to another with :func:`accuracy_at`: on the pairs that chose it, the accuracy
    is too high.

    Raises:
        ReplearnError: for malformed input or pairs of only one kind.
    """
    distances, same = _check_pairs(distances, same, both=True)
    thresholds, accepted_same, accepted_different = _accepted(distances, same)
    best = int((accepted_same - accepted_different).argmax())  # the number of correct decisions, up to a constant
    if best == 0 or best == len(thresholds) - 1:
        return -torch.inf if best == 0 else torch.inf
    below, above = thresholds[best].item(), thresholds[best + 1].item()
    halfway = below + (above - below) / 2
    return halfway if halfway < above else below  # no number lies between two adjacent ones


def accuracy_at(distances: Tensor, same: Tensor, threshold: float) -> float:
    """Give the share of pairs decided rightly, in [0, 1], when those at most ``threshold`` apart are accepted.

    Raises:
        ReplearnError: for malformed input or a threshold that is not a number.
    """
    distances, same = _check_pairs(distances, same, both=False)
    if threshold != threshold:
        raise ReplearnError("threshold: expected a number, got NaN")
    return ((distances <= threshold) == same).double().mean().item()


def _check_pairs(distances: Tensor, same: Tensor, *, both: bool) -> tuple[Tensor, Tensor]:
    """Give the pairs as float64 and bool on the CPU, after checks."""
    check_tensors(distances=distances, same=same)
    if distances.ndim != 1 or not distances.numel() or not distances.is_floating_point():
        raise ReplearnError(
            f"distances: expected floating shape (N,), at least one, got {distances.dtype} {tuple(distances.shape)}"
        )
    if not distances.isfinite().all():
        raise ReplearnError("distances: expected finite values, got NaN or infinity")
    if same.shape != distances.shape:
        raise ReplearnError(f"same: expected shape {tuple(distances.shape)} as distances, got {tuple(same.shape)}")
    if not ((same == 0) | (same == 1)).all():
        raise ReplearnError("same: expected bool or 0 and 1, got other values")
    same = same.detach().cpu().bool()
    if both and (same.all() or not same.any()):
        kind = "same" if same.all() else "different"
        raise ReplearnError(f"same: expected same and different pairs, got only {kind}")
    return distances.detach().cpu().double(), same


def _accepted(distances: Tensor, same: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Thresholds ascending from minus infinity, and how many same and different pairs each accepts, float64."""
    thresholds, index = distances.unique(return_inverse=True)
    counts = torch.zeros(2, len(thresholds) + 1, dtype=torch.float64)
    counts.index_put_((same.logical_not().long(), index + 1), torch.ones_like(distances), accumulate=True)
    accepted_same, accepted_different = counts.cumsum(dim=1)
    return torch.cat([thresholds.new_tensor([-torch.inf]), thresholds]), accepted_same, accepted_different
