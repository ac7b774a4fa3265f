"""Checks of the exercises of chapter 3, Siamese networks."""

# ruff: noqa: D103  # the name of a check is what it says
from __future__ import annotations

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

# pairwise_distances


@checks(
    "ch03.pairwise_distances", hint="compare with the root of the sum of squared differences, for each pair of rows"
)
def every_distance(student: Student) -> None:
    x, y = tensor([[0, 0], [1, 2], [-1, 0.5]]), tensor([[3, 4], [0, -2]])
    want = tensor(
        [[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) ** 0.5 for q in y.tolist()] for p in x.tolist()]
    )
    expect(
        student(x, y),
        want,
        {
            "these are squared distances: the root is missing": want**2,
            "this is the L1 distance: square the differences, do not take absolute values": torch.cdist(x, y, p=1),
            "the axes are swapped: rows of the result belong to x": want.T,
            "the sum is over the wrong axis: coordinates stand in the last": (x[:, None] - y).square().sum(1).sqrt(),
        },
    )


@checks("ch03.pairwise_distances", hint="equal points have the distance 0")
def equal_points(student: Student) -> None:
    x = tensor([[1, 2]]).requires_grad_()
    distance = student(x, tensor([[1, 2]]))
    epsilon = "something is added under the root: sqrt(0 + eps) is not 0. Treat the zeros apart instead"
    expect(distance, tensor([[0]]), {epsilon: distance if _small(distance) else None})
    grad = gradient(distance, x)
    if not grad.isfinite().all():
        raise Wrong(
            f"the distance is right, but its gradient is {grad.tolist()[0]}",
            "NaN gradient: the root has an infinite slope at 0, and the chain rule multiplies it by 0. No 0 may reach "
            "the root, also not in the branch that torch.where leaves out",
        )


def _small(distance: object) -> bool:
    return isinstance(distance, Tensor) and bool((distance > 0).all() and (distance < 0.1).all())


@checks(
    "ch03.pairwise_distances",
    hint="a Python loop over the points: let broadcasting form all differences, x[:, None] - y[None]",
)
def no_python_loop(student: Student) -> None:
    x, y = normal(64, 2, seed=0), normal(64, 2, seed=1)
    with Cost() as cost:
        student(x, y)
    no_loop(cost, 64)


@checks(
    "ch03.pairwise_distances",
    hint="cancellation: |x|² + |y|² - 2xy subtracts large, nearly equal numbers in float32 "
    "(torch.cdist does so from 26 points on). Subtract the points first",
)
def near_points_far_from_the_origin(student: Student) -> None:
    steps = torch.arange(30) / 4  # multiples of 1/4: every difference is exact in float32
    x = torch.stack([3000 + steps, torch.zeros(30)], dim=1)
    expect(student(x, x), (steps[:, None] - steps).abs())


# one_shot


@checks("ch03.one_shot", hint="each query takes the label of its nearest support embedding")
def label_of_the_nearest(student: Student) -> None:
    support, labels = tensor([[1, 0], [0, 1], [-1, 0]]), torch.tensor([30, 10, 20])
    queries = tensor([[0, 1], [-0.8, 0.6], [0.8, -0.6], [0.6, 0.8]])
    expect(
        student(queries, support, labels),
        torch.tensor([10, 20, 30, 10]),
        {
            "these are positions in the support, not labels: index support_labels with them": torch.tensor(
                [1, 2, 0, 1]
            ),
            "these are the farthest: the nearest has the smallest distance": torch.tensor([30, 30, 20, 20]),
            "labels come in any order: do not sort them": torch.tensor([20, 30, 10, 20]),
            "the minimum is over the wrong axis: each query looks along the support": torch.tensor([20, 30, 10]),
        },
    )


@checks(
    "ch03.one_shot", hint="a class may have several images: compare with each image, not with the mean of the class"
)
def several_images_of_a_class(student: Student) -> None:
    support, labels = _circle(0, 60, 180, 90), torch.tensor([0, 1, 0, 1])
    expect(student(_circle(25, 50), support, labels), torch.tensor([0, 1]))


def _circle(*degrees: float) -> Tensor:
    angle = tensor(degrees).deg2rad()
    return torch.stack([angle.cos(), angle.sin()], dim=1)


