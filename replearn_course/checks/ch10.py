"""Checks of the exercises of chapter 10, Whitening."""

# ruff: noqa: D103  # the name of a check is what it says
from __future__ import annotations

import math
from typing import Any

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
    rng,
    seeded,
    tensor,
)

# sub_batches


def _groups(got: Any, n: int) -> list[Tensor]:
    """Take what came as a list of index tensors below n; `Wrong` where it is not that."""
    if isinstance(got, Tensor) and got.ndim == 2:
        got = list(got)
    if not isinstance(got, (list, tuple)):
        came = "None" if got is None else type(got).__name__
        raise Wrong(f"expected a list of index tensors, got {came}", "return a list with one index tensor a group")
    for group in got:
        if not isinstance(group, Tensor) or group.ndim != 1 or group.is_floating_point():
            came = f"shape {tuple(group.shape)}" if isinstance(group, Tensor) else type(group).__name__
            raise Wrong(f"expected index tensors (images,), got {came}", "each group is one row of integer indices")
        if len(group) and not 0 <= int(group.min()) <= int(group.max()) < n:
            raise Wrong(f"expected indices from 0 to {n - 1}, got {int(group.min())} to {int(group.max())}")
    return list(got)


@checks("ch10.sub_batches", hint="each image is in exactly one group: cut one permutation, do not draw again")
def each_image_once(student: Student) -> None:
    for seed in range(5):
        groups = _groups(student(12, 4, rng(seed)), 12)
        seen = torch.cat(groups).bincount(minlength=12) if groups else torch.zeros(12)
        if (seen != 1).any():
            i = int((seen != 1).nonzero()[0])
            raise Wrong(
                f"n=12, size=4: image {i} is in {int(seen[i])} groups",
                "some images are left out: the rest belongs to a group too" if int(seen.max()) == 1 else "",
            )


@checks("ch10.sub_batches", hint="n // size groups whose sizes differ by at most one: tensor_split, not split or chunk")
def sizes_of_the_groups(student: Student) -> None:
    for n, size, want in ((14, 4, [4, 5, 5]), (7, 4, [7]), (8, 8, [8]), (11, 5, [5, 6]), (12, 4, [4, 4, 4])):
        sizes = sorted(len(group) for group in _groups(student(n, size, rng(0)), n))
        if sizes == want:
            continue
        hint = ""
        if sizes and sum(sizes) == n and sizes[0] < size:
            hint = "a group is smaller than size: give the rest to the other groups, as tensor_split does"
        elif sum(sizes) < n:
            hint = "some images are left out: the rest belongs to a group too"
        elif max(sizes) - min(sizes) > 1:
            hint = "the whole rest went to one group: the sizes differ by at most one"
        raise Wrong(f"n={n}, size={size}: expected groups of the sizes {want}, got {sizes}", hint)


@checks("ch10.sub_batches", hint="no error came: where n is smaller than size there is no group, raise a ValueError")
def too_few_images(student: Student) -> None:
    try:
        got = student(3, 4, rng(0))
    except ValueError:
        return
    raise Wrong(f"n=3, size=4: expected a ValueError, got {[len(group) for group in _groups(got, 3)]} images in groups")


@checks("ch10.sub_batches", hint="neighbours always meet: permute the images, not the groups")
def chance_decides_who_meets(student: Student) -> None:
    met = torch.zeros(12, 12, dtype=torch.bool)
    generator = rng(1)
    for _ in range(100):
        for group in _groups(student(12, 4, generator), 12):
            met[group[:, None], group] = True
    if not met.all():
        i, j = (~met).nonzero()[0].tolist()
        raise Wrong(f"n=12, size=4: the images {i} and {j} are together in none of 100 draws")


@checks("ch10.sub_batches", hint="all chance must come from the generator")
def the_generator_decides(student: Student) -> None:
    def drawn(seed: int) -> Tensor:
        generator = rng(seed)
        return torch.cat([group for _ in range(3) for group in _groups(student(12, 4, generator), 12)])

    seeded(drawn(2), drawn(2), drawn(3))


