"""Tiny ImageNet, whole or in part, decoded once; and the drawn textures that stand in for it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from replearn_course.data.dataset import Dataset
from replearn_course.data.download import download
from replearn_course.data.folders import read_images
from replearn_course.data.images import ImageSet, Splits
from replearn_course.data.textures import drawn_textures
from replearn_course.errors import ReplearnError
from replearn_course.files import read_text, save_weights, weights_metadata

__all__ = ["PUBLISHED_PER_CLASS", "TINY_IMAGENET"]

FOLDER = "tiny-imagenet-200"
ARCHIVE = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ARCHIVE_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
SIZE = 64
CLASSES = 200
PUBLISHED_PER_CLASS = 500  # images to train on; a copy may have fewer
TEST_PER_CLASS = 50


class _Copy:
    """Which files a folder has, and of which class; only the lists are opened.

    The labels of the test images were never published: the validation images are the test set.

    Attributes:
        classes: the name of each class, in the order of their numbers in WordNet.
        train: the training images of each class.
        test: those of the test set.

    Raises:
        ReplearnError: when a list, a class or an image of the test set is absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        numbers = sorted({number for (number,) in self._rows("wnids.txt", 1)})
        if len(numbers) != CLASSES:
            raise ReplearnError(f"wnids.txt: expected {CLASSES} classes, got {len(numbers)}")
        words = {number: names.split(",")[0] for number, names in self._rows("words.txt", 2)}
        self.classes = tuple(words.get(number, number) for number in numbers)
        self.train = [self._images(f"train/{number}/images") for number in numbers]
        of = {file: number for file, number in self._rows("val/val_annotations.txt", 2)}
        by_class: dict[str, list[str]] = {number: [] for number in numbers}
        for file in self._images("val/images"):
            by_class.get(of.get(file.rpartition("/")[2], ""), []).append(file)
        self.test = list(by_class.values())
        if {len(files) for files in self.test} != {TEST_PER_CLASS}:
            raise ReplearnError(
                f"val: expected {TEST_PER_CLASS} images of each class in val_annotations.txt and images"
            )

    @property
    def state(self) -> str:
        """``"ok"`` with all published training images, else how many there are."""
        least, most = min(map(len, self.train)), max(map(len, self.train))
        if least == PUBLISHED_PER_CLASS:
            return "ok"
        return f"{least if least == most else f'{least} to {most}'} of {PUBLISHED_PER_CLASS} images a class"

    @property
    def listing(self) -> str:
        """A checksum of the names of all files."""
        names = [file for files in (*self.train, *self.test) for file in files]
        return hashlib.md5("\n".join(names).encode()).hexdigest()

    def decode(self) -> dict[str, Tensor]:
        """All images and labels of both parts."""
        tensors: dict[str, Tensor] = {}
        for part, by_class in (("train", self.train), ("test", self.test)):
            paths = [self.folder / file for files in by_class for file in files]
            images, _, broken = read_images(paths, SIZE)
            for path, reason in broken.items():
                raise ReplearnError(f"{path} cannot be read ({reason}): delete {self.folder} and copy or fetch it anew")
            count = torch.tensor([len(files) for files in by_class])
            tensors |= {f"{part}_images": images, f"{part}_labels": torch.arange(CLASSES).repeat_interleave(count)}
        return tensors

    def _rows(self, file: str, columns: int) -> list[list[str]]:
        """The first columns of a list."""
        if not (self.folder / file).is_file():
            raise ReplearnError(f"{file} is not there")
        rows = [line.split("\t")[:columns] for line in read_text(self.folder / file).splitlines()]
        if any(len(row) < columns for row in rows):
            raise ReplearnError(f"{file}: expected {columns} columns with tabs between them")
        return rows

    def _images(self, folder: str) -> list[str]:
        try:
            files = sorted(entry.name for entry in os.scandir(self.folder / folder) if entry.name.endswith(".JPEG"))
        except FileNotFoundError:
            files = []
        if not files:
            raise ReplearnError(f"no image is in {folder}")
        return [f"{folder}/{file}" for file in files]


def _read(folder: Path) -> Splits:
    """From the decoded images that are kept beside the folder, or decoded and kept.

    What is kept counts as long as the names of the files are the same.
    """
    from safetensors.torch import load_file

    copy = _Copy(folder / FOLDER)
    decoded = folder / f"{FOLDER}.safetensors"
    tensors: dict[str, Tensor] = {}
    with contextlib.suppress(ReplearnError):  # absent or damaged: it is made anew
        if weights_metadata(decoded).get("listing") == copy.listing:
            tensors = load_file(decoded)  # mapped, not copied: it may be 1.4 GB
    if not tensors:
        tensors = copy.decode()
        with contextlib.suppress(ReplearnError):  # a folder that cannot be written costs the decoding each time
            save_weights(decoded, tensors, {"listing": copy.listing})
    name = "Tiny ImageNet" if copy.state == "ok" else f"Tiny ImageNet, {copy.state}"
    train, test = (
        ImageSet(name, tensors[f"{part}_images"], tensors[f"{part}_labels"], copy.classes) for part in ("train", "test")
    )
    return Splits.of(train, test)


def _fetch(folder: Path, part: str) -> Path:
    packed = download(ARCHIVE, folder / f"{FOLDER}.zip", md5=ARCHIVE_MD5)
    print(f"unpacking {packed.name}")
    try:
        with zipfile.ZipFile(packed) as archive, tempfile.TemporaryDirectory(prefix=f".{FOLDER}-", dir=folder) as apart:
            wanted = [name for name in archive.namelist() if not name.startswith(f"{FOLDER}/test/")]
            archive.extractall(apart, wanted)
            (Path(apart) / FOLDER).rename(folder / FOLDER)
    except OSError as error:
        raise ReplearnError(f"cannot unpack {packed}: {error.strerror or error}") from error
    packed.unlink()
    return folder / part


TINY_IMAGENET = Dataset(
    name="tiny-imagenet",
    title="Tiny ImageNet (Stanford CS231n)",
    files={},
    folders={FOLDER: lambda folder: _Copy(folder).state},
    size="248 MB",
    read=_read,
    stand_in=partial(drawn_textures, "Tiny ImageNet", size=SIZE, fine=True),
    fetch_file=_fetch,
)