@checks("ch03.one_shot", hint="a dot product or an angle is no distance: here the lengths of the vectors differ")
def distance_not_angle(student: Student) -> None:
    support, labels = tensor([[1, 0], [10, 1]]), torch.tensor([0, 1])
    expect(student(tensor([[1, 0.2], [9, 0]]), support, labels), torch.tensor([0, 1]))
    manhattan = {"this is the L1 distance: the Euclidean one has squares and a root": torch.tensor([0])}
    expect(student(tensor([[0, 0]]), tensor([[5, 0], [3, 3]]), labels), torch.tensor([1]), manhattan)


# contrastive_loss: x1 = 0 and x2 on the first axis, so that the coordinate is the distance.


def _pairs(*distances: float) -> tuple[Tensor, Tensor]:
    x2 = torch.zeros(len(distances), 2, dtype=torch.float64)
    x2[:, 0] = tensor(distances)
    return torch.zeros_like(x2), x2


@checks("ch03.contrastive_loss", hint="a pair of one class costs ½ d²")
def pairs_of_one_class(student: Student) -> None:
    x1, x2 = _pairs(2, 0.5, 1)
    expect(
        student(x1, x2, torch.tensor([True, True, True]), margin=1.0),
        5.25 / 6,
        {
            "roles reversed: same = 1 is the pair that is pulled together, by ½ d²": 0.25 / 6,
            "the factor ½ is missing": 5.25 / 3,
            "this is the sum: take the mean over the pairs, and the norm of each pair (dim=1)": 5.25 / 2,
            "the distance must be squared: ½ d²": 3.5 / 6,
            "NaN is the mean over nothing, here over no pairs of two classes: take one mean over all": torch.nan,
        },
    )


@checks("ch03.contrastive_loss", hint="a pair of two classes costs ½ max(0, m - d)²")
def pairs_of_two_classes(student: Student) -> None:
    x1, x2 = _pairs(0.5, 3, 4)
    expect(
        student(x1, x2, torch.tensor([False, False, False]), margin=1.0),
        0.25 / 6,
        {
            "the square is in the wrong place: this is ½ max(0, m - d²), it should be ½ max(0, m - d)²": 0.75 / 6,
            "the square is in the wrong place: this is max(0, m - d²), it should be ½ max(0, m - d)²": 0.75 / 3,
            "the margin is compared with d², it should be compared with d: ½ max(0, m - d)²": 0.75**2 / 6,
            "the hinge is missing: a pair beyond the margin costs nothing, but (m - d)² grows again": 13.25 / 6,
            "the square after the hinge is missing: ½ max(0, m - d)²": 0.5 / 6,
            "roles reversed: same = 1 is the pair that is pulled together, by ½ d²": 25.25 / 6,
            "the mean is over all pairs, also over those that cost nothing": 0.25 / 2,
        },
    )


@checks("ch03.contrastive_loss", hint="one mean over all pairs of the batch, of both kinds together")
def one_mean_over_all_pairs(student: Student) -> None:
    x1, x2 = _pairs(1, 1, 1, 5)
    expect(
        student(x1, x2, torch.tensor([True, True, True, False]), margin=1.0),
        1.5 / 4,
        {
            "two means added: take one mean over all pairs, whatever their kind": 0.5,
            "this is the sum: take the mean over the pairs": 1.5,
        },
    )


@checks("ch03.contrastive_loss", hint="the margin is an argument: use it, not a number")
def another_margin(student: Student) -> None:
    x1, x2 = _pairs(1)
    expect(student(x1, x2, torch.tensor([False]), margin=2.0), 0.5)


@checks("ch03.contrastive_loss", hint="equal embeddings must not break the gradient")
def equal_embeddings(student: Student) -> None:
    x1, x2 = _pairs(0, 0.5)
    x1.requires_grad_()
    grad = gradient(student(x1, x2, torch.tensor([True, True]), margin=1.0), x1)
    if not grad.isfinite().all():
        raise Wrong(
            f"the gradient of the first pair is {grad[0].tolist()}",
            "NaN gradient: the root of a sum of squares has an infinite slope at 0. torch.linalg.vector_norm does not",
        )


@checks(
    "ch03.contrastive_loss",
    hint="same may be numbers 0 and 1: indexing or ~ then means something else. Convert it first",
)
def same_as_numbers(student: Student) -> None:
    x1, x2 = _pairs(1, 0)
    expect(student(x1, x2, torch.tensor([1, 1]), margin=1.0), 1 / 4)
    expect(student(x1, x2, torch.tensor([0.0, 0.0]), margin=1.0), 1 / 4)


