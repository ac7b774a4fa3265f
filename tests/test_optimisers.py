"""Optimisers: LARS by its formula and beside its peer, and what weight decay leaves alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from replearn_course.errors import ReplearnError
from replearn_course.training import LARS, OPTIMIZERS, make_optimizer, parameter_groups
from replearn_course.training.muon import Muon


def parameters(seed: int = 0) -> list[nn.Parameter]:
    """A filter, a matrix and a bias in float64."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (3, 2, 2, 2), (4, 3), (4,)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64)) for shape in shapes]


def set_gradients(params: list[nn.Parameter], step: int) -> None:
    """Noise of another size for each parameter and step."""
    for i, p in enumerate(params):
        noise = torch.randn(p.shape, generator=torch.Generator().manual_seed(100 * step + i), dtype=torch.float64)
        p.grad = noise * 10.0 ** (i - 1)


def by_loop(w, gradients, lr, momentum, decay, trust):
    """LARS of one parameter, number by number, with the learning rate of each step."""
    shape, w = w.shape, w.detach().flatten().tolist()
    v = [0.0] * len(w)
    for rate, gradient in zip(lr, gradients, strict=True):
        g = gradient.flatten().tolist()
        if len(shape) == 1:
            update = g
        else:
            size, slope = math.sqrt(sum(x * x for x in w)), math.sqrt(sum(x * x for x in g))
            bottom = slope + decay * size
            local = trust * size / bottom if size and bottom else 1.0
            update = [local * (gi + decay * wi) for gi, wi in zip(g, w, strict=True)]
        v = [momentum * vi + ui for vi, ui in zip(v, update, strict=True)]
        w = [wi - rate * vi for wi, vi in zip(w, v, strict=True)]
    return torch.tensor(w, dtype=torch.float64).view(shape)


@settings(deadline=None)
@given(
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    decay=st.sampled_from([0.0, 1e-4, 0.3]),
    trust=st.sampled_from([1e-3, 0.02, 1.0]),
    seed=st.integers(0, 100),
    flaw=st.sampled_from(["none", "zero weights", "zero gradient"]),
)
def test_lars_by_its_formula(momentum, decay, trust, seed, flaw):
    params, gradients, rates = parameters(seed), [], [0.3, 0.7, 0.1]
    if flaw == "zero weights":
        params[0].data.zero_()
    before = [p.detach().clone() for p in params]
    optimizer = LARS(params, 0.3, momentum=momentum, weight_decay=decay, trust=trust)
    for step, rate in enumerate(rates):
        set_gradients(params, step)
        if flaw == "zero gradient":
            params[1].grad.zero_()
        gradients.append([p.grad.clone() for p in params])
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    for i, p in enumerate(params):
        expected = by_loop(before[i], [g[i] for g in gradients], rates, momentum, decay, trust)
        assert torch.allclose(p, expected, rtol=1e-10, atol=1e-14)
        assert (p != before[i]).any() or flaw == "zero gradient"


def test_lars_beside_its_peer():
    lars = pytest.importorskip("lightly.utils.lars").LARS
    ours, theirs = parameters(), parameters()
    optimizer = LARS(ours, 0.3, weight_decay=0.01)
    # lightly takes a group without weight decay as one that is not adapted.
    groups = [{"params": theirs[:2], "weight_decay": 0.01}, {"params": theirs[2:], "weight_decay": 0.0}]
    peer = lars(groups, lr=0.3, momentum=0.9, trust_coefficient=0.001, eps=0.0)
    for step in range(5):
        for params, one in ((ours, optimizer), (theirs, peer)):
            set_gradients(params, step)
            one.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.allclose(p, q, rtol=1e-12, atol=0)


def test_a_step_of_lars_does_not_depend_on_the_size_of_the_gradient():
    moved = []
    for factor in (1.0, 1e6):
        params = parameters()
        before = params[0].detach().clone()
        optimizer = LARS(params, 0.5, trust=0.02)
        set_gradients(params, 0)
        params[0].grad *= factor
        optimizer.step()
        moved.append(params[0].detach() - before)
        assert moved[-1].norm() == pytest.approx(0.5 * 0.02 * before.norm())
    assert torch.allclose(*moved)


