"""Checks of the exercises of chapter 9, Redundancy reduction."""

# ruff: noqa: D103  # the name of a check is what it says
from __future__ import annotations

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

# off_diagonal

_LETTERS = torch.arange(16).view(4, 4)  # 0 to 15, so that an entry tells where it stood


@checks("ch09.off_diagonal", hint="the entries in the order of reading, without those of the diagonal, in d - 1 rows")
def entries_in_the_order_of_reading(student: Student) -> None:
    above = [_LETTERS[i, j] for i in range(4) for j in range(i + 1, 4)]
    expect(
        student(_LETTERS.clone()),
        torch.tensor([[1, 2, 3, 4], [6, 7, 8, 9], [11, 12, 13, 14]]),
        {
            "this keeps the diagonal and drops the column beside it": (
                torch.tensor([[0, 1, 2, 3], [5, 6, 7, 8], [10, 11, 12, 13]])
            ),
            "one step off: drop the last number, not the first, or leave out the last column instead": (
                torch.tensor([[2, 3, 4, 5], [7, 8, 9, 10], [12, 13, 14, 15]])
            ),
            "the shape is (d - 1, d): after the reading order, not by rows of the matrix": (
                torch.tensor([[1, 2, 3], [4, 6, 7], [8, 9, 11], [12, 13, 14]])
            ),
            "the shape is (d - 1, d), not one long row": torch.tensor([1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14]),
            "these are only the entries above the diagonal: those below it count too": torch.stack(above),
            "the diagonal was set to 0, not left out": _LETTERS * (1 - torch.eye(4, dtype=torch.long)),
            "the columns are read first: the order is row by row": (
                torch.tensor([[4, 8, 12, 1], [9, 13, 2, 6], [14, 3, 7, 11]])
            ),
        },
    )


@checks(
    "ch09.off_diagonal",
    hint="the entries were copied: a mask, cat, stack and reshape copy. Slices and view() stay in the same memory",
)
def nothing_is_copied(student: Student) -> None:
    matrix = _LETTERS.clone()
    got = student(matrix)
    if isinstance(got, Tensor) and got.untyped_storage().data_ptr() != matrix.untyped_storage().data_ptr():
        raise Wrong("the result does not lie in the memory of the matrix")


# barlow_loss


@checks("ch09.barlow_loss", hint="the entries on the diagonal cost (1 - c)², summed up")
def on_the_diagonal(student: Student) -> None:
    values = [0.9, 0.4, -0.5]
    squares = [(1 - c) ** 2 for c in values]
    expect(
        student(torch.diag(tensor(values)), 0.125),
        sum(squares),
        {
            "the square is missing: (1 - c)²": sum(1 - c for c in values),
            "the square is in the wrong place: (1 - c)², not 1 - c²": sum(1 - c * c for c in values),
            "the target of the diagonal is 1, not 0": sum(c * c for c in values),
            "these are means: both parts are sums": sum(squares) / 3,
            "this is a mean over all entries: both parts are sums": sum(squares) / 9,
            "weight belongs to the entries off the diagonal": 0.125 * sum(squares),
            "the diagonal is in the second sum too: leave it out there": (
                sum(squares) + 0.125 * sum(c * c for c in values)
            ),
            "the second sum also draws to 1: only the diagonal does": sum(squares) + 0.125 * 6,
            "this adds up before it squares: each entry has its own square": sum(1 - c for c in values) ** 2,
        },
    )


@checks("ch09.barlow_loss", hint="the entries off the diagonal cost weight · c², summed up")
def off_the_diagonal(student: Student) -> None:
    c = tensor([[1, 0.5, -0.2], [0.1, 1, 0.3], [-0.6, 0.4, 1]])
    off = [0.5, -0.2, 0.1, 0.3, -0.6, 0.4]
    total = sum(x * x for x in off)
    above, below = 0.5**2 + 0.2**2 + 0.3**2, 0.1**2 + 0.6**2 + 0.4**2
    expect(
        student(c, 0.25),
        0.25 * total,
        {
            "only the entries above the diagonal count here: the matrix is not symmetric": 0.25 * above,
            "the entries above the diagonal are doubled: the matrix is not symmetric, take those below too": 0.5
            * above,
            "only the entries below the diagonal count here: the matrix is not symmetric": 0.25 * below,
            "the square is missing: positive and negative entries cancel": 0.25 * sum(off),
            "these are absolute values: take squares": 0.25 * sum(map(abs, off)),
            "this is a mean: both parts are sums": 0.25 * total / 6,
            "this is a mean over all entries: both parts are sums": 0.25 * total / 9,
            "weight is missing in the second sum": total,
            "weight is an argument: use it, not a number": 0.005 * total,
            "weight is squared: multiply after squaring": 0.0625 * total,
            "the diagonal is in the second sum too: leave it out there": 0.25 * (total + 3),
        },
    )


