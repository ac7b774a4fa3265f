"""How much memory a piece of work takes at its peak."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

__all__ = ["PeakMemory", "peak_memory"]


class PeakMemory:
    """What :func:`peak_memory` measures.

    Attributes:
        mib: what the work added at its peak, in MiB; ``None`` where the system does not tell.
    """

    mib: float | None = None


@contextmanager
def peak_memory(device: str) -> Iterator[PeakMemory]:
    """Measure the peak that the work in the block adds: allocated by torch on a GPU, resident on the CPU of a Linux system.

    The kernel keeps the mark of resident memory at each page, so that no short peak is missed; memory that the process held
    free before and used again does not count.
    """
    peak = PeakMemory()
    cuda = device.startswith("cuda")
    before = _restart_mark() if not cuda else torch.cuda.memory_allocated(device) / 2**20
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    yield peak
    if cuda and before is not None:
        peak.mib = torch.cuda.max_memory_allocated(device) / 2**20 - before
    elif before is not None:
        peak.mib = _status("VmHWM") - before


def _restart_mark() -> float | None:
    """Set the kernel's high-water mark to what is resident now, and return that in MiB."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024
