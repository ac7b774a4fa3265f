"""Several processes: each takes its share of a batch; what looks at a whole batch sees it whole."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from replearn_course.errors import ReplearnError

__all__ = ["any_process", "average", "from_first", "gather", "share", "synchronise"]


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


def any_process(says: bool, model: nn.Module) -> bool:
    """Whether one of the processes says yes, so that all of them do alike."""
    if _world() == 1:
        return says
    answer = torch.tensor(float(says), device=next(model.parameters()).device)
    dist.all_reduce(answer, dist.ReduceOp.MAX)
    return bool(answer)


def average(values: dict[str, float], model: nn.Module) -> dict[str, float]:
    """The means over the processes, so that all of them decide alike."""
    if (world := _world()) == 1:
        return values
    total = torch.tensor(list(values.values()), device=next(model.parameters()).device)
    dist.all_reduce(total)
    return dict(zip(values, (total / world).tolist(), strict=True))


def gather(tensor: Tensor, dim: int = 0) -> Tensor:
    """The items of all processes along ``dim``, in the order before ``share``; a gradient flows into those of this one.

    Each process computes the same loss of the whole batch, and its gradient for its own items alone. The mean that
    DistributedDataParallel takes over the processes divides their sum by ``world``: the factor here undoes that.

    Args:
        tensor: such as embeddings ``(B, d)``, or those of several views ``(V, B, d)`` with ``dim=1``.
        dim: that of the items.
    """
    if (world := _world()) == 1:
        return tensor
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world)]
    dist.all_gather(parts, tensor.detach().contiguous())
    own = parts[dist.get_rank()] = tensor.view_as(tensor)
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * world)
    return torch.stack(parts, dim + 1).flatten(dim, dim + 1)  # item i of rank r was item i · world + r


def from_first(tensor: Tensor) -> Tensor:
    """What the first process has, such as a random permutation that all need alike; without a gradient.

    Args:
        tensor: on the device of the training, of equal shape in all processes.
    """
    if _world() == 1:
        return tensor
    tensor = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.broadcast(tensor, 0)
    return tensor


def synchronise(method: nn.Module) -> None:
    """Let batch norm take its statistics from the whole batch; with one process nothing changes.

    The layers stay in their place with their parameters, buffers and names, so that optimisers keep what they hold and
    checkpoints go from one process to many and back. Classes derived from torch's three are left alone.
    """
    if _world() > 1:
        kind = _BatchNormOnCPUs if dist.get_backend() == "gloo" else _BatchNormOnGPUs
        for layer in method.modules():
            if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                layer.__class__ = kind


class _BatchNormOnGPUs(nn.SyncBatchNorm):
    process_group = None  # all processes


class _BatchNormOnCPUs(nn.modules.batchnorm._BatchNorm):
    """What ``SyncBatchNorm`` does on GPUs alone."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any ``(B, C, ...)``."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(B, C, ...)``, of equal shape in all processes."""
        if not self.training or _world() == 1:
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        others = [d for d in range(x.ndim) if d != 1]
        n = x.numel() // x.shape[1] * _world()
        mean = _SumOfAll.apply(x.sum(others, keepdim=True)) / n
        x = x - mean
        variance = _SumOfAll.apply(x.square().sum(others, keepdim=True)) / n
        if self.track_running_stats:
            names = ("num_batches_tracked", "running_mean", "running_var")
            batches, running_mean, running_variance = map(self.get_buffer, names)
            batches += 1
            share_of_this = 1 / batches.item() if self.momentum is None else self.momentum
            running_mean.lerp_(mean.detach().flatten(), share_of_this)
            running_variance.lerp_(variance.detach().flatten() * n / (n - 1), share_of_this)
        x = x * (variance + self.eps).rsqrt()
        if self.affine:
            x = x * self.weight.view_as(mean) + self.bias.view_as(mean)
        return x.to(input.dtype)


class _SumOfAll(torch.autograd.Function):
    """The sum over the processes. Each loss depends on all summands: so a summand's gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        tensor = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _SumOfAll.apply(gradient)
