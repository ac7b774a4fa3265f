"""Parts of an image: cut out and resized, or at their own size; and mirrored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from replearn_course.data.views.base import Sometimes, Transform, beside, check_range, uniform
from replearn_course.errors import ReplearnError

__all__ = ["HorizontalFlip", "RandomCrop", "RandomResizedCrop"]

TRIES = 10


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    r"""Cut a box out of each image and resize it to ``size × size``, bilinearly.

    With area fraction :math:`a` uniform in ``area`` and :math:`\log r` uniform in the logarithms of ``ratio``, the box of an
    image H × W has width :math:`\sqrt{a r H W}` and height :math:`\sqrt{a H W / r}`, rounded to whole pixels, and a place
    uniform among those where it fits. A box that is larger than the image is drawn again, area and ratio, up to ten times;
    then the largest centred box within ``ratio`` is taken. All this is as in torchvision's ``RandomResizedCrop``, and so
    large areas come out rarer than uniform: their long boxes do not fit.

    Each row and each column of a view is a weighted mean of rows and columns of the image, so that the resizing is two
    batched matrix products. The weights are torchvision's with ``antialias=True``: only what is in the box counts, and where
    the box is larger than ``size`` the mean spans all pixels that fall on one.

    Attributes:
        size: side of the view, in pixels.
        area: the least and the largest fraction of the image's area.
        ratio: the least and the largest width / height.

    Source: torchvision's documentation,
    https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.RandomResizedCrop.html; the crop goes back to
    Szegedy et al., "Going deeper with convolutions", https://arxiv.org/abs/1409.4842, section 6.
    """

    name: ClassVar[str] = "crop"
    size: int
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        _check_size(self.size)
        check_range("area", self.area, 0, 1)
        check_range("ratio", self.ratio, 0, math.inf)

    def view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Transform`."""
        n, channels, height, width = images.shape
        top, left, box_height, box_width = beside(images, self._boxes(n, height, width, generator)).unbind(1)
        rows = _weights(top, box_height, height, self.size)
        columns = _weights(left, box_width, width, self.size)
        # Rows of all channels at once: (n, C H, W) @ (n, W, size).
        narrow = torch.bmm(images.reshape(n, channels * height, width), columns.mT).view(n, channels, height, self.size)
        return (rows[:, None] @ narrow).clamp_(0, 1)  # rounding passes 1 by an ulp

    def _boxes(self, n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
        """``(n, 4)`` top, left, height and width of the boxes, in whole pixels."""
        area = uniform(n * TRIES, *self.area, generator) * (height * width)
        log_ratio = uniform(n * TRIES, math.log(self.ratio[0]), math.log(self.ratio[1]), generator)
        half = (log_ratio / 2).exp()  # the square root of the ratio
        sides = torch.stack([area.sqrt() / half, area.sqrt() * half], dim=1).round_().view(n, TRIES, 2)
        image = torch.tensor([height, width])
        fits = ((sides >= 1) & (sides <= image)).all(dim=2)
        first = fits.int().argmax(dim=1)  # the first that fits
        sides = sides[torch.arange(n), first]
        low, high = self.ratio
        largest = torch.tensor([min(height, round(width / low)), min(width, round(height * high))])
        sides = torch.where(fits.any(dim=1, keepdim=True), sides, largest)
        room = image - sides
        place = (torch.rand(n, 2, generator=generator) * (room + 1)).floor_()
        place = torch.where(fits.any(dim=1, keepdim=True), place, (room / 2).floor())
        return torch.cat([place, sides], dim=1)


def _weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """``(n, size, side)`` weights that resize the pixels ``start`` to ``start + length``, ``(n,)`` each, of a side to ``size``.

    A triangle over the middle of each new pixel, as wide as one pixel or, where the box shrinks, as one new pixel.
    """
    pixels = torch.arange(side, device=start.device, dtype=start.dtype) + 0.5
    steps = torch.arange(size, device=start.device, dtype=start.dtype) + 0.5
    scale = (length / size)[:, None, None]
    start, end = start[:, None, None], (start + length)[:, None, None]
    distance = (start + steps[:, None] * scale).sub(pixels).abs_()  # (n, size, side)
    weights = distance.div_(scale.clamp(min=1)).neg_().add_(1).clamp_(min=0)
    weights *= (pixels > start) & (pixels < end)
    return weights.div_(weights.sum(dim=2, keepdim=True))


@dataclass(frozen=True)
class RandomCrop(Transform):
    """Cut a square out of each image at a uniform place and keep its pixels as they are.

    Attributes:
        size: side of the square, in pixels; half the side of an image makes a patch of a quarter of its area.

    Raises:
        ReplearnError: for an image smaller than the square.
    """

    name: ClassVar[str] = "crop"
    size: int

    def __post_init__(self) -> None:
        _check_size(self.size)

    def view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Transform`."""
        n, _, height, width = images.shape
        if self.size > min(height, width):
            raise ReplearnError(f"images: expected sides of {self.size} or more to crop from, got {height} x {width}")
        room = torch.tensor([height, width]) - self.size
        place = (torch.rand(n, 2, generator=generator) * (room + 1)).long().to(images.device, non_blocking=True)
        patches = images.unfold(2, self.size, 1).unfold(3, self.size, 1)  # every patch there is, without a copy
        return patches[torch.arange(n, device=images.device), :, place[:, 0], place[:, 1]]


@dataclass(frozen=True)
class HorizontalFlip(Sometimes):
    """Mirror each image, left to right, with probability ``p``."""

    name: ClassVar[str] = "flip"

    def change(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Sometimes`."""
        return images.flip(-1)


def _check_size(size: int) -> None:
    if not size >= 1:
        raise ReplearnError(f"size: expected 1 or more pixels, got {size}")
