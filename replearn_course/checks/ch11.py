"""Checks of the exercises of chapter 11, VICReg."""

# ruff: noqa: D103  # the name of a check is what it says
from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from replearn_course.checks.core import (
    Cost,
    Student,
    Wrong,
    checks,
    expect,
    gradient,
    no_loop,
    normal,
    returned_tensor,
    tensor,
)

# variance_term


def _spread(*deviations: float) -> Tensor:
    """Three embeddings whose columns have these standard deviations."""
    return tensor([[-1], [0], [1]]) * tensor(deviations)


_TINY = 1e-12  # an eps that changes nothing


@checks("ch11.variance_term", hint="mean over the dimensions of max(0, target - standard deviation over the images)")
def deviations_below_the_target(student: Student) -> None:
    z = 0.3 * normal(6, 3, seed=0)
    deviation = z.std(dim=0)
    want = 1 - deviation.mean()
    expect(
        student(z, eps=_TINY),
        want,
        {
            "this is the variance: the root is missing": 1 - deviation.square().mean(),
            "this is the sum: take the mean over the dimensions": 3 * want,
            "the divisor is N - 1, not N: the unbiased variance": 1 - z.std(dim=0, correction=0).mean(),
            "the deviation is over the wrong axis: dim=0, over the images": 1 - z.std(dim=1).mean(),
            "one deviation for all numbers together: each dimension has its own, dim=0": 1 - z.std(),
            "not centred: the variance is taken around the mean over the images": (
                1 - (z.square().sum(dim=0) / 5).sqrt().mean()
            ),
            "the hinge is reversed: a dimension costs something while it is below the target": 0.0,
            "the shortfall is not squared: max(0, target - standard deviation)": (1 - deviation).square().mean(),
        },
    )


@checks("ch11.variance_term", hint="each dimension has its own hinge, before the mean")
def each_dimension_has_its_own_hinge(student: Student) -> None:
    expect(
        student(_spread(0.5, 3), eps=_TINY),
        0.25,
        {
            "the hinge comes after the mean: a wide dimension hides a narrow one. Cut at 0 first, for each": 0.0,
            "the hinge is missing: a dimension that is spread out enough costs 0, it earns nothing": -0.75,
            "this is the distance from the target: a dimension beyond it costs 0": 1.25,
            "the mean is over all dimensions, also over those that cost nothing": 0.5,
        },
    )


@checks("ch11.variance_term", hint="the target is an argument: use it, not a number")
def another_target(student: Student) -> None:
    expect(student(_spread(0.5, 3), target=4.0, eps=_TINY), (3.5 + 1) / 2)


@checks("ch11.variance_term", hint="eps is added to the variance, under the root")
def collapse(student: Student) -> None:
    z, eps = _spread(0, 0.3).requires_grad_(), 0.07
    root = math.sqrt(eps)
    term = student(z, eps=eps)
    expect(
        term,
        (1 - root + 0.6) / 2,
        {
            "eps is missing: at the root of 0 the gradient is NaN": (1 + 0.7) / 2,
            "eps stands outside the root, where it does not save the gradient": (1 - eps + 0.7 - eps) / 2,
            "eps is an argument: use it, not a number": (1 - 0.01 + 1 - math.sqrt(0.09 + 1e-4)) / 2,
            "eps is no lower bound: it is added to every variance": (1 - root + 0.7) / 2,
        },
    )
    grad = gradient(term, z)
    if not grad.isfinite().all():
        raise Wrong(f"the value is right, but its gradient is {grad.tolist()}", "NaN gradient: eps goes under the root")


# invariance_term


def _pair_distances(z: Tensor) -> Tensor:
    """Squared distance of each pair of views ``(V (V - 1) / 2, N)``, by a loop."""
    return torch.stack([(z[v] - z[w]).square().sum(1) for v, w in itertools.combinations(range(len(z)), 2)])


