import torch
from torch.nn.functional import normalize

from wrong_answers import wrong

# sub_batches

E = "ch10.sub_batches"


def _enough(n, size):
    if n < size:
        raise ValueError("too few images")


def _cut(order, size):
    return list(order.tensor_split(len(order) // size))


@wrong(E, "each image once", "do not draw again")
def with_replacement(n, size, generator):
    _enough(n, size)
    return _cut(torch.randint(n, (n,), generator=generator), size)


@wrong(E, "each image once", "do not draw again")
def a_permutation_for_each_group(n, size, generator):
    _enough(n, size)
    sizes = [len(group) for group in _cut(torch.arange(n), size)]
    return [torch.randperm(n, generator=generator)[:s] for s in sizes]


@wrong(E, "sizes of the groups", "smaller than size")
def a_small_rest(n, size, generator):
    _enough(n, size)
    return list(torch.randperm(n, generator=generator).split(size))


@wrong(E, "sizes of the groups", "left out")
def rest_dropped(n, size, generator):
    _enough(n, size)
    return list(torch.randperm(n, generator=generator)[: n // size * size].view(-1, size))


@wrong(E, "sizes of the groups", "whole rest")
def rest_in_the_last_group(n, size, generator):
    _enough(n, size)
    groups = list(torch.randperm(n, generator=generator).split(size))
    return groups if n % size == 0 else [*groups[:-2], torch.cat(groups[-2:])]


@wrong(E, "too few images", "ValueError")
def one_small_group(n, size, generator):
    return list(torch.randperm(n, generator=generator).tensor_split(max(1, n // size)))


@wrong(E, "chance decides who meets", "not the groups")
def groups_permuted(n, size, generator):
    _enough(n, size)
    groups = _cut(torch.arange(n), size)
    return [groups[i] for i in torch.randperm(len(groups), generator=generator)]


@wrong(E, "chance decides who meets", "neighbours always meet")
def in_order(n, size, generator):
    _enough(n, size)
    return _cut(torch.arange(n), size)


@wrong(E, "the generator decides", "generator=generator")
def global_chance(n, size, generator):
    _enough(n, size)
    return _cut(torch.randperm(n), size)


# w_mse

E = "ch10.w_mse"


def _unit(z):
    return normalize(z, dim=2)


def _spread(unit):
    """Sum over the pairs of views, for each image."""
    return len(unit) * (unit - unit.mean(0)).square().sum((0, 2))


def _pairs(views):
    return views * (views - 1) / 2


@wrong(E, "mean over pairs of views", "length 1")
def not_normalised(z):
    return _spread(z).mean() / _pairs(len(z))


@wrong(E, "mean over pairs of views", "wrong axis")
def normalised_over_the_images(z):
    return _spread(normalize(z, dim=1)).mean() / _pairs(len(z))


@wrong(E, "mean over pairs of views", "sum over the images")
def sum_over_the_images(z):
    return _spread(_unit(z)).sum() / _pairs(len(z))


@wrong(E, "mean over pairs of views", "sum over the pairs")
def sum_over_the_pairs(z):
    return _spread(_unit(z)).mean()


@wrong(E, "mean over pairs of views", "over the dimensions")
def mean_squared_error(z):
    return _spread(_unit(z)).mean() / _pairs(len(z)) / z.shape[2]


@wrong(E, "mean over pairs of views", "with itself")
def all_ordered_pairs(z):
    return 2 * _spread(_unit(z)).mean() / len(z) ** 2


@wrong(E, "mean over pairs of views", "only the first view")
def first_view_with_the_others(z):
    unit = _unit(z)
    return (unit[1:] - unit[0]).square().sum(2).mean()


@wrong(E, "mean over pairs of views", "may be more")
def two_views_only(z):
    unit = _unit(z)
    return (unit[0] - unit[1]).square().sum(1).mean()


@wrong(E, "mean over pairs of views", "from the mean view")
def distances_from_the_mean(z):
    unit = _unit(z)
    return (unit - unit.mean(0)).square().sum(2).mean()


@wrong(E, "an embedding of zeros", "0 / 0")
def divided_by_the_length(z):
    return _spread(z / z.norm(dim=2, keepdim=True)).mean() / _pairs(len(z))


@wrong(E, "an embedding of zeros", "for unit vectors only")
def by_cosines(z):
    unit = _unit(z)
    cosines = (unit.sum(0).square().sum(1) - unit.square().sum((0, 2))) / 2  # over the pairs
    return 2 - 2 * cosines.mean() / _pairs(len(z))


@wrong(E, "no loop over pairs", "loop")
def loop_over_the_pairs(z):
    unit, total = _unit(z), 0
    for i in range(len(unit)):
        for j in range(i):
            total = total + (unit[i] - unit[j]).square().sum(1).mean()
    return total / _pairs(len(z))


@wrong(E, "gradient of every view", "a view is detached")
def one_view_detached(z):
    unit = _unit(z)
    return _spread(torch.cat([unit[:1].detach(), unit[1:]])).mean() / _pairs(len(z))


@wrong(E, "gradient of every view", "lengths are detached")
def lengths_detached(z):
    return _spread(z / z.norm(dim=2, keepdim=True).clamp(min=1e-12).detach()).mean() / _pairs(len(z))


# whitening_matrix

E = "ch10.whitening_matrix"


def _enough_vectors(v):
    if len(v) - 1 < v.shape[1]:
        raise ValueError("too few vectors")


def _covariance(v, divisor=None):
    centred = v.double() - v.double().mean(0)
    return centred.T @ centred / (divisor or len(v) - 1)


def _inverse_factor(covariance):
    return torch.linalg.inv(torch.linalg.cholesky(covariance))


@wrong(E, "whitens the vectors", "W Wᵀ = Σ⁻¹")
def factor_of_the_inverse(v):
    _enough_vectors(v)
    return torch.linalg.cholesky(torch.linalg.inv(_covariance(v))).to(v.dtype)


@wrong(E, "whitens the vectors", "transpose of W")
def transposed(v):
    _enough_vectors(v)
    return _inverse_factor(_covariance(v)).T.to(v.dtype)


@wrong(E, "whitens the vectors", "its inverse")
def factor_not_inverted(v):
    _enough_vectors(v)
    return torch.linalg.cholesky(_covariance(v)).to(v.dtype)


@wrong(E, "whitens the vectors", "divisor is K")
def divided_by_k(v):
    _enough_vectors(v)
    return _inverse_factor(_covariance(v, len(v))).to(v.dtype)


@wrong(E, "whitens the vectors", "mean is still in")
def mean_left_in(v):
    _enough_vectors(v)
    return _inverse_factor(v.double().T @ v.double() / (len(v) - 1)).to(v.dtype)


@wrong(E, "whitens the vectors", "correlations stay")
def only_standardises(v):
    _enough_vectors(v)
    return _covariance(v).diagonal().rsqrt().diag().to(v.dtype)


@wrong(E, "triangular", "ZCA")
def symmetric_root(v):
    _enough_vectors(v)
    values, u = torch.linalg.eigh(_covariance(v))
    return ((u / values.sqrt()) @ u.T).to(v.dtype)


@wrong(E, "triangular", "another one")
def pca(v):
    _enough_vectors(v)
    values, u = torch.linalg.eigh(_covariance(v))
    return (u / values.sqrt()).T.to(v.dtype)


@wrong(E, "too few vectors", "by one")
def k_equal_to_d_allowed(v):
    if len(v) < v.shape[1]:
        raise ValueError("too few vectors")
    return torch.linalg.pinv(torch.linalg.cholesky_ex(_covariance(v)).L).to(v.dtype)


@wrong(E, "too few vectors", "by rounding")
def no_question_asked(v):
    return _inverse_factor(_covariance(v)).to(v.dtype)


@wrong(E, "too few vectors", "is enough")
def one_vector_too_many_asked(v):
    if len(v) - 1 <= v.shape[1]:
        raise ValueError("too few vectors")
    return _inverse_factor(_covariance(v)).to(v.dtype)


@wrong(E, "nearly equal dimensions", "type of v")
def left_in_float64(v):
    _enough_vectors(v)
    return _inverse_factor(_covariance(v))


@wrong(E, "nearly equal dimensions", "float32")
def in_float32(v):
    _enough_vectors(v)
    return torch.linalg.inv(torch.linalg.cholesky_ex(torch.cov(v.T)).L)


# whiten

E = "ch10.whiten"


def _centred(v):
    return v - v.mean(0)


def _w(v):
    return _inverse_factor(_covariance(v))


@wrong(E, "white vectors", "wrong side")
def matrix_not_transposed(v):
    return _centred(v) @ _w(v)


@wrong(E, "white vectors", "stronger")
def multiplied_by_the_factor(v):
    return _centred(v) @ torch.linalg.cholesky(_covariance(v)).T


@wrong(E, "white vectors", "not of the vectors")
def vectors_not_centred(v):
    return v @ _w(v).T


@wrong(E, "white vectors", "still in")
def without_a_mean(v):
    return v @ _inverse_factor(v.T @ v / (len(v) - 1)).T


@wrong(E, "white vectors", "divisor is K")
def covariance_by_k(v):
    return _centred(v) @ _inverse_factor(_covariance(v, len(v))).T


@wrong(E, "white vectors", "W Wᵀ = Σ⁻¹")
def factor_of_the_inverse_applied(v):
    return _centred(v) @ torch.linalg.cholesky(torch.linalg.inv(_covariance(v))).T


@wrong(E, "white vectors", "turned")
def white_but_turned(v):
    return _centred(v) @ torch.linalg.cholesky(torch.linalg.inv(_covariance(v)))


@wrong(E, "white vectors", "correlations stay")
def only_standardised(v):
    return _centred(v) / v.std(0)


@wrong(E, "white vectors", "transpose it back")
def columns_left(v):
    return (_centred(v) @ _w(v).T).T


@wrong(E, "gradient through the whitening", "detached")
def matrix_detached(v):
    return _centred(v) @ _w(v).detach().T


@wrong(E, "gradient through the whitening", "detached")
def under_no_grad(v):
    with torch.no_grad():
        w = _w(v)
    return _centred(v) @ w.T


@wrong(E, "the batch stays", "write into it")
def centred_in_place(v):
    if v.requires_grad:
        v = v.clone()
    v -= v.mean(0)
    return v @ _w(v).T


# zca_matrix

E = "ch10.zca_matrix"


def _of_eigenvalues(covariance, change):
    values, u = torch.linalg.eigh(covariance)
    return (u * change(values)) @ u.T


@wrong(E, "whitens by a root", "its inverse whitens")
def the_root(v):
    return _of_eigenvalues(_covariance(v), torch.sqrt)


@wrong(E, "whitens by a root", "root of the eigenvalues is missing")
def the_inverse(v):
    return _of_eigenvalues(_covariance(v), torch.reciprocal)


@wrong(E, "whitens by a root", "columns of U")
def eigenvectors_in_rows(v):
    values, u = torch.linalg.eigh(_covariance(v))
    return (u.T / values.sqrt()) @ u


@wrong(E, "whitens by a root", "divisor is K")
def covariance_with_k(v):
    return _of_eigenvalues(_covariance(v, len(v)), torch.rsqrt)


@wrong(E, "whitens by a root", "mean is still in")
def moments_about_zero(v):
    return _of_eigenvalues(v.T @ v / (len(v) - 1), torch.rsqrt)


@wrong(E, "whitens by a root", "has still to follow")
def half_of_it(v):
    values, u = torch.linalg.eigh(_covariance(v))
    return u / values.sqrt()


@wrong(E, "symmetric and positive", "PCA whitening")
def pca_whitening(v):
    values, u = torch.linalg.eigh(_covariance(v))
    return (u / values.sqrt()).T


@wrong(E, "symmetric and positive", "Cholesky whitening")
def cholesky_whitening(v):
    return _w(v)


@wrong(E, "symmetric and positive", "mirrors nothing")
def negative_roots(v):
    return -_of_eigenvalues(_covariance(v), torch.rsqrt)
