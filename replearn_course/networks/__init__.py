"""Encoders, from images to embeddings, and the heads that stand on them."""

from replearn_course.networks.encoders import ConvNet, Encoder, SmallCNN, count_parameters
from replearn_course.networks.heads import PairHead

__all__ = ["ConvNet", "Encoder", "PairHead", "SmallCNN", "count_parameters"]