def test_lars_goes_on_from_its_state():
    whole, cut = parameters(), parameters()
    optimizer = LARS(whole, 0.3, weight_decay=0.01)
    first = LARS(cut, 0.3, weight_decay=0.01)
    for step in range(4):
        if step == 2:
            state = first.state_dict()
            first = LARS(cut, 9.0)
            first.load_state_dict(state)
        for params, one in ((whole, optimizer), (cut, first)):
            set_gradients(params, step)
            one.step()
    assert all(torch.equal(p, q) for p, q in zip(whole, cut, strict=True))


def test_lars_calls_a_closure_and_leaves_alone_what_has_no_gradient():
    params = parameters()
    kept = params[1].detach().clone()

    def closure():
        loss = params[0].square().sum() + params[2].sum()
        loss.backward()
        return loss

    assert LARS(params, 0.1).step(closure) > 0
    assert torch.equal(params[1], kept)
    assert params[0].grad is not None


def test_weight_decay_leaves_biases_and_batch_norm_alone():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    decayed, rest = parameter_groups(module, 0.1)
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    assert [tuple(p.shape) for p in decayed["params"]] == [(2, 1, 3, 3), (3, 8)]
    assert [tuple(p.shape) for p in rest["params"]] == [(2,), (2,), (2,), (3,)]
    module[0].requires_grad_(False)
    module[3].bias.requires_grad_(False)
    assert [len(group["params"]) for group in parameter_groups(module, 0.1)] == [1, 2]
    assert len(parameter_groups(nn.Linear(2, 2, bias=False), 0.1)) == 1


def test_muon_by_name_has_no_weight_decay():
    module = nn.Linear(3, 2)
    optimizer = make_optimizer("muon", module, 0.1, momentum=0.8)
    assert isinstance(optimizer, Muon)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.01]
    assert optimizer.defaults["momentum"] == 0.8
    with pytest.raises(
        ReplearnError, match="weight_decay: Muon keeps the norms of the weights, so expected 0, got 0.5"
    ):
        make_optimizer("muon", module, 0.1, weight_decay=0.5)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.keys() - {"muon"}))
def test_optimisers_by_name(name):
    torch.manual_seed(0)
    module = nn.Linear(3, 2, dtype=torch.float64)
    optimizer = make_optimizer(name, module, 0.1, weight_decay=0.5, momentum=0.8)
    before = [p.detach().clone() for p in module.parameters()]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()  # weight decay alone
    step = {
        "adam": 0.1 * before[0].sign(),
        "adamw": 0.05 * before[0],
        "lars": 1e-4 * before[0],
        "sgd": 0.05 * before[0],
    }
    assert torch.allclose(module.weight, before[0] - step[name], rtol=1e-5)
    assert torch.equal(module.bias, before[1])
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.param_groups[0]["weight_decay"] = 0.0
    moved = module.weight.detach().clone()
    optimizer.step()  # momentum alone
    assert torch.equal(module.weight, moved) == (name == "adamw")


def test_bad_optimisers_are_said():
    with pytest.raises(ReplearnError, match="unknown optimizer 'lasr'; did you mean 'lars'"):
        make_optimizer("lasr", nn.Linear(1, 1), 0.1)
    with pytest.raises(ReplearnError, match="module: all of its parameters are frozen"):
        make_optimizer("sgd", nn.Linear(1, 1).requires_grad_(False), 0.1)
    for wrong in (
        {"lr": -1.0},
        {"lr": 1.0, "momentum": 1.0},
        {"lr": 1.0, "trust": 0.0},
        {"lr": 1.0, "weight_decay": -1},
    ):
        with pytest.raises(ReplearnError, match=r"trust above 0 and momentum in \[0, 1\), got"):
            LARS(parameters(), **wrong)
