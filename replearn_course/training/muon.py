"""Muon: momentum made orthogonal, so that a step turns all directions of a layer alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from replearn_course.errors import ReplearnError

__all__ = ["Muon", "orthogonalise"]


def orthogonalise(matrix: Tensor, steps: int = 4) -> Tensor:
    r"""Bring all singular values of a matrix ``(r, c)`` near 1: with :math:`U S V^\top`, to about :math:`U V^\top`.

    Each Newton-Schulz step takes every singular value σ, which the Frobenius norm has first brought below 1, to
    3.4445 σ − 4.7750 σ³ + 2.0315 σ⁵: only products of matrices, no decomposition. The coefficients lift small ones fast (by
    3.4445 a step) and leave all between about 0.7 and 1.2, not at 1: enough for a direction of descent. What is below
    :math:`3.4445^{-\mathrm{steps}}` stays small. A matrix of zeros stays so.

    Source: Jordan et al. 2024, "Muon", https://kellerjordan.github.io/posts/muon/, where five steps in bf16 are taken; ours
    are in the dtype of the matrix.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    tiny = torch.finfo(x.dtype).tiny
    x = x / x.abs().amax().clamp(min=tiny)  # first, since the squares of a norm over- and underflow
    x = x / x.norm().clamp(min=tiny)
    for _ in range(steps):
        gram = x @ x.T  # (r, r), the smaller side
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.7750 * gram) @ x
    return x.T if tall else x


class Muon(Optimizer):
    r"""Orthogonalised momentum for matrices and filters, whose norms stay as they are; Adam for biases and batch norm.

    For weights W of a layer, as a matrix ``(outputs, inputs)`` (a filter's places count as inputs), gradient G, momentum μ and
    learning rate γ::

        M ← μ M + G
        U ← orthogonalise(G + μ M)
        W ← ‖W‖ · unit(W − γ ‖W‖ U / ‖U‖)

    A gradient has a few large singular values and many small ones; plain steps go where the large ones point. In U all count
    alike. γ is the share of itself by which W changes, near the angle in radians by which it turns, whatever the layer and the
    loss's scale: 0.1 to 0.2 for a few hundred steps, decaying to 0. It is meant for layers whose scale does not matter, since
    batch norm or a normalised embedding follows. A weight of norm 0 stays 0.

    Adam has β of 0.9 and 0.95 and ``vector_lr``; a schedule multiplies both rates.

    Args:
        params: parameters to train; matrices and filters are told from the others by their number of axes.
        lr: γ.
        vector_lr: Adam's learning rate.
        momentum: μ.
        steps: of :func:`orthogonalise`.

    Raises:
        ReplearnError: for settings out of range, or no parameters.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. The norm kept is as in the record for CIFAR-10 of
    https://github.com/KellerJordan/cifar10-airbench; there it is √outputs, and the step relative to it.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, *, vector_lr: float = 1e-2, momentum: float = 0.9, steps: int = 4
    ) -> None:
        if lr < 0 or vector_lr < 0 or steps < 1 or not 0 <= momentum < 1:
            raise ReplearnError(
                "expected lr and vector_lr of 0 or more, steps of 1 or more and momentum in [0, 1), "
                f"got {lr}, {vector_lr}, {steps} and {momentum}"
            )
        params = list(params)
        groups = [
            {"params": [w for w in params if w.ndim > 1], "lr": lr},
            {"params": [w for w in params if w.ndim <= 1], "lr": vector_lr},
        ]
        groups = [group for group in groups if group["params"]]
        if not groups:
            raise ReplearnError("params: expected at least one parameter, got none")
        super().__init__(groups, {"momentum": momentum, "steps": steps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Make one step; a closure that computes loss and gradients is called first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                if w.ndim > 1:
                    self._turn(w, w.grad, group)
                else:
                    self._adam(w, w.grad, group["lr"])
        return loss

    def _turn(self, w: Tensor, g: Tensor, group: dict[str, Any]) -> None:
        state = self.state[w]
        if not state:
            state["momentum"] = torch.zeros_like(w)
        m = state["momentum"].mul_(group["momentum"]).add_(g)
        u = orthogonalise(g.add(m, alpha=group["momentum"]).flatten(1), group["steps"]).view(w.shape)
        tiny = torch.finfo(w.dtype).tiny
        norm = w.norm()
        w.sub_(u * (group["lr"] * norm / u.norm().clamp(min=tiny)))
        w.mul_(norm / w.norm().clamp(min=tiny))

    def _adam(
        self, w: Tensor, g: Tensor, lr: float, beta1: float = 0.9, beta2: float = 0.95, eps: float = 1e-8
    ) -> None:
        state = self.state[w]
        if not state:
            state.update(step=0, mean=torch.zeros_like(w), square=torch.zeros_like(w))
        state["step"] += 1
        mean = state["mean"].lerp_(g, 1 - beta1) / (1 - beta1 ** state["step"])
        square = state["square"].lerp_(g.square(), 1 - beta2) / (1 - beta2 ** state["step"])
        w.sub_(lr * mean / (square.sqrt() + eps))
