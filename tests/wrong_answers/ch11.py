import torch

from wrong_answers import wrong

# variance_term

E = "ch11.variance_term"


@wrong(E, "deviations below the target", "root is missing")
def variance_not_deviation(z, target=1.0, eps=1e-4):
    return (target - z.var(0) - eps).clamp(min=0).mean()


@wrong(E, "deviations below the target", "sum")
def sum_over_the_dimensions(z, target=1.0, eps=1e-4):
    return (target - (z.var(0) + eps).sqrt()).clamp(min=0).sum()


@wrong(E, "deviations below the target", "not N")
def biased_variance(z, target=1.0, eps=1e-4):
    return (target - (z.var(0, correction=0) + eps).sqrt()).clamp(min=0).mean()


@wrong(E, "deviations below the target", "wrong axis")
def deviation_of_each_image(z, target=1.0, eps=1e-4):
    return (target - (z.var(1) + eps).sqrt()).clamp(min=0).mean()


@wrong(E, "deviations below the target", "all numbers together")
def one_deviation(z, target=1.0, eps=1e-4):
    return (target - (z.var() + eps).sqrt()).clamp(min=0)


@wrong(E, "deviations below the target", "not centred")
def second_moment(z, target=1.0, eps=1e-4):
    return (target - (z.square().sum(0) / (len(z) - 1) + eps).sqrt()).clamp(min=0).mean()


@wrong(E, "deviations below the target", "reversed")
def hinge_reversed(z, target=1.0, eps=1e-4):
    return ((z.var(0) + eps).sqrt() - target).clamp(min=0).mean()


@wrong(E, "deviations below the target", "not squared")
def squared_shortfall(z, target=1.0, eps=1e-4):
    return (target - (z.var(0) + eps).sqrt()).clamp(min=0).square().mean()


@wrong(E, "each dimension has its own hinge", "after the mean")
def hinge_after_the_mean(z, target=1.0, eps=1e-4):
    return (target - (z.var(0) + eps).sqrt().mean()).clamp(min=0)


@wrong(E, "each dimension has its own hinge", "hinge is missing")
def without_hinge(z, target=1.0, eps=1e-4):
    return (target - (z.var(0) + eps).sqrt()).mean()


@wrong(E, "each dimension has its own hinge", "beyond it")
def distance_from_the_target(z, target=1.0, eps=1e-4):
    return (target - (z.var(0) + eps).sqrt()).abs().mean()


@wrong(E, "another target", "argument")
def target_fixed(z, target=1.0, eps=1e-4):
    return (1 - (z.var(0) + eps).sqrt()).clamp(min=0).mean()


@wrong(E, "collapse", "eps is missing")
def without_eps(z, target=1.0, eps=1e-4):
    return (target - z.std(0)).clamp(min=0).mean()


@wrong(E, "collapse", "outside the root")
def eps_outside_the_root(z, target=1.0, eps=1e-4):
    return (target - z.std(0) - eps).clamp(min=0).mean()


@wrong(E, "collapse", "no lower bound")
def eps_as_a_bound(z, target=1.0, eps=1e-4):
    return (target - z.var(0).clamp(min=eps).sqrt()).clamp(min=0).mean()


@wrong(E, "collapse", "NaN gradient")
def eps_after_a_root(z, target=1.0, eps=1e-4):
    return (target - (z.var(0).sqrt().square() + eps).sqrt()).clamp(min=0).mean()


# invariance_term

E = "ch11.invariance_term"


def _by_pairs(z, pairs):
    return torch.stack([(z[v] - z[w]).square().sum(1).mean() for v, w in pairs])


@wrong(E, "mean over the pairs", "mse_loss")
def mean_over_the_dimensions(z):
    return 2 * z.var(0).mean()


@wrong(E, "mean over the pairs", "over the images")
def sum_over_the_images(z):
    return 2 * z.var(0).sum()


@wrong(E, "mean over the pairs", "squares")
def distances_not_squared(z):
    return (2 * z.var(0).sum(1)).sqrt().mean()


@wrong(E, "mean over the pairs", "half")
def variance_over_the_views(z):
    return z.var(0).sum(1).mean()


