"""Changes of colour: jitter of brightness, contrast, saturation and hue; grey; solarisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from replearn_course.data.views.base import Sometimes, beside, uniform
from replearn_course.errors import ReplearnError

__all__ = ["ColourJitter", "Grey", "Solarize"]


@dataclass(frozen=True)
class ColourJitter(Sometimes):
    r"""Change brightness, contrast, saturation and hue of each image, in an order that is drawn for each image too.

    The first three blend the image x with a reference y, :math:`f x + (1 - f) y` clamped to [0, 1], with the factor f
    uniform in [max(0, 1 - s), 1 + s] for the strength s: brightness blends with black, contrast with the mean grey of the
    image, saturation with the grey of each pixel. Hue turns by h, uniform in ±hue, as a part of the circle, in the hexagon of
    HSV: the largest and the smallest channel of a pixel keep their values. An image of one channel has no saturation and no
    hue.

    Attributes:
        brightness: its strength, 0 or more.
        contrast: its strength, 0 or more.
        saturation: its strength, 0 or more.
        hue: 0 to 0.5.
        p: the probability, for each image by itself.

    The definitions are those of torchvision's ``ColorJitter``,
    https://docs.pytorch.org/vision/stable/generated/torchvision.transforms.v2.ColorJitter.html.
    """

    name: ClassVar[str] = "colour"
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("brightness", "contrast", "saturation"):
            if not getattr(self, name) >= 0:
                raise ReplearnError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if not 0 <= self.hue <= 0.5:
            raise ReplearnError(f"hue: expected 0 to 0.5, a part of the circle, got {self.hue}")

    def change(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Sometimes`."""
        _check_channels(images)
        images = images.clone()
        factors, kinds, turns, turn_at = self._draw(len(images), generator)
        factors, turns = beside(images, factors), beside(images, turns)
        towards = beside(images, torch.eye(3)[kinds, 1:])  # (n, 3, 2): black is where both are 0
        for step in range(4):
            if self.hue and images.shape[1] > 1:
                here = (turn_at == step).nonzero()[:, 0].to(images.device, non_blocking=True)
                images[here] = turn_hue(images[here], turns[here])
            if step < 3:
                _blend_(images, factors[:, step], *towards[:, step].unbind(1))
        return images

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Factors ``(n, 3)`` in the order of their use, which they are ``(n, 3)``, turns ``(n,)`` and their step ``(n,)``.

        A blend is 0 for brightness, 1 for contrast and 2 for saturation; the turn of the hue comes before blend 0 to 2, or
        after all (3).
        """
        strengths = (self.brightness, self.contrast, self.saturation)
        factors = torch.stack([uniform(n, max(0.0, 1 - s), 1 + s, generator) for s in strengths], dim=1)
        kinds = torch.rand(n, 3, generator=generator).argsort(dim=1)
        turns = uniform(n, -self.hue, self.hue, generator)
        return factors.gather(1, kinds), kinds, turns, torch.randint(4, (n,), generator=generator)


@dataclass(frozen=True)
class Grey(Sometimes):
    """Replace each image, with probability ``p``, by its grey 0.2989 R + 0.587 G + 0.114 B in every channel.

    An image of one channel stays as it is. The weights are torchvision's (ITU-R BT.601).
    """

    name: ClassVar[str] = "grey"

    def change(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Sometimes`."""
        return grey(images).repeat(1, images.shape[1], 1, 1)


@dataclass(frozen=True)
class Solarize(Sometimes):
    """Invert, with probability ``p``, the pixels of each image that reach a threshold: x becomes 1 - x where x >= threshold.

    Attributes:
        threshold: in [0, 1].
        p: the probability, for each image by itself.
    """

    name: ClassVar[str] = "solarize"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold <= 1:
            raise ReplearnError(f"threshold: expected 0 to 1, got {self.threshold}")

    def change(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See :class:`Sometimes`."""
        return torch.where(images >= self.threshold, 1 - images, images)


def grey(images: Tensor) -> Tensor:
    """The grey of each pixel, ``(N, 1, H, W)``, of images ``(N, 3, H, W)`` or ``(N, 1, H, W)``.

    Raises:
        ReplearnError: for another number of channels.
    """
    _check_channels(images)
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def _check_channels(images: Tensor) -> None:
    if images.shape[1] not in (1, 3):
        raise ReplearnError(f"images: expected 1 or 3 channels to change colours, got {images.shape[1]}")


def turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    r"""Turn the hue of images ``(N, 3, H, W)`` by ``turns`` ``(N,)``, parts of the circle, exactly in the hexagon of HSV.

    With largest channel M, smallest m and hue h in [0, 6), red is :math:`m + (M - m)\,\mathrm{clamp}(|h - 3| - 1, 0, 1)`,
    green and blue :math:`m + (M - m)\,\mathrm{clamp}(2 - |h - k|, 0, 1)` with k = 2 and 4.
    """
    red, green, blue = images.split(1, dim=1)
    smallest, largest = (
        images.amin(dim=1, keepdim=True),
        images.amax(dim=1, keepdim=True),
    )  # aminmax takes 5 times as long
    span = largest - smallest
    hue = torch.where(
        red == largest,
        green - blue,
        torch.where(green == largest, (blue - red).add_(span, alpha=2), (red - green).add_(span, alpha=4)),
    )
    hue.div_(span.clamp(min=1e-12)).add_(turns[:, None, None, None], alpha=6).remainder_(6)  # 0 for a grey pixel
    centre, sign, top = images.new_tensor([[3, 2, 4], [1, -1, -1], [-1, 2, 2]])[:, :, None, None].unbind(0)
    ramp = torch.addcmul(top, (hue - centre).abs_(), sign).clamp_(0, 1)  # (N, 3, H, W)
    return torch.addcmul(smallest, ramp, span)


def _blend_(images: Tensor, factors: Tensor, mean: Tensor, own: Tensor) -> None:
    """Blend each image in place with ``mean`` times its mean grey plus ``own`` times the grey of each pixel, all ``(N,)``."""
    factors, mean, own = (x[:, None, None, None] for x in (factors, mean, own))
    greys = grey(images)
    reference = greys.mul(own).add_(greys.mean(dim=(2, 3), keepdim=True).mul_(mean)).mul_(1 - factors)
    images.mul_(factors).add_(reference).clamp_(0, 1)
