"""Encoders, from images to embeddings, and the projectors and heads that stand on them."""

from replearn_course.networks.d1 import N1, N2
from replearn_course.networks.encoders import (
    ConvNet,
    Encoder,
    Joined,
    Representation,
    Resized,
    SmallCNN,
    count_parameters,
)
from replearn_course.networks.heads import PairHead
from replearn_course.networks.imagenet import EfficientNetLite0
from replearn_course.networks.kmeans import KMeansFeatures
from replearn_course.networks.patches import PatchAverage, PatchNet, whitening_filters
from replearn_course.networks.principal import Pixels, PrincipalComponents
from replearn_course.networks.projectors import PROJECTORS, named_projector, projector
from replearn_course.networks.registry import ENCODERS, encoder
from replearn_course.networks.resnets import ResNet18, ResNet50

__all__ = [
    "ENCODERS",
    "N1",
    "N2",
    "PROJECTORS",
    "ConvNet",
    "EfficientNetLite0",
    "Encoder",
    "Joined",
    "KMeansFeatures",
    "PairHead",
    "PatchAverage",
    "PatchNet",
    "Pixels",
    "PrincipalComponents",
    "Representation",
    "ResNet18",
    "ResNet50",
    "Resized",
    "SmallCNN",
    "count_parameters",
    "encoder",
    "named_projector",
    "projector",
    "whitening_filters",
]