@wrong(E, "mean over the pairs", "each image")
def means_of_the_views(z):
    return 2 * z.mean(1).var(0).sum()


@wrong(E, "mean over the pairs", "wrong axis")
def variance_over_the_images(z):
    return 2 * z.var(1).sum(1).mean()


@wrong(E, "mean over the pairs", "neighbouring")
def neighbouring_views(z):
    return (z[1:] - z[:-1]).square().sum(2).mean()


@wrong(E, "mean over the pairs", "first view")
def against_the_first_view(z):
    return (z[1:] - z[0]).square().sum(2).mean()


@wrong(E, "mean over the pairs", "first two")
def first_two_views(z):
    return (z[0] - z[1]).square().sum(1).mean()


@wrong(E, "mean over the pairs", "sum over the pairs")
def sum_over_the_pairs(z):
    return len(z) * (len(z) - 1) * z.var(0).sum(1).mean()


@wrong(E, "mean over the pairs", "from the mean")
def distance_from_the_mean(z):
    return (z - z.mean(0)).square().sum(2).mean()


@wrong(E, "mean over the pairs", "itself")
def itself_among_the_pairs(z):
    return (z[:, None] - z[None]).square().sum(3).mean()


@wrong(E, "mean over the pairs", "two views only")
def factor_of_two_views(z):
    return 4 * (z - z.mean(0)).square().sum(2).mean()


@wrong(E, "cost grows with the views", "V² of them")
def table_of_pairs(z):
    return (z[:, None] - z[None]).square().sum(3).mean(2).sum() / (len(z) * (len(z) - 1))


@wrong(E, "cost grows with the views", "V² of them")
def loop_over_pairs(z):
    return _by_pairs(z, [(v, w) for v in range(len(z)) for w in range(v)]).mean()


@wrong(E, "views far from the origin", "cancellation")
def squares_minus_the_square(z):
    v = len(z)
    return 2 * v / (v - 1) * (z.square().mean(0) - z.mean(0).square()).sum(1).mean()


# covariance_term

E = "ch11.covariance_term"


def _covariance(z, *, divisor=1, centre=True):
    x = z - z.mean(0) if centre else z
    return x.T @ x / (len(z) - divisor)


def _off(matrix):
    return matrix - torch.diag(matrix.diagonal())


@wrong(E, "squares off the diagonal", "diagonal is in: ")
def with_the_diagonal(z):
    return _covariance(z).square().sum() / z.shape[1]


@wrong(E, "squares off the diagonal", "compared with 1")
def distance_from_the_identity(z):
    return (_covariance(z) - torch.eye(z.shape[1])).square().sum() / z.shape[1]


@wrong(E, "squares off the diagonal", "not N")
def divisor_n(z):
    return _off(_covariance(z, divisor=0)).square().sum() / z.shape[1]


@wrong(E, "squares off the diagonal", "not divided by N - 1")
def without_divisor(z):
    return _off(_covariance(z) * (len(z) - 1)).square().sum() / z.shape[1]


@wrong(E, "squares off the diagonal", "must not cancel")
def without_squares(z):
    return _off(_covariance(z)).sum() / z.shape[1]


@wrong(E, "squares off the diagonal", "absolute")
def absolute_values(z):
    return _off(_covariance(z)).abs().sum() / z.shape[1]


@wrong(E, "squares off the diagonal", "not divided by d")
def sum_alone(z):
    return _off(_covariance(z)).square().sum()


@wrong(E, "squares off the diagonal", "counts twice")
def upper_triangle(z):
    return _covariance(z).triu(1).square().sum() / z.shape[1]


@wrong(E, "squares off the diagonal", "number of entries")
def mean_off_the_diagonal(z):
    d = z.shape[1]
    return _off(_covariance(z)).square().sum() / (d * (d - 1))


@wrong(E, "squares off the diagonal", "d² entries")
def mean_of_all_entries(z):
    return _off(_covariance(z)).square().mean()


@wrong(E, "squares off the diagonal", "correlations")
def correlations(z):
    return _off(torch.corrcoef(z.T)).square().sum() / z.shape[1]


@wrong(E, "squares off the diagonal", "of images")
def covariance_of_images(z):
    x = z - z.mean(0)
    return _off(x @ x.T / (len(z) - 1)).square().sum() / z.shape[1]


