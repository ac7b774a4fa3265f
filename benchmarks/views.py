"""Two SimCLR views of each image: a batch at once against torchvision in a DataLoader and against kornia."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import Side, interleaved, row
from replearn_course.data import draw_views, preset, to_float

IMAGES, BATCH, PATCH_VIEWS, PATCH_BATCH = 2048, 256, 16, 64


class PerImage(Dataset):
    """What most training scripts do: each image through PIL and torchvision's transforms, twice."""

    def __init__(self, images: Tensor) -> None:
        from torchvision import transforms

        self.images = images
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomResizedCrop(images.shape[-1]),
                transforms.RandomHorizontalFlip(),
                transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                transforms.RandomGrayscale(0.2),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.transform(self.images[index]), self.transform(self.images[index])


def pictures(n: int, side: int) -> Tensor:
    return torch.randint(256, (n, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def ours(images: Tensor, batch: int, name: str, n_views: int = 2) -> Side:
    """Draw the views of all images, returning their number."""
    views, generator = preset(name, images.shape[-1], n_views), torch.Generator().manual_seed(0)
    return lambda: sum(
        len(view) for part in images.split(batch) for view in draw_views(to_float(part), views, generator)
    )


def in_a_loader(images: Tensor, workers: int) -> Side:
    loader = DataLoader(
        PerImage(images), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda: sum(len(view) for views in loader for view in views)


def by_kornia(images: Tensor, batch: int, name: str, n_views: int = 2) -> Side:
    import kornia.augmentation as K

    side = images.shape[-1]
    crop = K.RandomCrop((side // 2, side // 2)) if name == "patches" else K.RandomResizedCrop((side, side))
    transform = nn.Sequential(
        crop, K.RandomHorizontalFlip(p=0.5), K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), K.RandomGrayscale(p=0.2)
    )
    return lambda: sum(len(transform(to_float(part).repeat(n_views, 1, 1, 1))) for part in images.split(batch))


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """Time all views of the images, each side in turns (the workers start before the clock)."""
    n, rounds = (IMAGES // 4, 3) if quick else (IMAGES, 5)
    torchvision, kornia = (f"{name} {version(name)}" for name in ("torchvision", "kornia"))

    def timed(name: str, peer_name: str, us: Side, peer: Side, views: int) -> dict[str, Any]:
        if not us() == peer() == views:  # also the warm-up
            raise AssertionError("both sides must make each view once")
        return row(name, peer_name, *interleaved(us, peer, rounds))

    for side in (32, 64):
        images = pictures(n, side)
        us = ours(images, BATCH, "simclr")
        name = f"views of SimCLR, {2 * n} of {side} x {side}"
        for workers in (0, 2):
            peer = in_a_loader(images, workers)
            yield timed(f"{name}, {workers} workers", f"DataLoader, {torchvision} transforms", us, peer, 2 * n)
        yield timed(f"{name}, in batches", f"{kornia}, in batches", us, by_kornia(images, BATCH, "simclr"), 2 * n)
    images = pictures(n // 2, 32)
    arguments = images, PATCH_BATCH, "patches", PATCH_VIEWS
    count = len(images) * PATCH_VIEWS
    name = f"patches of 16 x 16, {count}, {PATCH_VIEWS} an image"
    yield timed(name, f"{kornia}, in batches", ours(*arguments), by_kornia(*arguments), count)
