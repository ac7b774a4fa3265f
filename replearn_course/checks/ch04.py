"""Checks of the exercises of chapter 4, Triplet networks."""

# ruff: noqa: D103  # the name of a check is what it says
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from replearn_course.checks.core import (
    Cost,
    Student,
    Wrong,
    checks,
    expect,
    gradient,
    indices,
    no_loop,
    normal,
    rng,
    seeded,
    tensor,
    unpack,
)

# triplet_loss


def _line(*points: float) -> Tensor:
    """Points on the first axis of the plane, so that differences of coordinates are distances."""
    return torch.stack([tensor(points), torch.zeros(len(points), dtype=torch.float64)], dim=1)


@checks("ch04.triplet_loss", hint="mean over the triplets of max(0, |a - p| - |a - n| + m)")
def triplets_in_the_wrong_order(student: Student) -> None:
    anchor, positive, negative = (
        tensor([[0, 0], [1, 1], [0, 2]]),
        tensor([[3, 4], [1, 4], [2, 2]]),
        tensor([[2, 1], [2, 0], [0, 3]]),
    )
    ap, an = torch.linalg.vector_norm(anchor - positive, dim=1), torch.linalg.vector_norm(anchor - negative, dim=1)
    want = (ap - an + 1).mean()
    l1 = ((anchor - positive).abs() - (anchor - negative).abs()).sum(dim=1)
    expect(
        student(anchor, positive, negative, margin=1.0),
        want,
        {
            "these are squared distances: the root is missing": (ap**2 - an**2 + 1).mean(),
            "these are L1 distances: take the root of the sum of squares": (l1 + 1).mean(),
            "positive and negative are swapped: the positive should be the nearer": (an - ap + 1).clamp(min=0).mean(),
            "this is the sum: take the mean over the triplets": want * 3,
            "the sign of the margin is wrong: it is added, so that the loss asks for more than the right order": (
                (ap - an - 1).clamp(min=0).mean()
            ),
            "the margin is missing": (ap - an).mean(),
            "the negative belongs to the anchor: |a - n|, not |p - n|": (
                (ap - torch.linalg.vector_norm(positive - negative, dim=1) + 1).clamp(min=0).mean()
            ),
            "one distance for all triplets together: each has its own, dim=1": (
                torch.linalg.vector_norm(ap) - torch.linalg.vector_norm(an) + 1
            ),
            "the norm is over the wrong axis: dim=1, one distance for each triplet": (
                torch.linalg.vector_norm(anchor - positive, dim=0)
                - torch.linalg.vector_norm(anchor - negative, dim=0)
                + 1
            ).mean(),
        },
    )


@checks("ch04.triplet_loss", hint="each triplet has its own hinge, before the mean")
def each_triplet_has_its_own_hinge(student: Student) -> None:
    anchor, positive, negative = _line(0, 0, 0), _line(2, 1, 0.5), _line(2.5, 4, 3)
    expect(
        student(anchor, positive, negative, margin=1.0),
        0.5 / 3,
        {
            "the hinge comes after the mean: good triplets hide a bad one. Cut at 0 first, for each triplet": 0.0,
            "the hinge is missing: a triplet in good order costs 0, it earns nothing": (0.5 - 2 - 1.5) / 3,
            "the mean is over all triplets, also over those that cost nothing": 0.5,
        },
    )


@checks("ch04.triplet_loss", hint="the margin is an argument: use it, not a number")
def another_margin(student: Student) -> None:
    expect(student(_line(0), _line(1), _line(1), margin=0.25), 0.25)


@checks("ch04.triplet_loss", hint="equal embeddings must not break the gradient")
def anchor_equal_to_positive(student: Student) -> None:
    anchor = _line(0).requires_grad_()
    grad = gradient(student(anchor, _line(0), _line(0.5), margin=1.0), anchor)
    if not grad.isfinite().all():
        raise Wrong(
            f"the gradient of the anchor is {grad[0].tolist()}",
            "NaN gradient: the root of a sum of squares has an infinite slope at 0. torch.linalg.vector_norm does not",
        )


# recall_at_k


