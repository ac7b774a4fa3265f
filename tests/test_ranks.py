"""Several processes: two of them, each with half of a batch, compute what one computes with all of it."""

import os
import subprocess
import sys

import pytest
import ranks_job
import torch
from torch import nn

from replearn_course.training.ranks import from_first, gather, share, synchronise


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What two gloo processes found."""
    out = tmp_path_factory.mktemp("ranks") / "rank"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", ranks_job.__file__]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(out)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(f"{out}-{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("loss", ranks_job.LOSSES)
def test_batch_norm_is_that_of_the_whole_batch(ranks, loss):
    alone = ranks_job.compute(loss)
    for name, expected in alone.items():
        found = [rank[loss][name] for rank in ranks]
        if loss == "own" and name == "z":  # each has its own items, every other one
            found = [torch.stack(found, dim=2).flatten(1, 2)]
        elif loss == "own" and name == "loss":
            found = [sum(found) / 2]
        for value in found:
            assert torch.allclose(value, expected, rtol=1e-10, atol=1e-13), name
    assert alone["loss"].abs() > 0.01
    assert alone["1.num_batches_tracked"] == 3
    gradients = [value.abs().max() for name, value in alone.items() if name.startswith("gradient")]
    assert min(gradients) < 1e-9 < 1e-3 < max(gradients)  # a bias before batch norm has none


def test_names_are_those_of_one_process(ranks):
    names = list(ranks_job.network().state_dict())
    assert [name for name in ranks[0]["own"] if name in names] == names


def test_what_processes_get_from_each_other(ranks):
    numbers = torch.arange(12).view(6, 2)
    for rank in ranks:
        assert torch.equal(rank["small"]["gathered"], numbers)  # in the order before share
        assert torch.equal(rank["small"]["views"], numbers.T)
        assert rank["small"]["first"].tolist() == [0, 7]
        assert rank["small"]["kept"] == [False, False, False, True]  # only torch's own layers are changed
        assert rank["small"]["bf16"]


def test_one_process_changes_nothing():
    layers = nn.Sequential(nn.BatchNorm1d(2))
    synchronise(layers)
    assert type(layers[0]) is nn.BatchNorm1d
    x = torch.randn(3, 2)
    assert gather(x, 1) is x
    assert from_first(x) is x
    assert share((x,))[0] is x
