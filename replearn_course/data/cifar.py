"""CIFAR-10, and the drawn textures that stand in for it."""

from __future__ import annotations

import tarfile
from functools import partial
from pathlib import Path

import torch

from replearn_course.data.dataset import Dataset
from replearn_course.data.download import download
from replearn_course.data.images import ImageSet, Splits
from replearn_course.data.textures import drawn_textures
from replearn_course.files import atomic_write

__all__ = ["CIFAR10"]


def _fetch_file(folder: Path, file: str) -> Path:
    """All files come in one archive, whichever is asked for."""
    from torchvision.datasets import CIFAR10 as Published

    packed = download(Published.url, folder / Published.filename, md5=Published.tgz_md5)
    with tarfile.open(packed) as archive:
        for name in CIFAR10.files:
            content = archive.extractfile(name)
            assert content is not None  # the archive is the published one, and these are files of it
            atomic_write(folder / name, content.read())
    packed.unlink()
    return folder / file


def _read(folder: Path) -> Splits:
    from torchvision.datasets import CIFAR10 as Published

    def part(train: bool) -> ImageSet:
        raw = Published(folder, train=train)
        images = torch.from_numpy(raw.data).permute(0, 3, 1, 2)
        return ImageSet("CIFAR-10", images, torch.tensor(raw.targets), tuple(raw.classes))

    return Splits.of(part(True), part(False))


CIFAR10 = Dataset(
    name="cifar10",
    title="CIFAR-10 (Krizhevsky)",
    files={
        "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
        "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
        "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
        "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
    size="170 MB",
    read=_read,
    stand_in=partial(drawn_textures, "CIFAR-10"),
    fetch_file=_fetch_file,
)
