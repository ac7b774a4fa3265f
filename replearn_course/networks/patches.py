"""Encoders that learn from patches: a small convolutional net with a whitening first layer, and the mean over a grid of patches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replearn_course.errors import ReplearnError, check_tensors
from replearn_course.networks.encoders import Encoder, Representation
from replearn_course.precision import in_float64

__all__ = ["PatchAverage", "PatchNet", "whitening_filters"]


def whitening_filters(images: Tensor, size: int = 2, eps: float = 5e-4) -> Tensor:
    r"""Filters whose responses to the patches of the images have no correlation and variance 1; no labels, no training.

    With :math:`C = \mathbb{E}[x x^\top]` over all ``size × size`` patches x of all channels, and
    :math:`C = \sum_i \lambda_i u_i u_i^\top`, filter i is :math:`u_i / \sqrt{\lambda_i + \varepsilon}`, the largest
    :math:`\lambda_i` first. It is what makes the first steps of training count: the raw pixels' covariance has a condition
    number of thousands.

    Source: the first layer of https://github.com/KellerJordan/cifar10-airbench (https://arxiv.org/abs/2404.00498,
    section 3.2). As there, the mean of the patches is not subtracted.

    Args:
        images: ``(N, C, H, W)`` floating, as the encoder will get them; a few thousand are enough.
        size: side of a filter.
        eps: keeps directions that hardly vary, and hold noise, from being blown up.

    Returns:
        ``(C size², C, size, size)``, the dtype of the images.

    Raises:
        ReplearnError: for images of another shape, dtype or too small.
    """
    check_tensors(images=images)
    if images.ndim != 4 or not len(images) or not images.is_floating_point() or min(images.shape[2:]) < size:
        got = f"{tuple(images.shape)} of {images.dtype}"
        raise ReplearnError(f"images: expected floating (N, C, H, W) with sides from {size} up, got {got}")
    channels = images.shape[1]
    covariance, count = in_float64(images.new_zeros(1)), 0
    for batch in images.split(256):
        x = in_float64(F.unfold(batch, size).transpose(1, 2).flatten(0, 1))  # (patches, C size²)
        covariance, count = covariance + x.T @ x, count + len(x)
    variances, directions = torch.linalg.eigh(covariance / count)  # ascending; one direction a column
    filters = directions / (variances + eps).sqrt()
    return filters.T.flip(0).reshape(-1, channels, size, size).to(images)


class PatchNet(Encoder):
    """A fixed whitening layer, then 3×3 convolutions with max-pooling, batch norm and ReLU; the embedding is a mean over places.

    The first layer has the ``size × size`` filters of :func:`whitening_filters` and their negatives, so that the ReLU keeps both
    signs, and learned biases. Its filters are random until :meth:`fit_whitening` has seen images, and training does not change
    them. Each later layer halves the side, its maximum taken before batch norm and ReLU, which then have a quarter of the work.
    Takes patches of any size from ``2^len(widths) + size − 1`` up; of that or a multiple of ``2^len(widths)`` more, such as 17,
    nothing is lost at the edges.

    Args:
        widths: channels of the later layers; the last is the embedding size.
        channels: of the images.
        size: side of the whitening filters.
        joined: so many of the last layers make the embedding, the mean over places of each: 2 for 256 + 512 numbers.
    """

    def __init__(
        self, widths: Sequence[int] = (64, 256, 512), *, channels: int = 3, size: int = 2, joined: int = 1
    ) -> None:
        if not widths or min(*widths, channels, size) < 1:
            got = f"{tuple(widths)}, {channels} and {size}"
            raise ReplearnError(f"widths, channels and size: expected numbers from 1 up, got {got}")
        if not 1 <= joined <= len(widths):
            raise ReplearnError(f"joined: expected 1 to {len(widths)}, the layers after the first, got {joined}")
        filters = 2 * channels * size**2  # each with its negative
        whitening = nn.Conv2d(channels, filters, size)  # (N, f, H', W'), H' = H − size + 1
        whitening.weight.requires_grad_(False)
        layers = [
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                nn.MaxPool2d(2),  # (N, w, H'/2, W'/2), then H'/4 …
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            )
            for inputs, outputs in pairwise((filters, *widths))
        ]
        trunk = nn.Sequential(whitening, nn.ReLU(inplace=True), _LayerMeans(layers, joined))
        least = 2 ** len(widths) + size - 1
        super().__init__(trunk, (channels,), sum(widths[-joined:]), None, centre=True, least=least)

    @torch.no_grad()
    def fit_whitening(self, images: Tensor) -> None:
        """Set the first layer from images ``(N, C, H, W)`` in [0, 1], without labels; a few thousand are enough."""
        weight = next(self.trunk.parameters())  # (2 C size², C, size, size)
        filters = whitening_filters((images - 0.5) / 0.25, weight.shape[-1])
        weight.copy_(torch.cat([filters, -filters]))


class _LayerMeans(nn.Module):
    """The means over places of the last ``joined`` of layers that stand one on the other, side by side: ``(N, d)``."""

    def __init__(self, layers: Sequence[nn.Module], joined: int) -> None:
        super().__init__()
        self.layers, self.first = nn.ModuleList(layers), len(layers) - joined

    def forward(self, x: Tensor) -> Tensor:
        means = []
        for n, layer in enumerate(self.layers):
            x = layer(x)
            if n >= self.first:
                means.append(x.mean(dim=(2, 3)))
        return torch.cat(means, dim=1)


class PatchAverage(Representation):
    """The embedding of an image: the mean of the embeddings of its patches on a grid, over all of it or over each of its parts.

    What it costs is the encoder's cost times the number of patches, twice that with ``flip``. It has no parameters of its own.
    Source: "Algorithm 1" of EMP-SSL, https://arxiv.org/abs/2304.03977, which takes patches at random; ours stand on a grid, so
    that an image has one embedding. The parts are from Coates, Ng and Lee, as in :class:`KMeansFeatures`.

    Args:
        encoder: of patches ``(N, C, patch, patch)``.
        patch: side of a patch.
        stride: at most from one patch to the next, both ways: as few patches as that allows, evenly from edge to edge.
        flip: average with the mirror image, patch by patch at one place: an image and its mirror image get one embedding.
        parts: along each side; the means over ``parts²`` parts of the grid are joined to ``parts² d`` numbers. Where the patches
            of a side are no multiple of it, those in between belong to both parts.
    """

    def __init__(self, encoder: Representation, patch: int, stride: int, flip: bool = False, parts: int = 1) -> None:
        super().__init__()
        if min(patch, stride, parts) < 1:
            got = f"{patch}, {stride} and {parts}"
            raise ReplearnError(f"patch, stride and parts: expected numbers from 1 up, got {got}")
        self.encoder, self.patch, self.stride, self.flip, self.parts = encoder, patch, stride, flip, parts
        self.embedding_size = parts**2 * encoder.embedding_size

    def forward(self, images: Tensor) -> Tensor:
        """Embed images ``(N, C, H, W)`` of any size from ``patch`` up as ``(N, parts² d)``.

        Raises:
            ReplearnError: for another number of axes, or an image smaller than a patch.
        """
        if images.ndim != 4 or min(images.shape[2:]) < self.patch:
            raise ReplearnError(
                f"images: expected (N, C, H, W) with sides from {self.patch}, the patch, up, got {tuple(images.shape)}"
            )
        rows, columns = (_places(side - self.patch, self.stride) for side in images.shape[2:])
        views = (images, images.flip(3)) if self.flip else (images,)
        z = [
            self.encoder(view[:, :, row : row + self.patch, column : column + self.patch])  # (N, d)
            for view, row, column in product(views, rows, columns)
        ]
        grid = torch.stack(z, dim=2).unflatten(2, (len(views), len(rows), len(columns)))  # (N, d, views, rows, columns)
        return F.adaptive_avg_pool2d(grid.mean(dim=2), self.parts).flatten(1)


def _places(last: int, stride: int) -> list[int]:
    """From 0 to ``last``, both included, evenly and at most ``stride`` apart."""
    steps = -(-last // stride)
    return [round(i * last / max(steps, 1)) for i in range(steps + 1)]