@checks("ch04.recall_at_k", hint="the share of all queries whose nearest other item is of their class")
def share_of_queries_that_succeed(student: Student) -> None:
    z, labels = normal(9, 2, seed=0), torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1])
    d = torch.cdist(z, z).tolist()
    others = [sorted((i for i in range(9) if i != q), key=d[q].__getitem__) for q in range(9)]  # nearest first
    found = [int(labels[others[q][0]] == labels[q]) for q in range(9)]
    expect(
        student(z, labels, 1),
        sum(found) / 9,
        {
            "every query succeeds: does an item find itself? Or are labels compared with labels of other queries? "
            "labels[:, None] stands for those that ask": 1.0,
            "one neighbour too few: leave the item itself out before you take k": 0.0,
            "one neighbour too many: k + 1 were taken": (
                sum(int(labels[q] in labels[others[q][:2]]) for q in range(9)) / 9
            ),
            "this is a mean over the classes of their shares: take one mean over all queries": (
                sum(found[:5]) / 5 + sum(found[5:]) / 4
            )
            / 2,
            "these are the farthest items: the nearest has the smallest distance": (
                sum(int(labels[others[q][-1]] == labels[q]) for q in range(9)) / 9
            ),
            "this is the number of queries that succeed: divide by the number of queries": sum(found),
        },
    )


@checks("ch04.recall_at_k", hint="a query succeeds when at least one of its k neighbours is of its class")
def one_of_k_is_enough(student: Student) -> None:
    z, labels = _line(0, 1, 3, 7), torch.tensor([0, 0, 1, 1])
    expect(
        student(z, labels, 3),
        1.0,
        {
            "this is precision, the share of neighbours of the class: one among the k is enough": 1 / 3,
            "here all k neighbours must be of the class: one is enough": 0.0,
            "only the nearest is looked at, whatever k is": 3 / 4,
        },
    )


@checks("ch04.recall_at_k", hint="an item without a partner cannot succeed: leave it out of the share")
def item_without_a_partner(student: Student) -> None:
    expect(
        student(_line(0, 1, 50), torch.tensor([0, 0, 1]), 1),
        1.0,
        {"the item without a partner counts as a failure: leave it out of the share": 2 / 3},
    )
    expect(
        student(_line(0, 3, 4), torch.tensor([0, 0, 1]), 1),
        1 / 2,
        {"the item without a partner asks nothing, but others still find it: keep it among the neighbours": 1.0},
    )


@checks(
    "ch04.recall_at_k",
    hint="dropping the nearest drops the wrong one where two embeddings are equal: take the diagonal out instead",
)
def equal_embeddings(student: Student) -> None:
    expect(student(_line(0, 0, 9, 9), torch.tensor([0, 1, 0, 1]), 1), 0.0)


# random_triplets

_GROUPS = torch.tensor([4, 4, 4, 9, 9, 9, 2, 2])


def _triplets(student: Student, labels: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    names = ("anchor", "positive", "negative")
    got = unpack(student(labels, n, rng(seed)), names)
    anchor, positive, negative = (indices(g, name, n, len(labels)) for g, name in zip(got, names, strict=True))
    return anchor, positive, negative


@checks("ch04.random_triplets", hint="the positive must have the anchor's label")
def positive_of_the_same_class(student: Student) -> None:
    anchor, positive, _ = _triplets(student, _GROUPS, 200, seed=0)
    off = (_GROUPS[anchor] != _GROUPS[positive]).nonzero()
    if len(off):
        i = int(off[0])
        raise Wrong(f"triplet {i}: the anchor has label {_GROUPS[anchor[i]]}, the positive {_GROUPS[positive[i]]}")


@checks("ch04.random_triplets", hint="the positive is the anchor itself: draw it among the other items of the class")
def positive_is_another_item(student: Student) -> None:
    anchor, positive, _ = _triplets(student, _GROUPS, 200, seed=1)
    if (anchor == positive).any():
        raise Wrong(f"in {int((anchor == positive).sum())} of 200 triplets the positive is the anchor itself")


@checks("ch04.random_triplets", hint="the negative must have another label: any other item is not enough")
def negative_of_another_class(student: Student) -> None:
    anchor, _, negative = _triplets(student, _GROUPS, 200, seed=2)
    off = (_GROUPS[anchor] == _GROUPS[negative]).nonzero()
    if len(off):
        raise Wrong(f"{len(off)} of 200 negatives have the label of their anchor, first in triplet {int(off[0])}")


@checks(
    "ch04.random_triplets", hint="an item that is the only one of its class has no positive: it cannot be an anchor"
)
def a_class_with_one_member(student: Student) -> None:
    anchor, _, negative = _triplets(student, torch.tensor([1, 1, 1, 7]), 200, seed=3)
    if (anchor == 3).any():
        raise Wrong("item 3 is the only one of its class, but it is an anchor")
    if not (negative == 3).all():
        raise Wrong("item 3 is the only item of another class, but it is not always the negative")


@checks("ch04.random_triplets", hint="all chance must come from the generator")
def the_generator_decides(student: Student) -> None:
    once, again, other = (torch.stack(_triplets(student, _GROUPS, 50, seed=s)) for s in (4, 4, 5))
    seeded(once, again, other)


@checks("ch04.random_triplets", hint="some allowed triplets never come: draw among all items that are allowed")
def every_triplet_can_come(student: Student) -> None:
    n = len(_GROUPS)
    drawn = _triplets(student, _GROUPS, 6000, seed=6)
    seen = torch.zeros(n, n, n, dtype=torch.bool)
    seen[drawn] = True
    same = _GROUPS[:, None] == _GROUPS[None]
    missing = (same & ~torch.eye(n, dtype=torch.bool))[:, :, None] & ~same[:, None] & ~seen
    if missing.any():
        raise Wrong(
            f"{int(missing.sum())} allowed triplets are not among 6000, such as {tuple(missing.nonzero()[0].tolist())}"
        )


# pk_batch

_CLASSES = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 5, 5, 5])


