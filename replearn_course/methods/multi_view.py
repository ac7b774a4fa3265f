"""What self-supervised methods share: several views of an image through one encoder and one projector, and a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from replearn_course.errors import ReplearnError
from replearn_course.networks import Encoder, named_projector
from replearn_course.precision import at_least_float32
from replearn_course.training.ranks import gather

__all__ = ["MultiViewMethod"]


class MultiViewMethod(nn.Module):
    """Views of images in, the loss of their projections out.

    The *representation* ``h = encoder(view)`` ``(N, embedding_size)`` is what is kept; the *projection* ``z = projector(h)``
    ``(N, d)`` is what the loss sees, and it is thrown away after training.

    All views go through the networks in one batch, so batch norm takes its statistics over all of them; Barlow Twins,
    W-MSE and VICReg pass one view at a time. With several processes the projections of all of them enter the loss.

    Args:
        encoder: gives the representations.
        projector: from representation to projection.
        loss: of projections ``(V, N, d)``; a named tuple whose first field is the loss.
    """

    def __init__(self, encoder: Encoder, projector: nn.Module, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.encoder, self.projector, self.loss = encoder, projector, loss

    def forward(self, *views: Tensor) -> dict[str, Tensor]:
        """The loss of V views ``(N, C, H, W)`` of the same images, and its terms.

        Raises:
            ReplearnError: for fewer than two views, fewer than two images, or views of unequal shape.
        """
        return self.loss(self.project(views))._asdict()

    def project(self, views: Sequence[Tensor]) -> Tensor:
        """The projections ``(V, N, d)`` of the views, in float32 at least, N over all processes."""
        check_image_views(views)
        z = self.head(self.encoder(torch.cat(list(views))))  # (V N, d)
        z = at_least_float32(z).unflatten(0, (len(views), -1))  # (V, N, d)
        return gather(z, dim=1)

    def head(self, h: Tensor) -> Tensor:
        """The projections ``(M, d)`` of representations ``(M, embedding_size)``."""
        return self.projector(h)


def projector_or(projector: nn.Module | None, default: str, encoder: Encoder) -> nn.Module:
    """The projector that was given, an empty one too; without one a new one by the name of the default."""
    return named_projector(default, encoder.embedding_size) if projector is None else projector


def check_image_views(views: Sequence[Tensor], least: int = 2) -> None:
    """Check that there are enough views of enough images, all of one shape.

    Raises:
        ReplearnError: saying what came.
    """
    if len(views) < least:
        raise ReplearnError(f"views: expected {least} or more of each image, got {len(views)}")
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) > 1:
        raise ReplearnError(f"views: expected all of one shape, got {' and '.join(map(str, sorted(shapes)))}")
    if len(views[0]) < 2:
        raise ReplearnError(f"views: a batch needs two images or more to compare, got {len(views[0])}")
