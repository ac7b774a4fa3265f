"""Distances and the contrastive loss against closed forms, loops and PyTorch, in value and gradient."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from replearn_course.errors import ReplearnError
from replearn_course.losses import (
    FORMS,
    METRICS,
    ContrastiveLoss,
    contrastive_loss,
    paired_distances,
    pairwise_distances,
)

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def distance(x, y, metric):
    """One distance in plain Python, by its definition."""
    x, y = x.tolist(), y.tolist()
    squared = math.fsum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    if metric == "cosine":
        norms = math.hypot(*x) * math.hypot(*y)
        return 1 - (math.fsum(a * b for a, b in zip(x, y, strict=True)) / norms if norms else 0.0)
    return squared if metric == "squared" else math.sqrt(squared)


def embeddings(n=6, d=3, seed=0, **options):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, **options)


# --- distances ---


@pytest.mark.parametrize("metric", METRICS)
def test_distances_are_those_of_the_definition(metric):
    x, y = embeddings(5), embeddings(4, seed=1)
    x[1], x[2], y[3] = y[0], -2 * y[1], 0.0  # a coinciding pair, an opposite pair and a zero vector
    expected = torch.tensor([[distance(a, b, metric) for b in y] for a in x], dtype=torch.float64)
    torch.testing.assert_close(pairwise_distances(x, y, metric), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(paired_distances(x[:4], y, metric), expected[:4].diagonal(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_without_y_distances_are_within_x(metric):
    x = embeddings()
    within = pairwise_distances(x, metric=metric)
    assert torch.equal(within, pairwise_distances(x, x, metric))
    assert torch.equal(within, within.T)
    assert torch.equal(within.diagonal(), torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("metric", METRICS)
def test_gradients_of_distances(metric):
    x, y = embeddings(4, requires_grad=True), embeddings(4, seed=1, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, y: pairwise_distances(x, y, metric), (x, y))
    assert torch.autograd.gradcheck(lambda x, y: paired_distances(x, y, metric), (x, y))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_gradient_of_coinciding_points_is_zero(metric, value):
    x = torch.full((4, 3), value, requires_grad=True)
    for distances in (pairwise_distances(x, metric=metric), paired_distances(x, x.flip(0), metric)):
        (gradient,) = torch.autograd.grad(distances.sum(), x)
        assert torch.equal(gradient, torch.zeros(4, 3))


@pytest.mark.parametrize("metric", METRICS)
def test_near_collapse_keeps_its_digits_in_float32(metric):
    """Points 1e-4 of their length apart: the Gram form has no digit left of their squared distance."""
    x = (torch.ones(8, 16, dtype=torch.float64) + 1e-4 * embeddings(8, 16)).float()
    exact = pairwise_distances(x.double(), metric=metric)
    off = ~torch.eye(8, dtype=torch.bool)
    assert ((pairwise_distances(x, metric=metric) - exact) / exact)[off].abs().max() < 2e-3
    gram = (x.square().sum(1)[:, None] + x.square().sum(1) - 2 * x @ x.T).clamp_min(0)
    squared = pairwise_distances(x.double(), metric="squared")
    assert ((gram - squared) / squared)[off].abs().max() > 0.1


def test_a_zero_vector_has_no_direction():
    x, y = torch.zeros(1, 2, requires_grad=True), torch.tensor([[1.0, 0.0]])
    cosine = pairwise_distances(x, y, "cosine")
    assert cosine.item() == 1
    assert torch.equal(torch.autograd.grad(cosine.sum(), x)[0], torch.zeros(1, 2))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_cosine_does_not_depend_on_length(scale):
    x = embeddings().float()
    torch.testing.assert_close(pairwise_distances(scale * x, x, "cosine"), pairwise_distances(x, metric="cosine"))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("device", DEVICES)
def test_half_precision_is_computed_in_float32(metric, dtype, device):
    x = embeddings().to(device, dtype).requires_grad_()
    expected = pairwise_distances(x.detach().float(), metric=metric)
    with torch.autocast(device, dtype=torch.bfloat16):
        distances = pairwise_distances(x, metric=metric)
        paired = paired_distances(x, x.flip(0), metric)
    assert distances.dtype == paired.dtype == torch.float32
    assert torch.equal(distances, expected)
    distances.sum().backward()
    assert x.grad.dtype == dtype
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("function", [pairwise_distances, paired_distances])
@pytest.mark.parametrize(
    ("x", "y", "metric", "message"),
    [
        (torch.ones(3), torch.ones(3, 2), "euclidean", r"x: expected shape \(N, d\), got \(3,\)"),
        (torch.ones(3, 2), torch.ones(3, 2).long(), "euclidean", "y: expected a floating dtype, got torch.int64"),
        (torch.ones(3, 2), torch.ones(3, 4), "euclidean", "y: expected embeddings of 2 dimensions as in x, got 4"),
        (torch.ones(3, 2), torch.ones(3, 2).double(), "euclidean", "y: expected dtype torch.float32 as x"),
        (torch.ones(3, 2), torch.ones(3, 2, device="meta"), "euclidean", "y: expected on cpu as x, got meta"),
        (torch.ones(3, 2), torch.ones(3, 2) * torch.nan, "euclidean", "y: expected finite values.* first in row 0"),
        (torch.ones(3, 2), [[1.0, 2.0]], "euclidean", r"y: expected a torch\.Tensor, got builtins\.list"),
        (torch.ones(3, 2).numpy(), torch.ones(3, 2), "euclidean", r"x: expected a torch\.Tensor, got numpy\.ndarray"),
        (torch.ones(3, 2), torch.ones(3, 2), None, "unknown metric None"),
        (torch.ones(3, 2), torch.ones(3, 2), "euclidian", "unknown metric 'euclidian'; did you mean 'euclidean'"),
    ],
)
def test_bad_input_of_distances(function, x, y, metric, message):
    with pytest.raises(ReplearnError, match=message):
        function(x, y, metric)


def test_paired_distances_need_as_many_rows():
    with pytest.raises(ReplearnError, match="y: expected as many rows as x, 3, got 2"):
        paired_distances(torch.ones(3, 2), torch.ones(2, 2))


# --- contrastive ---


def contrastive_loop(x1, x2, same, margin, form):
    """The two formulas of the documentation, pair by pair."""
    total = 0.0 * (x1.sum() + x2.sum())  # a tensor even where each pair is a constant
    for a, b, s in zip(x1, x2, same.tolist(), strict=True):
        squared = ((a - b) ** 2).sum()
        if form == "d3":
            total = total + (squared if s else torch.clamp(margin - squared, min=0))
        elif s:
            total = total + squared / 2
        elif squared > 0:
            total = total + torch.clamp(margin - squared.sqrt(), min=0) ** 2 / 2
        else:
            total = total + margin**2 / 2
    return total / len(x1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8), st.sampled_from(FORMS), st.sampled_from([0.0, 0.3, 1.0, 2.5]))
@example(seed=6869, n=1, form="hadsell", margin=0.0)  # one pair of two classes that coincides
def test_contrastive_equals_its_formula(seed, n, form, margin):
    generator = torch.Generator().manual_seed(seed)
    # A coarse grid: coinciding pairs, and pairs at the margin exactly, do occur.
    x1, x2 = (torch.randint(-1, 2, (n, 2), generator=generator).double().requires_grad_() for _ in range(2))
    same = torch.randint(0, 2, (n,), generator=generator)
    loss, expected = contrastive_loss(x1, x2, same, margin, form), contrastive_loop(x1, x2, same, margin, form)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-14)
    actual, wanted = (torch.autograd.grad(value, (x1, x2)) for value in (loss, expected))
    for a, w in zip(actual, wanted, strict=True):
        torch.testing.assert_close(a, w, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_contrastive_gradcheck_and_module(form):
    x1, x2 = embeddings(requires_grad=True), embeddings(seed=1, requires_grad=True)
    same = torch.tensor([True, False, True, False, False, True])
    assert torch.autograd.gradcheck(lambda a, b: contrastive_loss(a, b, same, 2.0, form), (x1, x2))
    module = ContrastiveLoss(2.0, form)
    for labels in (same, same.int(), same.double()):
        assert module(x1, x2, labels) == contrastive_loss(x1, x2, same, 2.0, form)
    assert f"form='{form}'" in repr(module)


def test_worst_negatives_are_pushed_most_by_hadsell_and_least_by_d3():
    pushes = {}
    for form in FORMS:
        for d in (0.01, 0.5):
            x = torch.tensor([[d, 0.0]], dtype=torch.float64, requires_grad=True)
            loss = contrastive_loss(x, torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0]), 1.0, form)
            pushes[form, d] = -torch.autograd.grad(loss, x)[0][0, 0].item()
    assert pushes["hadsell", 0.01] == pytest.approx(0.99)
    assert pushes["hadsell", 0.5] == pytest.approx(0.5)
    assert pushes["d3", 0.01] == pytest.approx(0.02)
    assert pushes["d3", 0.5] == pytest.approx(1.0)


@pytest.mark.parametrize("form", FORMS)
def test_pairs_of_one_class_are_pulled_and_others_pushed(form):
    x1, x2 = torch.tensor([[0.3, 0.0]], requires_grad=True), torch.zeros(1, 2)
    for same, sign in ((1, 1), (0, -1)):
        (gradient,) = torch.autograd.grad(contrastive_loss(x1, x2, torch.tensor([same]), 1.0, form), x1)
        assert gradient[0, 0].sign() == sign


@pytest.mark.parametrize("form", FORMS)
def test_contrastive_gradient_is_finite_where_all_coincide(form):
    x1, x2 = (torch.ones(4, 2, requires_grad=True) for _ in range(2))
    contrastive_loss(x1, x2, torch.tensor([0, 1, 0, 1]), 1.0, form).backward()
    assert torch.equal(x1.grad, torch.zeros(4, 2))


@pytest.mark.parametrize("device", DEVICES)
def test_contrastive_under_autocast(device):
    x1, x2 = (embeddings(seed=s).to(device, torch.bfloat16) for s in (0, 1))
    same = torch.tensor([1, 0, 1, 0, 0, 1], device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        loss = contrastive_loss(x1, x2, same)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, contrastive_loss(x1.float(), x2.float(), same))


@pytest.mark.parametrize(
    ("same", "margin", "form", "message"),
    [
        (torch.ones(3), 1.0, "hadsell", r"same: expected shape \(2,\), one a pair, got \(3,\)"),
        (torch.ones(2, device="meta"), 1.0, "hadsell", "same: expected on cpu"),
        (torch.tensor([0, 2]), 1.0, "hadsell", "same: expected only True and False, or 1 and 0"),
        (torch.ones(2), -1.0, "hadsell", "margin: expected a finite number from 0 up, got -1.0"),
        (torch.ones(2), math.nan, "d3", "margin: expected a finite number from 0 up, got nan"),
        (torch.ones(2), "1", "d3", "margin: expected a finite number from 0 up, got '1'"),
        (torch.ones(2), 1.0, "hadsel", "unknown form 'hadsel'; did you mean 'hadsell'"),
    ],
)
def test_bad_input_of_contrastive(same, margin, form, message):
    with pytest.raises(ReplearnError, match=message):
        contrastive_loss(torch.ones(2, 2), torch.ones(2, 2), same, margin, form)


def test_contrastive_module_checks_at_once():
    with pytest.raises(ReplearnError, match="margin"):
        ContrastiveLoss(-1.0)
    with pytest.raises(ReplearnError, match="form"):
        ContrastiveLoss(form="hadsel")
