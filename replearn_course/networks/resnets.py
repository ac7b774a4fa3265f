"""Residual networks as encoders, built by torchvision: ``trunk`` has its names, so that its weights fit."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from replearn_course.errors import ReplearnError
from replearn_course.networks.encoders import Encoder

__all__ = ["ResNet18", "ResNet50", "resnet"]


class ResNet18(Encoder):
    """ResNet-18, the mean over places as the embedding: d = 512.

    Args:
        channels: of the images.
        small_images: the form for images of 32 or 64 pixels, in which the first convolution is 3×3 with stride 1 and no
            max-pooling follows: 11,168,832 parameters. Else the form for 224 pixels, 7×7 with stride 2 and max-pooling:
            11,176,512.

    Source: He et al. 2015, "Deep Residual Learning for Image Recognition", table 1, https://arxiv.org/abs/1512.03385. The small
    form is that of Chen et al. 2020 (SimCLR), appendix B.9, https://arxiv.org/abs/2002.05709; for CIFAR-10 the paper on ResNets
    has other, thinner networks.
    """

    def __init__(self, *, channels: int = 3, small_images: bool = True) -> None:
        trunk = resnet("resnet18", _first(channels, small_images), max_pool=not small_images)
        super().__init__(trunk, (channels,), 512, None, centre=True)


class ResNet50(Encoder):
    """ResNet-50, the mean over places as the embedding: d = 2048; otherwise as :class:`ResNet18`.

    23,500,352 parameters in the form for small images, 23,508,032 in the other. In the first block of a stage torchvision has
    the stride in the 3×3 convolution, the paper in the 1×1 before it.
    """

    def __init__(self, *, channels: int = 3, small_images: bool = True) -> None:
        trunk = resnet("resnet50", _first(channels, small_images), max_pool=not small_images)
        super().__init__(trunk, (channels,), 2048, None, centre=True)


def resnet(name: str, first: nn.Conv2d, max_pool: bool, imagenet: bool = False) -> nn.Module:
    """Make torchvision's network of this name with another beginning and no classifier.

    Args:
        name: such as ``"resnet18"``.
        first: the first convolution, to 64 channels; its weights are drawn anew, as torchvision draws those of the others.
        max_pool: keep the max-pooling that follows it.
        imagenet: torchvision's weights from supervised training on ImageNet for all that follows; fetched the first time and
            kept by torch. Else random weights.

    Raises:
        ReplearnError: when they cannot be fetched.
    """
    from torchvision import models

    network = models.get_model(name, weights=None)
    if imagenet:
        weights = models.get_model_weights(name)["IMAGENET1K_V1"]
        try:
            network.load_state_dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
        except OSError as error:
            cache = Path(torch.hub.get_dir(), "checkpoints", weights.url.rsplit("/", 1)[-1])
            raise ReplearnError(f"cannot fetch {weights.url}: {error}; fetch it by hand to {cache}") from error
    nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
    network.conv1, network.fc = first, nn.Identity()
    if not max_pool:
        network.maxpool = nn.Identity()
    return network


def _first(channels: int, small_images: bool) -> nn.Conv2d:
    size, stride = (3, 1) if small_images else (7, 2)
    return nn.Conv2d(channels, 64, size, stride=stride, padding=size // 2, bias=False)
