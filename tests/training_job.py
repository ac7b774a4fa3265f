"""A training of a second that tests interrupt, kill and share between processes.

``python training_job.py kill CHECKPOINT`` trains slowly, until it is killed; ``torchrun training_job.py ranks KIND OUT`` trains
three steps on all processes and writes the weights.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from replearn_course import methods
from replearn_course.data import ImageSet, PKBatches, RandomAffine, TripletBatches, ViewBatches
from replearn_course.methods import InBatchTripletNetwork, TripletNetwork
from replearn_course.networks import ConvNet, SmallCNN, projector
from replearn_course.scale import Setting
from replearn_course.training import History, fit, plateau, warmup_cosine

SETTING = Setting("smoke", "cpu", "32-true", 1)
EPOCHS, STEPS = 4, 5
SCHEDULES: dict[str, Callable[[], Any]] = {
    "plateau": lambda: plateau(0.5, 0),
    "warmup-cosine": lambda: warmup_cosine(0.2),
}


def one_thread() -> dict[str, str]:
    """The environment of a process that computes in one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def images(n: int, side: int = 8, seed: int = 0) -> ImageSet:
    """Noise with a class-dependent brightness, four classes."""
    labels = torch.arange(n) % 4
    noise = torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(seed))
    pixels = (noise * 100 + 35 * labels[:, None, None, None]).to(torch.uint8)
    return ImageSet("noise", pixels, labels, ("0", "1", "2", "3"))


def network(margin: float = 0.5) -> TripletNetwork:
    """With batch norm, whose statistics must be kept, and dropout, whose random state must be."""
    torch.manual_seed(3)
    encoder = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(256, 3)
    )
    return TripletNetwork(encoder, margin)  # type: ignore[arg-type]


def train(
    checkpoint: Path | None,
    *,
    schedule: str = "plateau",
    each_step: Callable[[int], None] | None = None,
    method: nn.Module | None = None,
    optimizer_of: nn.Module | None = None,
    **arguments: Any,
) -> tuple[nn.Module, torch.optim.Optimizer, History]:
    """Train; ``each_step`` is told before each training step how many this process has made."""
    method = method or network()
    if each_step:
        made = iter(range(10**6))
        method.register_forward_pre_hook(lambda m, _: each_step(next(made)) if m.training else None)
    optimizer = torch.optim.Adam((optimizer_of or method).parameters(), lr=0.01)
    settings: dict[str, Any] = {"epochs": EPOCHS, "patience": 3, "progress": False, "setting": SETTING}
    settings["validation"] = TripletBatches(images(16, seed=9), 8)
    history = fit(
        method,
        TripletBatches(images(37), 8, seed=1, views=RandomAffine()),  # 5 steps, the last a short one
        optimizer,
        schedule=SCHEDULES[schedule](),
        checkpoint=checkpoint,
        **settings | arguments,
    )
    return method, optimizer, history


SELF_SUPERVISED: dict[str, Callable[..., nn.Module]] = {
    "simclr": methods.SimCLR,
    "moco": lambda e, p: methods.MoCo(e, p, queue=64),
    "barlow-twins": methods.BarlowTwins,
    "wmse": lambda e, p: methods.WMSE(e, p, 16),
    "vicreg": methods.VICReg,
    "emp-ssl": methods.EMPSSL,
    "supervised": lambda e, _: methods.Supervised(e, 4),
}


def in_float64(view: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A random view."""
    return RandomAffine()(view, generator).double()


def train_together(kind: str) -> dict[str, torch.Tensor]:
    """Three steps and the weights."""
    torch.manual_seed(5)
    data = images(48, side=12)
    encoder = ConvNet(3, width=4) if kind == "batch-norm" else SmallCNN(3, image_size=12, hidden=16)
    if kind in SELF_SUPERVISED:
        n_views = 3 if kind == "wmse" else 2
        encoder = SmallCNN(8, image_size=12, hidden=16)
        method = SELF_SUPERVISED[kind](encoder, projector(8, (16, 3), last_norm="affine"))
        batches = ViewBatches(data, 16, [in_float64] * n_views, seed=1, labels=kind == "supervised")
    elif kind in ("triplet", "batch-norm"):
        method, batches = TripletNetwork(encoder, 1.0), TripletBatches(data, 16, seed=1)
    else:
        method, batches = InBatchTripletNetwork(encoder, kind, 1.0), PKBatches(data, 4, 4, seed=1, n_batches=3)
    # Losses that whiten or normalise turn the last digits of float32 into others: theirs are compared in float64.
    lr, precision = (1e-3, "64-true") if kind in SELF_SUPERVISED else (0.5, "32-true")
    optimizer = torch.optim.SGD(method.parameters(), lr=lr, momentum=0.9)
    setting = dataclasses.replace(SETTING, precision=precision)
    history = fit(method, batches, optimizer, epochs=1, validation=batches, setting=setting, progress=False)
    row = {name: torch.tensor(value) for name, value in history.rows[0].items() if name not in ("seconds", "epoch")}
    return {**method.state_dict(), **row}


def interrupt_one(out: str) -> None:
    """Two processes train; only the second hears of Ctrl-C, in its third step."""
    rank, steps = int(os.environ["RANK"]), []

    def each_step(n: int) -> None:
        steps.append(n)
        if rank == 1 and n == 2:
            os.kill(os.getpid(), signal.SIGINT)

    _, _, history = train(Path(f"{out}.pt"), each_step=each_step)
    torch.save({"stopped": history.stopped, "steps": len(steps)}, f"{out}-{rank}.pt")


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        train(Path(sys.argv[2]), each_step=lambda _: time.sleep(0.03), checkpoint_seconds=0.0)
    elif sys.argv[1] == "interrupt":
        interrupt_one(sys.argv[2])
    else:
        found = {kind: train_together(kind) for kind in sys.argv[2].split(",")}
        torch.save(found, f"{sys.argv[3]}-{os.environ['RANK']}.pt")
