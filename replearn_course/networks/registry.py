"""Encoders by name, as the command line and the experiments ask for them."""

from __future__ import annotations

from collections.abc import Callable

from replearn_course.errors import unknown_name
from replearn_course.networks.d1 import N1, N2
from replearn_course.networks.encoders import ConvNet, Encoder
from replearn_course.networks.imagenet import EfficientNetLite0
from replearn_course.networks.patches import PatchNet
from replearn_course.networks.resnets import ResNet18, ResNet50

__all__ = ["ENCODERS", "encoder"]

# From the channels of the images and their side in pixels.
ENCODERS: dict[str, Callable[[int, int], Encoder]] = {
    "conv-net": lambda channels, size: ConvNet(128, channels=channels),
    "patch-net": lambda channels, size: PatchNet(channels=channels),
    "patch-net-joined": lambda channels, size: PatchNet(channels=channels, joined=2),
    "n1": lambda channels, size: N1(channels=channels),
    "n2": lambda channels, size: N2(channels=channels),
    "n2-imagenet": lambda channels, size: N2(channels=channels, imagenet=True),
    "efficientnet-lite0-imagenet": lambda channels, size: EfficientNetLite0(channels=channels),
    "resnet18": lambda channels, size: ResNet18(channels=channels, small_images=size <= 64),
    "resnet50": lambda channels, size: ResNet50(channels=channels, small_images=size <= 64),
}


def encoder(name: str, image_channels: int = 3, image_size: int = 32) -> Encoder:
    """A new encoder.

    Args:
        name: one of ``ENCODERS``.
        image_channels: 3 for colour, 1 for grey.
        image_size: in pixels; up to 64 the residual networks take their form for small images.

    Raises:
        ReplearnError: for a name that does not exist.
    """
    if name not in ENCODERS:
        raise unknown_name("encoder", name, ENCODERS)
    return ENCODERS[name](image_channels, image_size)