@wrong(E, "a constant changes nothing", "not centred")
def not_centred(z):
    return _off(_covariance(z, centre=False)).square().sum() / z.shape[1]


@wrong(E, "no python loop", "loop")
def loop_over_the_dimensions(z):
    x = z - z.mean(0)
    d = z.shape[1]
    total = sum((x[:, j] @ x[:, k]).square() for j in range(d) for k in range(d) if j != k)
    return total / (len(z) - 1) ** 2 / d


# covariance_by_gram

E = "ch11.covariance_by_gram"


def _sums(z, *, centre=True):
    x = z - z.mean(0) if centre else z
    return (x @ x.T).square().sum(), x.square().sum(0).square().sum(), (len(z) - 1) ** 2 * z.shape[1]


@wrong(E, "the same value", "wrong diagonal")
def diagonal_of_the_gram_matrix(z):
    x = z - z.mean(0)
    return _off(x @ x.T).square().sum() / (len(z) - 1) ** 2 / z.shape[1]


@wrong(E, "the same value", "is not subtracted")
def no_diagonal(z):
    every, _, scale = _sums(z)
    return every / scale


@wrong(E, "the same value", "without its square")
def diagonal_without_square(z):
    every, _, scale = _sums(z)
    return (every - (z - z.mean(0)).square().sum()) / scale


@wrong(E, "the same value", "do not sum the squares")
def fourth_powers(z):
    every, _, scale = _sums(z)
    return (every - (z - z.mean(0)).pow(4).sum()) / scale


@wrong(E, "the same value", "(N - 1)²")
def divided_once(z):
    every, diagonal, scale = _sums(z)
    return (every - diagonal) / scale * (len(z) - 1)


@wrong(E, "the same value", "not N")
def divisor_n_squared(z):
    every, diagonal, _ = _sums(z)
    return (every - diagonal) / len(z) ** 2 / z.shape[1]


@wrong(E, "the same value", "not by N")
def divided_by_the_images(z):
    every, diagonal, _ = _sums(z)
    return (every - diagonal) / (len(z) - 1) ** 2 / len(z)


@wrong(E, "the same value", "not centred")
def gram_not_centred(z):
    every, diagonal, scale = _sums(z, centre=False)
    return (every - diagonal) / scale


@wrong(E, "memory of small tables only", "d² entries")
def the_direct_form(z):
    return _off(_covariance(z)).square().sum() / z.shape[1]


@wrong(E, "no loop over dimensions", "loop")
def loop_over_columns(z):
    every, _, scale = _sums(z)
    x = z - z.mean(0)
    return (every - sum((x[:, j] @ x[:, j]).square() for j in range(z.shape[1]))) / scale


@wrong(E, "the same gradient", "stay in the graph")
def diagonal_detached(z):
    every, diagonal, scale = _sums(z)
    return (every - diagonal.detach()) / scale


# coding_rate

E = "ch11.coding_rate"


def _rate(z, factor):
    products = z.T @ z if z.shape[1] <= len(z) else z @ z.T
    return torch.logdet(torch.eye(len(products), dtype=z.dtype) + factor * products) / 2


@wrong(E, "more images than dimensions", "swapped")
def factor_swapped(z, eps_squared=0.2):
    return _rate(z, len(z) / (z.shape[1] * eps_squared))


@wrong(E, "more images than dimensions", "factor d")
def factor_without_d(z, eps_squared=0.2):
    return _rate(z, 1 / (len(z) * eps_squared))


@wrong(E, "more images than dimensions", "factor N")
def factor_without_n(z, eps_squared=0.2):
    return _rate(z, z.shape[1] / eps_squared)


@wrong(E, "more images than dimensions", "half")
def without_the_half(z, eps_squared=0.2):
    return 2 * _rate(z, z.shape[1] / (len(z) * eps_squared))


@wrong(E, "more images than dimensions", "square already")
def squared_again(z, eps_squared=0.2):
    return _rate(z, z.shape[1] / (len(z) * eps_squared**2))


@wrong(E, "more images than dimensions", "sign")
def as_a_loss(z, eps_squared=0.2):
    return -_rate(z, z.shape[1] / (len(z) * eps_squared))


