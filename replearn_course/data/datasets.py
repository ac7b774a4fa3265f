"""Real datasets by name, found or fetched, and what stands in for them at the smoke scale."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from replearn_course.data.images import ImageSet
from replearn_course.errors import ReplearnError, unknown_name
from replearn_course.scale import choose_scale, data_folder

__all__ = ["DATASETS", "Dataset", "Splits", "fetch", "load", "verify"]


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets: train on the first, choose on the second, report on the third, once.

    ``validation`` is a tenth of the published training images, the same for every seed; ``test`` is the published test set.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet

    @property
    def name(self) -> str:
        """What a table calls the data."""
        return self.train.name

    def to(self, device: str) -> Splits:
        """The same splits on another device."""
        return Splits(self.train.to(device), self.validation.to(device), self.test.to(device))


@dataclass(frozen=True)
class Dataset:
    """A dataset that the package can find, fetch, check and load.

    Attributes:
        title: its full name.
        read: reads training and test set from a folder; fetches them first if told to.
        stand_in: what ships with the package's dependencies and takes its place at the smoke scale.
        files: the md5 of each file below the data folder.
        size: of the download.
    """

    title: str
    read: Callable[[Path, bool], tuple[ImageSet, ImageSet]]
    stand_in: Callable[[], tuple[ImageSet, ImageSet]]
    files: dict[str, str]
    size: str


def load(name: str, scale: str | None = None, *, download: bool = True) -> Splits:
    """Load a dataset by name.

    Args:
        name: a key of :data:`DATASETS`.
        scale: at ``smoke`` what ships with the package's dependencies stands in, and the name of the splits says so.
        download: fetch what is absent.

    Raises:
        ReplearnError: for an unknown name, damaged files, or an absent set that could not be fetched.
    """
    dataset = _dataset(name)
    if choose_scale(scale) == "smoke":
        train, test = dataset.stand_in()
    else:
        train, test = _read(dataset, download)
    train, validation = train.split(len(train) // 10)
    return Splits(train, validation, test)


def fetch(name: str) -> Path:
    """Fetch a dataset unless it is there already, and return its folder."""
    _read(_dataset(name), download=True)
    return data_folder()


def verify(name: str) -> dict[str, str]:
    """Compare each file with its published checksum.

    Returns:
        ``"ok"``, ``"missing"`` or ``"damaged"`` for each file.
    """
    state = {}
    for file, md5 in _dataset(name).files.items():
        path = data_folder() / file
        if not path.is_file():
            state[file] = "missing"
        else:
            state[file] = "ok" if hashlib.md5(path.read_bytes()).hexdigest() == md5 else "damaged"
    return state


def _dataset(name: str) -> Dataset:
    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    return DATASETS[name]


def _read(dataset: Dataset, download: bool) -> tuple[ImageSet, ImageSet]:
    """Read a dataset, and turn whatever goes wrong into one message with the ways on."""
    folder = data_folder()
    present = [folder / file for file in dataset.files if (folder / file).is_file()]
    if len(present) < len(dataset.files) and not download:
        raise ReplearnError(_absent(dataset, folder, "it is not there"))
    try:
        return dataset.read(folder, download)
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors, torchvision's RuntimeErrors
        if len(present) < len(dataset.files):
            raise ReplearnError(_absent(dataset, folder, f"fetching failed: {error}")) from error
        raise ReplearnError(_damaged(dataset, folder, error)) from error
    except (AssertionError, ValueError, KeyError, EOFError) as error:
        raise ReplearnError(_damaged(dataset, folder, error)) from error


def _absent(dataset: Dataset, folder: Path, why: str) -> str:
    return (
        f"{dataset.title} was looked for in {folder} and {why}.\n"
        f"Three ways on: with a network, `replearn data fetch` ({dataset.size}); without, copy its files there or set "
        f"REPLEARN_DATA to the folder that holds {next(iter(dataset.files)).split('/')[0]}/; or add `--scale smoke`."
    )


def _damaged(dataset: Dataset, folder: Path, error: Exception) -> str:
    return (
        f"{dataset.title} in {folder} cannot be read ({str(error) or type(error).__name__}): a file is truncated or damaged. "
        f"`replearn data verify` names it; delete it, then `replearn data fetch`."
    )


# MNIST ----------------------------------------------------------------------------------------------------------------

MNIST_SIZES = (60_000, 10_000)  # of training and test set


def _read_mnist(folder: Path, download: bool) -> tuple[ImageSet, ImageSet]:
    from torchvision.datasets import MNIST

    def part(train: bool) -> ImageSet:
        raw = MNIST(folder, train=train, download=download)
        wanted = MNIST_SIZES[not train]
        if tuple(raw.data.shape) != (wanted, 28, 28) or tuple(raw.targets.shape) != (wanted,):
            raise ValueError(f"{len(raw.targets)} labels and images {tuple(raw.data.shape)}, expected {wanted}")
        if raw.targets.max() > 9:
            raise ValueError(f"label {raw.targets.max()}, expected 0 to 9")
        return ImageSet("MNIST", raw.data[:, None], raw.targets, tuple("0123456789"))

    return part(True), part(False)


def _digits() -> tuple[ImageSet, ImageSet]:
    """scikit-learn's 1,797 digits of 8×8, drawn large enough for MNIST's networks: 24×24 with a border, 28×28."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = torch.tensor(raw.images, dtype=torch.float32)[:, None] * (255 / 16)
    images = F.pad(F.interpolate(images, size=24, mode="bilinear", align_corners=False), (2, 2, 2, 2))
    name = "scikit-learn digits (stand-in for MNIST)"
    labels: Tensor = torch.tensor(raw.target, dtype=torch.int64)
    return ImageSet(name, images.round().to(torch.uint8), labels, tuple("0123456789")).split(450)


DATASETS: dict[str, Dataset] = {
    "mnist": Dataset(
        title="MNIST (LeCun, Cortes, Burges)",
        read=_read_mnist,
        stand_in=_digits,
        files={
            "MNIST/raw/train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "MNIST/raw/train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "MNIST/raw/t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "MNIST/raw/t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
        size="12 MB",
    ),
}
