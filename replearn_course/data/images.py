"""Labelled sets of images, whole, on one device."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
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

    def resized(self, size: int) -> ImageSet:
        """The images brought to ``size × size`` pixels, each the mean over its area; the name says so.

        Raises:
            ReplearnError: for a size below 1.
        """
        if size < 1:
            raise ReplearnError(f"size: expected 1 or more pixels, got {size}")
        resize = lambda part: F.interpolate(part.float(), (size, size), mode="area").round_().byte()  # noqa: E731
        images = torch.cat([resize(part) for part in self.images.split(1024)])
        return replace(self, name=f"{self.name} at {size} × {size}", images=images)

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
        rest, cut = self._split(n, seed)
        return self.subset(rest), self.subset(cut)

    def per_class(self, n: int, seed: int = 0) -> ImageSet:
        """``n`` images of each class, at random but always the same for one seed, those of a smaller ``n`` among them.

        Raises:
            ReplearnError: when ``n`` is below 1, or a class has fewer.
        """
        if n < 1:
            raise ReplearnError(f"n: expected 1 or more images a class, got {n}")
        count = self.labels.cpu().bincount()
        if (few := (count > 0) & (count < n)).any():
            worst = int(count.where(few, n).argmin())
            raise ReplearnError(
                f"n: expected {n} images of each class, but class {self.classes[worst]} has {count[worst]}"
            )
        return self.subset(self._drawn(torch.full_like(count, n), seed))

    def fraction(self, share: float, seed: int = 0) -> ImageSet:
        """A share of each class, to the nearest image, at random but always the same for one seed.

        What a smaller share holds is in a larger one too: the 1 % of the labels are among the 10 %.

        Raises:
            ReplearnError: when ``share`` is not in (0, 1], or so small that it leaves a class without images.
        """
        if not 0 < share <= 1:
            raise ReplearnError(f"share: expected a fraction above 0, up to 1, got {share}")
        count = self.labels.cpu().bincount()
        drawn = (share * count.double() + 0.5).long()
        if (empty := (count > 0) & (drawn == 0)).any():
            worst = int(count.where(empty, len(self)).argmin())
            least = _round_up(0.5 / int(count[worst]))
            raise ReplearnError(
                f"share: {share:g} leaves class {self.classes[worst]} of {count[worst]} images without any; "
                f"the least that leaves each class one is {least:g}"
            )
        return self.subset(self._drawn(drawn, seed))

    def _by_class(self, seed: int) -> Tensor:
        """All indices ``(N,)``, class after class, at random within each."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return order[self.labels.cpu()[order].argsort(stable=True)]

    def _split(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """The indices of what ``split`` leaves and cuts off."""
        if not 0 < n < len(self):
            raise ReplearnError(f"n: expected between 1 and {len(self) - 1}, got {n}")
        # Every N/n-th image in class order: each class gives its share, and the number is exactly n.
        cut = torch.zeros(len(self), dtype=torch.bool)
        cut[self._by_class(seed)[(torch.arange(n) + 0.5).mul(len(self) / n).long()]] = True
        return (~cut).nonzero()[:, 0], cut.nonzero()[:, 0]

    def _drawn(self, numbers: Tensor, seed: int) -> Tensor:
        """The indices of the first ``numbers[c]`` images of each class c in ``_by_class``, in the order of the data."""
        order = self._by_class(seed)
        labels = self.labels.cpu()[order]
        count = labels.bincount()
        rank = torch.arange(len(self)) - (count.cumsum(0) - count)[labels]  # within its class
        return order[rank < numbers[labels]].sort().values


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets: train on the first, choose on the second, report on the third, once.

    ``train`` and ``validation`` share the memory of ``published``, which holds both, for the last training once all is chosen.

    Attributes:
        published: the published training images, the validation set last.
        test: the published test set.
        n_validation: the size of the validation set.
    """

    published: ImageSet
    test: ImageSet
    n_validation: int

    @classmethod
    def of(cls, published: ImageSet, test: ImageSet) -> Splits:
        """A tenth of the published training images becomes the validation set, the same for every seed."""
        train, validation = published._split(len(published) // 10, seed=0)
        return cls(published.subset(torch.cat([train, validation])), test, len(validation))

    @cached_property
    def train(self) -> ImageSet:
        """What is trained on."""
        return self._part(slice(None, -self.n_validation))

    @cached_property
    def validation(self) -> ImageSet:
        """What hyper-parameters are chosen on."""
        return self._part(slice(-self.n_validation, None))

    @property
    def name(self) -> str:
        """What a table calls the data."""
        return self.published.name

    @property
    def labelled(self) -> bool:
        """Whether there are classes to tell apart, two at least."""
        return len(self.published.classes) > 1

    def to(self, device: str) -> Splits:
        """The same splits on another device."""
        return replace(self, published=self.published.to(device), test=self.test.to(device))

    def resized(self, size: int) -> Splits:
        """The same splits of images brought to ``size × size`` pixels."""
        return replace(self, published=self.published.resized(size), test=self.test.resized(size))

    def _part(self, part: slice) -> ImageSet:
        return replace(self.published, images=self.published.images[part], labels=self.published.labels[part])


def _round_up(x: float) -> float:
    """To three significant digits."""
    unit = 10 ** (math.floor(math.log10(x)) - 2)
    return round(math.ceil(x / unit) * unit, 12)
