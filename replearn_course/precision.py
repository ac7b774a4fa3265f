"""How many digits: sums over a batch need more than half precision has, and some decompositions all of float64."""

from __future__ import annotations

from torch import Tensor

__all__ = ["at_least_float32", "in_float64"]


def at_least_float32(z: Tensor) -> Tensor:
    """Half precision as float32; sums over a batch need the digits."""
    return z.float() if z.dtype.itemsize < 4 else z


def in_float64(z: Tensor) -> Tensor:
    """In float64, on the CPU where the device has no such numbers."""
    return z.cpu().double() if z.device.type == "mps" else z.double()
