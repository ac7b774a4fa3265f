"""Images as uint8 tensors on the device, views of them and the batches that methods train on; and texts."""

from replearn_course.data.batches import PairBatches, PKBatches, TripletBatches, ViewBatches
from replearn_course.data.datasets import DATASETS, load
from replearn_course.data.folders import images_from
from replearn_course.data.images import ImageSet, Splits, to_float
from replearn_course.data.samplers import pk_batches, random_pairs, random_triplets
from replearn_course.data.texts import TextData, evaluation_file, text_from
from replearn_course.data.views import (
    PRESETS,
    ColourJitter,
    Compose,
    GaussianBlur,
    Grey,
    HorizontalFlip,
    RandomAffine,
    RandomCrop,
    RandomResizedCrop,
    Sobel,
    Solarize,
    Transform,
    draw_views,
    preset,
    without,
)

__all__ = [
    "DATASETS",
    "PRESETS",
    "ColourJitter",
    "Compose",
    "GaussianBlur",
    "Grey",
    "HorizontalFlip",
    "ImageSet",
    "PKBatches",
    "PairBatches",
    "RandomAffine",
    "RandomCrop",
    "RandomResizedCrop",
    "Sobel",
    "Solarize",
    "Splits",
    "TextData",
    "Transform",
    "TripletBatches",
    "ViewBatches",
    "draw_views",
    "evaluation_file",
    "images_from",
    "load",
    "pk_batches",
    "preset",
    "random_pairs",
    "random_triplets",
    "text_from",
    "to_float",
    "without",
]