@checks("ch11.invariance_term", hint="the squared distances of two different views, mean over all pairs and all images")
def mean_over_the_pairs(student: Student) -> None:
    z = normal(2, 5, 3, seed=1)
    want = _pair_distances(z).mean()
    expect(
        student(z),  # the term of the paper
        want,
        {
            "this is the mean over the dimensions, as mse_loss takes it, too small by a factor d: sum over them": (
                want / 3
            ),
            "this is the sum: take the mean over the images": 5 * want,
            "these are distances: the paper takes their squares": _pair_distances(z).sqrt().mean(),
            "half of it: the mean over the pairs is twice the variance over the views; and a view makes no pair with "
            "itself": want / 2,
            "twice as much: each pair of views counts once": 2 * want,
            "this is the distance of a view from the mean of its image's views, not of two views": want / 4,
            "the mean over the images comes first here: each image has its own distance": (
                (z[0].mean(dim=0) - z[1].mean(dim=0)).square().sum()
            ),
            "the variance is over the wrong axis: dim=0, over the views of an image": (
                2 * z.var(dim=1).sum(dim=1).mean()
            ),
        },
    )
    z = normal(4, 5, 3, seed=2)
    want = _pair_distances(z).mean()
    expect(
        student(z),
        want,
        {
            "these are neighbouring views only: take all pairs": (z[1:] - z[:-1]).square().sum(dim=2).mean(),
            "these are the pairs with the first view only: take all pairs": (z[1:] - z[0]).square().sum(dim=2).mean(),
            "only the first two views are used: take all pairs": (z[0] - z[1]).square().sum(dim=1).mean(),
            "this is the sum over the pairs: divide by V (V - 1) / 2": 6 * want,
            "the factor is right for two views only: it depends on V": want * 3 / 2,
        },
    )


@checks(
    "ch11.invariance_term",
    hint="all pairs of views are formed, V² of them: the squares around the mean over the views say the same",
)
def cost_grows_with_the_views(student: Student) -> None:
    v = 64
    with Cost() as cost:
        student(normal(v, 2, 2, seed=3))
    no_loop(cost, v)
    if cost.bytes > 8 * v * 2 * 2 * 4:  # four times the views themselves
        raise Wrong(f"for {v} views the largest tensor took {cost.bytes} bytes; the views take {8 * v * 2 * 2}")


@checks(
    "ch11.invariance_term",
    hint="cancellation: a mean of squares minus a square of means subtracts large, nearly equal numbers in float32. "
    "Subtract the mean first, then square",
)
def views_far_from_the_origin(student: Student) -> None:
    z = (
        3000 + torch.tensor([[0, 1], [1, 4], [2, 3], [5, 0]])[:, :, None] / 4
    )  # multiples of 1/4: every difference is exact in float32
    expect(student(z), _pair_distances(z).mean())


# covariance_term and covariance_by_gram: torch.cov is the oracle.


def _off_diagonal(matrix: Tensor) -> Tensor:
    return matrix[~torch.eye(len(matrix), dtype=torch.bool)]


def _term(z: Tensor) -> Tensor:
    return _off_diagonal(torch.cov(z.T)).square().sum() / z.shape[1]


@checks("ch11.covariance_term", hint="the squares off the diagonal of the covariance matrix, summed, divided by d")
def squares_off_the_diagonal(student: Student) -> None:
    n, d = 7, 4
    z = normal(n, d, seed=4)
    z = z - z.mean(dim=0)
    c, want = torch.cov(z.T), _term(z)
    off = _off_diagonal(c)
    expect(
        student(z),
        want,
        {
            "the diagonal is in: the variances cost nothing here": c.square().sum() / d,
            "the diagonal is in, compared with 1: the variances cost nothing here, whatever they are": (
                (c - torch.eye(d)).square().sum() / d
            ),
            "the divisor of the covariance is N - 1, not N": want * ((n - 1) / n) ** 2,
            "the covariances are not divided by N - 1": want * (n - 1) ** 2,
            "the squares are missing: positive and negative covariances must not cancel": off.sum() / d,
            "these are absolute values: square the covariances": off.abs().sum() / d,
            "the sum is not divided by d": want * d,
            "each pair of dimensions counts twice, as C_jk and as C_kj": want / 2,
            "this is the mean off the diagonal: the sum is divided by d, not by the number of entries": want / (d - 1),
            "this is the mean over all d² entries: the sum is divided by d": want / d,
            "these are correlations: the covariances are not divided by standard deviations": (
                _off_diagonal(torch.corrcoef(z.T)).square().sum() / d
            ),
            "the matrix is (N, N), of images: dimensions are compared, (d, d)": (
                _off_diagonal(z @ z.T / (n - 1)).square().sum() / d
            ),
        },
    )


