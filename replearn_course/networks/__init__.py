"""Encoders, from images to embeddings, and the heads that stand on them."""

from replearn_course.networks.encoders import ENCODERS, ConvNet, Encoder, SmallCNN, count_parameters, encoder
from replearn_course.networks.heads import PairHead

__all__ = ["ENCODERS", "ConvNet", "Encoder", "PairHead", "SmallCNN", "count_parameters", "encoder"]
