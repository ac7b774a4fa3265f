"""MNIST, and the digits that stand in for it."""

from __future__ import annotations

import gzip
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from replearn_course.data.dataset import Dataset
from replearn_course.data.download import download
from replearn_course.data.images import ImageSet, Splits
from replearn_course.files import atomic_write

__all__ = ["MNIST"]

DIGITS = tuple("0123456789")


def _fetch_file(folder: Path, file: str) -> Path:
    from torchvision.datasets import MNIST as Published

    packed = folder / f"{file}.gz"
    download(Published.mirrors[0] + packed.name, packed, md5=dict(Published.resources)[packed.name])
    atomic_write(folder / file, gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return folder / file


def _read(folder: Path) -> Splits:
    from torchvision.datasets import MNIST as Published

    def part(train: bool) -> ImageSet:
        raw = Published(folder, train=train)
        return ImageSet("MNIST", raw.data[:, None], raw.targets, DIGITS)

    return Splits.of(part(True), part(False))


def _digits() -> Splits:
    """scikit-learn's 1,797 digits of 8×8, drawn large enough for MNIST's networks: 24×24 with a border, 28×28."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = torch.tensor(raw.images, dtype=torch.float32)[:, None] * (255 / 16)
    images = F.pad(F.interpolate(images, size=24, mode="bilinear", align_corners=False), (2, 2, 2, 2))
    name = "scikit-learn digits (stand-in for MNIST)"
    labels: Tensor = torch.tensor(raw.target, dtype=torch.int64)
    return Splits.of(*ImageSet(name, images.round().to(torch.uint8), labels, DIGITS).split(450))


MNIST = Dataset(
    name="mnist",
    title="MNIST (LeCun, Cortes, Burges)",
    files={
        "MNIST/raw/train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "MNIST/raw/train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "MNIST/raw/t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "MNIST/raw/t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    size="12 MB",
    read=_read,
    stand_in=_digits,
    fetch_file=_fetch_file,
)
