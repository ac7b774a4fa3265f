"""The linear probe: multinomial logistic regression on frozen embeddings."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from replearn_course.errors import (
    ReplearnError,
    check_count,
    check_embeddings,
    check_not_negative,
    check_positive,
    unknown_name,
)
from replearn_course.probes.inputs import check_split

__all__ = ["LinearProbe", "linear_probe"]


class _Defaults(NamedTuple):
    epochs: int
    lr: float
    batch_size: int | None  # None: the whole training set


_OPTIMIZERS = {
    "lbfgs": _Defaults(epochs=200, lr=1.0, batch_size=None),
    "adam": _Defaults(epochs=60, lr=1e-3, batch_size=256),
    "sgd": _Defaults(epochs=20, lr=0.1, batch_size=256),
}


@dataclass(frozen=True)
class LinearProbe:
    """A trained probe and what it found on the test set; its tensors are on the CPU.

    Attributes:
        top1: accuracy on the test set, a fraction in [0, 1].
        top5: the share whose class is among the 5 largest logits (all of them where there are fewer classes).
        predictions: predicted labels of the test set ``(M,)``.
        probabilities: of the classes on the test set ``(M, C)``.
        losses: the training objective by epoch, the mean over batches, each before its step.
        classes: the labels of the training set ``(C,)``, ascending; column ``c`` is class ``classes[c]``.
        weight: ``(C, d)``, for standardised embeddings.
        bias: ``(C,)``.
        mean: ``(d,)``, subtracted from embeddings.
        scale: ``(d,)``, then divides them.
        optimizer: its name.
        seconds: wall time of training and testing.
    """

    top1: float
    top5: float
    predictions: Tensor
    probabilities: Tensor
    losses: list[float]
    classes: Tensor
    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    optimizer: str
    seconds: float

    def logits(self, z: Tensor) -> Tensor:
        """Give the logits ``(N, C)`` of embeddings ``(N, d)``, on the device of ``z``.

        Raises:
            ReplearnError: for malformed embeddings or another dimension than in training.
        """
        check_embeddings(z=z)
        if z.shape[1] != len(self.mean):
            raise ReplearnError(f"z: expected dimension {len(self.mean)} as in training, got {z.shape[1]}")
        mean, scale, weight, bias = (t.to(z.device) for t in (self.mean, self.scale, self.weight, self.bias))
        return F.linear((z.to(weight.dtype) - mean) / scale, weight, bias)

    def predict(self, z: Tensor) -> Tensor:
        """Predict the labels ``(N,)`` of embeddings ``(N, d)``, on the device of ``z``."""
        return self.classes.to(z.device)[self.logits(z).argmax(dim=1)]


def linear_probe(
    train_z: Tensor,
    train_y: Tensor,
    test_z: Tensor,
    test_y: Tensor,
    *,
    standardise: bool = True,
    optimizer: str = "lbfgs",
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    weight_decay: float = 1e-5,
    seed: int = 0,
    device: str | torch.device | None = None,
) -> LinearProbe:
    r"""Train a linear classifier on frozen embeddings and test it.

    Minimises, with :math:`x` the embeddings and :math:`\lambda` the weight decay,

    .. math:: \frac{1}{N} \sum_i -\log \mathrm{softmax}(W x_i + b)_{y_i} + \frac{\lambda}{2} \lVert W \rVert^2

    from zero. The objective is convex, so that every optimizer goes to the same minimum, and the bias is not penalised.
    scikit-learn's ``LogisticRegression`` has it with :math:`C = 1 / (N \lambda)`. Defaults of ``epochs``, ``lr`` and
    ``batch_size`` by optimizer:

    - ``"lbfgs"``: at most 200 iterations on the whole set, line search by the strong Wolfe conditions; ends when the
      objective falls by no more than 1e-8. Needs no tuning.
    - ``"adam"``: 60 epochs, 1e-3, 256; the rate decays to zero by a cosine.
    - ``"sgd"``: 20 epochs, 0.1, 256, momentum 0.9; the rate decays to zero by a cosine. The manner of papers on
      self-supervised learning, whose probes have their own rates.

    Args:
        train_z: training embeddings ``(N, d)``.
        train_y: their labels ``(N,)``, any integers, of two classes at least.
        test_z: test embeddings ``(M, d)``.
        test_y: their labels ``(M,)``; one that training never had is counted as wrong.
        standardise: subtract the mean and divide by the standard deviation of each dimension, both of the training
            embeddings; a constant dimension is only centred. It makes weight decay and learning rate mean the same for
            embeddings of any scale, and hides from the probe that a dimension has almost collapsed.
        optimizer: ``"lbfgs"``, ``"adam"`` or ``"sgd"``.
        epochs: passes over the training set.
        lr: learning rate.
        batch_size: for ``"adam"`` and ``"sgd"``.
        weight_decay: the coefficient of the penalty, a part of the objective with every optimizer.
        seed: of the order of batches; the global random state is neither used nor changed.
        device: where to train; ``None`` for where ``train_z`` is.

    Raises:
        ReplearnError: for malformed input, fewer than two classes, an unknown optimizer, or a loss that is not finite.
    """
    began = time.perf_counter()
    check_split(train_z=train_z, train_y=train_y, test_z=test_z, test_y=test_y)
    if optimizer not in _OPTIMIZERS:
        raise unknown_name("optimizer", optimizer, _OPTIMIZERS)
    defaults = _OPTIMIZERS[optimizer]
    if defaults.batch_size is None and batch_size is not None:
        raise ReplearnError(f"batch_size: expected None, as {optimizer} takes the whole training set, got {batch_size}")
    batch_size = defaults.batch_size if batch_size is None else batch_size
    batch_size = len(train_z) if batch_size is None else batch_size
    epochs = defaults.epochs if epochs is None else epochs
    lr = defaults.lr if lr is None else lr
    check_count(epochs=epochs, batch_size=batch_size)
    check_positive(lr=lr)
    check_not_negative(weight_decay=weight_decay)
    classes, target = train_y.unique(return_inverse=True)
    if len(classes) < 2:
        raise ReplearnError(f"train_y: expected at least two classes, got only {classes.item()}")

    device = train_z.device if device is None else torch.device(device)
    dtype = torch.promote_types(train_z.dtype, torch.float32)
    # A fresh tensor: embeddings made under inference mode could not be used in training.
    x, target = train_z.detach().to(device, dtype, copy=True), target.to(device)
    mean, scale = torch.zeros_like(x[0]), torch.ones_like(x[0])
    if standardise:
        mean = x.mean(dim=0)
        constant = x.amax(dim=0) == x.amin(dim=0)
        scale = torch.where(constant, scale, x.std(dim=0, correction=0))
        x = x.sub_(mean).div_(scale)
    weight, bias, losses = _train(x, target, len(classes), optimizer, epochs, lr, batch_size, weight_decay, seed)

    weight, bias, mean, scale, classes = (tensor.cpu() for tensor in (weight, bias, mean, scale, classes))
    logits = F.linear((test_z.detach().cpu().to(dtype) - mean) / scale, weight, bias)
    ranked = classes[logits.topk(min(5, len(classes)), dim=1).indices]
    hits = ranked == test_y.cpu()[:, None]
    return LinearProbe(
        top1=hits[:, 0].double().mean().item(),
        top5=hits.any(dim=1).double().mean().item(),
        predictions=ranked[:, 0],
        probabilities=logits.softmax(dim=1),
        losses=losses,
        classes=classes,
        weight=weight,
        bias=bias,
        mean=mean,
        scale=scale,
        optimizer=optimizer,
        seconds=time.perf_counter() - began,
    )


def _train(
    x: Tensor,
    target: Tensor,
    classes: int,
    optimizer: str,
    epochs: int,
    lr: float,
    batch_size: int,
    weight_decay: float,
    seed: int,
) -> tuple[Tensor, Tensor, list[float]]:
    """One loop for the three optimizers: a step takes a closure that gives the objective on a batch."""
    weight = x.new_zeros(classes, x.shape[1]).requires_grad_()
    bias = x.new_zeros(classes).requires_grad_()
    step = _optimizer(optimizer, [weight, bias], lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(step, epochs)
    whole = batch_size >= len(x)
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(x), generator=generator).to(x.device).split(batch_size):
            batch, labels = (x, target) if whole else (x[rows], target[rows])

            def objective(batch: Tensor = batch, labels: Tensor = labels) -> float:
                step.zero_grad()
                loss = F.cross_entropy(F.linear(batch, weight, bias), labels)
                loss = loss + weight_decay / 2 * weight.square().sum()
                loss.backward()
                return loss.item()

            total += step.step(objective) * len(rows)
        losses.append(total / len(x))
        if not math.isfinite(losses[-1]):
            raise ReplearnError(f"lr: the loss is not finite in epoch {len(losses)} with {lr}, give a smaller one")
        if optimizer == "lbfgs":
            if len(losses) > 1 and losses[-2] - losses[-1] <= 1e-8:
                break
        else:
            schedule.step()
    return weight.detach(), bias.detach(), losses


def _optimizer(name: str, parameters: list[Tensor], lr: float) -> torch.optim.Optimizer:
    if name == "lbfgs":
        # One iteration a step: the loop records the objective of each. max_eval also limits the line search, which
        # with its default of max_iter * 5 / 4 would be cut off and stay where it is.
        return torch.optim.LBFGS(parameters, lr=lr, max_iter=1, max_eval=30, line_search_fn="strong_wolfe")
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr)
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9)
