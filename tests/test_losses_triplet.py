"""Triplet losses against the loop over triplets, PyTorch and pytorch-metric-learning, in value and gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from replearn_course.errors import ReplearnError
from replearn_course.losses import (
    METRICS,
    MINERS,
    InBatchTripletLoss,
    TripletMarginLoss,
    batch_all,
    batch_hard,
    easy,
    pairwise_distances,
    semi_hard,
    triplet_margin_loss,
)
from replearn_course.losses.triplet import REDUCTIONS

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def embeddings(n=12, d=3, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def on_grid(n, seed):
    """Embeddings on a coarse grid, so that equal distances and distances at the margin occur, never the zero vector."""
    z = torch.randint(-1, 2, (n, 3), generator=torch.Generator().manual_seed(seed)).double()
    z[:, 2] += 2
    return z


def chosen_triplets(miner, d, labels, margin):
    """Weighted triplets (weight, a, p, n) that the miner's definition chooses, one by one; ties share the weight."""
    everyone = range(len(labels))
    for a in everyone:
        positives = [p for p in everyone if p != a and labels[p] == labels[a]]
        negatives = [n for n in everyone if labels[n] != labels[a]]
        if not positives or not negatives:
            continue
        if miner in ("batch-hard", "easy"):
            far, near = (max, min) if miner == "batch-hard" else (min, max)
            d_ap, d_an = far(d[a, p] for p in positives), near(d[a, n] for n in negatives)
            positives = [p for p in positives if d[a, p] == d_ap]
            negatives = [n for n in negatives if d[a, n] == d_an]
            weight = 1 / (len(positives) * len(negatives))
        else:
            weight = 1.0
        for p in positives:
            for n in negatives:
                if miner != "semi-hard" or d[a, p] < d[a, n] < d[a, p] + margin:
                    yield weight, a, p, n


def loop(miner, z, labels, margin, metric, reduction):
    """Loss, active share and count by the explicit loop over triplets."""
    d = pairwise_distances(z, metric=metric)
    total, active, count = 0 * z.sum(), 0.0, 0.0
    for weight, a, p, n in chosen_triplets(miner, d.detach(), labels.tolist(), margin):
        count += weight
        if d[a, n] < d[a, p] + margin:
            active += weight
            total = total + weight * (d[a, p] - d[a, n] + margin)
    divisor = {"mean": count, "active": active, "sum": 1}[reduction]
    return total / (divisor or 1), active / (count or 1), count


def assert_equals_loop(miner, z, labels, margin, metric, reduction):
    z = z.clone().requires_grad_()
    actual = MINERS[miner](z, labels, margin, metric, reduction)
    loss, active, count = loop(miner, z, labels, margin, metric, reduction)
    assert actual.count.item() == pytest.approx(count)
    assert actual.active.item() == pytest.approx(active)
    torch.testing.assert_close(actual.loss, loss, rtol=1e-10, atol=1e-11)
    (gradient,), (expected) = torch.autograd.grad(actual.loss, z), torch.autograd.grad(loss, z)[0]
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-11)


# --- in the batch: the explicit loop ---


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("miner", MINERS)
def test_miner_equals_loop(miner, metric, reduction):
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 5, 5])  # 3 has one member
    assert_equals_loop(miner, embeddings(), labels, 0.7, metric, reduction)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(MINERS)),
    st.sampled_from(METRICS),
    st.sampled_from(REDUCTIONS),
    st.sampled_from([0.0, 0.25, 1.0, 3.0]),
    st.lists(st.integers(-1, 2), min_size=1, max_size=9),
    st.integers(0, 10**6),
)
def test_miner_equals_loop_with_ties(miner, metric, reduction, margin, labels, seed):
    assert_equals_loop(miner, on_grid(len(labels), seed), torch.tensor(labels), margin, metric, reduction)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("miner", MINERS)
def test_gradcheck(miner, metric):
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    z = embeddings(7, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: MINERS[miner](z, labels, 0.7, metric).loss, (z,))