@checks("ch09.barlow_loss", hint="the matrix was changed: fill_diagonal_, sub_ and -= write into it")
def the_matrix_stays(student: Student) -> None:
    c = normal(3, 3, seed=0)
    student(c, 0.25)
    if not c.equal(normal(3, 3, seed=0)):
        raise Wrong("the matrix that came in is not what it was before the call")


@checks("ch09.barlow_loss", hint="a Python loop over the entries: sums of whole tensors do it at once")
def no_loop_over_entries(student: Student) -> None:
    with Cost() as cost:
        student(normal(64, 64, seed=1), 0.25)
    no_loop(cost, 64)


# cross_correlation: the oracle standardises by torch's batch norm, which has the same ε.

_EPSILON = 1e-5


def _batch_norm(z: Tensor) -> Tensor:
    return torch.nn.functional.batch_norm(z, None, None, training=True, eps=_EPSILON)


@checks("ch09.cross_correlation", hint="mean 0 and variance 1 in each column, then first.T @ second / N")
def correlations_of_two_views(student: Student) -> None:
    z1, z2 = normal(5, 3, seed=2) * 20 + tensor([10, -20, 30]), normal(5, 3, seed=3) * 10 + tensor([9, 0, -9])
    first, second = z1 - z1.mean(dim=0), z2 - z2.mean(dim=0)
    want = _batch_norm(z1).T @ _batch_norm(z2) / 5
    both = torch.cat([z1, z2])
    joint = (both - both.mean(dim=0)) / both.std(dim=0, correction=0)
    rows = [(z - z.mean(dim=1, keepdim=True)) / z.std(dim=1, correction=0, keepdim=True) for z in (z1, z2)]
    expect(
        student(z1, z2),
        want,
        {
            "the means are still in: take them off first. This is a cosine, not a correlation": (
                torch.nn.functional.normalize(z1, dim=0).T @ torch.nn.functional.normalize(z2, dim=0)
            ),
            "the means are still in: take them off before you divide by the standard deviation": (
                (z1 / z1.std(dim=0, correction=0)).T @ (z2 / z2.std(dim=0, correction=0)) / 5
            ),
            "this is the covariance: divide each column by its standard deviation": first.T @ second / 5,
            "this is the covariance, with N - 1: divide each column by its standard deviation, and the sum by N": (
                first.T @ second / 4
            ),
            "the standard deviation divides by N - 1, the sum by N: take N in both (correction=0)": want * 4 / 5,
            "the standard deviation divides by N, the sum by N - 1: take N in both": want * 5 / 4,
            "the sum over the images is not divided by N": want * 5,
            "divided by d: the mean is over the N images": want * 5 / 3,
            "the axes are swapped: rows belong to z1, columns to z2": want.T,
            "the rows are standardised: the mean and the deviation of each column are meant, dim=0": (
                rows[0].T @ rows[1] / 5
            ),
            "images are compared with images here: dimensions with dimensions are first.T @ second, (d, d)": (
                _batch_norm(z1) @ _batch_norm(z2).T / 5
            ),
            "both views are standardised together: each has its own mean and deviation": joint[:5].T @ joint[5:] / 5,
            "this is the variance in the denominator: divide by its root": (
                (first / first.square().mean(dim=0)).T @ (second / second.square().mean(dim=0)) / 5
            ),
            "only one view is used: columns belong to z2": _batch_norm(z1).T @ _batch_norm(z1) / 5,
        },
    )


@checks("ch09.cross_correlation", hint="ε = 1e-5 is added to the variance, under the root")
def a_dimension_that_hardly_varies(student: Student) -> None:
    step = _EPSILON**0.5  # the variance is ε
    z = torch.stack([step * tensor([1, -1, 1, -1]), tensor([1, 1, -1, -1])], dim=1)
    unit = 1 / (1 + _EPSILON)
    expect(
        student(z, z),
        tensor([[0.5, 0], [0, unit]]),
        {
            "ε is missing: a variance of 1e-5 should count half": tensor([[1, 0], [0, 1]]),
            "ε is outside the root: add it to the variance, not to the standard deviation": (
                tensor([[(step / (step + _EPSILON)) ** 2, 0], [0, unit**2]])
            ),
        },
    )
    constant = torch.stack([torch.full((4,), 2.0).double(), z[:, 1]], dim=1).requires_grad_()
    nothing = "0 / 0 is NaN: a dimension that is constant has the correlation 0, by the ε under the root"
    c = student(constant, constant)
    expect(c, tensor([[0, 0], [0, unit]]), {nothing: torch.where(tensor([[1, 1], [1, 0]]) > 0, torch.nan, unit)})
    if not gradient(c, constant).isfinite().all():
        raise Wrong("the gradient of a constant dimension is not finite")