@checks(
    "ch11.covariance_term", hint="not centred: subtract from each dimension its mean over the images, z.mean(dim=0)"
)
def a_constant_changes_nothing(student: Student) -> None:
    z = normal(7, 3, seed=5)
    z = z - z.mean(dim=0)
    expect(student(z + tensor([5, -2, 9])), torch.as_tensor(student(z)).detach())


@checks(
    "ch11.covariance_term",
    hint="a Python loop over the dimensions: one matrix product of (d, N) and (N, d) makes all covariances",
)
def no_python_loop(student: Student) -> None:
    with Cost() as cost:
        student(normal(4, 64, seed=6))
    no_loop(cost, 64)


@checks("ch11.covariance_by_gram", hint="all squares of the Gram matrix minus the squared diagonal of XᵀX")
def the_same_value(student: Student) -> None:
    z = normal(4, 9, seed=7) + 1
    x = z - z.mean(dim=0)
    gram, want = x @ x.T, _term(z)
    every = gram.square().sum()
    scale = 9 * 9  # (N - 1)² d
    raw = z @ z.T
    expect(
        student(z),
        want,
        {
            "the wrong diagonal is subtracted: that of XᵀX, the sums of squares of the columns, not that of XXᵀ": (
                (every - gram.diagonal().square().sum()) / scale
            ),
            "the diagonal of XᵀX is not subtracted": every / scale,
            "the diagonal of XᵀX is subtracted without its square": (every - x.square().sum()) / scale,
            "square the sums over the images, do not sum the squares: (Σ x²)², not Σ x⁴": (
                (every - x.square().square().sum()) / scale
            ),
            "the divisor is (N - 1)²: each covariance carries 1 / (N - 1), and is squared": want * 3,
            "the divisor of the covariance is N - 1, not N": want * 9 / 16,
            "the sum is divided by d, the number of dimensions, not by N": want * 9 / 4,
            "the sum is not divided by d": want * 9,
            "not centred: subtract z.mean(dim=0) first": (
                (raw.square().sum() - z.square().sum(dim=0).square().sum()) / scale
            ),
        },
    )


@checks(
    "ch11.covariance_by_gram",
    hint="a table with d² entries was made: (N, N) is enough, and the diagonal of XᵀX is a sum over the images",
)
def memory_of_small_tables_only(student: Student) -> None:
    n, d = 8, 2048
    with Cost() as cost:
        student(normal(n, d, seed=8).float())
    if cost.bytes > 4 * 4 * n * d:
        raise Wrong(f"for N = {n}, d = {d} the largest tensor took {cost.bytes} bytes; z takes {4 * n * d}")


@checks("ch11.covariance_by_gram", hint="a Python loop over the dimensions: two sums over whole tables are enough")
def no_loop_over_dimensions(student: Student) -> None:
    with Cost() as cost:
        student(normal(4, 64, seed=9))
    no_loop(cost, 64)


@checks(
    "ch11.covariance_by_gram",
    hint="the value is right, the gradient is not: both sums must stay in the graph, the diagonal too",
)
def the_same_gradient(student: Student) -> None:
    z, step = normal(4, 9, seed=10).requires_grad_(), 1e-4 * normal(4, 9, seed=11)
    change = torch.as_tensor(student(z + step)).detach() - torch.as_tensor(student(z - step)).detach()
    expect((gradient(student(z), z) * step).sum() / 1e-4, change / 2e-4)


# coding_rate


