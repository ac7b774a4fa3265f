"""The probes against scikit-learn, pytorch-metric-learning and explicit loops."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from replearn_course.errors import ReplearnError
from replearn_course.probes import (
    accuracy_at,
    choose_threshold,
    embed,
    few_shot_accuracy,
    knn,
    linear_probe,
    report,
    retrieval,
    verification,
)
from replearn_course.probes.neighbours import nearest

quick = settings(max_examples=40, deadline=None)


def clusters(n, classes=3, d=4, seed=0, spread=1.0, labels=None):
    """Overlapping Gaussian classes in float64; the centres do not depend on the seed."""
    centres = torch.randn(classes, d, dtype=torch.float64, generator=torch.Generator().manual_seed(99))
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(classes, (n,), generator=generator)
    z = centres[index] + spread * torch.randn(n, d, dtype=torch.float64, generator=generator)
    labels = torch.arange(classes) if labels is None else torch.tensor(labels)
    return z, labels[index]


@st.composite
def grids(draw, rows=12, classes=4):
    """Embeddings on a small grid of integers, so that distances tie often, and labels."""
    n = draw(st.integers(3, rows))
    z = draw(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=n, max_size=n))
    y = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    return torch.tensor(z, dtype=torch.float64), torch.tensor(y)


def ranking(query, gallery, skip=None):
    """Rows of the gallery by distance, then by index, one pair at a time."""
    distances = [(math.dist(query.tolist(), item.tolist()), i) for i, item in enumerate(gallery) if i != skip]
    return [i for _, i in sorted(distances)]


# --- linear ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("classes", [2, 4])
def test_linear_probe_is_sklearns_logistic_regression(standardise, classes):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    z, y = clusters(300, classes)
    test_z, test_y = clusters(100, classes, seed=1)
    z, test_z = z * torch.tensor([1, 5, 0.2, 2]) + 3, test_z * torch.tensor([1, 5, 0.2, 2]) + 3
    decay = 1e-2
    probe = linear_probe(z, y, test_z, test_y, standardise=standardise, weight_decay=decay)
    a, b = z.numpy(), test_z.numpy()
    if standardise:
        scaler = StandardScaler().fit(a)
        a, b = scaler.transform(a), scaler.transform(b)
        np.testing.assert_allclose(probe.mean, scaler.mean_)
        np.testing.assert_allclose(probe.scale, scaler.scale_)
    # With two classes scikit-learn fits one row w, whose softmax form is (-w/2, w/2) with half the penalty.
    c = 1 / (len(z) * decay) * (2 if classes == 2 else 1)
    peer = LogisticRegression(C=c, tol=1e-10, max_iter=5000).fit(a, y.numpy())
    np.testing.assert_allclose(probe.probabilities, peer.predict_proba(b), atol=1e-3)
    if classes > 2:
        np.testing.assert_allclose(probe.weight - probe.weight.mean(0), peer.coef_ - peer.coef_.mean(0), atol=1e-3)
    assert probe.top1 == pytest.approx(peer.score(b, test_y.numpy()))


@pytest.mark.parametrize(("optimizer", "epochs"), [("adam", 200), ("sgd", 200)])
def test_optimizers_share_one_minimum(optimizer, epochs):
    z, y = clusters(256)
    best = linear_probe(z, y, z, y, weight_decay=1e-2)
    other = linear_probe(z, y, z, y, weight_decay=1e-2, optimizer=optimizer, epochs=epochs, lr=0.02, batch_size=128)
    assert len(other.losses) == epochs
    assert other.losses[-1] == pytest.approx(best.losses[-1], abs=1e-3)
    torch.testing.assert_close(other.probabilities, best.probabilities, atol=1e-2, rtol=0)


def test_linear_probe_objective_starts_at_log_classes_falls_and_ends_flat():
    z, y = clusters(200, 4)
    probe = linear_probe(z, y, z, y, weight_decay=1e-2)
    assert probe.losses[0] == pytest.approx(math.log(4))
    assert all(b <= a for a, b in zip(probe.losses, probe.losses[1:], strict=False))
    weight, bias = probe.weight.clone().requires_grad_(), probe.bias.clone().requires_grad_()
    x = (z - probe.mean) / probe.scale
    logits = x @ weight.T + bias
    loss = -logits.log_softmax(1)[torch.arange(200), y].mean() + 0.5e-2 * weight.square().sum()
    loss.backward()
    assert loss.item() == pytest.approx(probe.losses[-1], abs=1e-7)
    assert weight.grad.abs().max() < 1e-3
    assert bias.grad.abs().max() < 1e-3


def test_linear_probe_lbfgs_is_not_cut_short_in_float32():
    z, y = clusters(2000, 10, d=32, spread=2.0)
    probe = linear_probe(z.float(), y, z.float(), y)
    exact = linear_probe(z, y, z, y)
    assert probe.losses[-1] == pytest.approx(exact.losses[-1], abs=1e-5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
def test_linear_probe_is_repeatable_and_leaves_the_random_state(optimizer):
    z, y = clusters(100)
    before = torch.get_rng_state()
    a, b = (linear_probe(z, y, z, y, optimizer=optimizer, epochs=3, batch_size=None, seed=5) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(a.weight, b.weight)
    if optimizer != "lbfgs":
        other = linear_probe(z, y, z, y, optimizer=optimizer, epochs=3, batch_size=16, seed=6)
        same = linear_probe(z, y, z, y, optimizer=optimizer, epochs=3, batch_size=16, seed=5)
        assert not torch.equal(other.weight, same.weight)


def test_linear_probe_labels_top5_and_unseen():
    labels = [-7, 3, 4, 10, 100, 101, 500]
    z, y = clusters(300, 7, d=8, labels=labels)
    test_z, test_y = clusters(80, 7, d=8, labels=labels, seed=1, spread=2.0)
    test_y[:10] = 77  # never seen
    probe = linear_probe(z, y, test_z, test_y)
    assert probe.classes.tolist() == labels
    assert torch.equal(probe.predict(test_z), probe.predictions)
    torch.testing.assert_close(probe.logits(test_z).softmax(1), probe.probabilities)
    order = probe.probabilities.argsort(dim=1, descending=True)
    top5 = [test_y[i].item() in probe.classes[order[i, :5]].tolist() for i in range(80)]
    assert probe.top5 == pytest.approx(np.mean(top5))
    assert probe.top1 == pytest.approx(np.mean([p == t for p, t in zip(probe.predictions, test_y, strict=True)]))
    assert probe.top5 <= 70 / 80
    few = linear_probe(*clusters(50), *clusters(50, seed=1))
    assert few.top5 == 1.0


def test_linear_probe_standardises_by_training_only_and_survives_constant_dimensions():
    z, y = clusters(100)
    z[:, 1] = 0.1  # its mean over 100 rows is not exactly 0.1
    test = z.clone()
    test[:, 1] = 5.0
    probe = linear_probe(z, y, test + 3, y)
    torch.testing.assert_close(probe.mean, z.mean(0))
    assert probe.scale[1] == 1
    assert probe.probabilities.isfinite().all()
    base = linear_probe(z, y, z, y)
    moved = linear_probe(z * 1e4 + 7, y, z * 1e4 + 7, y)
    torch.testing.assert_close(moved.probabilities, base.probabilities, atol=1e-4, rtol=0)


def test_linear_probe_takes_half_precision_and_inference_tensors_and_leaves_them():
    z, y = clusters(60)
    with torch.inference_mode():
        half = z.half()
    copy = half.clone()
    probe = linear_probe(half, y, half, y)
    assert probe.weight.dtype == torch.float32
    assert torch.equal(half, copy)
    linear_probe(z, y, z, y)
    assert torch.equal(z, clusters(60)[0])


# --- k-NN -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 3, 7])
def test_knn_is_sklearns(k, metric):
    from sklearn.neighbors import KNeighborsClassifier

    z, y = clusters(150, 2, spread=2.0)  # two classes and odd k: no tied votes
    test_z, test_y = clusters(60, 2, seed=1, spread=2.0)
    peer = KNeighborsClassifier(k, metric=metric, algorithm="brute").fit(z.numpy(), y.numpy())
    found = knn(z, y, test_z, test_y, k=k, metric=metric)
    assert found.predictions.tolist() == peer.predict(test_z.numpy()).tolist()
    assert found.top1 == pytest.approx(peer.score(test_z.numpy(), test_y.numpy()))
    assert (found.k, found.temperature, found.metric) == (k, None, metric)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_knn_weighted_vote_is_sklearns(metric):
    from sklearn.neighbors import KNeighborsClassifier

    z, y = clusters(150, 4, spread=2.0)
    test_z, test_y = clusters(60, 4, seed=1, spread=2.0)
    peer = KNeighborsClassifier(20, metric=metric, algorithm="brute", weights=lambda d: np.exp(-d / 0.07))
    peer.fit(z.numpy(), y.numpy())
    found = knn(z, y, test_z, test_y, k=20, temperature=0.07, metric=metric)
    assert found.predictions.tolist() == peer.predict(test_z.numpy()).tolist()
    assert found.predictions.tolist() != knn(z, y, test_z, test_y, k=20, metric=metric).predictions.tolist()


def test_knn_low_temperature_is_the_nearest_and_high_is_the_plain_vote():
    z, y = clusters(100, spread=2.0)
    test_z, test_y = clusters(40, seed=1, spread=2.0)
    cold = knn(z, y, test_z, test_y, k=9, temperature=1e-6).predictions
    assert torch.equal(cold, knn(z, y, test_z, test_y, k=1).predictions)
    z2, y2 = clusters(100, 2, spread=2.0)
    hot = knn(z2, y2, test_z, test_y, k=9, temperature=1e6).predictions
    assert torch.equal(hot, knn(z2, y2, test_z, test_y, k=9).predictions)


def test_knn_tied_votes_go_to_the_nearest_member():
    z = torch.tensor([[3.0], [1.0], [2.0], [2.5], [-4.0]])
    y = torch.tensor([9, 9, 4, 4, 1])
    # From 0 the order is 9, 4, 4, 9, 1: with two votes each, 9 has the nearest member though 4 is the smaller label.
    zero, label = torch.zeros(1, 1), torch.tensor([9])
    assert knn(z, y, zero, label, k=4).predictions.tolist() == [9]
    assert knn(z, y, zero, label, k=3).predictions.tolist() == [4]
    # Equal distances: the earlier training row counts as nearer.
    pair = torch.tensor([[1.0], [-1.0]])
    assert knn(pair, torch.tensor([6, 2]), zero, label, k=2).predictions.tolist() == [6]


@quick
@given(grids(), grids(), st.data())
def test_knn_is_a_loop_whatever_the_chunk(train, test, data):
    (z, y), (test_z, test_y) = train, test
    k = data.draw(st.integers(1, len(z)))
    expected = []
    for query in test_z:
        voters = [int(y[i]) for i in ranking(query, z)[:k]]
        most = max(Counter(voters).values())
        expected.append(next(c for c in voters if Counter(voters)[c] == most))
    for chunk in (1, 2, 100):
        found = knn(z, y, test_z, test_y, k=k, chunk=chunk)
        assert found.predictions.tolist() == expected
        assert found.top1 == pytest.approx(np.mean(np.array(expected) == test_y.numpy()))


@quick
@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5), st.integers(1, 6))
def test_nearest_is_a_stable_sort(rows, k):
    distances = torch.tensor(rows, dtype=torch.float32)
    values, columns = nearest(distances, k)
    peer = distances.sort(dim=1, stable=True)
    assert torch.equal(values, peer.values[:, :k])
    assert torch.equal(columns, peer.indices[:, :k])


def test_knn_unseen_label_is_wrong_and_one_class_is_allowed():
    z, y = clusters(20)
    assert knn(z, y, z, y, k=1).top1 == 1.0
    assert knn(z, y, z, torch.full_like(y, 50), k=1).top1 == 0.0
    assert knn(z, torch.ones_like(y), z, torch.ones_like(y), k=20).top1 == 1.0


# --- retrieval ------------------------------------------------------------------------------------------------------


def retrieval_by_loop(query_z, query_y, gallery_z, gallery_y, ks, leave_one_out):
    hits, precisions, averages = {k: [] for k in ks}, [], []
    for q in range(len(query_z)):
        order = ranking(query_z[q], gallery_z, skip=q if leave_one_out else None)
        relevant = [bool(gallery_y[i] == query_y[q]) for i in order]
        r = sum(relevant)
        if r == 0:
            continue
        for k in ks:
            hits[k].append(any(relevant[:k]))
        precisions.append(sum(relevant[:r]) / r)
        averages.append(sum(sum(relevant[: i + 1]) / (i + 1) for i in range(r) if relevant[i]) / r)
    return hits, precisions, averages


@quick
@given(grids(), grids(), st.booleans(), st.sampled_from([1, 3, 100]))
def test_retrieval_is_a_loop(query, gallery, leave_one_out, chunk):
    gallery = query if leave_one_out else gallery
    ks = (1, 2)
    hits, precisions, averages = retrieval_by_loop(*query, *gallery, ks, leave_one_out)
    call = lambda: retrieval(*query, *(() if leave_one_out else gallery), ks=ks, chunk=chunk)  # noqa: E731
    if not averages:
        with pytest.raises(ReplearnError, match="no query"):
            call()
        return
    found = call()
    assert found.recall == pytest.approx({k: np.mean(h) for k, h in hits.items()})
    assert found.r_precision == pytest.approx(np.mean(precisions))
    assert found.map_at_r == pytest.approx(np.mean(averages))
    assert (found.queries, found.left_out) == (len(averages), len(query[0]) - len(averages))
    assert 0 <= found.map_at_r <= found.r_precision + 1e-12 <= 1 + 2e-12  # sums in another order


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_retrieval_is_pytorch_metric_learnings(leave_one_out):
    pytest.importorskip("pytorch_metric_learning")
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    z, y = clusters(90, 4, spread=1.5)
    y[0] = 77  # a class of one
    query = clusters(40, 4, seed=1, spread=1.5)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r", "r_precision"),
        k="max_bin_count",
        device=torch.device("cpu"),
        knn_func=CustomKNN(LpDistance(normalize_embeddings=False), batch_size=None),
    )
    if leave_one_out:
        found, peer = retrieval(z, y), calculator.get_accuracy(z, y)
        assert found.left_out == 1
    else:
        found = retrieval(*query, z, y)
        peer = calculator.get_accuracy(*query, z, y, ref_includes_query=False)
    assert found.recall[1] == pytest.approx(peer["precision_at_1"])
    assert found.map_at_r == pytest.approx(peer["mean_average_precision_at_r"])
    assert found.r_precision == pytest.approx(peer["r_precision"])


def test_retrieval_by_hand():
    z = torch.tensor([[0.0], [1.0], [1.5], [4.0], [9.0]])
    y = torch.tensor([0, 1, 0, 1, 2])
    found = retrieval(z, y, ks=(1, 2))
    # 0 finds 1, 2; 1 finds 2, 0; 1.5 finds 1, 0; 4 finds 1.5, 1: each has R = 1 and misses at rank 1.
    assert found.recall == {1: 0.0, 2: 0.75}
    assert (found.map_at_r, found.queries, found.left_out) == (0.0, 4, 1)
    found = retrieval(z[:1], y[:1], z[1:], torch.tensor([0, 1, 0, 1]), ks=(1,))
    assert found.map_at_r == pytest.approx(1 / 2)


def test_retrieval_never_finds_itself_even_when_collapsed():
    z = torch.ones(6, 3)
    found = retrieval(z, torch.tensor([0, 1, 1, 1, 1, 1]), ks=(1, 5))
    # All at distance zero: the order is that of the rows, and row 0 is the one of another class.
    assert found.recall == {1: 0.0, 5: 1.0}
    assert found.left_out == 1


# --- verification ---------------------------------------------------------------------------------------------------

pairs = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30).filter(
    lambda p: len({same for _, same in p}) == 2
)


def as_tensors(rows):
    distances, same = zip(*rows, strict=True)
    return torch.tensor(distances, dtype=torch.float32), torch.tensor(same)


@quick
@given(pairs)
def test_roc_and_auc_are_sklearns_and_the_rank_statistic(rows):
    from sklearn.metrics import roc_auc_score, roc_curve

    distances, same = as_tensors(rows)
    found = verification(distances, same)
    assert found.auc == pytest.approx(roc_auc_score(same.numpy(), -distances.numpy()))
    near, far = distances[same], distances[~same]
    wins = (near[:, None] < far).double() + (near[:, None] == far).double() / 2
    assert found.auc == pytest.approx(wins.mean().item())
    fpr, tpr, _ = roc_curve(same.numpy(), -distances.numpy(), drop_intermediate=False)
    np.testing.assert_allclose(found.far, fpr)
    np.testing.assert_allclose(found.tar, tpr)
    for threshold, far_rate, tar_rate in zip(found.thresholds, found.far, found.tar, strict=True):
        assert far_rate == pytest.approx((far <= threshold).double().mean().item())
        assert tar_rate == pytest.approx((near <= threshold).double().mean().item())
    assert (found.same, found.different) == (int(same.sum()), int((~same).sum()))
    assert found.eer == pytest.approx(eer_by_bisection(found))
    for rate in (0.0, 0.3, 1.0):
        best = max(t for f, t in zip(found.far.tolist(), found.tar.tolist(), strict=True) if f <= rate)
        assert found.tar_at_far(rate) == best


def eer_by_bisection(found):
    """Walk along the ROC, one unit of the parameter a segment, to where far = 1 - tar."""
    low, high = 0.0, len(found.far) - 1.0
    steps = np.arange(len(found.far))
    for _ in range(60):
        middle = (low + high) / 2
        far, tar = np.interp(middle, steps, found.far.numpy()), np.interp(middle, steps, found.tar.numpy())
        low, high = (low, middle) if far >= 1 - tar else (middle, high)
    return np.interp(high, steps, found.far.numpy())


def test_verification_by_hand():
    same = torch.tensor([1, 1, 0, 0])
    perfect = verification(torch.tensor([0.1, 0.2, 0.8, 0.9]), same)
    assert (perfect.auc, perfect.eer, perfect.tar_at_far(0.0)) == (1.0, 0.0, 1.0)
    inverted = verification(torch.tensor([0.8, 0.9, 0.1, 0.2]), same)
    assert (inverted.auc, inverted.eer, inverted.tar_at_far(0.5)) == (0.0, 1.0, 0.0)
    collapsed = verification(torch.zeros(4), same)
    assert (collapsed.auc, collapsed.eer, collapsed.tar_at_far(0.9)) == (0.5, 0.5, 0.0)
    mixed = verification(torch.tensor([0.1, 0.3, 0.2, 0.4]), same)
    assert (mixed.auc, mixed.eer) == (0.75, 0.5)
    assert mixed.tar_at_far(0.1) == 0.5


@quick
@given(pairs)
def test_chosen_threshold_is_the_best_of_all(rows):
    distances, same = as_tensors(rows)
    threshold = choose_threshold(distances, same)
    candidates = [-1.0, *torch.arange(0, 7, 0.5).tolist()]
    accuracies = [accuracy_at(distances, same, t) for t in candidates]
    assert accuracy_at(distances, same, threshold) == max(accuracies)
    lowest = candidates[int(np.argmax(accuracies))]
    accepted = distances <= lowest
    assert torch.equal(distances <= threshold, accepted)


def test_threshold_lies_halfway_and_transfers():
    distances, same = torch.tensor([1.0, 2.0, 4.0, 5.0]), torch.tensor([True, True, False, False])
    threshold = choose_threshold(distances, same)
    assert threshold == 3.0
    assert accuracy_at(torch.tensor([2.9, 3.0, 3.1]), torch.tensor([1, 1, 1]), threshold) == pytest.approx(2 / 3)
    near = torch.tensor([1.0, math.nextafter(1.0, 2.0)], dtype=torch.float64)
    assert accuracy_at(near, same[1:3], choose_threshold(near, same[1:3])) == 1.0
    assert choose_threshold(distances, ~same) == -math.inf


# --- report ---------------------------------------------------------------------------------------------------------


@quick
@given(st.lists(st.tuples(st.sampled_from([-3, 0, 5, 40]), st.sampled_from([-3, 0, 5, 40])), min_size=1, max_size=30))
def test_report_is_the_definition(rows):
    from sklearn.metrics import classification_report

    true, predicted = (torch.tensor(column) for column in zip(*rows, strict=True))
    found = report(true, predicted)
    classes = sorted({label for row in rows for label in row})
    assert found.classes.tolist() == classes
    for i, c in enumerate(classes):
        hits = sum(t == p == c for t, p in rows)
        t_count, p_count = sum(t == c for t, _ in rows), sum(p == c for _, p in rows)
        row = found.rows[i]
        assert row.name == str(c)
        assert row.precision == pytest.approx(hits / p_count if p_count else 0)
        assert row.recall == pytest.approx(hits / t_count if t_count else 0)
        assert row.f1 == pytest.approx(2 * hits / (t_count + p_count))
        assert row.support == t_count
        for j, other in enumerate(classes):
            assert found.confusion[i, j] == sum(t == c and p == other for t, p in rows)
    n = len(rows)
    assert found.accuracy == pytest.approx(sum(t == p for t, p in rows) / n)
    assert found.macro.f1 == pytest.approx(np.mean([row.f1 for row in found.rows]))
    assert found.weighted.precision == pytest.approx(sum(row.precision * row.support for row in found.rows) / n)
    assert str(found) == classification_report(true.numpy(), predicted.numpy(), zero_division=0.0)


def test_report_names():
    found = report(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), names=["accuracy", "macro avg"])
    assert [row.name for row in found.rows] == ["accuracy", "macro avg"]
    assert found.rows[1].recall == 0.5
    assert found.accuracy == pytest.approx(2 / 3)


# --- embed ----------------------------------------------------------------------------------------------------------


def encoder():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 5)
    return nn.Sequential(*layers).train()


def images(n=7):
    return torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_embed_uses_eval_mode_and_leaves_the_encoder_as_it_was():
    net = encoder()
    net[1].eval()  # flags that differ between submodules
    flags = [m.training for m in net.modules()]
    state = {k: v.clone() for k, v in net.state_dict().items()}
    z = embed(net, images(), batch_size=3)
    assert [m.training for m in net.modules()] == flags
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    net.eval()
    torch.testing.assert_close(z, net(images().float() / 255).detach())
    torch.testing.assert_close(z, embed(net, images(), batch_size=100))
    assert z.dtype == torch.float32
    assert not z.requires_grad


@pytest.mark.parametrize("batch_size", [3, 100])
def test_embed_gives_a_tensor_to_train_on(batch_size):
    z = embed(encoder(), images(), batch_size=batch_size)
    assert not z.is_inference()
    weight = torch.zeros(5, requires_grad=True)
    (z @ weight).sum().backward()
    torch.testing.assert_close(weight.grad, z.sum(0))


def test_embed_restores_flags_after_an_exception():
    net = encoder()
    net[4].eval()
    flags = [m.training for m in net.modules()]

    def fail(batch):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        embed(net, images(), transform=fail)
    assert [m.training for m in net.modules()] == flags
    with pytest.raises(ReplearnError, match=r"encoder: expected an output of shape \(7, d\)"):
        embed(nn.Identity(), images())


def test_embed_transform_and_float_images():
    flat = nn.Flatten()
    shifted = embed(flat, images(), transform=lambda batch: batch.float() - 1)
    torch.testing.assert_close(shifted, images().flatten(1).float() - 1)
    double = images().double() * 3
    torch.testing.assert_close(embed(flat, double), double.flatten(1).float())
    torch.testing.assert_close(embed(flat, images()).max(), images().max() / 255)


# --- few-shot ------------------------------------------------------------------------------------------------------


def test_few_shot_compares_with_class_means():
    # With two shots class 5 has the mean 10 and class 8 the mean 4; whichever item is asked, its own class is nearer.
    z, labels = torch.tensor([[9.0], [10.0], [11.0], [3.0], [4.0], [5.0]]), torch.tensor([5, 5, 5, 8, 8, 8])
    assert few_shot_accuracy(z, labels, shots=2, episodes=40) == 1.0
    # Of class 5 only the item at 0 is nearer to the mean of its two others, though an item of class 8 is nearest to it.
    z = torch.tensor([[-9.0], [9.0], [0.0], [1.0], [1.0], [1.0]])
    assert few_shot_accuracy(z, labels, shots=2, episodes=600) == pytest.approx((1 + 1 / 3) / 2, abs=0.06)
    far = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) + 50 * (torch.arange(40) % 4)[:, None]
    assert few_shot_accuracy(far, torch.arange(40) % 4, shots=5, episodes=40) == 1.0
    noise = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    share = few_shot_accuracy(noise, torch.arange(400) % 4, shots=1, episodes=1000)
    assert abs(share - 0.25) < 0.05
    assert share == few_shot_accuracy(noise, torch.arange(400) % 4, shots=1, episodes=1000)
    assert share != few_shot_accuracy(noise, torch.arange(400) % 4, shots=1, episodes=1000, seed=1)


# --- bad input ------------------------------------------------------------------------------------------------------

Z, Y = torch.eye(4), torch.tensor([0, 1, 0, 1])
BAD = [
    (lambda: linear_probe(Z, Y, torch.ones(4, 3), Y), "test_z: expected dimension 4 as train_z, got 3"),
    (lambda: knn(Z, Y, torch.ones(4, 3), Y), "test_z: expected dimension 4"),
    (lambda: knn(Z, Y, Z.double(), Y), r"test_z: expected torch\.float32"),
    (lambda: retrieval(Z, Y, torch.ones(4, 3), Y), "gallery_z: expected dimension 4 as query_z"),
    (lambda: linear_probe(Z / 0, Y, Z, Y), "train_z: expected finite"),
    (lambda: linear_probe(Z, Y[:3], Z, Y), r"train_y: expected shape \(4,\)"),
    (lambda: linear_probe(Z, Y, Z, Y.float()), "test_y: expected an integer"),
    (lambda: linear_probe(Z, Y * 0, Z, Y), "train_y: expected at least two classes, got only 0"),
    (lambda: linear_probe(Z, Y, Z, Y, optimizer="lbgs"), "unknown optimizer 'lbgs'; did you mean 'lbfgs'"),
    (lambda: linear_probe(Z, Y, Z, Y, batch_size=2), "batch_size: expected None"),
    (lambda: linear_probe(Z, Y, Z, Y, optimizer="sgd", batch_size=0), "batch_size: expected a whole number from 1 up"),
    (lambda: linear_probe(Z, Y, Z, Y, epochs=0), "epochs: expected a whole number from 1 up"),
    (lambda: linear_probe(Z, Y, Z, Y, weight_decay=-1), "weight_decay: expected"),
    (lambda: linear_probe(Z, Y, Z, Y, optimizer="sgd", lr=1e30, weight_decay=1), "lr: the loss is not finite"),
    (lambda: linear_probe(Z, Y, Z, Y).predict(torch.ones(2, 3)), "z: expected dimension 4 as in training, got 3"),
    (lambda: knn(Z, Y, Z, Y, k=5), "k: expected 1 to 4, the number of training embeddings, got 5"),
    (lambda: knn(Z, Y, Z, Y, k=0), "k: expected 1 to 4"),
    (lambda: knn(Z, Y, Z, Y, k=1, temperature=0.0), "temperature: expected a finite number above 0"),
    (lambda: knn(Z, Y, Z, Y, k=1, chunk=0), "chunk: expected a whole number from 1 up"),
    (lambda: knn(Z, Y, Z, Y, k=1, metric="cosin"), "unknown metric 'cosin'; did you mean 'cosine'"),
    (lambda: retrieval(Z, Y, ks=(4,)), "ks: expected numbers from 1 to 3"),
    (lambda: retrieval(Z, Y, Z, Y, ks=()), "ks: expected numbers from 1 to 4"),
    (lambda: retrieval(Z, Y, Z), "gallery_z, gallery_y: expected both"),
    (lambda: retrieval(Z, torch.arange(4), ks=(1,)), "query_y: no query"),
    (lambda: verification(torch.ones(4), torch.ones(4)), "same: expected same and different pairs, got only same"),
    (lambda: choose_threshold(torch.ones(4), Y * 0), "got only different"),
    (lambda: verification(torch.ones(4), Y * 2), "same: expected bool or 0 and 1"),
    (lambda: verification(torch.ones(3), Y), r"same: expected shape \(3,\)"),
    (lambda: verification(torch.full((4,), torch.nan), Y), "distances: expected finite"),
    (lambda: verification(Y, Y), "distances: expected floating"),
    (lambda: verification(torch.arange(4.0), Y).tar_at_far(2), r"far: expected a rate in \[0, 1\]"),
    (lambda: accuracy_at(torch.ones(4), Y, math.nan), "threshold: expected a number, got NaN"),
    (lambda: report(Y, Y[:2]), r"predicted: expected shape \(4,\)"),
    (lambda: report(Y[:0], Y[:0]), r"true: expected shape \(N,\) with at least one label, got \(0,\)"),
    (lambda: report(Y, Y, names=["a"]), "names: expected 2"),
    (lambda: report([0, 1], [0, 1]), r"true: expected a torch\.Tensor, got builtins\.list"),
    (lambda: verification(Z[0].numpy(), Y), r"distances: expected a torch\.Tensor, got numpy\.ndarray"),
    (lambda: embed(nn.Flatten(), images().numpy()), r"images: expected a torch\.Tensor, got numpy\.ndarray"),
    (lambda: retrieval(Z, Y.to("meta"), ks=(1,)), "query_z, query_y, gallery_z, gallery_y: expected one device"),
    (lambda: few_shot_accuracy(Z, Y[:3], shots=1, episodes=1), r"labels: expected shape \(4,\)"),
    (lambda: few_shot_accuracy(Z, Y, shots=2, episodes=1), "shots: expected fewer than the 2 items .* got 2"),
    (lambda: few_shot_accuracy(Z, Y, shots=1, episodes=0), "episodes: expected a whole number from 1 up, got 0"),
    (lambda: embed(nn.Flatten(), images(0)), "images: expected shape"),
    (lambda: embed(nn.Flatten(), images(), batch_size=0), "batch_size: expected a whole number from 1 up"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_bad_input_is_named(call, message):
    with pytest.raises(ReplearnError, match=message):
        call()
