"""Images in, embeddings out: the encoder is used and left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from replearn_course.data.images import to_float
from replearn_course.errors import ReplearnError, check_count, check_tensors

__all__ = ["embed"]


def embed(
    encoder: nn.Module,
    images: Tensor,
    batch_size: int = 512,
    device: str | torch.device | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Compute the embeddings of images by a frozen encoder.

    The encoder runs in eval mode, so that dropout is off and batch norm uses its running statistics and does not
    change them. Afterwards, also after an exception, every submodule has its training flag back and the encoder is on
    its own device again. (Batch norm without running statistics uses the batch even in eval mode, and then
    embeddings depend on ``batch_size``.)

    Args:
        encoder: a module from a batch of images to ``(B, d)``.
        images: shape ``(N, ...)``, as a rule uint8 ``(N, C, H, W)``.
        batch_size: images at a time.
        device: where to compute; ``None`` for where the encoder is.
        transform: from a batch of ``images`` on the device to the encoder's input; ``None`` scales uint8 to [0, 1] as
            training does, and leaves other types as they are.

    Returns:
        Embeddings ``(N, d)``, float32, on the CPU.

    Raises:
        ReplearnError: when there are no images or the encoder does not give ``(B, d)``.
    """
    check_tensors(images=images)
    check_count(batch_size=batch_size)
    if not images.ndim or not len(images):
        raise ReplearnError(f"images: expected shape (N, ...) with at least one image, got {tuple(images.shape)}")
    home = next((tensor.device for tensor in [*encoder.parameters(), *encoder.buffers()]), images.device)
    device = home if device is None else torch.device(device)
    z, begun = (
        torch.empty(0),
        0,
    )  # whole as soon as its width is known: all parts and their concatenation would be twice as much
    with _frozen(encoder, device, home), torch.inference_mode():
        for batch in images.split(batch_size):
            batch = batch.to(device)
            part = encoder(transform(batch) if transform else _as_float(batch))
            if part.ndim != 2 or len(part) != len(batch) or (begun and part.shape[1] != z.shape[1]):
                raise ReplearnError(f"encoder: expected an output of shape ({len(batch)}, d), got {tuple(part.shape)}")
            if not begun:
                with torch.inference_mode(mode=False):  # an ordinary tensor, on which a probe can be trained
                    z = torch.empty(len(images), part.shape[1])
            z[begun : begun + len(part)] = part
            begun += len(part)
    return z


@contextmanager
def _frozen(encoder: nn.Module, device: torch.device, home: torch.device) -> Iterator[None]:
    """Hold the encoder in eval mode on ``device``; then leave it as it was."""
    training = {module: module.training for module in encoder.modules()}
    try:
        encoder.to(device).eval()
        yield
    finally:
        for module, flag in training.items():
            module.training = flag
        encoder.to(home)


def _as_float(images: Tensor) -> Tensor:
    return to_float(images) if images.dtype == torch.uint8 else images