@wrong(E, "more images than dimensions", "argument")
def eps_fixed(z, eps_squared=0.2):
    return _rate(z, z.shape[1] / (len(z) * 0.2))


@wrong(E, "more images than dimensions", "centred")
def rate_of_centred(z, eps_squared=0.2):
    return _rate(z - z.mean(0), z.shape[1] / (len(z) * eps_squared))


@wrong(E, "more images than dimensions", "identity is missing")
def without_the_identity(z, eps_squared=0.2):
    return torch.logdet(z.T @ z * z.shape[1] / (len(z) * eps_squared)) / 2


@wrong(E, "more images than dimensions", "swapped")
def turned_around_where_tall(z, eps_squared=0.2):
    if len(z) > z.shape[1]:
        z = z.T
    n, d = z.shape
    return _rate(z, d / (n * eps_squared))


@wrong(E, "more dimensions than images", "turned around")
def turned_around_first(z, eps_squared=0.2):
    if len(z) < z.shape[1]:
        z = z.T
    n, d = z.shape
    return _rate(z, d / (n * eps_squared))


@wrong(E, "the smaller table", "larger table")
def always_of_dimensions(z, eps_squared=0.2):
    n, d = z.shape
    return torch.logdet(torch.eye(d, dtype=z.dtype) + d / (n * eps_squared) * z.T @ z) / 2


@wrong(E, "the smaller table", "larger table")
def always_of_images(z, eps_squared=0.2):
    n, d = z.shape
    return torch.logdet(torch.eye(n, dtype=z.dtype) + d / (n * eps_squared) * z @ z.T) / 2


@wrong(E, "a determinant too large for float32", "overflows")
def logarithm_of_the_determinant(z, eps_squared=0.2):
    n, d = z.shape
    products = z.T @ z if d <= n else z @ z.T
    return torch.det(torch.eye(len(products), dtype=z.dtype) + d / (n * eps_squared) * products).log() / 2


# embedding_at_the_floor

E = "ch11.embedding_at_the_floor"


def _orthonormal(n):
    ones = torch.ones(n, 1, dtype=torch.float64)
    return torch.linalg.qr(torch.cat([ones, torch.eye(n, n - 1, dtype=torch.float64)], 1)).Q[:, 1:]


@wrong(E, "mean 0 and variance 1", "not centred")
def orthogonal_but_not_centred(n, copies):
    return (n - 1) ** 0.5 * torch.eye(n, n - 1, dtype=torch.float64).repeat(1, copies)


@wrong(E, "mean 0 and variance 1", "length 1")
def orthonormal(n, copies):
    return _orthonormal(n).repeat(1, copies)


@wrong(E, "mean 0 and variance 1", "not N")
def variance_by_n(n, copies):
    return n**0.5 * _orthonormal(n).repeat(1, copies)


@wrong(E, "mean 0 and variance 1", "a row for each image")
def turned_around(n, copies):
    return (n - 1) ** 0.5 * _orthonormal(n).repeat(1, copies).T


@wrong(E, "mean 0 and variance 1", "float64")
def in_float32(n, copies):
    return ((n - 1) ** 0.5 * _orthonormal(n)).repeat(1, copies).float()


@wrong(E, "covariance at the floor", "above the floor")
def standardised_chance(n, copies):
    z = torch.randn(n, copies * (n - 1), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return (z - z.mean(0)) / z.std(0)


@wrong(E, "covariance at the floor", "above the floor")
def centred_corners(n, copies):
    z = torch.eye(n, n - 1, dtype=torch.float64)
    return ((z - z.mean(0)) / z.std(0)).repeat(1, copies)


@wrong(E, "covariance at the floor", "one column")
def one_column_for_all(n, copies):
    return (n - 1) ** 0.5 * _orthonormal(n)[:, :1].repeat(1, copies * (n - 1))


@wrong(E, "mean 0 and variance 1", "not centred")
def hadamard_for_powers_of_2(n, copies):
    h = torch.ones(1, 1, dtype=torch.float64)
    while len(h) < n:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    return (((n - 1) / n) ** 0.5 * h[:n, 1:n]).repeat(1, copies)
