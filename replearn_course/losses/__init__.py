"""Losses on embeddings: pure functions first, and thin modules that only hold their coefficients."""

from replearn_course.losses.barlow_twins import BarlowTwinsLoss, BarlowTwinsTerms, barlow_twins
from replearn_course.losses.contrastive import FORMS, ContrastiveLoss, contrastive_loss
from replearn_course.losses.distances import METRICS, paired_distances, pairwise_distances
from replearn_course.losses.info_nce import InfoNCELoss, InfoNCETerms, NTXentLoss, info_nce, nt_xent
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
from replearn_course.losses.vicreg import VARIANTS, VICRegLoss, VICRegTerms, covariance_floor, vicreg
from replearn_course.losses.views import check_views

__all__ = [
    "FORMS",
    "METRICS",
    "MINERS",
    "VARIANTS",
    "BarlowTwinsLoss",
    "BarlowTwinsTerms",
    "ContrastiveLoss",
    "InBatchTripletLoss",
    "InfoNCELoss",
    "InfoNCETerms",
    "NTXentLoss",
    "TripletLoss",
    "TripletMarginLoss",
    "VICRegLoss",
    "VICRegTerms",
    "barlow_twins",
    "batch_all",
    "batch_hard",
    "check_views",
    "contrastive_loss",
    "covariance_floor",
    "easy",
    "info_nce",
    "nt_xent",
    "paired_distances",
    "pairwise_distances",
    "semi_hard",
    "triplet_margin_loss",
    "vicreg",
]
