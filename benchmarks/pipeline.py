"""Augmented batches from one uint8 tensor on the device against a DataLoader with a transform for each image."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import Side, interleaved, row
from replearn_course.data import ImageSet, PKBatches, RandomAffine

IMAGES, P, K = 10_000, 10, 25


class PerImage(Dataset):
    """What most training scripts do: an image at a time through PIL and torchvision's transforms."""

    def __init__(self, data: ImageSet, views: RandomAffine) -> None:
        from torchvision import transforms

        self.data = data
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomAffine(
                    views.degrees,
                    translate=(views.shift, views.shift),
                    scale=(1 / (1 + views.scale), 1 + views.scale),
                    shear=views.shear * 57.3,  # degrees
                    interpolation=transforms.InterpolationMode.BILINEAR,
                ),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.data.images[index]), int(self.data.labels[index])


def sides(images: int, workers: int) -> tuple[Side, Side]:
    """Make an epoch of batches of P K images, each side returning the number of images."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, 1, 28, 28), dtype=torch.uint8, generator=generator)
    data = ImageSet("noise of MNIST's size", pixels, torch.arange(images) % P, tuple(map(str, range(P))))
    views = RandomAffine()
    batches = PKBatches(data, P, K, views=views)
    loader = DataLoader(
        PerImage(data, views), batch_size=P * K, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )

    def ours() -> int:
        return sum(len(batch) for batch, _ in batches.epoch(0))

    def peer() -> int:
        return sum(len(batch) for batch, _ in loader)

    return ours, peer


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """Time an epoch, the peer in the training process and in two workers (started before the clock)."""
    images = IMAGES // 10 if quick else IMAGES
    for workers in (0, 2):
        ours, peer = sides(images, workers)
        if not ours() == peer() == images:  # also the warm-up
            raise AssertionError("both sides must deliver each image once")
        name = f"augmented batches, {images} images of 28 x 28, {workers} workers"
        peer_name = f"DataLoader, torchvision {version('torchvision')} transforms"
        yield row(name, peer_name, *interleaved(ours, peer, rounds=3 if quick else 5))
