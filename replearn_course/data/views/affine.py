"""Affine maps: turn, scale, stretch, shear and shift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from replearn_course.data.views.base import Sometimes, beside
from replearn_course.errors import ReplearnError

__all__ = ["RandomAffine"]


@dataclass(frozen=True)
class RandomAffine(Sometimes):
    """Rotate, scale, stretch, shear and shift each image at random, around its centre, with bilinear interpolation.

    Attributes:
        degrees: rotation, uniform in [-degrees, degrees].
        scale: the logarithm of the size is uniform in ±log(1 + scale), each axis by itself within a third of that.
        shear: uniform in [-shear, shear], as a slope.
        shift: uniform in ±shift on each axis, a fraction of the image's side.
        p: the probability, for each image by itself.

    Deviation from torchvision's ``RandomAffine``: the scale is drawn on a logarithmic axis, so that halving and doubling are
    equally likely, and all images of the batch are drawn and sampled together. What comes from outside the image is 0.
    """

    name: ClassVar[str] = "affine"
    degrees: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    shift: float = 0.07

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("degrees", "scale", "shear", "shift"):
            if not getattr(self, name) >= 0:
                raise ReplearnError(f"{name}: expected 0 or more, got {getattr(self, name)}")

    def change(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Sometimes`."""
        theta = self._matrices(len(images), generator)
        height, width = images.shape[2:]
        theta[:, 0, 1] *= height / width  # the sides span [-1, 1] whatever their length: an angle needs one unit
        theta[:, 1, 0] *= width / height
        grid = F.affine_grid(beside(images, theta), list(images.shape), align_corners=False)
        moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return moved.clamp_(0, 1)  # rounding passes 1 by an ulp

    def _matrices(self, n: int, generator: torch.Generator) -> Tensor:
        """The inverse maps ``(n, 2, 3)``, from a place in the view to a place in the image; the image spans [-1, 1]."""
        u = torch.rand(n, 7, generator=generator) * 2 - 1  # (n, 7) in [-1, 1]
        angle = u[:, 0] * math.radians(self.degrees)
        size = math.log1p(self.scale)
        sx = torch.exp(-size * (u[:, 1] + u[:, 2] / 3))
        sy = torch.exp(-size * (u[:, 1] + u[:, 3] / 3))
        slope = u[:, 4] * self.shear
        cos, sin = angle.cos(), angle.sin()
        theta = torch.empty(n, 2, 3)
        theta[:, 0, 0], theta[:, 0, 1] = cos * sx, (cos * slope - sin) * sy
        theta[:, 1, 0], theta[:, 1, 1] = sin * sx, (sin * slope + cos) * sy
        theta[:, :, 2] = u[:, 5:7] * 2 * self.shift
        return theta
