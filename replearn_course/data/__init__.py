"""Datasets as uint8 tensors on the device, views of them, and the batches that methods train on."""

from replearn_course.data.batches import PairBatches, PKBatches, TripletBatches
from replearn_course.data.datasets import DATASETS, Splits, load
from replearn_course.data.images import ImageSet, to_float
from replearn_course.data.samplers import pk_batches, random_pairs, random_triplets
from replearn_course.data.views import RandomAffine

__all__ = [
    "DATASETS",
    "ImageSet",
    "PKBatches",
    "PairBatches",
    "RandomAffine",
    "Splits",
    "TripletBatches",
    "load",
    "pk_batches",
    "random_pairs",
    "random_triplets",
    "to_float",
]
