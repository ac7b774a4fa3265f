"""Several processes: each takes its share of a batch, and losses that look at a whole batch gather it first."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from replearn_course.errors import ReplearnError

__all__ = ["average", "gather", "share"]


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def share(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Every ``world``-th item of each tensor, from this process's rank on; with one process the batch as it is.

    All processes get equally many: what is left over when ``world`` does not divide the batch is left out.
    """
    if (world := _world()) == 1:
        return batch
    whole = len(batch[0]) // world * world
    if not whole:
        raise ReplearnError(f"a batch of {len(batch[0])} cannot be shared by {world} processes")
    return tuple(tensor[dist.get_rank() : whole : world] for tensor in batch)


def average(values: dict[str, float], model: nn.Module) -> dict[str, float]:
    """The means over the processes, so that all of them decide alike."""
    if (world := _world()) == 1:
        return values
    total = torch.tensor(list(values.values()), device=next(model.parameters()).device)
    dist.all_reduce(total)
    return dict(zip(values, (total / world).tolist(), strict=True))


def gather(tensor: Tensor) -> Tensor:
    """The items ``(B, ...)`` of all processes; a gradient flows into those of this process.

    Each process computes the same loss of the whole batch, and its gradient for its own items alone. The mean that
    DistributedDataParallel takes over the processes divides their sum by ``world``: the factor here undoes that.
    """
    if (world := _world()) == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(world)]
    dist.all_gather(parts, tensor.detach().contiguous())
    own = parts[dist.get_rank()] = tensor.view_as(tensor)
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * world)
    return torch.cat(parts)