@checks(
    "ch09.cross_correlation",
    hint="cancellation: E[z²] - E[z]² subtracts large numbers that are nearly equal. Take the mean off first",
)
def embeddings_far_from_the_origin(student: Student) -> None:
    steps = torch.tensor([[0, 1], [1, 3], [3, 0], [0, 2], [1, 1], [2, 2], [4, 0], [5, 7.0]])
    c = student(3000 + steps, 3000 - steps)
    expect(c, (_batch_norm(steps.double()).T @ _batch_norm(-steps.double()) / 8).float())


@checks(
    "ch09.cross_correlation", hint="the value is right, the gradient is not: means and deviations stay in the graph"
)
def gradient_through_the_normalisation(student: Student) -> None:
    z1, z2 = normal(5, 2, seed=4).requires_grad_(), normal(5, 2, seed=5).requires_grad_()
    weights = tensor([[1, 2], [-3, 5]])
    for z in (z1, z2):
        got = gradient(student(z1, z2) * weights, z)
        # Longer columns have the same correlations, and so have shifted ones.
        centred = z.detach() - z.detach().mean(dim=0)
        along = torch.stack([got.sum(dim=0), (got * centred).sum(dim=0)])
        if not got.any() or float(along.abs().max()) > 1e-3:
            raise Wrong("stretching or shifting a column changes no correlation, so no gradient points that way")


@checks("ch09.cross_correlation", hint="a Python loop over the dimensions: one matrix product has all correlations")
def no_loop_over_dimensions(student: Student) -> None:
    z = normal(8, 64, seed=6)
    with Cost() as cost:
        student(z, z)
    no_loop(cost, 64)


# effective_rank: embeddings whose singular values can be read off.


def _cross(*stretch: float) -> Tensor:
    """Embeddings (2k, k) with the mean 0 and the singular values stretch."""
    half = torch.diag(tensor(stretch)) / 2**0.5
    return torch.cat([half, -half])


def _of_shares(shares: list[float]) -> float:
    return math.exp(-sum(p * math.log(p) for p in shares))


@checks("ch09.effective_rank", hint="exp of the entropy of the singular values' shares")
def spread_over_directions(student: Student) -> None:
    stretch = [6.0, 3.0, 1.0]
    shares = [s / 10 for s in stretch]
    of_squares = [s * s / 46 for s in stretch]
    entropy = math.log(_of_shares(shares))
    expect(
        student(_cross(*stretch)),
        math.exp(entropy),
        {
            "these are shares of the squares, the eigenvalues of the covariance: take the singular values": (
                _of_shares(of_squares)
            ),
            "this is the entropy: take exp() of it": entropy,
            "this is the entropy in bits: take the natural logarithm, and exp() of it": entropy / math.log(2),
            "logarithm and power do not fit each other: ln goes with exp, log2 with a power of 2": (
                math.exp(entropy / math.log(2))
            ),
            "logarithm and power do not fit each other: exp goes with ln": 2**entropy,
            "the sign is wrong: the entropy is minus a sum": math.exp(-entropy),
            "this is the rank: count directions by their stretch": 3.0,
            "this is the participation ratio, another measure: take the entropy": 100 / 46,
            "this is the participation ratio of the squares, another measure: take the entropy": (
                46**2 / (6**4 + 3**4 + 1)
            ),
            "divided by the number of directions: the effective rank is a number of them": math.exp(entropy) / 3,
            "the singular values are no shares yet: divide them by their sum": (
                math.exp(-sum(s * math.log(s) for s in stretch))
            ),
        },
    )


def _as_before(student: Student, now: Tensor, before: Tensor) -> None:
    """Expect that two batches of embeddings have one effective rank, whatever it is."""
    want = torch.as_tensor(student(before)).detach()
    expect(student(now), want)


@checks("ch09.effective_rank", hint="the mean is still in: take it off over the batch, dim=0")
def a_shift_changes_nothing(student: Student) -> None:
    _as_before(student, _cross(3, 1) + tensor([5, -7]), _cross(3, 1))


@checks("ch09.effective_rank", hint="a threshold or an added number: only the shares matter, whatever the scale")
def the_scale_changes_nothing(student: Student) -> None:
    _as_before(student, _cross(3, 1) * 1e-4, _cross(3, 1))


@checks("ch09.effective_rank", hint="a direction without stretch: 0 · ln 0 is NaN here. torch.special.entr gives 0")
def collapsed_dimensions(student: Student) -> None:
    _as_before(student, _cross(3, 1, 0, 0), _cross(3, 1))


