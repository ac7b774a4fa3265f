import torch
from torch.nn.functional import normalize

from wrong_answers import wrong

# off_diagonal

E = "ch09.off_diagonal"


def _mask(matrix):
    return ~torch.eye(len(matrix), dtype=torch.bool)


@wrong(E, "entries in the order of reading", "keeps the diagonal")
def diagonal_kept(matrix):
    d = len(matrix)
    return matrix.flatten()[:-1].view(d - 1, d + 1)[:, :-1]


@wrong(E, "entries in the order of reading", "one step off")
def first_number_dropped(matrix):
    d = len(matrix)
    return matrix.flatten()[1:].view(d - 1, d + 1)[:, 1:]


@wrong(E, "entries in the order of reading", "rows of the matrix")
def rows_without_their_diagonal(matrix):
    return matrix[_mask(matrix)].view(len(matrix), -1)


@wrong(E, "entries in the order of reading", "above the diagonal")
def above_the_diagonal(matrix):
    return matrix[_mask(matrix).triu()]


@wrong(E, "entries in the order of reading", "set to 0")
def diagonal_of_zeros(matrix):
    return matrix * _mask(matrix)


@wrong(E, "entries in the order of reading", "row by row")
def column_by_column(matrix):
    d = len(matrix)
    return matrix.T.flatten()[:-1].view(d - 1, d + 1)[:, 1:]


@wrong(E, "nothing is copied", "mask")
def by_a_mask(matrix):
    d = len(matrix)
    return matrix[_mask(matrix)].view(d - 1, d)


# barlow_loss

E = "ch09.barlow_loss"


def _both(c):
    diagonal = c.diagonal()
    return (1 - diagonal).square().sum(), c.square().sum() - diagonal.square().sum()


@wrong(E, "on the diagonal", "square is missing")
def diagonal_without_squares(c, weight=0.005):
    return (1 - c.diagonal()).sum() + weight * _both(c)[1]


@wrong(E, "on the diagonal", "not 1 - c²")
def square_before_the_difference(c, weight=0.005):
    return (1 - c.diagonal().square()).sum() + weight * _both(c)[1]


@wrong(E, "on the diagonal", "sums")
def means(c, weight=0.005):
    off = c[_mask(c)]
    return (1 - c.diagonal()).square().mean() + weight * off.square().mean()


@wrong(E, "on the diagonal", "weight belongs")
def weight_on_the_diagonal(c, weight=0.005):
    on, off = _both(c)
    return weight * on + off


@wrong(E, "on the diagonal", "leave it out")
def diagonal_in_both_sums(c, weight=0.005):
    return _both(c)[0] + weight * c.square().sum()


@wrong(E, "off the diagonal", "not symmetric")
def upper_half_doubled(c, weight=0.005):
    return _both(c)[0] + 2 * weight * c.triu(1).square().sum()


@wrong(E, "off the diagonal", "cancel")
def off_without_squares(c, weight=0.005):
    return _both(c)[0] + weight * (c.sum() - c.diagonal().sum())


@wrong(E, "off the diagonal", "an argument")
def weight_fixed(c, weight=0.005):
    on, off = _both(c)
    return on + 0.005 * off


@wrong(E, "off the diagonal", "missing")
def weight_missing(c, weight=0.005):
    return sum(_both(c))


@wrong(E, "the matrix stays", "fill_diagonal_")
def diagonal_overwritten(c, weight=0.005):
    on = _both(c)[0]
    return on + weight * c.fill_diagonal_(0).square().sum()


@wrong(E, "no loop over entries", "loop")
def loop_over_entries(c, weight=0.005):
    total = 0
    for i, row in enumerate(c):
        total = total + (1 - row[i]) ** 2 + weight * (row.square().sum() - row[i] ** 2)
    return total


# cross_correlation

E = "ch09.cross_correlation"


