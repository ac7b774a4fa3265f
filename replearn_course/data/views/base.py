"""What a transform is, how one is made with probability p, and how several follow one another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import ClassVar

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError

__all__ = ["Compose", "Sometimes", "Transform", "beside", "check_range", "draw_views", "uniform"]


class Transform(ABC):
    """A random change of a batch of images, an independent draw for each image.

    Attributes:
        name: what :func:`~replearn_course.data.views.without` calls it.
    """

    name: ClassVar[str]

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one view of each image; ``images`` stay as they are.

        Args:
            images: ``(N, C, H, W)`` float32 or float64 in [0, 1].
            generator: of the CPU, so that the draws are the same on every device.

        Returns:
            ``(N, C, h, w)`` in [0, 1], the dtype and device of ``images``; where nothing changed it may be ``images``.

        Raises:
            ReplearnError: for a wrong shape or dtype.
        """
        if images.ndim != 4 or images.dtype not in (torch.float32, torch.float64):  # half precision has too few places
            got = f"{tuple(images.shape)} of {images.dtype}"
            raise ReplearnError(f"images: expected (N, C, H, W) in float32 or float64, got {got}")
        return self.view(images, generator)

    @abstractmethod
    def view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """What :class:`Transform` returns, for images that were checked."""


@dataclass(frozen=True)
class Sometimes(Transform):
    """A transform that keeps the shape, and changes each image with probability ``p``, leaving the others alone.

    Attributes:
        p: the probability, for each image by itself; with 1 it is not drawn.
    """

    p: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ReplearnError(f"p: expected a probability in [0, 1], got {self.p}")

    def view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Transform`; only the images that were drawn are worked on."""
        if self.p == 1:
            return self.change(images, generator)
        drawn = (torch.rand(len(images), generator=generator) < self.p).nonzero()[:, 0]
        if not len(drawn):
            return images
        drawn = drawn.to(images.device, non_blocking=True)
        return images.index_copy(0, drawn, self.change(images[drawn], generator))

    @abstractmethod
    def change(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Every image changed, in a new tensor of the same shape."""


@dataclass(frozen=True)
class Compose(Transform):
    """One transform after another.

    Attributes:
        steps: the transforms, first to last; none leaves the images as they are.
    """

    name: ClassVar[str] = "compose"
    steps: tuple[Transform, ...]

    def view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Transform`."""
        for step in self.steps:
            images = step(images, generator)
        return images


def draw_views(images: Tensor, views: Sequence[Transform], generator: torch.Generator) -> tuple[Tensor, ...]:
    """Draw one view of each image by each transform.

    Args:
        images: ``(N, C, H, W)`` float in [0, 1].
        views: V transforms, such as a :func:`~replearn_course.data.views.preset`.
        generator: of the CPU.

    Returns:
        V tensors ``(N, C, h, w)``; row i of each is a view of image i.
    """
    drawn: list[Tensor] = []
    for view, equal in groupby(views):  # equal transforms draw independently all the same: one call for all of them
        times = len(list(equal))
        drawn += view(images.expand(times, *images.shape).flatten(0, 1), generator).chunk(times)
    return tuple(drawn)


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """``(n,)`` numbers, uniform in [low, high)."""
    return torch.rand(n, generator=generator).mul_(high - low).add_(low)


def beside(images: Tensor, draws: Tensor) -> Tensor:
    """The draws on the device and in the dtype of the images; the host does not wait for the device."""
    return draws.to(images.device, images.dtype, non_blocking=True)


def check_range(name: str, bounds: tuple[float, float], least: float, most: float) -> None:
    """Check that ``bounds`` is a pair with least < low <= high <= most.

    Raises:
        ReplearnError: naming the argument.
    """
    if len(bounds) != 2 or not least < bounds[0] <= bounds[1] <= most:
        raise ReplearnError(f"{name}: expected (low, high) with {least} < low <= high <= {most}, got {bounds}")
