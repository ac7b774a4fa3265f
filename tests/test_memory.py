"""The peak of memory is that of the work in the block: all of it, and nothing from before."""

import pytest
import torch

from replearn_course.scale import keep_memory
from replearn_course.training import memory, peak_memory


def tensor(mib):
    return torch.ones(mib * 2**18)  # written, so that its pages are resident


@pytest.fixture
def told():
    """Skips where the system does not tell."""
    with peak_memory("cpu") as peak:
        pass
    if peak.mib is None:
        pytest.skip("this system does not tell the peak of a process")


@pytest.mark.usefixtures("told")
def test_the_peak_counts_what_is_freed_before_the_end():
    with peak_memory("cpu") as peak:
        assert peak.mib is None
        tensor(40)
    assert 39 < peak.mib < 80


@pytest.mark.usefixtures("told")
def test_neither_a_peak_from_before_nor_what_is_held_counts():
    held = tensor(30)
    tensor(60)
    with peak_memory("cpu") as peak:
        tensor(10)
    assert 9 < peak.mib < 30
    assert held[0] == 1


@pytest.mark.usefixtures("told")
def test_the_second_of_two_equal_works_takes_as_much_as_the_first():
    keep_memory()  # as fit does: from now on freed memory stays with the process
    peaks = []
    for _ in range(2):
        with peak_memory("cpu") as peak:
            [tensor(1) for _ in range(40)]
        peaks.append(peak.mib)
    assert min(peaks) > 39


@pytest.mark.parametrize("silent", ["_restart_mark", "_resident"])
def test_a_system_that_does_not_tell_gives_none(monkeypatch, silent):
    monkeypatch.setattr(memory, silent, lambda *_: None)
    with peak_memory("cpu") as peak:
        pass
    assert peak.mib is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_peak_on_a_gpu_is_what_was_allocated():
    held = torch.ones(2**20, device="cuda")
    with peak_memory("cuda") as peak:
        torch.ones(2**22, device="cuda")
    assert peak.mib == 16
    assert held[0] == 1