# w_mse


@checks("ch10.w_mse", hint="the mean over images and pairs of views of the squared distance of the unit embeddings")
def mean_over_pairs_of_views(student: Student) -> None:
    views, images, d = 3, 2, 4
    z = normal(views, images, d, seed=0)
    rows = z.tolist()

    def distance(a: list[float], b: list[float], unit: bool = True) -> float:
        p, q = (math.hypot(*a), math.hypot(*b)) if unit else (1.0, 1.0)
        return sum((x / p - y / q) ** 2 for x, y in zip(a, b, strict=True))

    pairs = [(i, j) for i in range(views) for j in range(i + 1, views)]

    def mean(unit: bool = True, power: float = 1.0, of: list[tuple[int, int]] = pairs) -> float:
        found = [distance(rows[i][n], rows[j][n], unit) ** power for i, j in of for n in range(images)]
        return sum(found) / len(found)

    want = mean()
    images_first = torch.nn.functional.normalize(z, dim=1)
    expect(
        student(z),
        want,
        {
            "give the embeddings the length 1 first": mean(unit=False),
            "the distance is squared": mean(power=0.5),
            "the lengths are over the wrong axis: each embedding has its own, dim=2": (
                sum(float((images_first[i] - images_first[j]).square().sum()) for i, j in pairs) / len(pairs) / images
            ),
            "this is the sum: take the mean over images and pairs": want * images * len(pairs),
            "this is a sum over the images: take their mean": want * images,
            "this is a sum over the pairs: take their mean": want * len(pairs),
            "the mean is over the dimensions too: a squared distance is their sum": want / d,
            "each pair counts twice: divide by the number of pairs you added up": want * 2,
            "a view is paired with itself, at the distance 0: these pairs do not count": want * (views - 1) / views,
            "this is half: the squared distance is 2 - 2 cos": want / 2,
            "this is the mean cosine: the loss is 2 - 2 cos": 1 - want / 2,
            "the sign is wrong: views that agree cost nothing": want - 2,
            "only the first view is compared with the others: take all pairs": mean(of=[(0, 1), (0, 2)]),
            "only neighbouring views are compared: take all pairs": mean(of=[(0, 1), (1, 2)]),
            "only two views are compared: there may be more": mean(of=[(0, 1)]),
            "these are distances from the mean view: the mean over the pairs is 2 V / (V - 1) times as large": (
                want * (views - 1) / (2 * views)
            ),
        },
    )


@checks("ch10.w_mse", hint="0 / 0 is NaN: an embedding of zeros stays 0. torch.nn.functional.normalize does so")
def an_embedding_of_zeros(student: Student) -> None:
    z = torch.stack([torch.zeros(2, 2), torch.eye(2)]).double().requires_grad_()
    loss = student(z)
    if not bool(torch.as_tensor(loss).isfinite().all()):
        raise Wrong(f"with embeddings of zeros the loss is {torch.as_tensor(loss).tolist()}")
    expect(
        loss,
        1.0,
        {
            "2 - 2 cos holds for unit vectors only: an embedding of zeros is at the squared distance 1 from each of them": (
                2.0
            ),
        },
    )
    if not gradient(loss, z).isfinite().all():
        raise Wrong("with embeddings of zeros the loss is finite, but its gradient is not")


