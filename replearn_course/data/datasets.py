"""Real datasets by name, found or fetched, and what stands in for them at the smoke scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, overload

from replearn_course.data.cifar import CIFAR10
from replearn_course.data.dataset import Dataset
from replearn_course.data.images import Splits
from replearn_course.data.mnist import MNIST
from replearn_course.data.texts import TEXTS, WORD_EVALUATION, TextData
from replearn_course.data.tiny_imagenet import TINY_IMAGENET
from replearn_course.errors import unknown_name

__all__ = ["DATASETS", "fetch", "find", "load", "verify"]

_ALL: tuple[Dataset[Any], ...] = (MNIST, CIFAR10, TINY_IMAGENET, *TEXTS.values(), WORD_EVALUATION)
DATASETS = {dataset.name: dataset for dataset in _ALL}


def find(name: str) -> Dataset[Any]:
    """The dataset of this name.

    Raises:
        ReplearnError: when there is none, naming the nearest.
    """
    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    return DATASETS[name]


@overload
def load(
    name: Literal["mnist", "cifar10", "tiny-imagenet"], scale: str | None = None, *, download: bool = True
) -> Splits: ...
@overload
def load(name: Literal["text8", "wiki2015"], scale: str | None = None, *, download: bool = True) -> TextData: ...
@overload
def load(name: str, scale: str | None = None, *, download: bool = True) -> Any: ...
def load(name: str, scale: str | None = None, *, download: bool = True) -> Any:
    """Load a dataset by name: images as :class:`Splits`, texts as :class:`TextData`.

    Args:
        name: a key of :data:`DATASETS`.
        scale: at ``smoke`` something small that needs no network stands in, and the name of the data says so.
        download: fetch what is absent.

    Raises:
        ReplearnError: for an unknown name, damaged files, or an absent set that could not be fetched.
    """
    return find(name).load(scale, download=download)


def fetch(name: str) -> Path:
    """Fetch a dataset unless it is there already, and return its folder; raises as :func:`load`."""
    return find(name).fetch()


def verify(name: str) -> dict[str, str]:
    """The state of each file and folder of a dataset, as :meth:`Dataset.verify` gives it."""
    return find(name).verify()
