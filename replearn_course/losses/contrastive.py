"""Contrastive loss on pairs: pull pairs of one class together, push others apart up to a margin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from replearn_course.errors import ReplearnError, check_not_negative, check_tensors, unknown_name
from replearn_course.losses.distances import paired_distances

__all__ = ["FORMS", "ContrastiveLoss", "contrastive_loss"]

FORMS = ("hadsell", "d3")


def contrastive_loss(x1: Tensor, x2: Tensor, same: Tensor, margin: float = 1.0, form: str = "hadsell") -> Tensor:
    r"""Mean contrastive loss over pairs, with the Euclidean distance :math:`d = \|x_1 - x_2\|` and :math:`s` = same.

    ``form="hadsell"``, with the paper's factor 1/2 (its :math:`Y` is :math:`1 - s`):

    .. math:: \tfrac12 \left[ s\, d^2 + (1 - s) \max(0, m - d)^2 \right]

    ``form="d3"``, the form of document D3, without a factor:

    .. math:: s\, d^2 + (1 - s) \max(0, m - d^2)

    The document prints :math:`(1 - z) d^2 + z \max(0, \tau - d^2)` and says that :math:`z = 1` marks a positive pair.
    Two slips. The roles are reversed: with its own :math:`z` positive pairs would be pushed apart; here pairs of one
    class are pulled together, as its text wants. And the distance is squared inside the hinge, where Hadsell et al.
    square the hinge itself; this is kept, being what makes it another loss:

    * the margin is then a bound on :math:`d^2`: pairs are pushed apart up to :math:`d = \sqrt m`, not :math:`d = m`;
    * a negative pair is pushed by :math:`2 d`, which vanishes as :math:`d \to 0`, so the worst negatives, those that
      coincide, are pushed least, and a collapsed network hardly gets out of its collapse. Hadsell's push is
      :math:`m - d`, greatest there. (At :math:`d = 0` exactly there is no direction to push in, and both give 0.)

    Source: Hadsell, Chopra, LeCun, Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, equation 4,
    https://doi.org/10.1109/CVPR.2006.100.

    Args:
        x1: embeddings ``(N, d)``, the first of each pair.
        x2: embeddings ``(N, d)``, the second of each pair.
        same: ``(N,)``, True or 1 where both are of one class, False or 0 elsewhere.
        margin: the distance (``d3``: squared distance) from which negatives are left alone; at least 0.
        form: one of :data:`FORMS`.

    Returns:
        A scalar.

    Raises:
        ReplearnError: for a wrong shape, dtype or device, NaN or infinity, a margin below 0 or an unknown form.
    """
    check_not_negative(margin=margin)
    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    if form == "d3":
        squared = paired_distances(x1, x2, "squared")
        hinge = (margin - squared).relu()
        return torch.where(_as_bool(same, squared), squared, hinge).mean()
    distance = paired_distances(x1, x2)
    return torch.where(_as_bool(same, distance), distance, (margin - distance).relu()).square().mean() / 2


class ContrastiveLoss(nn.Module):
    """:func:`contrastive_loss` with its coefficients held."""

    def __init__(self, margin: float = 1.0, form: str = "hadsell") -> None:
        super().__init__()
        check_not_negative(margin=margin)
        if form not in FORMS:
            raise unknown_name("form", form, FORMS)
        self.margin = margin
        self.form = form

    def forward(self, x1: Tensor, x2: Tensor, same: Tensor) -> Tensor:
        """Return the mean loss of the pairs."""
        return contrastive_loss(x1, x2, same, self.margin, self.form)

    def extra_repr(self) -> str:
        """Return the coefficients, for ``repr``."""
        return f"margin={self.margin}, form={self.form!r}"


def _as_bool(same: Tensor, distances: Tensor) -> Tensor:
    check_tensors(same=same)
    if same.shape != distances.shape:
        raise ReplearnError(f"same: expected shape {tuple(distances.shape)}, one a pair, got {tuple(same.shape)}")
    if same.device != distances.device:
        raise ReplearnError(f"same: expected on {distances.device} as the embeddings, got {same.device}")
    if not ((same == 0) | (same == 1)).all():
        raise ReplearnError("same: expected only True and False, or 1 and 0, got other values")
    return same.bool()