@checks("ch10.w_mse", hint="a loop over the pairs of views: their squares add up to V times those from the mean view")
def no_loop_over_pairs(student: Student) -> None:
    with Cost() as cost:
        student(normal(32, 2, 3, seed=1))
    no_loop(cost, 32 * 31 // 2)  # a loop over the 32 views may stay, with up to 15 operations each


@checks("ch10.w_mse", hint="the value is right, the gradient is not: nothing may be detached on the way")
def gradient_of_every_view(student: Student) -> None:
    z = normal(3, 2, 4, seed=2).requires_grad_()
    grad = gradient(student(z), z)
    silent = [v for v in range(3) if not grad[v].any()]
    if silent:
        raise Wrong(f"no gradient reaches view {silent[0]}", "a view is detached: all of them learn")
    along = float((grad * z.detach()).sum(dim=2).abs().max())  # a longer embedding has the same direction
    if along > 1e-6:
        raise Wrong(
            f"the gradient has a part along the embedding itself, {along:.3g}, which would make it longer or shorter",
            "the lengths are detached: the gradient must know that a longer embedding has the same direction",
        )


# whitening_matrix, whiten and zca_matrix: the oracle of the covariance is torch.cov.

_VECTORS = normal(7, 3, seed=3) @ tensor([[1, 0.5, 0], [0, 1, -0.7], [0, 0, 0.4]]) + tensor([2, -1, 3])


def _covariances() -> tuple[Tensor, Tensor, Tensor]:
    """Return the covariance of the vectors, the same with the divisor K, and the second moments about 0."""
    sigma = torch.cov(_VECTORS.T)
    return sigma, sigma * 6 / 7, _VECTORS.T @ _VECTORS / 6


def _inverse_factor(sigma: Tensor) -> Tensor:
    return torch.linalg.inv(torch.linalg.cholesky(sigma))


def _inverse_root(sigma: Tensor) -> Tensor:
    """Find the symmetric inverse root by Newton's iteration, without eigenvectors."""
    size = sigma.trace()
    y, z, one = sigma / size, torch.eye(len(sigma), dtype=sigma.dtype), torch.eye(len(sigma), dtype=sigma.dtype)
    for _ in range(40):
        step = (3 * one - z @ y) / 2
        y, z = y @ step, step @ z
    return z / size.sqrt()


def _whitens(got: Any, mistakes: dict[str, Tensor]) -> None:
    """`Wrong` unless W Σ Wᵀ is the identity."""
    sigma, one = _covariances()[0], torch.eye(3, dtype=torch.float64)
    value = returned_tensor(got, one)
    if value.shape != one.shape:
        raise Wrong(f"expected shape (3, 3), got shape {tuple(value.shape)}", "a matrix (d, d), not whitened vectors")
    product = value @ sigma @ value.T
    if torch.allclose(product, one, atol=1e-5):
        return
    hint = next((hint for hint, mistaken in mistakes.items() if torch.allclose(value, mistaken, atol=1e-5)), "")
    raise Wrong(f"W Σ Wᵀ should be the identity, but it is {(product * 1e4).round().div(1e4).tolist()}", hint)


@checks("ch10.whitening_matrix", hint="W Σ Wᵀ is the covariance after whitening: W = L⁻¹ with Σ = L Lᵀ")
def whitens_the_vectors(student: Student) -> None:
    sigma, by_k, about_zero = _covariances()
    lower = torch.linalg.cholesky(sigma)
    _whitens(
        student(_VECTORS.clone()),
        {
            "here W Wᵀ = Σ⁻¹: it is Wᵀ W that must be. Invert the factor of Σ, do not factor the inverse": (
                torch.linalg.cholesky(torch.linalg.inv(sigma))
            ),
            "this is the transpose of W: L⁻¹ is lower triangular": _inverse_factor(sigma).T,
            "this is L, which gives white vectors their covariance: its inverse takes it away": lower,
            "the divisor is K: the covariance divides by K - 1": _inverse_factor(by_k),
            "the mean is still in: take it off before the covariance": _inverse_factor(about_zero),
            "this is Σ⁻¹: W is a root of it": torch.linalg.inv(sigma),
            "this only divides by the standard deviations: the correlations stay": sigma.diagonal().rsqrt().diag(),
            "the covariance is not divided by K - 1": _inverse_factor(6 * sigma),
        },
    )


@checks("ch10.whitening_matrix", hint="this matrix whitens, but another one is asked: L⁻¹, lower triangular")
def triangular(student: Student) -> None:
    value = returned_tensor(student(_VECTORS.clone()), torch.eye(3))
    if value.shape != (3, 3):
        raise Wrong(f"expected shape (3, 3), got shape {tuple(value.shape)}")
    if float(value.triu(1).abs().max()) > 1e-6:
        symmetric = torch.allclose(value, value.T, atol=1e-6)
        hint = "the symmetric root whitens too (ZCA, exercise 5): here L⁻¹ is asked" if symmetric else ""
        raise Wrong(f"above the diagonal there should be zeros, but there is {float(value[0, 1]):.4g}", hint)
    if float(value.diagonal().min()) <= 0:
        raise Wrong(f"the diagonal should be positive, but it is {value.diagonal().tolist()}")


@checks(
    "ch10.whitening_matrix",
    hint="where K - 1 < d the covariance has no inverse: raise a ValueError first. cholesky may fail, or not, by rounding",
)
def too_few_vectors(student: Student) -> None:
    for k in (3, 2):
        try:
            got = student(normal(k, 3, seed=4))
        except ValueError:
            continue
        came = f"a matrix {tuple(got.shape)}" if isinstance(got, Tensor) else type(got).__name__
        raise Wrong(
            f"{k} vectors of 3 dimensions: expected a ValueError, got {came}",
            "K vectors less their mean span K - 1 directions: K = d is too few by one" if k == 3 else "",
        )
    try:
        student(normal(4, 3, seed=5))
    except ValueError as error:
        raise Wrong(
            f"4 vectors of 3 dimensions are enough, but a ValueError came: {error}", "K - 1 = d is enough"
        ) from None


@checks(
    "ch10.whitening_matrix",
    hint="float32 has lost the difference of two dimensions: v.double() before anything is computed",
)
def nearly_equal_dimensions(student: Student) -> None:
    x, y = normal(8, 2, seed=6).unbind(dim=1)
    v = torch.stack([x, x + y / 8192], dim=1).float()
    want = returned_tensor(student(v.double()), torch.zeros(2, 2))
    value = returned_tensor(student(v), want)
    expect(value / want.abs().amax(), want / want.abs().amax())
    if value.dtype != v.dtype:
        raise Wrong(
            f"for vectors in {v.dtype} the matrix is in {value.dtype}",
            "float64 is for the computation only: the matrix comes back in the type of v, by .to(v.dtype)",
        )


# whiten


@checks("ch10.whiten", hint="z = L⁻¹ (v - μ) for each row v")
def white_vectors(student: Student) -> None:
    sigma, by_k, about_zero = _covariances()
    centred, w = _VECTORS - _VECTORS.mean(dim=0), _inverse_factor(sigma)
    expect(
        student(_VECTORS.clone()),
        centred @ w.T,
        {
            "the matrix is applied to the wrong side: for rows it is (v - μ) @ W.T": centred @ w,
            "this multiplies by L, which makes the covariance stronger: solve with L instead": (
                centred @ torch.linalg.cholesky(sigma)
            ),
            "this multiplies by Lᵀ, which makes the covariance stronger: solve with L instead": (
                centred @ torch.linalg.cholesky(sigma).T
            ),
            "the mean is taken off for the covariance, but not of the vectors": _VECTORS @ w.T,
            "the mean is still in: take it off before the covariance": _VECTORS @ _inverse_factor(about_zero).T,
            "the mean is still in the covariance": centred @ _inverse_factor(about_zero).T,
            "the divisor is K: the covariance divides by K - 1": centred @ _inverse_factor(by_k).T,
            "the factor of Σ⁻¹ is applied as if it were L⁻¹: W Wᵀ = Σ⁻¹ does not whiten": (
                centred @ torch.linalg.cholesky(torch.linalg.inv(sigma)).T
            ),
            "these vectors are white, but turned: here L⁻¹ is asked, not the factor of Σ⁻¹ transposed": (
                centred @ torch.linalg.cholesky(torch.linalg.inv(sigma))
            ),
            "these vectors are white, but turned: here L⁻¹ is asked, not the symmetric root": (
                centred @ _inverse_root(sigma)
            ),
            "this only divides by the standard deviations: the correlations stay": (centred / sigma.diagonal().sqrt()),
            "this is (d, K): transpose it back, vectors are rows": (centred @ w.T).T,
        },
    )


@checks("ch10.whiten", hint="the gradient does not go through the whitening: nothing may be detached on the way")
def gradient_through_the_whitening(student: Student) -> None:
    v = _VECTORS.clone().requires_grad_()
    energy = gradient(torch.as_tensor(student(v)).square(), v)
    if float(energy.abs().max()) > 1e-6:
        raise Wrong(
            "the sum of the squares of white vectors is (K - 1) d whatever comes in, but its gradient by v is not 0: "
            f"{float(energy.abs().max()):.3g}",
            "the mean or the factor is detached: both depend on the batch, and the gradient must know it",
        )
    if not gradient(student(v) * normal(7, 3, seed=7), v).any():
        raise Wrong("no gradient reaches the vectors")


@checks("ch10.whiten", hint="the batch was changed: -= and sub_ write into it")
def the_batch_stays(student: Student) -> None:
    v = _VECTORS.clone()
    student(v)
    if not v.equal(_VECTORS):
        raise Wrong("the batch that came in is not what it was before the call")


# zca_matrix


@checks("ch10.zca_matrix", hint="W Σ Wᵀ is the covariance after whitening: W = U diag(λ^(-½)) Uᵀ")
def whitens_by_a_root(student: Student) -> None:
    sigma, by_k, about_zero = _covariances()
    root = torch.linalg.inv(_inverse_root(sigma))
    values, u = torch.linalg.eigh(sigma)
    _whitens(
        student(_VECTORS.clone()),
        {
            "this is the root Σ^½: its inverse whitens": root,
            "this is Σ⁻¹: the root of the eigenvalues is missing": torch.linalg.inv(sigma),
            "this is Σ itself: the eigenvalues become λ^(-½)": sigma,
            "the eigenvectors are the columns of U: it is U · diag · Uᵀ, not Uᵀ · diag · U": (u.T / values.sqrt()) @ u,
            "the divisor is K: the covariance divides by K - 1": _inverse_root(by_k),
            "the mean is still in: take it off before the covariance": _inverse_root(about_zero),
            "this is U diag(λ^(-½)): PCA whitening is its transpose, and for ZCA Uᵀ has still to follow": (
                u / values.sqrt()
            ),
            "the covariance is not divided by K - 1": _inverse_root(6 * sigma),
        },
    )


@checks("ch10.zca_matrix", hint="this matrix whitens, but it also turns: ZCA is symmetric and positive definite")
def symmetric_and_positive(student: Student) -> None:
    sigma = _covariances()[0]
    value = returned_tensor(student(_VECTORS.clone()), sigma)
    if value.shape != (3, 3):
        raise Wrong(f"expected shape (3, 3), got shape {tuple(value.shape)}", "a matrix (d, d), not whitened vectors")
    if not torch.allclose(value, value.T, atol=1e-6):
        triangular = torch.allclose(value.tril(), value, atol=1e-6)
        hint = "U diag(λ^(-½)) is followed by Uᵀ, so that nothing is turned: without U in front it is PCA whitening"
        if triangular:
            hint = "this is Cholesky whitening, L⁻¹: ZCA is the symmetric root"
        raise Wrong("the matrix is not symmetric", hint)
    if float(torch.linalg.eigvalsh(value).min()) <= 0:
        raise Wrong("the matrix has an eigenvalue that is not positive", "all roots are positive: it mirrors nothing")
