"""How much memory a piece of work takes at its peak."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

__all__ = ["PeakMemory", "peak_memory"]


class PeakMemory:
    """What :func:`peak_memory` measures.

    Attributes:
        mib: what the work added at its peak, in MiB; ``None`` before the end of the block, and where the system does not tell.
    """

    mib: float | None = None


@contextmanager
def peak_memory(device: str) -> Iterator[PeakMemory]:
    """Measure the peak that the work in the block adds: allocated by torch on a GPU, resident on the CPU of a Linux system.

    The kernel keeps the mark of resident memory at each page, so that no short peak is missed. Memory that the process no longer
    needs is given back first: what the work takes again would not count.
    """
    peak = PeakMemory()
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        allocated = torch.cuda.memory_allocated(device)
        yield peak
        peak.mib = (torch.cuda.max_memory_allocated(device) - allocated) / 2**20
        return
    before = _restart_mark()
    yield peak
    if before is not None and (mark := _resident("VmHWM")) is not None:
        peak.mib = mark - before


def _restart_mark() -> float | None:
    """Set the kernel's high-water mark to what is resident now, and return that in MiB."""
    with contextlib.suppress(OSError, AttributeError):  # another C library has no malloc_trim
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _resident("VmRSS")


def _resident(field: str) -> float | None:
    """A line of the process's status in MiB; some containers lack ``VmHWM``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), None)