@pytest.mark.parametrize("miner", MINERS)
def test_order_of_the_batch_does_not_matter(miner):
    z, labels = on_grid(10, 1), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    results = []
    for rows in (torch.arange(10), order):
        x = z[rows].clone().requires_grad_()
        loss = MINERS[miner](x, labels[rows]).loss
        results.append((loss, torch.autograd.grad(loss, x)[0][rows.argsort()]))
    torch.testing.assert_close(results[0], results[1])


def test_bounds_of_the_semi_hard_band_are_strict():
    """One anchor pair at distance 1; negatives at 1 (hard), 1.5 (semi-hard) and 2 (satisfied) of the anchor."""
    z = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.5, 0.0], [2.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 2, 3])
    seen = [t[1:] for t in chosen_triplets("semi-hard", pairwise_distances(z), labels.tolist(), 1.0) if t[1] == 0]
    assert seen == [(0, 1, 3)]
    assert_equals_loop("semi-hard", z, labels, 1.0, "euclidean", "sum")


def test_margin_lost_to_rounding_leaves_the_band_empty():
    """At distance 2^30 a margin of 1e-9 is rounded away in float64: d + m = d, and the band has no negative count."""
    z = torch.tensor([[0.0], [2.0**30], [-(2.0**30)], [1.0]], dtype=torch.float64)
    result = semi_hard(z, torch.tensor([0, 0, 1, 2]), margin=1e-9, reduction="sum")
    assert result.count == 0
    assert result.loss == 0


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [7]], ids=["one class", "all single", "one item"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("miner", MINERS)
def test_no_triplet_is_a_zero_that_can_be_trained_on(miner, reduction, labels):
    z = embeddings(len(labels)).requires_grad_()
    result = MINERS[miner](z, torch.tensor(labels), reduction=reduction)
    assert result.loss.item() == result.active.item() == result.count.item() == 0
    result.loss.backward()
    assert torch.equal(z.grad, torch.zeros_like(z))


@pytest.mark.parametrize("value", [0.0, 2.0])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("miner", MINERS)
def test_all_equal_embeddings(miner, metric, value):
    """Collapsed: every hinge is the margin, none is semi-hard, and the gradient is 0, not NaN."""
    z = torch.full((6, 3), value, requires_grad=True)
    result = MINERS[miner](z, torch.tensor([0, 0, 0, 1, 1, 2]), margin=0.5, metric=metric)
    assert result.loss.item() == (0.0 if miner == "semi-hard" else 0.5)
    result.loss.backward()
    assert torch.equal(z.grad, torch.zeros(6, 3))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("miner", MINERS)
def test_near_collapse(miner, metric):
    z = 1 + 1e-8 * embeddings(9)
    assert_equals_loop(miner, z, torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2]), 1e-8, metric, "mean")


@pytest.mark.parametrize("miner", MINERS)
def test_float32_value_keeps_its_digits(miner):
    """A small loss is the difference of large sums: distances about 100, hinges below 1e-3."""
    z = 0.1 * embeddings(256, 8)
    labels = torch.arange(256) % 16
    z[:, 0] += 100.0 * labels  # d_an from 100 on, d_ap about 0.5: only a margin of about 99 leaves a few active
    z = z.float()
    margin = 99.0
    narrow, wide = (MINERS[miner](x, labels, margin, reduction="sum").loss.item() for x in (z, z.double()))
    assert narrow == pytest.approx(wide, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("device", DEVICES)
def test_half_precision_and_autocast(miner, device):
    z = embeddings().to(device, torch.bfloat16).requires_grad_()
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3], device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        result = MINERS[miner](z, labels)
    assert result.loss.dtype == result.active.dtype == torch.float32
    torch.testing.assert_close(result, MINERS[miner](z.float(), labels))
    result.loss.backward()
    assert z.grad.dtype == torch.bfloat16


