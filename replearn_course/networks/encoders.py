"""Encoders for small images: ``(N, C, H, W)`` float in, embeddings ``(N, d)`` out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replearn_course.errors import ReplearnError

__all__ = ["ConvNet", "Encoder", "Representation", "Resized", "SmallCNN", "count_parameters"]


class Representation(nn.Module):
    """What maps images ``(N, C, H, W)`` in [0, 1] to their representations ``(N, embedding_size)``."""

    embedding_size: int


class Encoder(Representation):
    """A trunk, a linear layer to the embedding where there is one, and L2 normalisation if wanted.

    Args:
        trunk: from ``(N, C, H, W)`` to ``(N, features)``.
        image_shape: ``(C,)``, or ``(C, H, W)`` where the trunk takes images of one size only.
        features: what the trunk gives.
        embedding_size: d; None for no linear layer: the features are the embedding.
        normalise: put each embedding on the unit sphere, ``z / ‖z‖``.
        centre: give the trunk ``(x − 0.5) / 0.25``, which brings natural images in [0, 1] near mean 0 and deviation 1: on
            CIFAR-10 the means of the three channels become -0.03, -0.07, -0.21 and the deviations 0.99, 0.97, 1.05.
        least: side in pixels of the smallest images that the trunk takes.
    """

    def __init__(
        self,
        trunk: nn.Module,
        image_shape: tuple[int, ...],
        features: int,
        embedding_size: int | None,
        normalise: bool = False,
        centre: bool = False,
        least: int = 1,
    ) -> None:
        super().__init__()
        if embedding_size is not None and embedding_size < 1:
            raise ReplearnError(f"embedding_size: expected 1 or more, got {embedding_size}")
        self.trunk = trunk
        self.to_embedding = nn.Linear(features, embedding_size) if embedding_size else nn.Identity()
        self.embedding_size = embedding_size or features
        self.image_shape, self.normalise, self.centre, self.least = image_shape, normalise, centre, least

    def forward(self, images: Tensor) -> Tensor:
        """Embed images ``(N, C, H, W)`` as ``(N, d)``.

        Raises:
            ReplearnError: for a wrong shape or dtype, or images that are too small.
        """
        if images.ndim != 4 or images.shape[1 : 1 + len(self.image_shape)] != self.image_shape:
            wanted = ", ".join(map(str, ("N", *self.image_shape, "H", "W")[:4]))
            raise ReplearnError(f"images: expected ({wanted}), got {tuple(images.shape)}")
        if min(images.shape[2:]) < self.least:
            raise ReplearnError(f"images: expected sides from {self.least} pixels up, got {tuple(images.shape)}")
        if not images.is_floating_point():
            raise ReplearnError(f"images: expected a floating dtype, got {images.dtype}; to_float makes it of uint8")
        features = self.trunk((images - 0.5) / 0.25 if self.centre else images)  # (N, features)
        # In float32 whatever the precision: bf16 knows 128 places between 1 and 2, too few for points in the plane.
        with torch.autocast(images.device.type, enabled=False):
            z = self.to_embedding(features.to(next(self.parameters()).dtype))  # (N, d)
        return F.normalize(z, dim=1) if self.normalise else z


class Resized(Representation):
    """A representation of images brought to ``size × size`` pixels first, as :class:`RandomResizedCrop` does it.

    Args:
        encoder: of images of that size.
        size: in pixels.
    """

    def __init__(self, encoder: Representation, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ReplearnError(f"size: expected 1 or more pixels, got {size}")
        self.encoder, self.size, self.embedding_size = encoder, size, encoder.embedding_size

    def forward(self, images: Tensor) -> Tensor:
        """Embed images ``(N, C, H, W)`` of any size: bilinear, smoothed where they become smaller."""
        return self.encoder(F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True))


class Joined(Representation):
    """Several representations of an image, one after the other: ``(N, d1 + d2 + ...)``."""

    def __init__(self, *representations: Representation) -> None:
        super().__init__()
        self.representations = nn.ModuleList(representations)
        self.embedding_size = sum(representation.embedding_size for representation in representations)

    def forward(self, images: Tensor) -> Tensor:
        """Embed images by each and join what they give."""
        return torch.cat([representation(images) for representation in self.representations], dim=1)


class SmallCNN(Encoder):
    """Two 3×3 convolutions with max-pooling and one hidden linear layer, without batch norm.

    Document D3 shows its network only as a figure that did not survive: convolutions, unfolded to a vector, brought to the
    embedding size. This is our choice of such a network: 16 and 32 channels, 128 hidden units, ReLU. The maximum is taken
    before the ReLU: the two commute, and the ReLU then has a quarter of the work.
    """

    def __init__(
        self,
        embedding_size: int,
        *,
        channels: int = 1,
        image_size: int = 28,
        hidden: int = 128,
        normalise: bool = False,
    ) -> None:
        if image_size < 4:
            raise ReplearnError(f"image_size: expected 4 or more, got {image_size}")
        side = image_size // 4
        trunk = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),  # (N, 16, H, W)
            nn.MaxPool2d(2),  # (N, 16, H/2, W/2)
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),  # (N, 32, H/2, W/2)
            nn.MaxPool2d(2),  # (N, 32, H/4, W/4)
            nn.ReLU(),
            nn.Flatten(),  # (N, 32 H W / 16)
            nn.Linear(32 * side * side, hidden),  # (N, hidden)
            nn.ReLU(),
        )
        super().__init__(trunk, (channels, image_size, image_size), hidden, embedding_size, normalise)


class ConvNet(Encoder):
    """Five convolutions with batch norm: ``w`` 5×5 at half the size already, ``2w, 2w``, at a quarter ``4w, 4w``, the mean.

    The encoder of the improved recipe: stronger than :class:`SmallCNN`, because batch norm allows larger learning rates and the
    mean over places allows small shifts. The first convolution has stride 2: maps of full size cost more time than they are
    worth.
    """

    def __init__(self, embedding_size: int, *, channels: int = 1, width: int = 32, normalise: bool = False) -> None:
        w = width
        trunk = nn.Sequential(
            *_convolution(channels, w, 5, stride=2),  # (N, w, H/2, W/2)
            *_convolution(w, 2 * w),
            *_convolution(2 * w, 2 * w),
            nn.MaxPool2d(2),  # (N, 2w, H/4, W/4)
            *_convolution(2 * w, 4 * w),
            *_convolution(4 * w, 4 * w),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # (N, 4w)
        )
        super().__init__(trunk, (channels,), 4 * w, embedding_size, normalise)


def _convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
    return convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def count_parameters(network: nn.Module) -> int:
    """How many numbers training changes."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
