"""Losses of self-supervised learning, forward and backward, against lightly's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import torch

from benchmarks.measure import Side, interleaved, peak_mib, row
from replearn_course.losses import barlow_twins, emp_ssl, nt_xent, vicreg, w_mse

IMAGES, VIEWS = 256, 2
OURS: dict[str, Callable[[torch.Tensor], Any]] = {
    "VICReg": lambda z: vicreg(z, "official").loss,
    "Barlow Twins": lambda z: barlow_twins(z).loss,
    "NT-Xent": lambda z: nt_xent(z).loss,
    "W-MSE": lambda z: w_mse(z).loss,
    "EMP-SSL": lambda z: emp_ssl(z, eps=0.2**0.5).loss,
}
DIMENSIONS = {
    "VICReg": (256, 512, 1024, 2048, 8192),
    "Barlow Twins": (256, 512, 1024, 2048, 8192),
    "NT-Xent": (128, 2048),
    "W-MSE": (64, 128),
    "EMP-SSL": (512, 1024),
}


def peers(d: int) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """What lightly computes, from the same tensor of views."""
    from lightly import loss
    from lightly.loss.emp_ssl_loss import invariance_loss, tcr_loss

    def its_emp_ssl(z: torch.Tensor) -> torch.Tensor:
        u = torch.nn.functional.normalize(z, dim=-1)
        return 200 * invariance_loss(u) - tcr_loss(u, eps=0.2)  # its class adds the rate that the paper maximises

    two = {"VICReg": loss.VICRegLoss(), "Barlow Twins": loss.BarlowTwinsLoss(), "NT-Xent": loss.NTXentLoss()}
    known = {name: (lambda z, f=f: f(*z)) for name, f in two.items()}
    known["EMP-SSL"] = its_emp_ssl
    if 2 * d <= IMAGES:
        its_w_mse = loss.WMSELoss(embedding_dim=d, w_size=IMAGES)
        known["W-MSE"] = lambda z: its_w_mse(z.flatten(0, 1))
    return known


def sides(name: str, dimensions: str = "64") -> tuple[Side, Side]:
    """Make forward and backward, each side returning (loss, gradient)."""
    name, d = ("VICReg" if name == "warm-up" else name), int(dimensions)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, d, generator=generator)
    z = (images + 0.5 * torch.randn(VIEWS, IMAGES, d, generator=generator)).requires_grad_()
    mine, theirs = OURS[name], peers(d)[name]

    def side(loss: Callable[[torch.Tensor], torch.Tensor]) -> Side:
        def run() -> tuple[torch.Tensor, torch.Tensor]:
            value = loss(z)
            return value, torch.autograd.grad(value, z)[0]

        return run

    return side(mine), side(theirs)


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """Time each loss at each dimension of the embedding."""
    peer_name = f"lightly {version('lightly')}"
    for name in OURS:
        for d in DIMENSIONS[name]:
            if quick and d > 1024:
                continue
            ours, peer = sides(name, str(d))
            for mine, theirs in zip(ours(), peer(), strict=True):  # also the warm-up
                torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
            ours_s, peer_s = interleaved(ours, peer, rounds=5 if quick else 21)
            memory = [peak_mib("benchmarks.ssl_losses", side, name, str(d)) for side in ("ours", "peer")]
            yield row(f"{name}, N = {IMAGES}, d = {d}, forward and backward", peer_name, ours_s, peer_s, *memory)