def _standardised(z, dim=0, correction=0):
    centred = z - z.mean(dim, keepdim=True)
    return centred / (z.var(dim, correction=correction, keepdim=True) + 1e-5).sqrt()


def _correlation(first, second):
    return first.T @ second / len(first)


@wrong(E, "correlations of two views", "cosine")
def formula_of_the_paper_without_means(z1, z2):
    return normalize(z1, dim=0).T @ normalize(z2, dim=0)


@wrong(E, "correlations of two views", "before you divide")
def divided_by_the_deviation_only(z1, z2):
    return _correlation(z1 / z1.std(0, correction=0), z2 / z2.std(0, correction=0))


@wrong(E, "correlations of two views", "covariance")
def covariance(z1, z2):
    return _correlation(z1 - z1.mean(0), z2 - z2.mean(0))


@wrong(E, "correlations of two views", "correction=0")
def two_divisors(z1, z2):
    return _correlation(_standardised(z1, correction=1), _standardised(z2, correction=1))


@wrong(E, "correlations of two views", "not divided by N")
def not_divided(z1, z2):
    return _standardised(z1).T @ _standardised(z2)


@wrong(E, "correlations of two views", "axes are swapped")
def transposed(z1, z2):
    return _correlation(_standardised(z2), _standardised(z1))


@wrong(E, "correlations of two views", "dim=0")
def rows_standardised(z1, z2):
    return _correlation(_standardised(z1, dim=1), _standardised(z2, dim=1))


@wrong(E, "correlations of two views", "images are compared")
def images_with_images(z1, z2):
    return _standardised(z1) @ _standardised(z2).T / len(z1)


@wrong(E, "correlations of two views", "together")
def standardised_together(z1, z2):
    return _correlation(*_standardised(torch.cat([z1, z2])).chunk(2))


@wrong(E, "a dimension that hardly varies", "outside the root")
def epsilon_outside(z1, z2):
    first, second = z1 - z1.mean(0), z2 - z2.mean(0)
    first, second = (z / (z.square().mean(0).clamp(min=1e-30).sqrt() + 1e-5) for z in (first, second))
    return _correlation(first, second)


@wrong(E, "a dimension that hardly varies", "missing")
def without_epsilon(z1, z2):
    return _correlation((z1 - z1.mean(0)) / z1.std(0, correction=0), (z2 - z2.mean(0)) / z2.std(0, correction=0))


@wrong(E, "embeddings far from the origin", "cancellation")
def difference_of_means(z1, z2):
    n = len(z1)
    covariance = z1.T @ z2 / n - z1.mean(0)[:, None] * z2.mean(0)
    first, second = ((z.square().mean(0) - z.mean(0).square()).clamp(min=0) + 1e-5 for z in (z1, z2))
    return covariance / (first[:, None] * second).sqrt()


@wrong(E, "gradient through the normalisation", "stay in the graph")
def deviations_detached(z1, z2):
    first, second = z1 - z1.mean(0), z2 - z2.mean(0)
    first, second = (z / (z.square().mean(0) + 1e-5).sqrt().detach() for z in (first, second))
    return _correlation(first, second)


@wrong(E, "no loop over dimensions", "loop")
def loop_over_dimensions(z1, z2):
    first, second = _standardised(z1), _standardised(z2)
    return torch.stack([(column[:, None] * second).mean(0) for column in first.T])


# effective_rank

E = "ch09.effective_rank"


def _stretch(z):
    return torch.linalg.svdvals(z - z.mean(0))


def _rank(s):
    return torch.special.entr(s / s.sum().clamp(min=1e-30)).sum().exp() * (s.sum() > 0)


@wrong(E, "spread over directions", "squares")
def shares_of_the_squares(z):
    return _rank(_stretch(z).square())


@wrong(E, "spread over directions", "take exp() of it")
def the_entropy(z):
    return _rank(_stretch(z)).clamp(min=1).log()


@wrong(E, "spread over directions", "do not fit")
def two_logarithms(z):
    return _rank(_stretch(z)) ** (1 / torch.tensor(2.0).log())