def _batch(student: Student, p: int, k: int, generator: torch.Generator) -> Tensor:
    return indices(student(_CLASSES, p, k, generator), "the result", p * k, len(_CLASSES))


@checks("ch04.pk_batch", hint="p different classes, with exactly k items each")
def p_classes_of_k_items(student: Student) -> None:
    for seed in range(10):
        classes, counts = _CLASSES[_batch(student, 2, 3, rng(seed))].unique(return_counts=True)
        if counts.tolist() != [3, 3]:
            found = ", ".join(f"{n} of class {c}" for c, n in zip(classes.tolist(), counts.tolist(), strict=True))
            hint = {
                (2, 2, 2): "p and k are swapped: p classes with k items each",
                (6,): "a class was drawn twice: the p classes must be different",
            }
            raise Wrong(
                f"p=2, k=3: expected 3 items of each of 2 classes, got {found}", hint.get(tuple(counts.tolist()), "")
            )


@checks("ch04.pk_batch", hint="an item came twice: draw the k items of a class without replacement, as randperm does")
def no_item_twice(student: Student) -> None:
    for seed in range(10):
        batch = _batch(student, 2, 2, rng(seed))
        if len(batch.unique()) < len(batch):
            raise Wrong(f"p=2, k=2: the {len(batch)} indices are not all different: {batch.tolist()}")


@checks("ch04.pk_batch", hint="a class with fewer than k items was drawn: leave such classes out")
def class_that_is_too_small(student: Student) -> None:
    labels = torch.tensor([3, 3, 6, 8, 8])  # class 6 has one item
    for seed in range(10):
        got = student(labels, 2, 2, rng(seed))
        if isinstance(got, Tensor) and (2 in got or got.numel() < 4):
            raise Wrong(f"p=2, k=2: only classes 3 and 8 have 2 items, but the batch is {got.tolist()}")
        indices(got, "the result", 4, len(labels))


@checks("ch04.pk_batch", hint="no error came: where fewer than p classes have k items, raise a ValueError")
def too_few_classes(student: Student) -> None:
    try:
        got = student(torch.tensor([3, 3, 8, 8]), 3, 2, rng(0))
    except ValueError:
        return
    came = got.tolist() if isinstance(got, Tensor) else got
    raise Wrong(f"p=3, k=2, but there are 2 classes: expected a ValueError, got {came}")


@checks("ch04.pk_batch", hint="all chance must come from the generator")
def the_generator_draws_the_batch(student: Student) -> None:
    once, again, other = (
        torch.cat([_batch(student, 2, 2, rng(seed)) for seed in seeds]) for seeds in ((1, 2, 3), (1, 2, 3), (4, 5, 6))
    )
    seeded(once, again, other)


@checks("ch04.pk_batch", hint="some items never come: draw the k items among all of the class, not the first k")
def every_item_can_come(student: Student) -> None:
    generator = rng(0)
    seen = torch.zeros(len(_CLASSES), dtype=torch.bool)
    for _ in range(150):
        seen[_batch(student, 2, 2, generator)] = True
    if not seen.all():
        raise Wrong(f"items {(~seen).nonzero()[:, 0].tolist()} are in none of 150 batches")


