"""``fit``: one loop for all methods, on any device, in one process or many; cut off and resumed, it goes on bit for bit."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from replearn_course.data.batches import Batches
from replearn_course.errors import ReplearnError
from replearn_course.files import load_checkpoint, save_checkpoint
from replearn_course.scale import Setting, choose, keep_memory
from replearn_course.training.history import History
from replearn_course.training.interrupt import Interrupt
from replearn_course.training.progress import Progress
from replearn_course.training.ranks import any_process, average, share, synchronise
from replearn_course.training.schedules import Schedule

__all__ = ["fit"]

_FORMAT = 1


def fit(
    method: nn.Module,
    batches: Batches,
    optimizer: Optimizer,
    *,
    epochs: int,
    schedule: Schedule | None = None,
    validation: Batches | Callable[[nn.Module], dict[str, float]] | None = None,
    monitor: str = "val_loss",
    patience: int | None = None,
    setting: Setting | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
    on_epoch: Callable[[nn.Module, History], None] | None = None,
    progress: bool = True,
) -> History:
    """Train a method.

    Args:
        method: maps a batch to ``{"loss": scalar, ...}``; what else it reports is averaged over the epoch.
        batches: the training batches, a function of seed, epoch and step; best on the device of the setting already.
        optimizer: of the method's parameters, or of some of them.
        epochs: how many at most.
        schedule: of the learning rate, such as :func:`~replearn_course.training.plateau`.
        validation: batches whose loss becomes ``val_loss``, the same ones each epoch, or a function of the method that
            returns named numbers. The method is in evaluation mode then.
        monitor: the number that the plateau schedule and early stopping look at; lower is better.
        patience: stop when ``monitor`` has not fallen for this many epochs.
        setting: device, precision, threads; by default chosen from the machine.
        checkpoint: a file for all that is needed to go on, written whole after each epoch, and within one.
        checkpoint_seconds: how often within an epoch.
        resume: go on from ``checkpoint`` if it is there. With the same number of threads the result is the same, bit for
            bit, as that of a training never cut off.
        on_epoch: called after each epoch with the method and the history so far.
        progress: show a bar.

    Returns:
        The history. Ctrl-C and the signal to terminate end training after the step under way, with a checkpoint written and
        ``history.stopped == "interrupted"``; the weights are those of the last step. The weights are never set back to those
        of the best epoch.

    Raises:
        ReplearnError: when the optimizer holds other parameters; when loss or weights are no longer finite, with the terms, the
            step of each (from 1) and the last good checkpoint, looked at before each save and at the end of each epoch; when the
            method refuses a batch, such as one that has collapsed, with epoch, step and the last good checkpoint; when
            ``monitor`` is not among the numbers; when the checkpoint is damaged or of another training.
    """
    if epochs < 1:
        raise ReplearnError(f"epochs: expected 1 or more, got {epochs}")
    if patience is not None and patience < 1:
        raise ReplearnError(f"patience: expected 1 or more, got {patience}")
    watched = patience is not None or (schedule is not None and schedule.every == "epoch")
    if watched and validation is None and monitor.startswith("val_"):
        raise ReplearnError(f"validation: early stopping and plateau schedules look at {monitor!r}, which needs it")
    if not {p for group in optimizer.param_groups for p in group["params"]} <= set(method.parameters()):
        raise ReplearnError("optimizer: holds parameters that are not of this method, so it would not train them")
    keep_memory()
    setting = setting or choose()
    fabric = _fabric(setting)
    synchronise(method)
    method.to(memory_format=torch.channels_last)  # 1.2 to 2.2 times as fast, on CPUs and GPUs alike
    model, optimizer = fabric.setup(method, optimizer)
    scheduler = schedule.attach(optimizer, epochs * len(batches)) if schedule else None
    loop = _Loop(checkpoint, model, optimizer, scheduler, fabric.strategy.precision)
    if resume and loop.path and loop.path.exists():
        loop.load()
    if loop.flop_per_image is None:
        loop.flop_per_image = _flop_per_image(method, fabric.to_device(share(next(iter(batches.epoch(0))))))
    if setting.compile:  # in place, so that weights keep their names; after counting, which compiled code would escape
        method.get_submodule("encoder").compile()

    history = loop.history
    with Interrupt() as interrupt, Progress(epochs, len(batches), progress and fabric.is_global_zero) as bar:
        bar.rows(history.rows)
        while history.epochs < epochs and history.stopped != "early":
            start, last_save = time.perf_counter(), time.perf_counter()
            model.train()
            for batch in batches.epoch(history.epochs, loop.step):
                try:
                    report = model(*fabric.to_device(share(batch)))
                except ReplearnError as error:  # such as embeddings that are NaN, or that have collapsed
                    loop.must_be_finite(loop.means())  # says more where the weights are lost
                    raise loop.refused(error) from error
                optimizer.zero_grad()
                fabric.backward(report["loss"])
                optimizer.step()
                if scheduler and schedule and schedule.every == "step":
                    scheduler.step()
                loop.count(report, len(batch[0]))
                bar.step(loop.step, loop.means)
                asked = any_process(interrupt.asked, model)  # else the others would wait for the one that has gone
                if asked or time.perf_counter() - last_save > checkpoint_seconds:
                    loop.seconds += time.perf_counter() - start
                    loop.must_be_finite(loop.means())
                    loop.save(fabric.is_global_zero)
                    if asked:
                        history.stopped = "interrupted"
                        return history
                    start = last_save = time.perf_counter()
            loop.seconds += time.perf_counter() - start

            row = average(loop.means(), model)
            row = {"epoch": history.epochs + 1, **row, "lr": optimizer.param_groups[0]["lr"], "seconds": loop.seconds}
            loop.must_be_finite(row)
            row |= _validate(fabric, model, method, validation)
            loop.must_be_finite(row)
            if watched and monitor not in row:
                raise ReplearnError(f"monitor: {monitor!r} is not among the numbers of an epoch, {sorted(row)}")
            if scheduler and schedule and schedule.every == "epoch":
                scheduler.step(row[monitor])
            history.rows.append(row)
            if patience is not None and history.epochs - history.best(monitor) >= patience:
                history.stopped = "early"
            loop.next_epoch()
            bar.row(row)
            if on_epoch:
                on_epoch(method, history)  # before saving, so that random numbers it takes are not taken again
            loop.save(fabric.is_global_zero)
            if any_process(
                interrupt.asked, model
            ):  # the checkpoint knows better: a training that was at its end is at its end
                history.stopped = "interrupted"
                return history
    return history


def _fabric(setting: Setting) -> Any:
    try:
        from lightning_fabric import Fabric
    except ImportError:  # where the whole of lightning is installed instead
        from lightning.fabric import Fabric  # type: ignore[no-redef]
    import logging
    import warnings

    for name in ("lightning_fabric", "lightning.fabric"):  # "You are using the plain ModelCheckpoint" and the like
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*(available but not used|does not have many workers).*")
    torch.set_num_threads(setting.threads)
    kind, _, index = setting.device.partition(":")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    devices: Any = [int(index)] if index else processes
    fabric = Fabric(
        accelerator=kind,
        devices=devices,
        num_nodes=int(os.environ.get("WORLD_SIZE", "1")) // processes,
        strategy="ddp" if processes > 1 else "auto",
        precision=setting.precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


class _Loop:
    """The state of a training between two steps: all of it is in the checkpoint."""

    def __init__(
        self, path: Path | str | None, model: nn.Module, optimizer: Any, scheduler: Any, precision: Any
    ) -> None:
        self.path = Path(path) if path else None
        self.model, self.optimizer, self.scheduler, self.precision = model, optimizer, scheduler, precision
        self.history = History()
        self.flop_per_image: float | None = None
        self.saved = False
        self.next_epoch()

    def next_epoch(self) -> None:
        self.step, self.seconds = 0, 0.0
        self.sums: dict[str, Tensor] = {}
        self.finite: dict[str, Tensor] = {}  # for how many steps each sum was: a sum that no longer is stays so

    def count(self, report: dict[str, Tensor], images: int) -> None:
        self.step += 1
        self.history.flop += images * (self.flop_per_image or 0.0)
        for name, value in report.items():
            value = value.detach().float()  # stays on the device: reading it would make a GPU wait
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.finite[name] = self.sums[name].isfinite() + self.finite.get(name, 0)

    def means(self) -> dict[str, float]:
        return {name: total.item() / self.step for name, total in self.sums.items()}

    def must_be_finite(self, row: dict[str, float]) -> None:
        """Asked before each save, so that a checkpoint never holds a training that is lost."""
        lost = [name for name, value in row.items() if not math.isfinite(value)]
        weights = [name for name, value in self.model.state_dict().items() if not value.isfinite().all()]
        if not lost and not weights:
            return
        steps = {name: int(count) + 1 for name, count in self.finite.items() if count < self.step}
        found = [f"{name} from step {steps[name]} on" if name in steps else name for name in lost]
        found += [f"{len(weights)} weights such as {weights[0]} after step {self.step}"] if weights else []
        raise ReplearnError(
            f"no longer finite in epoch {self.history.epochs + 1}: {', '.join(found)}; a smaller learning rate than "
            f"{self.optimizer.param_groups[0]['lr']:g} may help; {self.kept}"
        )

    def refused(self, error: ReplearnError) -> ReplearnError:
        """What a method says of a batch, with the step."""
        return ReplearnError(f"epoch {self.history.epochs + 1}, step {self.step + 1}: {error}; {self.kept}")

    @property
    def kept(self) -> str:
        """From where training can go on."""
        return f"the last good checkpoint is {self.path}" if self.saved else "there is no checkpoint from before that"

    def save(self, write: bool = True) -> None:
        """One process writes for all of them."""
        if self.path is None:
            return
        self.saved = True
        if not write:
            return
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        save_checkpoint(
            self.path,
            {
                "format": _FORMAT,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict() if self.scheduler else None,
                "precision": self.precision.state_dict(),  # the loss scale of 16-mixed
                "random": {"torch": torch.get_rng_state(), "python": random.getstate(), "cuda": cuda},
                "step": self.step,
                "seconds": self.seconds,
                "sums": self.sums,
                "rows": self.history.rows,
                "stopped": self.history.stopped,
                "flop": self.history.flop,
                "flop_per_image": self.flop_per_image,
                "threads": torch.get_num_threads(),
            },
        )

    def load(self) -> None:
        assert self.path is not None
        state = load_checkpoint(self.path)
        if (found := state.get("format") if isinstance(state, dict) else None) != _FORMAT:
            raise ReplearnError(f"{self.path} is not a checkpoint of this version: format {found}, expected {_FORMAT}")
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.scheduler:
                self.scheduler.load_state_dict(state["scheduler"])
            self.precision.load_state_dict(state.get("precision", {}))
        except (RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
            why = " ".join(str(error).split())[:300]
            raise ReplearnError(f"{self.path} is of another training: {why}") from error
        version, internal, gauss = state["random"]["python"]
        random.setstate((version, tuple(internal), gauss))
        torch.set_rng_state(state["random"]["torch"])
        if state["random"]["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        device = next(self.model.parameters()).device
        self.sums = {name: total.to(device) for name, total in state["sums"].items()}
        self.step, self.seconds, self.flop_per_image = state["step"], state["seconds"], state["flop_per_image"]
        self.finite = {name: torch.full_like(total, self.step, dtype=torch.int32) for name, total in self.sums.items()}
        self.saved = True
        self.history.rows, self.history.stopped, self.history.flop = state["rows"], state["stopped"], state["flop"]
        if state["threads"] != torch.get_num_threads():
            print(
                f"note: this training began with {state['threads']} threads and goes on with {torch.get_num_threads()}: "
                "the result will not be the same bit for bit"
            )


def _validate(fabric: Any, model: nn.Module, method: nn.Module, validation: Any) -> dict[str, float]:
    if validation is None:
        return {}
    model.eval()
    with torch.no_grad():
        if not isinstance(validation, Batches):
            return {name: float(value) for name, value in validation(method).items()}
        sums: dict[str, float] = {}
        images = 0
        for batch in validation.epoch(0):  # epoch 0 each time: the same batches, so that epochs can be compared
            images += len(batch[0])
            for name, value in model(*fabric.to_device(share(batch))).items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(batch[0])
    return average({f"val_{name}": total / images for name, total in sums.items()}, model)


def _flop_per_image(method: nn.Module, batch: tuple[Tensor, ...]) -> float:
    """Training FLOP for each image of a batch's first tensor: a backward pass costs two forward passes.

    What the method has beside the trained networks and does not train, such as MoCo's key encoder, has no backward pass.
    """
    from torch.utils.flop_counter import FlopCounterMode

    training = method.training
    method.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        method(*batch)
    method.train(training)
    by_module, name = counter.get_flop_counts(), type(method).__name__
    frozen = [
        f"{name}.{child}"
        for child, module in method.named_children()
        if any(True for _ in module.parameters()) and not any(p.requires_grad for p in module.parameters())
    ]
    forward_alone = sum(sum(by_module[child].values()) for child in frozen if child in by_module)
    return (3 * counter.get_total_flops() - 2 * forward_alone) / len(batch[0])
