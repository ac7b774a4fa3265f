"""What the user gave is wrong: say which argument, what came and what is expected, before any long work."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "ReplearnError",
    "check_count",
    "check_embeddings",
    "check_labels",
    "check_not_negative",
    "check_positive",
    "check_tensors",
    "unknown_name",
]


class ReplearnError(ValueError):
    """An error that its message alone explains: the command line prints it without a traceback."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> ReplearnError:
    """The error for a name that is not known, with the nearest known ones.

    Args:
        kind: what is named, such as ``"experiment"``.
        name: the name that came.
        known: the names that exist.
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"known: {', '.join(known) or 'none'}"
    return ReplearnError(f"unknown {kind} {name!r}; {hint}")


def check_positive(**values: float) -> None:
    """Check that each is a finite number above 0.

    Raises:
        ReplearnError: naming the argument and what came.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < float("inf"):
            raise ReplearnError(f"{name}: expected a finite number above 0, got {value!r}")


def check_not_negative(**values: float) -> None:
    """Check that each is a finite number from 0 up.

    Raises:
        ReplearnError: naming the argument and what came.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < float("inf"):
            raise ReplearnError(f"{name}: expected a finite number from 0 up, got {value!r}")


def check_count(**counts: int) -> None:
    """Check that each is a whole number from 1 up.

    Raises:
        ReplearnError: naming the argument and what came.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
            raise ReplearnError(f"{name}: expected a whole number from 1 up, got {value!r}")


def check_tensors(**tensors: object) -> None:
    """Check that each is a tensor, not a list or an array.

    Raises:
        ReplearnError: naming the argument and what came.
    """
    from torch import Tensor

    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise ReplearnError(f"{name}: expected a torch.Tensor, got {type(value).__module__}.{type(value).__name__}")


def check_embeddings(**tensors: Tensor) -> None:
    """Check that each tensor holds embeddings ``(N, d)``: two-dimensional, floating, not empty, finite.

    Raises:
        ReplearnError: naming the argument, what came and what is expected.
    """
    check_tensors(**tensors)
    for name, z in tensors.items():
        if z.ndim != 2:
            raise ReplearnError(f"{name}: expected shape (N, d), got {tuple(z.shape)}")
        if not z.is_floating_point():
            raise ReplearnError(f"{name}: expected a floating dtype, got {z.dtype}")
        if not z.numel():
            raise ReplearnError(f"{name}: expected at least one embedding, got shape {tuple(z.shape)}")
        if not z.isfinite().all():
            bad = (~z.isfinite().all(dim=1)).nonzero()[0, 0].item()
            raise ReplearnError(f"{name}: expected finite values, got NaN or infinity, first in row {bad}")


def check_labels(n: int, **tensors: Tensor) -> None:
    """Check that each tensor holds ``n`` integer labels, shape ``(n,)``.

    Raises:
        ReplearnError: naming the argument, what came and what is expected.
    """
    import torch

    check_tensors(**tensors)
    for name, y in tensors.items():
        if y.ndim != 1 or len(y) != n:
            raise ReplearnError(f"{name}: expected shape ({n},), one label an embedding, got {tuple(y.shape)}")
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise ReplearnError(f"{name}: expected an integer dtype, got {y.dtype}")