# batch_hard and batch_all_sorted: the oracles are loops over the distances.


def _triplets_of(z: Tensor, labels: Tensor) -> list[list[tuple[float, float]]]:
    """For each anchor its triplets, as (distance to the positive, distance to the negative)."""
    d = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist").tolist()
    y = labels.tolist()
    items = range(len(y))
    return [
        [(d[a][p], d[a][n]) for p in items if y[p] == y[a] and p != a for n in items if y[n] != y[a]] for a in items
    ]


_NO_TRIPLET = "a batch of one class has no triplet: the loss and its gradient are 0, not NaN"
_LOOP = "a Python loop over the items: masks, amax, sort and cumsum work on whole tables at once"
_BATCH = normal(9, 2, seed=7), torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2])


@checks("ch04.batch_hard", hint="for each anchor the farthest positive and the nearest negative")
def hardest_of_each_anchor(student: Student) -> None:
    z, labels = _BATCH
    triplets = _triplets_of(z, labels)

    def mean(positive: object, negative: object) -> float:
        of = {"far": max, "near": min}
        costs = [of[str(positive)](p for p, _ in ts) - of[str(negative)](n for _, n in ts) + 3.0 for ts in triplets]
        return sum(max(0.0, c) for c in costs) / len(costs)

    zero = sum(max(p for p, _ in ts) + 3.0 for ts in triplets) / len(triplets)
    expect(
        student(z, labels, margin=3.0),
        mean("far", "near"),
        {
            "this takes the nearest positive: the hardest positive is the farthest": mean("near", "near"),
            "this takes the farthest negative: the hardest negative is the nearest": mean("far", "far"),
            "this takes the nearest positive and the farthest negative, the easiest triplets": mean("near", "far"),
            "the nearest negative is a masked entry: zeros win every minimum. Fill with infinity instead": zero,
            "this is the sum: take the mean over the anchors": mean("far", "near") * len(triplets),
            "the margin is an argument: use it, not a number": mean("far", "near") - 2.0,
            "these are squared distances: the root is missing": (
                sum(max(p for p, _ in ts) ** 2 - min(n for _, n in ts) ** 2 + 3.0 for ts in triplets) / len(triplets)
            ),
            "the signs are swapped: a far positive and a near negative cost more": 6.0 - mean("far", "near"),
        },
    )


@checks("ch04.batch_hard", hint="the gradient pulls the farthest positive and pushes the nearest negative, no other")
def gradient_of_the_hardest(student: Student) -> None:
    z = _line(0, 1, 5, 7).requires_grad_()
    grad = gradient(student(z, torch.tensor([0, 0, 1, 1]), margin=9.0), z)
    # The anchors cost, up to the margin: x1 - x2, 2 x1 - x0 - x2, x1 - 2 x2 + x3 and x1 - x2.
    expect(grad, tensor([[-1, 0], [5, 0], [-5, 0], [1, 0]]) / 4)


@checks("ch04.batch_hard", hint="an anchor that costs nothing counts in the mean")
def anchors_that_cost_nothing(student: Student) -> None:
    z, labels = _line(0, 1, 3, 3), torch.tensor([0, 0, 1, 1])  # only the anchor at 1 costs something: 1 - 2 + 1.5
    want = (0.0 + 0.5 + 0.0 + 0.0) / 4
    expect(
        student(z, labels, margin=1.5),
        want,
        {
            "the mean is over all anchors with a triplet, also over those that cost nothing": 0.5,
            "the hinge is missing: an anchor in good order costs 0": (-0.5 + 0.5 - 0.5 * 2) / 4,
        },
    )


@checks("ch04.batch_hard", hint="an anchor without a positive has no triplet: leave it out of the mean")
def anchor_without_a_positive(student: Student) -> None:
    expect(
        student(_line(0, 2, 3), torch.tensor([0, 0, 1]), margin=2.0),
        (1.0 + 3.0) / 2,
        {
            "the anchor without a positive counts in the mean: it has no triplet, leave it out": 4.0 / 3,
            "the anchor without a positive costs something: it has no triplet, leave it out": (4.0 + 1.0) / 3,
        },
    )


