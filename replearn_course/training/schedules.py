"""Learning-rate schedules, described before the optimiser exists and attached to it by ``fit``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer, lr_scheduler

from replearn_course.errors import ReplearnError

__all__ = ["Schedule", "constant", "linear", "plateau", "warmup_cosine"]


@dataclass(frozen=True)
class Schedule:
    """A torch scheduler to be, and when it steps.

    Attributes:
        attach: makes the scheduler, given the optimiser and the number of steps of the whole training.
        every: ``"step"``, or ``"epoch"`` with the monitored value.
    """

    attach: Callable[[Optimizer, int], Any]
    every: str


def plateau(factor: float = 0.5, patience: int = 3) -> Schedule:
    """Multiply the learning rate by ``factor`` when the monitored value has not fallen for more than ``patience`` epochs.

    torch's ``ReduceLROnPlateau`` with its other settings as they are (relative threshold 1e-4).
    """
    if not 0 < factor < 1 or patience < 0:
        raise ReplearnError(f"expected factor in (0, 1) and patience of 0 or more, got {factor} and {patience}")
    return Schedule(
        lambda optimizer, _: lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience), "epoch"
    )


def constant() -> Schedule:
    """The learning rate of the optimiser, from the first step to the last."""
    return Schedule(lambda optimizer, _: lr_scheduler.LambdaLR(optimizer, lambda step: 1.0), "step")


def linear() -> Schedule:
    """Fall from the full learning rate in a straight line, to 0 after the last step."""
    return Schedule(
        lambda optimizer, steps: lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps)), "step"
    )


def warmup_cosine(warmup: float = 0.1, floor: float = 0.0) -> Schedule:
    """Rise linearly to the full learning rate, then fall along half a cosine.

    With t in [0, 1) the share of steps done and w the warm-up: in steps of equal height up to 1 before w, the first of
    them above 0, and after ``floor + (1 − floor) (1 + cos(π (t − w) / (1 − w))) / 2``, times the optimiser's learning rate.

    Args:
        warmup: the share of steps that rise, in [0, 1).
        floor: the share of the learning rate that is left at the end, in [0, 1].
    """
    if not (0 <= warmup < 1 and 0 <= floor <= 1):
        raise ReplearnError(f"expected warmup in [0, 1) and floor in [0, 1], got {warmup} and {floor}")

    def attach(optimizer: Optimizer, steps: int) -> Any:
        rise = round(warmup * steps)

        def factor(step: int) -> float:
            if step < rise:
                return (step + 1) / rise
            t = (step - rise) / max(1, steps - rise)
            return floor + (1 - floor) * (1 + math.cos(math.pi * min(t, 1.0))) / 2

        return lr_scheduler.LambdaLR(optimizer, factor)

    return Schedule(attach, "step")