def _unit(n: int, d: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(normal(n, d, seed=seed), dim=1)


def _rate(z: Tensor, factor: float, base: float = math.e) -> float:
    """Half the log-determinant of ``I + factor ZᵀZ``, by the singular values."""
    return sum(math.log(1 + factor * s * s, base) for s in torch.linalg.svdvals(z).tolist()) / 2


@checks("ch11.coding_rate", hint="half the logarithm of det(I + d / (N ε²) ZᵀZ)")
def more_images_than_dimensions(student: Student) -> None:
    n, d, e = 6, 3, 0.3
    z = _unit(n, d, seed=11)
    a = d / (n * e)
    expect(
        student(z, eps_squared=e),
        _rate(z, a),
        {
            "N and d are swapped in the factor: d / (N ε²)": _rate(z, n / (d * e)),
            "the factor d is missing: d / (N ε²)": _rate(z, 1 / (n * e)),
            "the factor N is missing: d / (N ε²)": _rate(z, d / e),
            "the half is missing: ½ log det": 2 * _rate(z, a),
            "eps_squared is the square already": _rate(z, a / e),
            "eps_squared is an argument: use it, not a number": _rate(z, d / (n * 0.2)),
            "the sign is wrong: the rate is positive, a loss takes its negative": -_rate(z, a),
            "these are bits: take the natural logarithm": _rate(z, a, base=2),
            "the logarithm is missing": math.exp(2 * _rate(z, a)) / 2,
            "the identity is missing": float(torch.logdet(a * z.T @ z)) / 2,
            "the embeddings are not to be centred": _rate(z - z.mean(dim=0), a),
        },
    )


@checks(
    "ch11.coding_rate", hint="the table was turned around before n and d were read: the factor is d / (N ε²) for both"
)
def more_dimensions_than_images(student: Student) -> None:
    z = _unit(3, 7, seed=12)
    expect(student(z, eps_squared=0.3), _rate(z, 7 / (3 * 0.3)))


@checks("ch11.coding_rate", hint="the larger table was made: (d, d) where d is at most N, (N, N) otherwise")
def the_smaller_table(student: Student) -> None:
    for n, d in ((512, 4), (4, 512)):
        z = _unit(n, d, seed=13).float()
        with Cost() as cost:
            student(z)
        if cost.bytes > 8 * 4 * n * d:
            raise Wrong(f"for N = {n}, d = {d} the largest tensor took {cost.bytes} bytes; z takes {4 * n * d}")


@checks(
    "ch11.coding_rate",
    hint="the determinant overflows in float32, its logarithm does not: torch.logdet, slogdet or a Cholesky factor",
)
def a_determinant_too_large_for_float32(student: Student) -> None:
    expect(student(torch.eye(100)), 50 * math.log(6))


# embedding_at_the_floor


def _embedding(student: Student, n: int, copies: int) -> Tensor:
    want = torch.zeros(n, copies * (n - 1), dtype=torch.float64)
    z = returned_tensor(student(n, copies), want)
    if z.shape != want.shape:
        raise Wrong(
            f"expected shape {tuple(want.shape)}, got shape {tuple(z.shape)}",
            "a row for each image: (n, copies * (n - 1))",
        )
    if z.dtype != torch.float64:
        raise Wrong(f"expected torch.float64, got {z.dtype}", "make the first tensor with dtype=torch.float64")
    return z


def _mean_and_variance(z: Tensor) -> None:
    mean, variance = z.mean(dim=0), z.var(dim=0)
    if mean.abs().max() > 1e-5:
        raise Wrong(
            f"the columns have the means {[round(m, 4) for m in mean.tolist()]}, expected 0",
            "not centred: each column must be orthogonal to the column of ones",
        )
    if (variance - 1).abs().max() > 1e-5:
        n = len(z)
        hints = {
            1 / (n - 1): "columns of length 1: the sum of squares must be N - 1",
            n / (n - 1): "the divisor of the variance is N - 1, not N",
        }
        raise Wrong(
            f"the columns have the variances {[round(v, 4) for v in variance.tolist()]}, expected 1",
            next(
                (h for v, h in hints.items() if (variance - v).abs().max() < 1e-5), "each column needs the variance 1"
            ),
        )


_SHAPES = ((4, 1), (4, 2), (2, 3), (3, 1), (5, 2), (6, 4))  # images, copies


@checks("ch11.embedding_at_the_floor", hint="columns of mean 0 and of the unbiased variance 1")
def mean_0_and_variance_1(student: Student) -> None:
    for n, copies in _SHAPES:
        _mean_and_variance(_embedding(student, n, copies))


@checks(
    "ch11.embedding_at_the_floor",
    hint="the term is above the floor: N - 1 columns must be orthogonal to each other, each stands there equally often",
)
def covariance_at_the_floor(student: Student) -> None:
    for n, copies in _SHAPES:
        z = _embedding(student, n, copies)
        term = float(_term(z / z.std(dim=0)))
        if abs(term - (copies - 1)) > 1e-5:
            same = "one column for all dimensions: N - 1 different columns are needed"
            raise Wrong(
                f"with unit variances the covariance term is {term:.5g}, the floor is {copies - 1}",
                same if abs(term - (z.shape[1] - 1)) < 1e-5 else "",
            )
