"""How time and memory are measured, the same way for both sides.

A benchmark module has a function ``sides(*arguments)`` that prepares the data and returns ``(ours, peer)``, two
functions without arguments that do the same work.
"""

from __future__ import annotations

import datetime
import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from replearn_course.scale import machine_name
from replearn_course.training import peak_memory

Side = Callable[[], Any]


def interleaved(ours: Side, peer: Side, rounds: int) -> tuple[float, float]:
    """Median seconds of each side, run in turns (A B A B ...) so that a busy moment of the machine meets both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for side, times in zip((ours, peer), seconds, strict=True):
            start = time.perf_counter()
            side()
            times.append(time.perf_counter() - start)
    return median(seconds[0]), median(seconds[1])


def peak_mib(module: str, side: str, *arguments: str) -> float | None:
    """Peak memory that one run of a side adds, in MiB, or None where the system is not Linux.

    A fresh process for each: it prepares the data, runs the side once on the data of ``sides("warm-up")`` so that
    libraries are loaded, and once under :func:`~replearn_course.training.peak_memory`. ``ru_maxrss`` would not do: it
    survives ``exec``, so a child starts with its parent's.
    """
    if not sys.platform.startswith("linux"):
        return None
    command = [sys.executable, "-m", "benchmarks.measure", module, side, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if result.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {result.returncode}:\n{result.stderr}")
    return float(result.stdout.split()[-1])


def row(
    name: str, peer: str, ours_s: float, peer_s: float, ours_mib: float | None = None, peer_mib: float | None = None
) -> dict[str, Any]:
    """One line of ``results.json``; ``ratio`` is how many times longer the peer takes."""
    return {
        "name": name,
        "peer": peer,
        "ours_s": _digits(ours_s),
        "peer_s": _digits(peer_s),
        "ratio": _digits(peer_s / ours_s),
        "ours_mib": _digits(ours_mib),
        "peer_mib": _digits(peer_mib),
        "machine": f"{machine_name()}, {torch.get_num_threads()} threads",
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
    }


def _digits(x: float | None) -> float | None:
    """Four significant digits: more would be noise."""
    return None if x is None else float(f"{x:.4g}")


def _measure_peak(module: str, side: str, *arguments: str) -> float | None:
    sides = importlib.import_module(module).sides
    which = ("ours", "peer").index(side)
    sides("warm-up")[which]()
    run = sides(*arguments)[which]
    with peak_memory("cpu") as peak:
        run()
    return peak.mib


if __name__ == "__main__":
    print(_measure_peak(*sys.argv[1:]))