@checks("ch04.batch_all_sorted", hint="the mean of the hinges over all triplets (anchor, positive, negative)")
def mean_over_all_triplets(student: Student) -> None:
    z, labels = _BATCH[0], torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 3])
    m = 0.8  # some thresholds lie below every negative, some negatives nearer to their anchor than the margin
    of_anchors = [ts for ts in _triplets_of(z, labels) if ts]
    triplets = [t for ts in of_anchors for t in ts]
    hinges = [max(0.0, p - n + m) for p, n in triplets]
    d = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    itself = (m - d[labels[:, None] != labels]).clamp(min=0).tolist()

    def prefix_sums(length: Callable[[int], int]) -> float:
        total = 0.0
        for ts in of_anchors:
            negatives = sorted({n for _, n in ts})
            for t in {p + m for p, _ in ts}:
                c = sum(n < t for n in negatives)
                total += c * t - sum(negatives[: length(c)])
        return total / len(triplets)

    expect(
        student(z, labels, margin=m),
        sum(hinges) / len(hinges),
        {
            "this is the mean over the triplets that cost something: divide by the number of all": (
                sum(hinges) / sum(h > 0 for h in hinges)
            ),
            "this is the sum: divide by the number of all triplets": sum(hinges),
            "this is the sum divided by the number of anchors: divide by that of all triplets": (
                sum(hinges) / len(of_anchors)
            ),
            "the hinge is missing": sum(p - n + m for p, n in triplets) / len(triplets),
            "the margin is missing": sum(max(0.0, p - n) for p, n in triplets) / len(triplets),
            "the anchor itself is among the positives: leave the diagonal out": (
                (sum(hinges) + sum(itself)) / len(hinges)
            ),
            "the anchor itself is among the positives, also in the count: leave the diagonal out": (
                (sum(hinges) + sum(itself)) / (len(hinges) + len(itself))
            ),
            "the prefix sums are off by one: S_c adds up the first c distances, and S_0 = 0": prefix_sums(
                lambda c: c + 1
            ),
            "where no negative is nearer than t the prefix sum is S_0 = 0, not the first distance": prefix_sums(
                lambda c: max(c, 1)
            ),
        },
    )


@checks(
    "ch04.batch_all_sorted",
    hint="the value is right, the gradient is not: thresholds and prefix sums must stay in the graph",
)
def gradient_of_all_triplets(student: Student) -> None:
    labels = _BATCH[1]
    z = _BATCH[0].clone().requires_grad_()
    got = gradient(student(z, labels, margin=20.0), z)
    # With a large margin every hinge is positive, so the gradient is that of mean(d_ap - d_an).
    plain = _BATCH[0].clone().requires_grad_()
    d = torch.cdist(plain, plain, compute_mode="donot_use_mm_for_euclid_dist")
    y, items = labels.tolist(), range(len(labels))
    total = torch.stack(
        [d[a, p] - d[a, n] for a in items for p in items if y[p] == y[a] and p != a for n in items if y[n] != y[a]]
    )
    expect(got, gradient(total.mean(), plain))


@checks(
    "ch04.batch_all_sorted",
    hint="a tensor with B³ entries was made: sort the negatives and use prefix sums, tables (B, B) are enough",
)
def memory_of_tables_only(student: Student) -> None:
    n = 64
    with Cost() as cost:
        student(normal(n, 2, seed=3).float(), torch.arange(n) % 8, margin=1.0)
    if cost.bytes > n**3 // 2:  # a boolean table B³ is n³ bytes, an index table B² is 8 n²
        raise Wrong(f"for B = {n} the largest tensor took {cost.bytes} bytes; a float table (B, B) takes {4 * n * n}")


@checks("ch04.batch_hard", hint=_NO_TRIPLET)
@checks("ch04.batch_all_sorted", hint=_NO_TRIPLET)
def one_class_only(student: Student) -> None:
    z = _line(0, 1, 3).requires_grad_()
    loss = student(z, torch.tensor([2, 2, 2]), margin=1.0)
    expect(loss, 0.0)
    if isinstance(loss, Tensor) and loss.requires_grad:  # a constant 0 is as good
        expect(gradient(loss, z), torch.zeros_like(z))


@checks("ch04.batch_hard", hint=_LOOP)
@checks("ch04.batch_all_sorted", hint=_LOOP)
def no_python_loop(student: Student) -> None:
    z, labels = normal(64, 2, seed=3), torch.arange(64) % 8
    with Cost() as cost:
        student(z, labels, margin=1.0)
    no_loop(cost, 64, limit=128)
