"""Views: random changes of a whole batch of images at once, on the device, an independent draw for each image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from replearn_course.errors import ReplearnError

__all__ = ["RandomAffine"]


@dataclass(frozen=True)
class RandomAffine:
    """Rotate, scale, stretch, shear and shift each image at random, around its centre, with bilinear interpolation.

    Attributes:
        degrees: rotation, uniform in [-degrees, degrees].
        scale: the logarithm of the size is uniform in ±log(1 + scale), each axis by itself within a third of that.
        shear: uniform in [-shear, shear], as a slope.
        shift: uniform in ±shift on each axis, a fraction of the image's side.

    Deviation from torchvision's ``RandomAffine``: the scale is drawn on a logarithmic axis, so that halving and doubling are
    equally likely, and all images of the batch are drawn and sampled together. What comes from outside the image is 0.
    """

    degrees: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    shift: float = 0.07

    def __post_init__(self) -> None:
        for name in ("degrees", "scale", "shear", "shift"):
            if not getattr(self, name) >= 0:
                raise ReplearnError(f"{name}: expected 0 or more, got {getattr(self, name)}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Draw one view of each image.

        Args:
            images: ``(N, C, H, W)`` float.
            generator: of the CPU, so that the draws are the same on every device.

        Returns:
            ``(N, C, H, W)``, the dtype and device of ``images``.

        Raises:
            ReplearnError: for a wrong shape or dtype.
        """
        if images.ndim != 4 or not images.is_floating_point():
            shape = tuple(images.shape)
            raise ReplearnError(f"images: expected (N, C, H, W) of a floating dtype, got {shape} of {images.dtype}")
        theta = self._matrices(len(images), generator)
        height, width = images.shape[2:]
        theta[:, 0, 1] *= height / width  # the sides span [-1, 1] whatever their length: an angle needs one unit
        theta[:, 1, 0] *= width / height
        theta = theta.to(images.device, images.dtype)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

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
