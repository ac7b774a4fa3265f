"""Projectors: the layers between embedding and loss, thrown away after training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from replearn_course.errors import ReplearnError, unknown_name

__all__ = ["PROJECTORS", "named_projector", "projector"]

LAST_NORMS = ("none", "affine", "plain")


def projector(
    features: int, widths: Sequence[int], *, hidden_norm: bool = True, last_norm: str = "none"
) -> nn.Sequential:
    """Linear layers from ``(N, features)`` to ``(N, widths[-1])``, with batch norm and ReLU after each but the last.

    A linear layer has a bias where no batch norm follows, which would take it away again.

    Args:
        features: d of the embedding.
        widths: what each layer gives.
        hidden_norm: batch norm after each layer but the last.
        last_norm: batch norm after the last layer: ``"none"``; ``"affine"``, with a learned scale and shift; ``"plain"``,
            without, so that each dimension of the output has mean 0 and variance 1 in every training batch.

    Raises:
        ReplearnError: for no width, one below 1, or an unknown ``last_norm``.
    """
    if not widths or min(features, *widths) < 1:
        raise ReplearnError(f"features and widths: expected numbers from 1 up, got {features} and {tuple(widths)}")
    if last_norm not in LAST_NORMS:
        raise unknown_name("last_norm", last_norm, LAST_NORMS)
    sizes = [features, *widths]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=not hidden_norm))
        if hidden_norm:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(nn.ReLU(inplace=True))
    layers.append(nn.Linear(sizes[-2], sizes[-1], bias=last_norm == "none"))
    if last_norm != "none":
        layers.append(nn.BatchNorm1d(sizes[-1], affine=last_norm == "affine"))
    return nn.Sequential(*layers)


# Those of document D1 and of the papers, for embeddings of any size d.
#
# d1            section 5.2: three layers of 1024, batch norm after each. It names no ReLU: ours stands between the layers.
# vicreg        section 4.2 of https://arxiv.org/abs/2105.04906.
# barlow-twins  section 2.2 of https://arxiv.org/abs/2103.03230. The official codes of both leave out the last bias, to which
#               neither loss has a gradient.
# wmse          section 4 of https://arxiv.org/abs/2007.06346, for CIFAR-10; 128 dimensions for Tiny ImageNet.
# simclr        section 2.1 of https://arxiv.org/abs/2002.05709 has W₂ ReLU(W₁ h) with W₁ of d × d. The batch norm after both is
#               that of the official code, https://github.com/google-research/simclr; its last has a learned scale, ours none.
# moco-v1       section 3.3 of https://arxiv.org/abs/1911.05722: one layer.
# moco-v2       section 2 of https://arxiv.org/abs/2003.04297: two, the first of d × d, without batch norm.
# emp-ssl       the code of https://arxiv.org/abs/2304.03977, which takes what its first 4096 give as the embedding; here they
#               are a part of the projector.
PROJECTORS: dict[str, Callable[[int], nn.Sequential]] = {
    "d1": lambda features: projector(features, (1024, 1024, 1024), last_norm="affine"),
    "vicreg": lambda features: projector(features, (8192, 8192, 8192)),
    "barlow-twins": lambda features: projector(features, (8192, 8192, 8192)),
    "wmse": lambda features: projector(features, (1024, 64)),
    "simclr": lambda features: projector(features, (features, 128), last_norm="plain"),
    "moco-v1": lambda features: projector(features, (128,)),
    "moco-v2": lambda features: projector(features, (features, 128), hidden_norm=False),
    "emp-ssl": lambda features: projector(features, (4096, 4096, 1024)),
}


def named_projector(name: str, features: int) -> nn.Sequential:
    """A new projector, as its paper has it, or by the widths of its layers.

    Args:
        name: one of ``PROJECTORS``; widths such as ``"1024-1024-64"``, batch norm after each layer but the last; or
            ``"none"``, for the embedding as it is.
        features: d of the embedding.

    Raises:
        ReplearnError: for a name that does not exist.
    """
    if name == "none":
        return nn.Sequential()
    if all(width.isdecimal() for width in name.split("-")):
        return projector(features, [int(width) for width in name.split("-")])
    if name not in PROJECTORS:
        raise unknown_name("projector", name, PROJECTORS)
    return PROJECTORS[name](features)
