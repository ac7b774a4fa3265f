"""The numbers that show collapse, against forms written another way and against cases that are known."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from replearn_course.data import ImageSet
from replearn_course.errors import ReplearnError
from replearn_course.probes import CollapseMonitor, alignment, effective_rank, spread, uniformity


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_effective_rank_counts_equal_directions(k):
    corners = torch.eye(8, dtype=torch.float64)[:k]
    z = torch.cat([corners, -corners]) + 7  # the common mean does not count
    assert effective_rank(z) == pytest.approx(k)


def test_effective_rank_of_unequal_directions():
    z = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
    z = torch.cat([z, -z])
    p = torch.tensor([0.75, 0.25])
    assert effective_rank(z) == pytest.approx(math.exp(-(p * p.log()).sum()))


def test_effective_rank_of_a_point_is_zero():
    assert effective_rank(torch.full((10, 4), 3.3)) == 0.0
    one = torch.full((10, 4), 3.3)  # the same but for the last digit, whose directions are no dimensions
    assert effective_rank(one.nextafter(4 * torch.randint(2, one.shape))) == 0.0
    assert effective_rank(1e-20 * normal(10, 4)) > 2  # small is not equal


@given(st.integers(2, 30), st.integers(1, 10), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_effective_rank_lies_between_one_and_what_there_is_room_for(n, d, seed):
    assert 1 - 1e-6 <= effective_rank(normal(n, d, seed=seed)) <= min(n - 1, d) + 1e-6


def test_spread_is_one_on_the_sphere_and_zero_at_collapse():
    assert spread(normal(20_000, 16)) == pytest.approx(1, abs=0.02)
    assert spread(5 * normal(20_000, 16)) == spread(normal(20_000, 16))
    assert spread(torch.ones(10, 3)) == pytest.approx(0)


@pytest.mark.parametrize("views", [2, 3, 5])
def test_alignment_is_the_mean_over_all_pairs(views):
    z = F.normalize(normal(views, 6, 4), dim=2)
    pairs = [(z[a] - z[b]).square().sum(dim=1).mean() for a in range(views) for b in range(a)]
    assert alignment(3 * z) == pytest.approx(torch.stack(pairs).mean().item())


def test_alignment_of_equal_and_of_opposite_views():
    z = normal(5, 3)
    assert alignment(torch.stack([z, 2 * z])) == pytest.approx(0)
    assert alignment(torch.stack([z, -z])) == pytest.approx(4)


def test_uniformity_by_a_loop():
    z = F.normalize(normal(7, 3), dim=1)
    terms = [math.exp(-2 * (z[i] - z[j]).square().sum().item()) for i in range(7) for j in range(i)]
    assert uniformity(4 * z) == pytest.approx(math.log(sum(terms) / len(terms)))
    assert uniformity(torch.ones(5, 3)) == pytest.approx(0)


@pytest.mark.parametrize("call", [lambda: alignment(torch.ones(1, 4, 3)), lambda: alignment(torch.ones(4, 3))])
def test_alignment_needs_two_views(call):
    with pytest.raises(ReplearnError, match=r"z: expected \(V, N, d\) of two views or more"):
        call()


def test_uniformity_needs_two_embeddings():
    with pytest.raises(ReplearnError, match="two embeddings or more, got 1"):
        uniformity(torch.ones(1, 3))


class Shift:
    """A view that adds a constant to the pixels."""

    def __init__(self, by):
        self.by = by

    def __call__(self, images, generator):
        return images + self.by


def test_the_monitor_sees_the_views_of_the_encoder_of_the_method():
    pixels = torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1).expand(12, 1, 2, 2) * 20
    data = ImageSet("steps", pixels, torch.zeros(12, dtype=torch.long), ("one",))
    method = nn.Module()
    method.encoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    method.encoder.append(nn.BatchNorm1d(3, momentum=0.5))
    statistics = {name: value.clone() for name, value in method.state_dict().items()}
    found = CollapseMonitor(data, [Shift(0.0), Shift(1.0)], images=10)(method)
    assert all(torch.equal(value, statistics[name]) for name, value in method.state_dict().items())
    again = CollapseMonitor(data, [Shift(0.0), Shift(1.0)], images=10)(method)
    assert found == again
    assert set(found) == {"spread", "rank", "alignment", "uniformity"}
    assert found["rank"] == pytest.approx(1, abs=1e-4)  # all pixels of an image are equal: the embeddings lie on a line
    same = CollapseMonitor(data, [Shift(0.0), Shift(0.0)])(method)
    assert same["alignment"] == pytest.approx(0, abs=1e-12)
    assert found["alignment"] > 1e-6
