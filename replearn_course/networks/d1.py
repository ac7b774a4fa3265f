"""The two encoders of document D1, rebuilt from their numbers of parameters."""

from __future__ import annotations

from torch import nn

from replearn_course.networks.encoders import Encoder
from replearn_course.networks.resnets import resnet

__all__ = ["N1", "N2"]


class N1(Encoder):
    """Five 3×3 convolutions without batch norm, 32-64-64-128-192 channels, the mean over places, a linear layer: d = 256.

    With a linear head of 10 classes 403,530 parameters, as document D1 has it (section 5.1, "five convolutional layers",
    embeddings of 256). Its figure did not survive: the widths are such as give this number, and the rest is our choice: ReLU, 2×2
    max-pooling after the first, the second and the fourth convolution. So an image of 32×32 costs 16.3 million
    multiply-adds. The maximum is taken before the ReLU: the two commute, and the ReLU then has a quarter of the work.

    Args:
        channels: of the images, of any size from 8×8.
    """

    def __init__(self, *, channels: int = 3) -> None:
        trunk = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),  # (N, 32, H, W)
            nn.MaxPool2d(2),  # (N, 32, H/2, W/2)
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),  # (N, 64, H/2, W/2)
            nn.MaxPool2d(2),  # (N, 64, H/4, W/4)
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1),  # (N, 64, H/4, W/4)
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, padding=1),  # (N, 128, H/4, W/4)
            nn.MaxPool2d(2),  # (N, 128, H/8, W/8)
            nn.ReLU(),
            nn.Conv2d(128, 192, 3, padding=1),  # (N, 192, H/8, W/8)
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # (N, 192)
        )
        super().__init__(trunk, (channels,), 192, 256, centre=True, least=8)


class N2(Encoder):
    """ResNet-18 with a first convolution of 3×3 with bias, the mean over places as the embedding: d = 512.

    With a linear head of 1000 classes 11,681,896 parameters, as document D1 has it (section 5.1): torchvision's ResNet-18 has
    7,616 more, and this first convolution is what accounts for them; the max-pooling after it is in D1's text. D1 says nothing
    of stride and padding: we have 1 and 1, so that an image of 32×32 is 16×16 in the first stage.

    Args:
        channels: of the images.
        imagenet: begin with torchvision's ImageNet weights in all layers but the first convolution, which D1 does not say; a
            suspect of chapter 11.
    """

    def __init__(self, *, channels: int = 3, imagenet: bool = False) -> None:
        super().__init__(
            resnet("resnet18", nn.Conv2d(channels, 64, 3, padding=1), max_pool=True, imagenet=imagenet),
            (channels,),
            512,
            None,
            centre=True,
        )
