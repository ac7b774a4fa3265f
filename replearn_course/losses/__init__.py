"""Losses on embeddings: pure functions first, and thin modules that only hold their coefficients."""

from replearn_course.losses.contrastive import FORMS, ContrastiveLoss, contrastive_loss
from replearn_course.losses.distances import METRICS, paired_distances, pairwise_distances
from replearn_course.losses.triplet import (
    MINERS,
    InBatchTripletLoss,
    TripletLoss,
    TripletMarginLoss,
    batch_all,
    batch_hard,
    easy,
    semi_hard,
    triplet_margin_loss,
)

__all__ = [
    "FORMS",
    "METRICS",
    "MINERS",
    "ContrastiveLoss",
    "InBatchTripletLoss",
    "TripletLoss",
    "TripletMarginLoss",
    "batch_all",
    "batch_hard",
    "contrastive_loss",
    "easy",
    "paired_distances",
    "pairwise_distances",
    "semi_hard",
    "triplet_margin_loss",
]
