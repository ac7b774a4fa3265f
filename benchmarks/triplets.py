"""Batch-all and semi-hard triplets by sorting against pytorch-metric-learning, which forms the triplets."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch

from benchmarks.measure import Side, interleaved, peak_mib, row
from replearn_course.losses import MINERS

MARGIN, DIMENSIONS, CLASSES = 1.0, 64, 10
PEER_NAMES = {"batch-all": "all", "semi-hard": "semihard"}


def sides(miner: str, batch: str = "16") -> tuple[Side, Side]:
    """Make forward and backward, each side returning (loss, gradient)."""
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import TripletMarginMiner

    miner = "batch-all" if miner == "warm-up" else miner
    z = torch.randn(int(batch), DIMENSIONS, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.arange(int(batch)) % CLASSES
    distance = LpDistance(normalize_embeddings=False)
    peer_miner = TripletMarginMiner(margin=MARGIN, type_of_triplets=PEER_NAMES[miner], distance=distance)
    peer_loss = TripletMarginLoss(margin=MARGIN, distance=distance)  # the mean over triplets with a positive hinge

    def ours() -> tuple[torch.Tensor, torch.Tensor]:
        loss = MINERS[miner](z, labels, MARGIN, reduction="active").loss
        return loss, torch.autograd.grad(loss, z)[0]

    def peer() -> tuple[torch.Tensor, torch.Tensor]:
        loss = peer_loss(z, labels, peer_miner(z, labels))
        return loss, torch.autograd.grad(loss, z)[0]

    return ours, peer


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """Time each miner at each batch size."""
    name = f"pytorch-metric-learning {version('pytorch-metric-learning')}"
    for miner in PEER_NAMES:
        for batch in (64, 128) if quick else (128, 256, 512, 1024):
            ours, peer = sides(miner, str(batch))
            for mine, theirs in zip(ours(), peer(), strict=True):  # also the warm-up
                torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
            ours_s, peer_s = interleaved(ours, peer, rounds=3 if quick else 7)
            memory = [peak_mib("benchmarks.triplets", side, miner, str(batch)) for side in ("ours", "peer")]
            yield row(f"{miner} triplets, B = {batch}, forward and backward", name, ours_s, peer_s, *memory)
