"""Losses on embeddings: pure functions first, and thin modules that only hold their coefficients."""

from replearn_course.losses.barlow_twins import BarlowTwinsLoss, BarlowTwinsTerms, barlow_twins
from replearn_course.losses.coding_rate import EMPSSLLoss, EMPSSLTerms, emp_ssl, total_coding_rate
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
from replearn_course.losses.wmse import WMSELoss, WMSETerms, w_mse, whiten

__all__ = [
    "FORMS",
    "METRICS",
    "MINERS",
    "VARIANTS",
    "BarlowTwinsLoss",
    "BarlowTwinsTerms",
    "ContrastiveLoss",
    "EMPSSLLoss",
    "EMPSSLTerms",
    "InBatchTripletLoss",
    "InfoNCELoss",
    "InfoNCETerms",
    "NTXentLoss",
    "TripletLoss",
    "TripletMarginLoss",
    "VICRegLoss",
    "VICRegTerms",
    "WMSELoss",
    "WMSETerms",
    "barlow_twins",
    "batch_all",
    "batch_hard",
    "check_views",
    "contrastive_loss",
    "covariance_floor",
    "easy",
    "emp_ssl",
    "info_nce",
    "nt_xent",
    "paired_distances",
    "pairwise_distances",
    "semi_hard",
    "total_coding_rate",
    "triplet_margin_loss",
    "vicreg",
    "w_mse",
    "whiten",
]
