"""Labelled sets of images, whole, on one device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_labels, check_tensors

__all__ = ["ImageSet", "Splits", "to_float"]


def to_float(images: Tensor) -> Tensor:
    """Turn ``uint8`` images in 0..255 into ``float32`` in [0, 1]; shape unchanged."""
    if images.dtype != torch.uint8:
        raise ReplearnError(f"images: expected dtype torch.uint8 (0..255), got {images.dtype}")
    return images.float().div_(255)


@dataclass(frozen=True)
class ImageSet:
    """Images with labels.

    Attributes:
        name: what a table calls the data, such as ``"MNIST"``; a stand-in says so here.
        images: ``(N, C, H, W)`` ``uint8``.
        labels: ``(N,)`` ``int64``.
        classes: the name of each class, by label.

    Raises:
        ReplearnError: when shapes, dtypes or lengths do not fit.
    """

    name: str
    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        check_tensors(images=self.images, labels=self.labels)
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            shape = tuple(self.images.shape)
            raise ReplearnError(f"images: expected (N, C, H, W) of torch.uint8, got {shape} of {self.images.dtype}")
        check_labels(len(self.images), labels=self.labels)
        if len(self) and not (self.labels.min() >= 0 and self.labels.max() < len(self.classes)):
            raise ReplearnError(
                f"labels: expected 0 to {len(self.classes) - 1}, one for each of the classes, got "
                f"{self.labels.min()} to {self.labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: str | torch.device) -> ImageSet:
        """The same images on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def subset(self, indices: Tensor, name: str | None = None) -> ImageSet:
        """The images at ``indices`` ``(M,)``."""
        indices = indices.to(self.images.device)
        return replace(self, name=name or self.name, images=self.images[indices], labels=self.labels[indices])

    def of_classes(self, *labels: int) -> ImageSet:
        """The images whose label is one of ``labels`` (labels keep their numbers)."""
        wanted = torch.isin(self.labels, torch.tensor(labels, device=self.labels.device))
        return self.subset(wanted.nonzero()[:, 0])

    def split(self, n: int, seed: int = 0) -> tuple[ImageSet, ImageSet]:
        """Cut ``n`` images off, the same share of each class, at random but always the same for one seed.

        Returns:
            The rest ``(N - n)`` and the part cut off ``(n)``.

        Raises:
            ReplearnError: when ``n`` is not between 1 and N - 1.
        """
        if not 0 < n < len(self):
            raise ReplearnError(f"n: expected between 1 and {len(self) - 1}, got {n}")
        generator = torch.Generator().manual_seed(seed)
        labels = self.labels.cpu()
        order = torch.randperm(len(self), generator=generator)
        by_class = order[labels[order].argsort(stable=True)]
        # Every N/n-th image in class order: each class gives its share, and the number is exactly n.
        cut = torch.zeros(len(self), dtype=torch.bool)
        cut[by_class[(torch.arange(n) + 0.5).mul(len(self) / n).long()]] = True
        return self.subset((~cut).nonzero()[:, 0]), self.subset(cut.nonzero()[:, 0])


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets: train on the first, choose on the second, report on the third, once.

    ``validation`` is a tenth of the published training images, the same for every seed; ``test`` is the published test set.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet

    @classmethod
    def of(cls, train: ImageSet, test: ImageSet) -> Splits:
        """Cut the validation set off the published training images."""
        train, validation = train.split(len(train) // 10)
        return cls(train, validation, test)

    @property
    def name(self) -> str:
        """What a table calls the data."""
        return self.train.name

    def to(self, device: str) -> Splits:
        """The same splits on another device."""
        return Splits(self.train.to(device), self.validation.to(device), self.test.to(device))