@wrong(E, "spread over directions", "this is the rank")
def the_rank(z):
    return torch.linalg.matrix_rank(z - z.mean(0)).double()


@wrong(E, "spread over directions", "participation")
def participation_ratio(z):
    s = _stretch(z)
    return s.sum().square() / s.square().sum().clamp(min=1e-30)


@wrong(E, "spread over directions", "no shares yet")
def without_shares(z):
    return torch.special.entr(_stretch(z)).sum().exp()


@wrong(E, "a shift changes nothing", "mean is still in")
def uncentred(z):
    return _rank(torch.linalg.svdvals(z)) * (z.std(0).sum() > 0)


@wrong(E, "the scale changes nothing", "threshold")
def only_singular_values_above_a_threshold(z):
    s = _stretch(z)
    return _rank(s[s > 1e-2])


@wrong(E, "collapsed dimensions", "0 · ln 0")
def zero_times_infinity(z):
    s = _stretch(z)
    if s.sum() == 0:
        return s.sum()
    p = s / s.sum()
    return (-p * p.log()).sum().exp()


@wrong(E, "complete collapse", "0 / 0")
def nothing_over_nothing(z):
    s = _stretch(z)
    return torch.special.entr(s / s.sum()).sum().exp()


@wrong(E, "complete collapse", "there is none")
def one_where_there_is_none(z):
    return _rank(_stretch(z)).clamp(min=1)


# off_diagonal_energy

E = "ch09.off_diagonal_energy"


def _whole(a, b):
    n, d = a.shape
    return ((a @ a.T) * (b @ b.T)).sum() if n < d else (a.T @ b).square().sum()


def _diagonal(a, b):
    return (a * b).sum(0).square().sum()


@wrong(E, "sum of squared correlations", "still in")
def with_the_diagonal(a, b):
    return _whole(a, b) / len(a) ** 2


@wrong(E, "sum of squared correlations", "factor 1/N²")
def without_the_factor(a, b):
    return _whole(a, b) - _diagonal(a, b)


@wrong(E, "sum of squared correlations", "N only")
def divided_once(a, b):
    return (_whole(a, b) - _diagonal(a, b)) / len(a)


@wrong(E, "sum of squared correlations", "another factor")
def two_factors(a, b):
    return _whole(a, b) / len(a) ** 2 - _diagonal(a, b)


@wrong(E, "sum of squared correlations", "trace")
def trace_of_the_entrywise_product(a, b):
    n = len(a)
    return (((a @ a.T) * (b @ b.T)).trace() - _diagonal(a, b)) / n**2


@wrong(E, "sum of squared correlations", "one Gram")
def one_gram_matrix(a, b):
    return ((a @ a.T).square().sum() - _diagonal(a, b)) / len(a) ** 2


@wrong(E, "sum of squared correlations", "dot products of images")
def images_not_dimensions(a, b):
    return ((a @ b.T).square().sum() - _diagonal(a, b)) / len(a) ** 2


@wrong(E, "few images in many dimensions", "although N < d")
def always_dimensions(a, b):
    c = a.T @ b / len(a)
    return c.square().sum() - c.diagonal().square().sum()


@wrong(E, "many images in few dimensions", "although d < N")
def always_images(a, b):
    return (((a @ a.T) * (b @ b.T)).sum() - _diagonal(a, b)) / len(a) ** 2


@wrong(E, "no python loop", "loop")
def loop_over_columns(a, b):
    total = -_diagonal(a, b)
    for column in a.T:
        total = total + (column @ b).square().sum()
    return total / len(a) ** 2


@wrong(E, "gradient of the energy", "detached")
def one_factor_detached(a, b):
    n, d = a.shape
    whole = ((a @ a.T) * (b @ b.T).detach()).sum() if n < d else (a.T @ b.detach()).square().sum()
    return (whole - _diagonal(a, b.detach())) / n**2