@checks("ch09.effective_rank", hint="all embeddings are equal: 0 / 0 is NaN, but the effective rank is then 0")
def complete_collapse(student: Student) -> None:
    expect(
        student(torch.full((4, 3), 2.0, dtype=torch.float64)),
        0.0,
        {"exp(0) = 1 would be one direction, but here there is none: return 0": 1.0},
    )


# off_diagonal_energy

_SHAPES = {"more dimensions than images": (3, 5), "more images than dimensions": (5, 3)}


@checks("ch09.off_diagonal_energy", hint="the sum of all squares of a.T @ b / N, less those of its diagonal")
def sum_of_squared_correlations(student: Student) -> None:
    for n, d in _SHAPES.values():
        a, b = normal(n, d, seed=7), normal(n, d, seed=8)
        c = [[sum(x * y for x, y in zip(p, q, strict=True)) / n for q in b.T.tolist()] for p in a.T.tolist()]
        whole = sum(x * x for row in c for x in row)
        diagonal = sum(row[i] ** 2 for i, row in enumerate(c))
        (gram_a, gram_b) = a @ a.T / n, b @ b.T / n
        expect(
            student(a, b),
            whole - diagonal,
            {
                "the diagonal is still in: subtract its squares": whole,
                "the factor 1/N² is missing: c is a mean over the images, and stands squared": n
                * n
                * (whole - diagonal),
                "divided by N only: c is squared, and so is its factor 1/N": n * (whole - diagonal),
                "the diagonal has another factor than the whole: both have 1/N²": whole - n * n * diagonal,
                "the diagonal has another factor than the whole: both are divided by N²": whole - n * diagonal,
                "this is the mean over the entries: take the sum": (whole - diagonal) / (d * (d - 1)),
                "this is the root of the sum: take the squares": math.sqrt(max(whole - diagonal, 0)),
                "this is the trace of the entrywise product: sum all its entries": (
                    float((gram_a * gram_b).diagonal().sum()) - diagonal
                ),
                "these are the squares of one Gram matrix: multiply that of a with that of b": (
                    float(gram_a.square().sum()) - diagonal
                ),
                "this is a.T @ a: the correlations are of a with b": (
                    float((a.T @ a / n).square().sum() - (a.T @ a / n).diagonal().square().sum())
                ),
                "this is the diagonal of the Gram matrix a @ b.T: that of a.T @ b is (a * b).sum(dim=0)": (
                    whole - float((a @ b.T / n).diagonal().square().sum())
                ),
                "these are dot products of images, a @ b.T: the correlations are those of dimensions": (
                    float((a @ b.T / n).square().sum()) - diagonal
                ),
            },
        )


def _largest(student: Student, n: int, d: int) -> int:
    with Cost() as cost:
        student(normal(n, d, seed=9), normal(n, d, seed=10))
    return cost.bytes


@checks(
    "ch09.off_diagonal_energy",
    hint="(d, d) was formed although N < d: sum the product of the Gram matrices a @ a.T, b @ b.T",
)
def few_images_in_many_dimensions(student: Student) -> None:
    size = _largest(student, 4, 200)
    if size > 4 * (4 * 200 * 8):
        raise Wrong(f"for N = 4 and d = 200 the largest tensor took {size} bytes; the embeddings take {4 * 200 * 8}")


@checks("ch09.off_diagonal_energy", hint="(N, N) was formed although d < N: there a.T @ b is the smaller matrix")
def many_images_in_few_dimensions(student: Student) -> None:
    size = _largest(student, 200, 4)
    if size > 4 * (4 * 200 * 8):
        raise Wrong(f"for N = 200 and d = 4 the largest tensor took {size} bytes; the embeddings take {4 * 200 * 8}")


@checks("ch09.off_diagonal_energy", hint="a Python loop: matrix products work on all images and dimensions at once")
def no_python_loop(student: Student) -> None:
    for n, d in ((16, 64), (64, 16)):
        with Cost() as cost:
            student(normal(n, d, seed=11), normal(n, d, seed=12))
        no_loop(cost, 32)


@checks("ch09.off_diagonal_energy", hint="the value is right, the gradient is not: nothing may be detached on the way")
def gradient_of_the_energy(student: Student) -> None:
    for n, d in _SHAPES.values():
        a, b = normal(n, d, seed=13).requires_grad_(), normal(n, d, seed=14).requires_grad_()
        value = returned_tensor(student(a, b), torch.zeros(()))
        for z in (a, b):  # quadratic in each: z · gradient is twice the value
            expect((gradient(student(a, b), z) * z.detach()).sum(), 2 * value)
