"""Several processes: each takes its share of a batch, and losses that look at a whole batch gather it first."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

__all__ = ["gather", "share"]


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def share(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Every ``world``-th item of each tensor, from this process's rank on; with one process the batch as it is."""
    if (world := _world()) == 1:
        return batch
    return tuple(tensor[dist.get_rank() :: world] for tensor in batch)


def gather(tensor: Tensor) -> Tensor:
    """The items ``(B, ...)`` of all processes, with gradients.

    Each process computes the same loss of the whole batch. Its backward pass sums the gradients that all processes send to
    its own items, world times the gradient of one loss; the mean that DistributedDataParallel takes over processes undoes that.
    """
    if _world() == 1:
        return tensor
    import torch
    from torch.distributed.nn import functional

    return torch.cat(functional.all_gather(tensor))
