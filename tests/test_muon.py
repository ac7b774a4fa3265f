"""Muon: its polynomial on singular values, its steps by the formula, and what it does to the rest, beside torch's Adam."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from replearn_course.errors import ReplearnError
from replearn_course.training.muon import Muon, orthogonalise


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_singular_values(matrix: torch.Tensor, steps: int) -> torch.Tensor:
    """The polynomial on each singular value, with the decomposition that Newton-Schulz avoids."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s / s.square().sum().sqrt()
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u @ s.diag() @ v


@settings(deadline=None)
@given(
    rows=st.integers(1, 6), columns=st.integers(1, 6), steps=st.integers(1, 6), size=st.sampled_from([1e-9, 1.0, 1e9])
)
def test_orthogonalise_is_a_polynomial_of_the_singular_values(rows, columns, steps, size):
    matrix = size * noise(rows, columns)
    assert torch.allclose(orthogonalise(matrix, steps), by_singular_values(matrix, steps), atol=1e-9)


@pytest.mark.parametrize("size", [1e-42, 1e-30, 1e-22, 1e25])
def test_orthogonalise_in_float32_where_squares_under_and_overflow(size):
    matrix = (size * noise(4, 6)).float()
    expected = by_singular_values(matrix.double(), 4)  # of what float32 has left of it
    assert torch.allclose(orthogonalise(matrix).double(), expected, atol=1e-3)


def test_orthogonalise_brings_singular_values_near_one():
    u, v = (torch.linalg.qr(noise(40, 8, seed=seed)).Q for seed in (0, 1))
    matrix = u @ torch.logspace(-1, 0, 8).double().diag() @ v.T  # some 0.05 to 0.7 of the Frobenius norm
    s = torch.linalg.svdvals(orthogonalise(matrix, 5))[:8]
    assert s.min() > 0.65
    assert s.max() < 1.25
    assert (u.T @ orthogonalise(matrix, 5) @ v).diagonal().min() > 0.65  # along the directions of the matrix itself
    assert not orthogonalise(torch.zeros(3, 4)).any()


@settings(deadline=None)
@given(
    momentum=st.sampled_from([0.0, 0.6, 0.9]), seed=st.integers(0, 100), shape=st.sampled_from([(3, 2, 2, 2), (4, 3)])
)
def test_a_weight_turns_by_the_formula_and_keeps_its_norm(momentum, seed, shape):
    w, rates = nn.Parameter(noise(*shape, seed=seed)), [0.3, 0.1, 0.2]
    optimizer, expected, m = Muon([w], 0.3, momentum=momentum), w.detach().flatten(1).clone(), 0.0
    norm = expected.norm()
    for step, rate in enumerate(rates):
        w.grad = noise(*shape, seed=seed + step + 1) * 10.0**step
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        g = w.grad.flatten(1)
        m = momentum * m + g
        u = by_singular_values(g + momentum * m, 4)
        expected = expected / expected.norm() - rate * u / u.norm()
        expected = norm * expected / expected.norm()
        assert torch.allclose(w.flatten(1), expected, rtol=1e-9)


def test_filters_stored_with_channels_last_turn_alike():
    ws = [
        nn.Parameter(noise(3, 2, 2, 2).contiguous(memory_format=f))
        for f in (torch.contiguous_format, torch.channels_last)
    ]
    for w in ws:
        w.grad = noise(3, 2, 2, 2, seed=1)
        Muon([w], 0.3).step()
    assert torch.allclose(*ws)
    assert ws[1].is_contiguous(memory_format=torch.channels_last)


def test_biases_go_by_adam():
    ours, theirs = nn.Parameter(noise(5)), nn.Parameter(noise(5))
    optimizer, peer = Muon([ours], 0.3, vector_lr=0.02), torch.optim.Adam([theirs], 0.02, betas=(0.9, 0.95))
    for step in range(4):
        ours.grad = theirs.grad = noise(5, seed=step)
        optimizer.step()
        peer.step()
    assert torch.allclose(ours, theirs, rtol=1e-10)


def test_loss_scale_does_not_matter_and_a_schedule_reaches_both_rates():
    results = []
    for scale in (1.0, 1e6):
        layer = nn.Linear(3, 4).double()
        layer.weight.data, layer.bias.data = noise(4, 3), noise(4)
        optimizer = Muon(layer.parameters(), 0.2)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
        for seed in range(3):
            optimizer.zero_grad()
            (scale * layer(noise(5, 3, seed=seed)).square().sum()).backward()
            optimizer.step()
            schedule.step()
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.2 / 4, 0.01 / 4])
        results.append(torch.cat([layer.weight.flatten(), layer.bias]).detach())
    assert torch.allclose(*results, rtol=1e-6)


def test_state_is_saved_and_taken_up_again():
    def train(optimizer, w, steps):
        for step in steps:
            w[0].grad, w[1].grad = noise(3, 4, seed=step), noise(3, seed=step)
            optimizer.step()

    whole, halves = ([nn.Parameter(noise(3, 4)), nn.Parameter(noise(3))] for _ in range(2))
    train(Muon(whole, 0.1), whole, range(4))
    first = Muon(halves, 0.1)
    train(first, halves, range(2))
    second = Muon(halves, 0.1)
    second.load_state_dict(first.state_dict())
    train(second, halves, range(2, 4))
    assert all(torch.equal(a, b) for a, b in zip(whole, halves, strict=True))


def test_weights_without_gradient_or_of_norm_zero_stay_and_a_closure_is_called():
    still, zero = nn.Parameter(noise(2, 2)), nn.Parameter(torch.zeros(2, 2).double())
    zero.grad = noise(2, 2)
    assert Muon([still, zero], 0.1).step(lambda: 7.0) == 7.0
    assert torch.equal(still, noise(2, 2))
    assert not zero.any()
    still.grad = torch.zeros(2, 2).double()
    Muon([still], 0.1).step()
    assert torch.allclose(still, noise(2, 2))


def test_bad_settings_are_said():
    w = nn.Parameter(torch.zeros(2, 2).double())
    for settings_ in (
        {"lr": -1.0},
        {"lr": 0.1, "vector_lr": -1.0},
        {"lr": 0.1, "momentum": 1.0},
        {"lr": 0.1, "steps": 0},
    ):
        with pytest.raises(ReplearnError, match="expected lr and vector_lr of 0 or more"):
            Muon([w], **settings_)
    with pytest.raises(ReplearnError, match="expected at least one parameter, got none"):
        Muon([], 0.1)
