"""Where and how large things run: scale, device, precision, threads and data folder, each decided here and nowhere else."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from replearn_course import __version__
from replearn_course.errors import ReplearnError, unknown_name

__all__ = [
    "SCALES",
    "Setting",
    "banner",
    "choose",
    "choose_device",
    "choose_precision",
    "choose_scale",
    "data_folder",
    "keep_memory",
    "machine_gflops",
    "machine_name",
]

SCALES = ("smoke", "cpu", "full")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Setting:
    """What every run is told and prints: the scale, the device, the precision and the number of CPU threads.

    ``compile`` has ``torch.compile`` make the encoder's code, which a GPU may gain by; it takes a minute or so, and the first
    time of each shape of images again.
    """

    scale: str
    device: str
    precision: str
    threads: int
    compile: bool = False


def choose(
    scale: str | None = None, device: str | None = None, precision: str | None = None, compile: bool = False
) -> Setting:
    """Fill in what was not said from the environment and the machine."""
    import torch

    device = choose_device(device)
    precision = choose_precision(precision, device)
    return Setting(choose_scale(scale, device), device, precision, torch.get_num_threads(), compile)


def choose_scale(scale: str | None = None, device: str | None = None) -> str:
    """The scale: the argument, else ``REPLEARN_SCALE``, else ``full`` on a GPU and ``cpu`` without.

    Raises:
        ReplearnError: for a scale that does not exist.
    """
    scale = scale or os.environ.get("REPLEARN_SCALE") or None
    if scale is None:
        return "cpu" if choose_device(device) == "cpu" else "full"
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES)
    return scale


def choose_device(device: str | None = None) -> str:
    """The device: the argument, else ``REPLEARN_DEVICE``, else a GPU if there is one.

    Raises:
        ReplearnError: for a device that torch does not know or that this machine lacks.
    """
    import torch

    device = device or os.environ.get("REPLEARN_DEVICE") or None
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, colon, index = device.partition(":")
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in here or (colon and not (kind == "cuda" and index.isdecimal())):
        raise unknown_name("device", device, here)
    if not here[kind] or (index and int(index) >= torch.cuda.device_count()):
        raise ReplearnError(f"device {device!r}: this machine has none that torch can use; use --device cpu")
    return device


def choose_precision(precision: str | None = None, device: str = "cpu") -> str:
    """The precision of the networks; losses are always computed in float32.

    bf16 pays only where the processor has the instructions: on a CPU without them it is 4 to 10 times slower than float32.
    """
    import torch

    if precision is not None:
        if precision not in PRECISIONS:
            raise unknown_name("precision", precision, PRECISIONS)
        if precision == "16-mixed" and not device.startswith("cuda"):
            raise ReplearnError(f"precision '16-mixed': only CUDA devices have it, not {device}; use bf16-mixed")
        return precision
    if device.startswith("cuda"):
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if device == "cpu" and _cpu_has_bf16() else "32-true"


def _cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (AVX-512 BF16 or AMX on x86)."""
    import torch

    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if probe is not None:
        return bool(probe())
    try:  # torch before 2.6 does not tell
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def data_folder() -> Path:
    """The folder of the datasets: ``REPLEARN_DATA``, else ``replearn`` in the user's cache folder."""
    if folder := os.environ.get("REPLEARN_DATA"):
        return Path(folder).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("replearn", appauthor=False)


def banner(setting: Setting, data: str) -> str:
    """Two lines that say with what a run was made.

    Args:
        setting: from :func:`choose`.
        data: which data, and whether it stands in for the real set.
    """
    import torch

    compiled = ", compiled" if setting.compile else ""
    threads = f"{setting.threads} thread{'s' if setting.threads > 1 else ''}"
    return (
        f"replearn {__version__} · scale {setting.scale} · {machine_name(setting.device)}, {threads}, "
        f"{setting.precision}{compiled}\ndata: {data} · Python {platform.python_version()}, torch {torch.__version__}"
    )


def machine_name(device: str = "cpu") -> str:
    """The processor's name as the system gives it."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name} ({os.cpu_count()} cores)"


@lru_cache
def machine_gflops(device: str = "cpu") -> float:
    """The machine's own speed: GFLOP/s of a float32 matrix product of 1024 × 1024, the best of five.

    Minutes on one machine mean little on another; with this number beside them they do.
    """
    import time

    import torch

    a = torch.randn(1024, 1024, device=device)
    best = float("inf")
    for _ in range(6):  # the first warms up
        start = time.perf_counter()
        product = a @ a
        product[0, 0].item()  # waits for a GPU
        best = min(best, time.perf_counter() - start)
    return round(2 * 1024**3 / best / 1e9, 1)


@lru_cache
def keep_memory() -> None:
    """Tell glibc to keep large blocks instead of returning them: saves a tenth of CPU training in page faults."""
    if sys.platform != "linux":
        return
    import ctypes

    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    trim_threshold, mmap_max = -1, -4  # the numbers of <malloc.h>
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