# same_different_pairs

_GROUPS = torch.tensor([4, 4, 4, 4, 9, 9, 9, 2, 2])


def _draw(student: Student, labels: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    first, second, same = unpack(student(labels, n, rng(seed)), ("first", "second", "same"))
    first, second = indices(first, "first", n, len(labels)), indices(second, "second", n, len(labels))
    if not isinstance(same, Tensor) or tuple(same.shape) != (n,):
        came = f"shape {tuple(same.shape)}" if isinstance(same, Tensor) else type(same).__name__
        raise Wrong(f"same: expected a tensor of shape ({n},), got {came}", "same has one boolean for each pair")
    return first, second, same.bool()


@checks(
    "ch03.same_different_pairs", hint="where same is False the two labels must differ: any other item is not enough"
)
def same_tells_the_truth(student: Student) -> None:
    first, second, same = _draw(student, _GROUPS, 400, seed=0)
    truth = _GROUPS[first] == _GROUPS[second]
    if (same & ~truth).any():
        i = int((same & ~truth).nonzero()[0])
        raise Wrong(
            f"pair {i}: same is True, but the labels are {int(_GROUPS[first[i]])} and {int(_GROUPS[second[i]])}",
            "where same is True both labels must be equal",
        )
    if (truth & ~same).any():
        i = int((truth & ~same).nonzero()[0])
        raise Wrong(f"pair {i}: same is False, but both labels are {int(_GROUPS[first[i]])}")


@checks(
    "ch03.same_different_pairs",
    hint="not balanced: exactly n / 2 pairs must be of one class, not as many as chance gives",
)
def half_of_one_class(student: Student) -> None:
    for n in (2, 100):
        same = _draw(student, _GROUPS, n, seed=1)[2]
        if int(same.sum()) != n // 2:
            raise Wrong(f"expected {n // 2} pairs of one class among {n}, got {int(same.sum())}")


@checks(
    "ch03.same_different_pairs", hint="an item is paired with itself: leave it out of the items it can be paired with"
)
def never_with_itself(student: Student) -> None:
    first, second, _ = _draw(student, _GROUPS, 400, seed=2)
    if (first == second).any():
        raise Wrong(f"{int((first == second).sum())} of 400 pairs are an item with itself")


@checks("ch03.same_different_pairs", hint="all chance must come from the generator")
def the_generator_decides(student: Student) -> None:
    once, again, other = (torch.stack(_draw(student, _GROUPS, 50, seed=s)[:2]) for s in (3, 3, 4))
    seeded(once, again, other)


@checks(
    "ch03.same_different_pairs", hint="a class with a single member has no pair of one class: leave it out of those"
)
def a_class_with_one_member(student: Student) -> None:
    labels = torch.tensor([1, 1, 1, 7])  # item 3 is alone
    first, second, same = _draw(student, labels, 400, seed=5)
    if (same & ((first == 3) | (second == 3))).any():
        raise Wrong("item 3 is the only one of its class, but it stands in a pair with same = True")


@checks(
    "ch03.same_different_pairs",
    hint="some allowed pairs never come: the partner must be drawn among all that are allowed",
)
def every_pair_can_come(student: Student) -> None:
    first, second, _same = _draw(student, _GROUPS, 4000, seed=6)
    truth = _GROUPS[:, None] == _GROUPS[None]
    seen = torch.zeros_like(truth)
    seen[first, second] = True
    seen = seen | seen.T  # either order will do
    for kind, allowed in (("one class", truth & ~torch.eye(len(truth), dtype=torch.bool)), ("two classes", ~truth)):
        missing = allowed & ~seen
        if missing.any():
            i, j = missing.nonzero()[0].tolist()
            raise Wrong(
                f"among 4000 pairs none of {kind} joins items {i} and {j}; {int(missing.sum()) // 2} pairs never come"
            )


# verification_auc


@checks("ch03.verification_auc", hint="the share of combinations in which the pair of one class is nearer")
def share_of_combinations_won(student: Student) -> None:
    distances = (torch.tensor([8, 5, 3, 1, 12, 17, 19, 10, 14, 6]) / 20).double()
    same = torch.tensor([1, 0, 1, 1, 0, 0, 1, 0, 0, 1]).bool()
    near, far = distances[same].tolist(), distances[~same].tolist()
    want = sum(a < b for a in near for b in far) / (len(near) * len(far))
    accuracy = max(float(((distances < t) == same).double().mean()) for t in distances)
    expect(
        student(distances, same),
        want,
        {
            "reversed: a small distance means alike, so a win is d_same < d_different": 1 - want,
            "this is the best accuracy over the thresholds: the AUC chooses none": accuracy,
            "this counts the wins: divide by the number of combinations": want * len(near) * len(far),
            "only the i-th with the i-th is compared: take all combinations, near[:, None] < far": (
                sum(a < b for a, b in zip(near, far, strict=True)) / len(near)
            ),
        },
    )


@checks("ch03.verification_auc", hint="a tie counts one half")
def ties_count_half(student: Student) -> None:
    ties = {"ties are lost: a tie counts ½, not 0": 0.0, "ties are won: a tie counts ½, not 1": 1.0}
    expect(student(tensor([0.5, 0.5, 0.5]), torch.tensor([True, False, False])), 0.5, ties)


@checks(
    "ch03.verification_auc",
    hint="fixed thresholds: only the order of the distances matters, not their size. Compare them with each other",
)
def only_the_order_matters(student: Student) -> None:
    distances, same = tensor([0.1, 0.4, 0.3, 0.7, 0.2, 0.9]), torch.tensor([1, 1, 1, 0, 0, 0]).bool()
    small = student(distances, same)
    expect(student(1000 * distances, same), torch.as_tensor(small).detach())


# contrastive_gradient


@checks("ch03.contrastive_gradient", hint="the gradient of ½ d² with respect to x1 is x1 - x2, over N")
def pull_of_one_class(student: Student) -> None:
    x1, x2 = tensor([[3, 4], [1, 1], [0, 0]]), tensor([[0, 0], [1, 3], [0.5, 0]])
    want = (x1 - x2) / 3
    expect(
        student(x1, x2, torch.tensor([True, True, True]), margin=1.0),
        want,
        {
            "the factor 1/N is missing: the loss is a mean over N pairs": want * 3,
            "a factor 2 too many: the loss has ½ d², and the ½ cancels it": want * 2,
            "the sign is wrong: the gradient points uphill, away from x2": -want,
            "the pull grows with d, it is no unit vector: do not divide by d": want / tensor([[5], [2], [0.5]]),
        },
    )


@checks("ch03.contrastive_gradient", hint="inside the margin the gradient is -(m - d) (x1 - x2) / d, over N")
def push_inside_the_margin(student: Student) -> None:
    x1, x2 = tensor([[0.3, 0.4], [0, 0], [1, 1]]), tensor([[0, 0], [0, 0.8], [1, 2.5]])
    delta, d = x1 - x2, tensor([[0.5], [0.8], [1.5]])
    want = -(2 - d) * delta / d / 3
    expect(
        student(x1, x2, torch.tensor([False, False, False]), margin=2.0),
        want,
        {
            "the direction is not a unit vector: divide x1 - x2 by d": want * d,
            "the factor 1/N is missing: the loss is a mean over N pairs": want * 3,
            "the sign is wrong: descending must push the pair apart": -want,
            "the derivative of the square is missing: the push has the strength m - d": -delta / d / 3,
        },
    )


@checks(
    "ch03.contrastive_gradient", hint="the hinge is missing: beyond the margin a pair of two classes has no gradient"
)
def nothing_beyond_the_margin(student: Student) -> None:
    expect(student(tensor([[3, 4]]), tensor([[0, 0]]), torch.tensor([False]), margin=1.0), tensor([[0, 0]]))


@checks("ch03.contrastive_gradient", hint="0/0 is NaN: at distance 0 the push has no direction, and is 0")
def equal_embeddings_of_two_classes(student: Student) -> None:
    expect(student(tensor([[1, 2]]), tensor([[1, 2]]), torch.tensor([False]), margin=1.0), tensor([[0, 0]]))


@checks("ch03.contrastive_gradient", hint="by hand: write the formula of the gradient, without autograd or backward()")
def without_autograd(student: Student) -> None:
    with torch.inference_mode():
        student(tensor([[0.3, 0.4]]), tensor([[0, 0]]), torch.tensor([False]), margin=1.0)
