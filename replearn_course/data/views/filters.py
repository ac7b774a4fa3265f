"""Filters: Gaussian blur and Sobel's edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from replearn_course.data.views.base import Sometimes, beside, check_range, uniform
from replearn_course.errors import ReplearnError

__all__ = ["GaussianBlur", "Sobel"]


@dataclass(frozen=True)
class GaussianBlur(Sometimes):
    r"""Blur each image, with probability ``p``, by a Gaussian whose width is drawn.

    The weight of a pixel at distance t on each axis is proportional to :math:`\exp(-t^2 / 2\sigma^2)` for
    :math:`|t| \le` ``radius``, with σ uniform in ``sigma``; the image is mirrored at its edges. As torchvision's
    ``GaussianBlur`` with a kernel of 2 radius + 1.

    Attributes:
        radius: pixels on each side of the middle of the kernel.
        sigma: the least and the largest standard deviation, in pixels.
        p: the probability, for each image by itself.

    Raises:
        ReplearnError: for an image whose sides are not larger than ``radius``: it could not be mirrored.
    """

    name: ClassVar[str] = "blur"
    radius: int = 1
    sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.radius >= 1:
            raise ReplearnError(f"radius: expected 1 or more pixels, got {self.radius}")
        check_range("sigma", self.sigma, 0, float("inf"))

    def change(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Sometimes`."""
        height, width = images.shape[2:]
        if self.radius >= min(height, width):
            raise ReplearnError(f"images: expected sides above the blur's radius {self.radius}, got {height} x {width}")
        sigma = uniform(len(images), *self.sigma, generator)[:, None]
        taps = torch.arange(-self.radius, self.radius + 1)
        weights = beside(images, torch.softmax(-(taps**2) / (2 * sigma**2), dim=1))
        return _along(_along(images, weights, 2), weights, 3).clamp_(0, 1)


@dataclass(frozen=True)
class Sobel(Sometimes):
    r"""Replace each image, with probability ``p``, by the strength of its edges, channel by channel.

    :math:`\sqrt{g_x^2 + g_y^2}` with Sobel's two 3 × 3 filters divided by 8, the sum of their absolute values, and the edge
    pixels repeated outside the image: 0 where the image is flat, at most :math:`\sqrt{20} / 8 = 0.56`.
    """

    name: ClassVar[str] = "sobel"

    def change(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Sometimes`."""
        padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
        rows = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
        columns = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
        return torch.hypot(rows[..., 2:] - rows[..., :-2], columns[:, :, 2:] - columns[:, :, :-2]).div_(8)


def _along(images: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Each image filtered along an axis by its own ``weights`` ``(N, 2 r + 1)``, mirrored at the edges."""
    radius, side = weights.shape[1] // 2, images.shape[axis]
    padded = F.pad(images, (0, 0, radius, radius) if axis == 2 else (radius, radius, 0, 0), mode="reflect")
    result = torch.zeros_like(images)
    for k, weight in enumerate(weights[:, :, None, None, None].unbind(1)):
        result.addcmul_(padded.narrow(axis, k, side), weight)
    return result
