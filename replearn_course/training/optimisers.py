"""Optimisers: LARS, which torch lacks, and weight decay that leaves biases and batch norm alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from replearn_course.errors import ReplearnError, unknown_name
from replearn_course.training.muon import Muon

__all__ = ["LARS", "OPTIMIZERS", "make_optimizer", "parameter_groups"]


class LARS(Optimizer):
    """SGD with momentum in which each layer has a learning rate of its own: layer-wise adaptive rate scaling.

    For the weights w of a layer and their gradient g, with learning rate γ, momentum m, weight decay β and trust η::

        λ = η ‖w‖ / (‖g‖ + β ‖w‖)
        v ← m v + λ (g + β w)
        w ← w − γ v

    so a step changes ‖w‖ by about the share γη, however large g is. λ is 1 for weights that are all zero, which could not
    grow otherwise. Biases and the scales and shifts of batch norm (all that is no matrix) have λ = 1 and β = 0.

    Args:
        params: parameters, or groups of them.
        lr: γ; large beside that of SGD, such as 0.3 for 256 images a batch.
        momentum: m.
        weight_decay: β.
        trust: η.

    Raises:
        ReplearnError: for settings out of range.

    Source: You et al. 2017, "Large Batch Training of Convolutional Networks", equation 6 and algorithm 1,
    https://arxiv.org/abs/1708.03888. There γ stands in v, here outside it as in torch's SGD: the two are the same while γ does
    not change. What is left out of adaptation is as in SimCLR, BYOL, Barlow Twins and VICReg; their codes have ‖g + βw‖ where
    the paper has ‖g‖ + β‖w‖.
    """

    def __init__(
        self, params: Any, lr: float, *, momentum: float = 0.9, weight_decay: float = 0.0, trust: float = 0.001
    ) -> None:
        if lr < 0 or weight_decay < 0 or trust <= 0 or not 0 <= momentum < 1:
            raise ReplearnError(
                "expected lr and weight_decay of 0 or more, trust above 0 and momentum in [0, 1), "
                f"got {lr}, {weight_decay}, {trust} and {momentum}"
            )
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Make one step; a closure that computes loss and gradients is called first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            decay, trust = group["weight_decay"], group["trust"]
            for w in group["params"]:
                if w.grad is None:
                    continue
                g = w.grad
                if _decays(w):
                    size, slope = w.norm(), g.norm()
                    local = trust * size / (slope + decay * size)
                    local = torch.where(
                        (size > 0) & local.isfinite(), local, 1.0
                    )  # without a read, for which a GPU waits
                    g = local * (g + decay * w)
                state = self.state[w]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(w)
                v = state["momentum"].mul_(group["momentum"]).add_(g)
                w.sub_(v, alpha=group["lr"])
        return loss


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters in two groups: matrices and filters with weight decay; biases and batch norm without.

    Frozen parameters are in neither.
    """
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if _decays(p)], "weight_decay": weight_decay},
        {"params": [p for p in trained if not _decays(p)], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _decays(parameter: torch.Tensor) -> bool:
    return parameter.ndim > 1


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], float, float], Optimizer]] = {
    "adam": lambda groups, lr, momentum: Adam(groups, lr, betas=(momentum, 0.999)),
    "adamw": lambda groups, lr, momentum: AdamW(groups, lr, betas=(momentum, 0.999)),
    "lars": lambda groups, lr, momentum: LARS(groups, lr, momentum=momentum),
    "muon": lambda groups, lr, momentum: Muon([p for group in groups for p in group["params"]], lr, momentum=momentum),
    "sgd": lambda groups, lr, momentum: SGD(groups, lr, momentum=momentum),
}


def make_optimizer(
    name: str, module: nn.Module, lr: float, *, weight_decay: float = 0.0, momentum: float = 0.9
) -> Optimizer:
    """An optimiser of all parameters of a module that are trained.

    Args:
        name: ``"sgd"``, ``"adam"``, ``"adamw"``, ``"lars"`` or ``"muon"``. In ``"adam"`` weight decay is added to the gradient,
            in ``"adamw"`` it is taken from the weights, in ``"muon"`` there is none.
        module: the method.
        lr: learning rate.
        weight_decay: of matrices and filters; biases and batch norm have none.
        momentum: of the gradients, Adam's β₁ too.

    Raises:
        ReplearnError: for a name that does not exist, weight decay with Muon, or a module that trains nothing.
    """
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    if name == "muon" and weight_decay:
        raise ReplearnError(f"weight_decay: Muon keeps the norms of the weights, so expected 0, got {weight_decay}")
    groups = parameter_groups(module, weight_decay)
    if not groups:
        raise ReplearnError("module: all of its parameters are frozen, so there is nothing to train")
    return OPTIMIZERS[name](groups, lr, momentum)
