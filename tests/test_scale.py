"""Scale, device, precision and data folder: the argument, else the environment, else the machine."""

from pathlib import Path

import pytest
import torch

from replearn_course import __version__
from replearn_course.errors import ReplearnError
from replearn_course.scale import (
    Setting,
    banner,
    choose,
    choose_device,
    choose_precision,
    choose_scale,
    data_folder,
    keep_memory,
    machine_gflops,
    machine_name,
)


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    """Nothing is set, and there is no GPU."""
    for name in ("REPLEARN_SCALE", "REPLEARN_DEVICE", "REPLEARN_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_scale(monkeypatch):
    assert choose_scale() == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_scale() == "full"
    monkeypatch.setenv("REPLEARN_SCALE", "smoke")
    assert choose_scale() == "smoke"
    assert choose_scale("cpu") == "cpu"
    monkeypatch.setenv("REPLEARN_SCALE", "")
    assert choose_scale() == "full"
    monkeypatch.setenv("REPLEARN_SCALE", "smok")
    with pytest.raises(ReplearnError, match="unknown scale 'smok'; did you mean 'smoke'"):
        choose_scale()


def test_device(monkeypatch):
    assert choose_device() == "cpu"
    for absent in ("cuda", "cuda:1", "mps"):
        with pytest.raises(ReplearnError, match=f"device '{absent}': this machine has none .*--device cpu"):
            choose_device(absent)
    for unknown in ("gpu", "cpu:0", "cuda:first", "cuda:"):
        with pytest.raises(ReplearnError, match=f"unknown device '{unknown}'"):
            choose_device(unknown)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device() == "cuda"
    assert choose_device("cuda:1") == "cuda:1"
    with pytest.raises(ReplearnError, match="device 'cuda:2': this machine has none"):
        choose_device("cuda:2")
    monkeypatch.setenv("REPLEARN_DEVICE", "cpu")
    assert choose_device() == "cpu"
    assert choose_device("cuda") == "cuda"


def test_precision_follows_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert choose_precision() == "bf16-mixed"
    assert choose_precision("32-true") == "32-true"
    assert choose_precision(device="mps") == "32-true"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert choose_precision() == "32-true"
    for supported, expected in ((True, "bf16-mixed"), (False, "32-true")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, s=supported: s)
        assert choose_precision(device="cuda:0") == expected
    assert choose_precision("16-mixed", "cuda:0") == "16-mixed"
    with pytest.raises(ReplearnError, match="precision '16-mixed': only CUDA devices have it, not cpu"):
        choose_precision("16-mixed")
    with pytest.raises(ReplearnError, match="unknown precision 'bf16'; did you mean 'bf16-mixed'"):
        choose_precision("bf16")


def test_data_folder(monkeypatch, tmp_path):
    assert data_folder().name == "replearn"
    monkeypatch.setenv("REPLEARN_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("REPLEARN_DATA", "~/sets")
    assert data_folder() == Path.home() / "sets"


def test_banner_says_with_what_a_run_was_made():
    setting = choose("smoke", "cpu", "32-true")
    assert setting == Setting("smoke", "cpu", "32-true", torch.get_num_threads())
    text = banner(setting, "digits (stand-in for MNIST)")
    assert len(text.splitlines()) == 2
    for part in (__version__, "scale smoke", machine_name(), "32-true", "stand-in for MNIST", torch.__version__):
        assert part in text
    assert "compiled" not in text
    assert "32-true, compiled" in banner(choose("smoke", "cpu", "32-true", compile=True), "digits")


def test_the_machine_is_measured_once():
    keep_memory()
    assert machine_gflops() > 0
    assert machine_gflops() == machine_gflops()
