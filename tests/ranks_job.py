"""What two processes compute and one can check: ``torchrun ranks_job.py OUT`` writes it, rank by rank."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from replearn_course.training.ranks import from_first, gather, share, synchronise

LOSSES = ("own", "whole")


def network() -> nn.Module:
    """Batch norm of images and of vectors, with and without scale, with all three ways to keep statistics."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(12, 5),
        nn.BatchNorm1d(5, momentum=None),
        nn.Tanh(),
        nn.Linear(5, 4, bias=False),
        nn.BatchNorm1d(4, affine=False),
        nn.Linear(4, 4),
        nn.BatchNorm1d(4, track_running_stats=False),
    ).double()
    for p in layers.parameters():
        nn.init.normal_(p, std=0.7)
    return layers


def views(n: int = 6, n_views: int = 2) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(n, 2, 4, 4, generator=generator, dtype=torch.float64) for _ in range(n_views))


def covariance_loss(z: Tensor, weights: Tensor) -> Tensor:
    """A loss ``(V, N, d)`` that needs the whole batch, and to which the order of its items matters."""
    centred = z - z.mean(dim=1, keepdim=True)
    covariance = centred.mT @ centred
    return covariance.pow(2).mean() + (z[0] - z[1]).square().mean() + (weights[:, None] * z[0].sin()).mean()


def compute(loss_of: str) -> dict[str, Tensor]:
    """Three steps: outputs of the last, statistics, and the gradients as DistributedDataParallel would average them."""
    layers = network()
    held = list(layers.parameters())
    synchronise(layers)
    assert all(p is q for p, q in zip(held, layers.parameters(), strict=True))
    for _ in range(3):
        mine = share(views())
        layers.zero_grad()
        z = layers(torch.cat(mine)).unflatten(0, (len(mine), -1))  # (V, n, d)
        if loss_of == "own":
            loss = (z[0] - z[1]).square().mean() + z.pow(3).mean()
        else:
            z = gather(z, dim=1)  # (V, N, d)
            loss = covariance_loss(z, torch.arange(z.shape[1], dtype=torch.float64))
        loss.backward()
    found: dict[str, Tensor] = {"z": z.detach(), "loss": loss.detach(), **layers.state_dict()}
    for name, p in layers.named_parameters():
        gradient = p.grad.clone()
        if dist.is_initialized():
            dist.all_reduce(gradient)
            gradient /= dist.get_world_size()
        found[f"gradient of {name}"] = gradient
    layers.eval()
    return {**found, "evaluated": layers(views()[0]).detach()}


def small_things(rank: int) -> dict[str, Any]:
    """What each process gets from the others."""
    numbers = torch.arange(12).view(6, 2)
    [mine] = share((numbers,))
    layer = nn.BatchNorm1d(2)
    synchronise(layer_in := nn.Sequential(layer, nn.Sequential(Own(2))))
    half = F.batch_norm(torch.ones(2, 2, dtype=torch.bfloat16), None, None, training=True).dtype
    return {
        "gathered": gather(mine),
        "views": gather(mine.T.contiguous(), dim=1),
        "first": from_first(torch.tensor([rank, 7])),
        "kept": [type(m) is Own for m in layer_in.modules()],
        "bf16": layer_in[0](torch.randn(2, 2).to(torch.bfloat16)).dtype == half,
    }


class Own(nn.BatchNorm1d):
    """A batch norm with an idea of its own, such as one over parts of a batch."""


if __name__ == "__main__":
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.set_num_threads(1)
    torch.save({**{kind: compute(kind) for kind in LOSSES}, "small": small_things(rank)}, f"{sys.argv[1]}-{rank}.pt")
    assert os.environ["RANK"] == str(rank)
    dist.barrier()
    dist.destroy_process_group()  # a process that ends with gloo's threads alive may abort
