"""Drawn textures: colour images that need no network, whose class is the texture and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from replearn_course.data.images import ImageSet, Splits

__all__ = ["drawn_textures"]

Pattern = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def drawn_textures(original: str, *, size: int = 32, train: int = 1500, test: int = 500, fine: bool = False) -> Splits:
    """Textures in place of a set of photographs, the same ones each time.

    An image mixes a random colour and a lighter one by a pattern such as cos u · cos v, where (u, v) are its pixels turned a
    little, shifted and magnified at random; then come a random shade and noise. No colour tells the class and a pixel tells little:
    of 10 classes a linear classifier of pixels finds 45 %, a small convolutional network 87 % after ten epochs.

    Args:
        original: the set that they stand in for.
        size: of a side, in pixels.
        train: images published for training, a tenth of which is the validation set.
        test: images for testing.
        fine: draw each texture in two sizes, coarse and fine, as classes of their own: 20 classes instead of 10.
    """
    generator = torch.Generator().manual_seed(0)
    n = train + test

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *(shape or (1, 1)), generator=generator)

    classes = [f"{word}{name}" for word in (("coarse ", "fine ") if fine else ("",)) for name in PATTERNS]
    labels = torch.arange(n) % len(classes)
    period = size / uniform(2.5, 4)  # in pixels
    if fine:
        period = torch.where((labels < len(PATTERNS))[:, None, None], period, period / 2)
    place = (torch.arange(size) - (size - 1) / 2) * (2 * math.pi)
    x, y, angle = place.view(1, 1, -1) / period, place.view(1, -1, 1) / period, uniform(-0.3, 0.3)
    u = x * angle.cos() + y * angle.sin() + uniform(-2, 2)  # (n, size, size), in radians
    v = y * angle.cos() - x * angle.sin() + uniform(-2, 2)

    heights = torch.empty(n, size, size)
    for kind, draw in enumerate(PATTERNS.values()):
        mine = labels % len(PATTERNS) == kind
        heights[mine] = draw(u[mine], v[mine], generator)
    mixture = torch.sigmoid(heights * uniform(3, 9))[:, None]  # (n, 1, size, size) in [0, 1], edges soft or hard
    first = uniform(0, 0.6, 3, 1, 1)
    second = first + uniform(0, 0.7, 3, 1, 1)  # lighter
    shade = 1 + uniform(-0.3, 0.3, 1, 1, 1) * torch.linspace(-1, 1, size)
    noise = 0.1 * torch.randn(n, 3, size, size, generator=generator)
    colours = torch.lerp(first, second, mixture) * shade + noise
    images = (colours.clamp(0, 1) * 255).round().to(torch.uint8)

    name = f"drawn textures (stand-in for {original})"
    whole = ImageSet(name, images, labels, tuple(classes))
    return Splits.of(whole.subset(torch.arange(train)), whole.subset(torch.arange(train, n)))


# What is above 0 is in the second colour --------------------------------------------------------------------------------


def _worms(u: Tensor, v: Tensor, generator: torch.Generator) -> Tensor:
    """A sum of waves of one length in random directions."""
    waves = 8
    shape = (waves, len(u), 1, 1)
    way, phase = (2 * math.pi * torch.rand(shape, generator=generator) for _ in range(2))
    return torch.cos(u * way.cos() + v * way.sin() + phase).sum(dim=0) / math.sqrt(waves)


PATTERNS: dict[str, Pattern] = {
    "stripes": lambda u, v, _: u.cos(),
    "diagonals": lambda u, v, _: ((u + v) / math.sqrt(2)).cos(),
    "checks": lambda u, v, _: u.cos() * v.cos(),
    "dots": lambda u, v, _: u.cos() + v.cos() - 0.6,
    "lattice": lambda u, v, _: torch.maximum(u.cos(), v.cos()) - 0.7,
    "bricks": lambda u, v, _: torch.maximum(v.cos(), (u / 2 + math.pi / 2 * (v.sin().sign())).cos()) - 0.7,
    "rings": lambda u, v, _: torch.hypot(u, v).cos(),
    "spirals": lambda u, v, _: (torch.hypot(u, v) + 3 * torch.atan2(v, u)).cos(),
    "waves": lambda u, v, _: (v + 2 * (u / 2).sin()).cos(),
    "worms": _worms,
}