class LargestTensor(TorchDispatchMode):
    """Remember the number of elements of the largest tensor that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        sizes = [t.numel() for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return out


@pytest.mark.parametrize("miner", MINERS)
def test_no_tensor_is_larger_than_the_distances(miner):
    b = 512
    z = embeddings(b, 8, dtype=torch.float32).requires_grad_()
    with LargestTensor() as largest:
        MINERS[miner](z, torch.arange(b) % 32).loss.backward()
    assert b * b <= largest.elements <= b * (b + 1)


# --- in the batch: pytorch-metric-learning ---


@pytest.mark.parametrize(
    ("miner", "peer_name", "reduction"),
    [
        ("batch-all", "all", "active"),
        ("batch-all", None, "mean"),
        ("semi-hard", "semihard", "mean"),
        ("batch-hard", "BatchHardMiner", "mean"),
    ],
)
@pytest.mark.parametrize("metric", METRICS)
def test_miner_equals_pytorch_metric_learning(miner, peer_name, reduction, metric):
    pytest.importorskip("pytorch_metric_learning")
    from pytorch_metric_learning import distances, losses, miners, reducers

    if metric == "cosine":
        peer_distance = distances.CosineSimilarity()
    else:
        peer_distance = distances.LpDistance(normalize_embeddings=False, power=2 if metric == "squared" else 1)
    reducer = reducers.AvgNonZeroReducer() if reduction == "active" else reducers.MeanReducer()
    peer_loss = losses.TripletMarginLoss(margin=0.6, distance=peer_distance, reducer=reducer)
    if peer_name is None:
        mine = None
    elif peer_name == "BatchHardMiner":
        mine = miners.BatchHardMiner(distance=peer_distance)
    else:
        mine = miners.TripletMarginMiner(margin=0.6, type_of_triplets=peer_name, distance=peer_distance)

    labels = torch.arange(24) % 5
    z = embeddings(24).requires_grad_()
    expected = peer_loss(z, labels, mine(z, labels) if mine else None)
    actual = MINERS[miner](z, labels, 0.6, metric, reduction)
    torch.testing.assert_close(actual.loss, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(
        torch.autograd.grad(actual.loss, z)[0], torch.autograd.grad(expected, z)[0], rtol=1e-6, atol=1e-8
    )


# --- given triplets ---


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("metric", METRICS)
def test_given_triplets_equal_the_formula(metric, reduction):
    triplet = [embeddings(8, seed=s).requires_grad_() for s in range(3)]
    d_ap, d_an = (pairwise_distances(triplet[0], other, metric).diagonal() for other in triplet[1:])
    hinges = [max(0.0, h) for h in (d_ap - d_an + 0.5).tolist()]
    active = sum(h > 0 for h in hinges)
    assert 0 < active < 8
    expected = math.fsum(hinges) / {"mean": 8, "active": active, "sum": 1}[reduction]
    result = TripletMarginLoss(0.5, metric, reduction)(*triplet)
    assert result.loss.item() == pytest.approx(expected, rel=1e-12)
    assert result.active.item() == active / 8
    assert result.count.item() == 8
    assert torch.autograd.gradcheck(lambda *t: triplet_margin_loss(*t, 0.5, metric, reduction).loss, triplet)


def test_given_triplets_equal_pytorch():
    triplet = [embeddings(32, 16, seed=s).requires_grad_() for s in range(3)]
    actual = triplet_margin_loss(*triplet, margin=1.5).loss
    # With our distance in it, PyTorch's loss is ours; with its own, which adds 1e-6 to each coordinate, nearly.
    exact = torch.nn.TripletMarginWithDistanceLoss(
        distance_function=lambda x, y: torch.linalg.vector_norm(x - y, dim=1), margin=1.5
    )(*triplet)
    torch.testing.assert_close(actual, exact, rtol=1e-14, atol=1e-14)
    for a, e in zip(torch.autograd.grad(actual, triplet), torch.autograd.grad(exact, triplet), strict=True):
        torch.testing.assert_close(a, e, rtol=1e-12, atol=1e-14)
    own = torch.nn.TripletMarginLoss(margin=1.5)(*triplet)
    assert abs(actual - own) <= 2e-6 * 16**0.5


@pytest.mark.parametrize("metric", METRICS)
def test_given_triplets_that_coincide(metric):
    triplet = [torch.ones(4, 2, requires_grad=True) for _ in range(3)]
    loss = triplet_margin_loss(*triplet, margin=0.5, metric=metric).loss
    assert loss == 0.5
    for gradient in torch.autograd.grad(loss, triplet):
        assert torch.equal(gradient, torch.zeros(4, 2))


# --- what the miners teach ---


def test_easiest_triplets_stop_teaching_before_the_others():
    z, labels = embeddings(40, 2), torch.arange(40) % 4
    shares = {name: miner(z, labels, margin=0.5).active.item() for name, miner in MINERS.items()}
    assert shares["easy"] < shares["batch-all"] < shares["batch-hard"]


@pytest.mark.parametrize("metric", METRICS)
def test_loss_of_all_lies_between_the_easiest_and_the_hardest(metric):
    z, labels = embeddings(20, 4), torch.arange(20) % 4  # classes of one size: a mean over anchors is a mean over all
    easiest, mean, hardest = (f(z, labels, metric=metric).loss for f in (easy, batch_all, batch_hard))
    assert easiest <= mean <= hardest


# --- bad input ---


@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"z": torch.ones(4)}, r"z: expected shape \(N, d\), got \(4,\)"),
        ({"z": torch.ones(4, 2).int()}, "z: expected a floating dtype, got torch.int32"),
        ({"z": torch.tensor([[1.0], [2.0], [torch.nan], [4.0]])}, "z: expected finite values.*row 2"),
        ({"labels": torch.arange(3)}, r"labels: expected shape \(4,\), one label an embedding, got \(3,\)"),
        ({"labels": [0, 0, 1, 1]}, r"labels: expected a torch\.Tensor, got builtins\.list"),
        ({"labels": torch.ones(4).bool()}, "labels: expected an integer dtype, got torch.bool"),
        ({"labels": torch.ones(4)}, "labels: expected an integer dtype, got torch.float32"),
        ({"labels": torch.ones(4, device="meta").int()}, "labels: expected on cpu as z, got meta"),
        ({"margin": -0.5}, "margin: expected a finite number from 0 up, got -0.5"),
        ({"margin": math.inf}, "margin: expected a finite number from 0 up, got inf"),
        ({"metric": "cosin"}, "unknown metric 'cosin'; did you mean 'cosine'"),
        ({"reduction": "activ"}, "unknown reduction 'activ'; did you mean 'active'"),
    ],
)
def test_bad_input_of_miners(miner, change, message):
    arguments = {"z": torch.ones(4, 2), "labels": torch.tensor([0, 0, 1, 1])} | change
    with pytest.raises(ReplearnError, match=message):
        MINERS[miner](**arguments)


def test_bad_input_of_given_triplets():
    good = torch.ones(3, 2)
    with pytest.raises(ReplearnError, match=r"negative: expected shape \(3, 2\) as anchor, got \(2, 2\)"):
        triplet_margin_loss(good, good, torch.ones(2, 2))
    with pytest.raises(ReplearnError, match="positive: expected finite values"):
        triplet_margin_loss(good, good * torch.inf, good)
    with pytest.raises(ReplearnError, match="margin"):
        TripletMarginLoss(margin=-1)


def test_unknown_miner():
    with pytest.raises(ReplearnError, match="unknown miner 'semihard'; did you mean 'semi-hard'"):
        InBatchTripletLoss("semihard")


@pytest.mark.parametrize("miner", MINERS)
def test_module_returns_what_the_function_returns(miner):
    z, labels = embeddings(), torch.arange(12) % 3
    module = InBatchTripletLoss(miner, 0.3, "squared", "active")
    assert module(z, labels) == MINERS[miner](z, labels, 0.3, "squared", "active")
    assert miner in repr(module)
