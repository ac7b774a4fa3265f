import torch
from torch.nn.functional import logsigmoid

from wrong_answers import wrong

# keep_probability

E = "ch02.keep_probability"


def _ratio(counts, sample):
    return sample * counts.sum() / counts


def _keep(ratio):
    return (ratio.sqrt() + ratio).clamp(max=1)


@wrong(E, "frequent words", "paper")
def form_of_the_paper(counts, sample):
    return _ratio(counts, sample).sqrt().clamp(max=1)


@wrong(E, "frequent words", "dropped")
def probability_of_dropping(counts, sample):
    return 1 - _keep(_ratio(counts, sample))


@wrong(E, "frequent words", "paper's chance")
def the_papers_probability_of_dropping(counts, sample):
    return (1 - _ratio(counts, sample).sqrt()).clamp(min=0)


@wrong(E, "frequent words", "upside down")
def ratio_upside_down(counts, sample):
    return _keep(1 / _ratio(counts, sample))


@wrong(E, "frequent words", "//")
def whole_number_division(counts, sample):
    return _keep(sample / (counts // counts.sum()))


@wrong(E, "frequent words", "share of all")
def divided_by_the_most_frequent(counts, sample):
    return _keep(sample / (counts / counts.max()))


@wrong(E, "frequent words", "not frequencies")
def counts_as_frequencies(counts, sample):
    return _keep(sample / counts)


@wrong(E, "frequent words", "root is missing")
def twice_the_ratio(counts, sample):
    return (2 * _ratio(counts, sample)).clamp(max=1)


@wrong(E, "rare words are always kept", "at most 1")
def without_minimum(counts, sample):
    ratio = _ratio(counts, sample)
    return ratio.sqrt() + ratio


@wrong(E, "rare words are always kept", "at most 1")
def minimum_below_the_threshold_only(counts, sample):
    ratio = _ratio(counts, sample)
    return torch.where(ratio >= 1, 1.0, ratio.sqrt() + ratio)


@wrong(E, "another threshold", "argument")
def threshold_fixed(counts, sample):
    return _keep(_ratio(counts, 1e-3))


# character_ngrams

E = "ch02.character_ngrams"


def _ngrams(marked, least, most):
    return [marked[i : i + n] for n in range(least, most + 1) for i in range(len(marked) - n + 1)]


def _without(whole, ngrams):
    return [g for g in ngrams if g != whole]


@wrong(E, "runs of each length", "signs are missing")
def without_signs(word, least=3, most=6):
    return _ngrams(word, least, most)


@wrong(E, "runs of each length", "last of each length is missing")
def one_position_too_few(word, least=3, most=6):
    marked = f"<{word}>"
    return [marked[i : i + n] for n in range(least, most + 1) for i in range(len(marked) - n)]


@wrong(E, "runs of each length", "cut short")
def cut_short_at_the_end(word, least=3, most=6):
    marked = f"<{word}>"
    return [marked[i : i + n] for n in range(least, most + 1) for i in range(len(marked))]


@wrong(E, "runs of each length", "overlap")
def side_by_side(word, least=3, most=6):
    marked = f"<{word}>"
    return [marked[i : i + n] for n in range(least, most + 1) for i in range(0, len(marked) - n + 1, n)]


@wrong(E, "runs of each length", "are arguments")
def lengths_fixed(word, least=3, most=6):
    return _without(f"<{word}>", _ngrams(f"<{word}>", 3, 6))


@wrong(E, "runs of each length", "another order")
def sorted_by_letters(word, least=3, most=6):
    return sorted(_without(f"<{word}>", _ngrams(f"<{word}>", least, most)), reverse=True)


@wrong(E, "runs of each length", "list of strings, not set")
def a_set(word, least=3, most=6):
    return set(_without(f"<{word}>", _ngrams(f"<{word}>", least, most)))


@wrong(E, "runs of each length", "stops before its end")
def greatest_length_missing(word, least=3, most=6):
    return _without(f"<{word}>", _ngrams(f"<{word}>", least, most - 1))


@wrong(E, "runs of each length", "outer loop")
def by_position(word, least=3, most=6):
    marked = f"<{word}>"
    places = range(len(marked))
    runs = [marked[i : i + n] for i in places for n in range(least, most + 1) if i + n <= len(marked)]
    return _without(marked, runs)


@wrong(E, "runs of each length", "bare word")
def bare_word_left_out(word, least=3, most=6):
    return _without(word, _ngrams(f"<{word}>", least, most))


@wrong(E, "the whole is left out", "own row")
def with_the_whole(word, least=3, most=6):
    return _ngrams(f"<{word}>", least, most)


@wrong(E, "repeated ngrams", "twice")
def each_once(word, least=3, most=6):
    return list(dict.fromkeys(_without(f"<{word}>", _ngrams(f"<{word}>", least, most))))


@wrong(E, "letters of any alphabet", "bytes")
def runs_of_bytes(word, least=3, most=6):
    marked = f"<{word}>".encode()
    return [g.decode(errors="replace") for g in _without(marked, _ngrams(marked, least, most))]


@wrong(E, "letters of any alphabet", "capitals")
def small_letters(word, least=3, most=6):
    return _without(f"<{word.lower()}>", _ngrams(f"<{word.lower()}>", least, most))


@wrong(E, "a short word", "empty")
def whole_where_nothing_else(word, least=3, most=6):
    return _without(f"<{word}>", _ngrams(f"<{word}>", least, most)) or [f"<{word}>"]


# skipgram_pairs

E = "ch02.skipgram_pairs"


def _distance(ids):
    place = torch.arange(len(ids))
    return (place - place[:, None]).abs()


def _listed(ids, mask):
    i, j = mask.nonzero().unbind(1)
    return torch.stack([ids[i], ids[j]], 1)


def _near(ids, widths):
    distance = _distance(ids)
    return (distance > 0) & (distance <= widths[:, None])


@wrong(E, "each centre has its window", "itself")
def with_the_centre(ids, widths):
    return _listed(ids, _distance(ids) <= widths[:, None])


@wrong(E, "each centre has its window", "right side")
def right_side_only(ids, widths):
    return _listed(ids, _near(ids, widths).triu())


@wrong(E, "each centre has its window", "left side")
def left_side_only(ids, widths):
    return _listed(ids, _near(ids, widths).tril())


@wrong(E, "each centre has its window", "too narrow")
def window_too_narrow(ids, widths):
    return _listed(ids, _near(ids, widths - 1))


@wrong(E, "each centre has its window", "not words")
def positions_of_the_pairs(ids, widths):
    return _near(ids, widths).nonzero()


@wrong(E, "each centre has its window", "touch its beginning")
def around_the_end(ids, widths):
    distance = _distance(ids)
    distance = torch.minimum(distance, len(ids) - distance)
    return _listed(ids, (distance > 0) & (distance <= widths[:, None]))


@wrong(E, "each centre has its window", "axes are swapped")
def two_rows(ids, widths):
    return _listed(ids, _near(ids, widths)).T


@wrong(E, "each centre has its window", "pairs are missing")
def without_the_last_centre(ids, widths):
    near = _near(ids, widths)
    near[-1] = False
    return _listed(ids, near)


@wrong(E, "each centre has its window", "width of the context")
def width_of_the_context(ids, widths):
    return _listed(ids, _near(ids, widths).T)


@wrong(E, "each centre has its window", "columns are swapped")
def context_first(ids, widths):
    return _listed(ids, _near(ids, widths)).flip(1)


@wrong(E, "each centre has its window", "widest")
def widest_window(ids, widths):
    return _listed(ids, _near(ids, widths.max().expand(len(ids))))


@wrong(E, "order of the pairs", "another order")
def offset_by_offset(ids, widths):
    offsets = [o for o in range(-int(widths.max()), int(widths.max()) + 1) if o]
    centre = torch.arange(len(ids)).repeat(len(offsets))
    context = centre + torch.tensor(offsets).repeat_interleave(len(ids))
    inside = (context >= 0) & (context < len(ids)) & ((context - centre).abs() <= widths[centre])
    return torch.stack([ids[centre[inside]], ids[context[inside]]], 1)


@wrong(E, "order of the pairs", "numbers of the words")
def sorted_by_word(ids, widths):
    pairs = _listed(ids, _near(ids, widths))
    return pairs[(pairs[:, 0] * 1000 + pairs[:, 1]).argsort()]


@wrong(E, "words that repeat", "compare positions")
def never_a_word_with_itself(ids, widths):
    return _listed(ids, _near(ids, widths) & (ids[:, None] != ids))


@wrong(E, "words that repeat", "listed twice")
def each_pair_once(ids, widths):
    pairs = _listed(ids, _near(ids, widths)).tolist()
    return torch.tensor(list(dict.fromkeys(map(tuple, pairs)))).reshape(-1, 2)


@wrong(E, "a single word", "(0, 2)")
def empty_list_as_a_tensor(ids, widths):
    return torch.tensor(_listed(ids, _near(ids, widths)).tolist())


@wrong(E, "no python loop", "mask")
def loop_over_the_centres(ids, widths):
    rows = [torch.empty(0, 2, dtype=ids.dtype)]
    for i in range(len(ids)):
        w = int(widths[i])
        context = torch.cat([ids[max(0, i - w) : i], ids[i + 1 : i + 1 + w]])
        rows.append(torch.stack([ids[i].expand(len(context)), context], 1))
    return torch.cat(rows)


# unseen_vector

E = "ch02.unseen_vector"


def _mean(ngrams, rows):
    known = [rows[g] for g in ngrams if g in rows]
    return torch.stack(known).mean(0) if known else torch.zeros_like(next(iter(rows.values())))


@wrong(E, "mean of the rows", "sum")
def sum_of_the_rows(word, rows, least=3, most=6):
    known = [rows[g] for g in _ngrams(f"<{word}>", least, most) if g in rows]
    return sum(known, start=torch.zeros_like(next(iter(rows.values()))))


@wrong(E, "mean of the rows", "signs are missing")
def rows_without_signs(word, rows, least=3, most=6):
    return _mean(_ngrams(word, least, most), rows)


@wrong(E, "mean of the rows", "go up to most")
def least_length_only(word, rows, least=3, most=6):
    return _mean(_ngrams(f"<{word}>", least, least), rows)


@wrong(E, "mean of the rows", "dim=0")
def mean_over_the_coordinates(word, rows, least=3, most=6):
    return torch.stack([rows[g] for g in _ngrams(f"<{word}>", least, most) if g in rows]).mean(1)


@wrong(E, "mean of the rows", "other lengths")
def every_row_inside_the_word(word, rows, least=3, most=6):
    return _mean([g for g in rows if g in f"<{word}>"], rows)


@wrong(E, "ngrams without a row", "do not count")
def divided_by_all(word, rows, least=3, most=6):
    ngrams = [g for g in _ngrams(f"<{word}>", least, most) if g != f"<{word}>"]
    zero = torch.zeros_like(next(iter(rows.values())))
    return sum((rows.get(g, zero) for g in ngrams), start=zero) / max(1, len(ngrams))


@wrong(E, "ngrams without a row", "have one")
def every_ngram_looked_up(word, rows, least=3, most=6):
    ngrams = [g for g in _ngrams(f"<{word}>", least, most) if g != f"<{word}>"]
    return torch.stack([rows[g] for g in ngrams]).mean(0)


@wrong(E, "ngrams that repeat", "set")
def each_ngram_once(word, rows, least=3, most=6):
    return _mean(sorted(set(_ngrams(f"<{word}>", least, most))), rows)


@wrong(E, "other lengths", "arguments")
def lengths_of_the_rows_fixed(word, rows, least=3, most=6):
    return _mean(_ngrams(f"<{word}>", 3, 6), rows)


@wrong(E, "ngrams that repeat", "stops before its end")
def greatest_length_of_the_rows_missing(word, rows, least=3, most=6):
    return _mean(_ngrams(f"<{word}>", least, most - 1), rows)


@wrong(E, "nothing known", "NaN")
def mean_over_nothing(word, rows, least=3, most=6):
    known = [rows[g] for g in _ngrams(f"<{word}>", least, most) if g in rows]
    dimension = len(next(iter(rows.values())))
    return torch.cat([row[None] for row in [torch.zeros(dimension), *known]])[1:].mean(0)


@wrong(E, "nothing known", "zeros")
def stack_of_nothing(word, rows, least=3, most=6):
    return torch.stack([rows[g] for g in _ngrams(f"<{word}>", least, most) if g in rows]).mean(0)


@wrong(E, "rows stay as they are", "+=")
def added_into_the_first_row(word, rows, least=3, most=6):
    known = [rows[g] for g in _ngrams(f"<{word}>", least, most) if g in rows]
    if not known:
        return torch.zeros_like(next(iter(rows.values())))
    total = known[0]
    for row in known[1:]:
        total += row
    return total / len(known)


# negative_sampling_loss

E = "ch02.negative_sampling_loss"


def _scores(v, u, negatives):
    return (v * u).sum(1), (negatives @ v[:, :, None]).squeeze(2)


@wrong(E, "one pair", "maximised")
def objective(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return (logsigmoid(s) + logsigmoid(-t).sum(1)).mean()


@wrong(E, "one pair", "inside the last")
def negatives_drawn_near(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(logsigmoid(s) + logsigmoid(t).sum(1)).mean()


@wrong(E, "one pair", "sign of the negatives")
def negatives_subtracted(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(logsigmoid(s) - logsigmoid(-t).sum(1)).mean()


@wrong(E, "one pair", "swapped")
def roles_swapped(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(logsigmoid(-s) + logsigmoid(t).sum(1)).mean()


@wrong(E, "one pair", "not the context")
def negatives_meet_the_context(v, u, negatives):
    s, t = (v * u).sum(1), _scores(u, u, negatives)[1]
    return -(logsigmoid(s) + logsigmoid(-t).sum(1)).mean()


@wrong(E, "one pair", "logarithm is missing")
def without_logarithm(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(s.sigmoid() + (-t).sigmoid().sum(1)).mean()


@wrong(E, "one pair", "negatives are missing")
def without_negatives(v, u, negatives):
    return -logsigmoid((v * u).sum(1)).mean()


@wrong(E, "one pair", "mean over the negatives")
def mean_over_the_negatives(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(logsigmoid(s) + logsigmoid(-t).mean(1)).mean()


@wrong(E, "one pair", "once")
def true_context_once_for_each_negative(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(logsigmoid(s)[:, None] + logsigmoid(-t)).sum(1).mean()


@wrong(E, "one pair", "its own σ")
def one_sigma_for_all_negatives(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(logsigmoid(s) + logsigmoid(-t.sum(1))).mean()


@wrong(E, "mean over the pairs", "this is the sum")
def sum_over_the_pairs(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(logsigmoid(s) + logsigmoid(-t).sum(1)).sum()


@wrong(E, "mean over the pairs", "not divided")
def negatives_not_divided(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -logsigmoid(s).mean() - logsigmoid(-t).sum()


@wrong(E, "mean over the pairs", "own negatives")
def negatives_of_all_pairs(v, u, negatives):
    s, t = (v * u).sum(1), v @ negatives.flatten(0, 1).T
    return -(logsigmoid(s) + logsigmoid(-t).sum(1)).mean()


@wrong(E, "mean over the pairs", "all contexts")
def every_context(v, u, negatives):
    t = _scores(v, u, negatives)[1]
    return -logsigmoid(u @ v.T).mean() - logsigmoid(-t).sum(1).mean()


@wrong(E, "large scores", "rounds to 0")
def logarithm_of_sigmoid(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(s.sigmoid().log() + (-t).sigmoid().log().sum(1)).mean()


@wrong(E, "large scores", "log σ must not go over σ")
def epsilon_under_the_logarithm(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -((s.sigmoid() + 1e-10).log() + ((-t).sigmoid() + 1e-10).log().sum(1)).mean()


@wrong(E, "large scores", "exp(1000)")
def exponentials_by_hand(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -((s.exp() / (1 + s.exp())).log() + (1 / (1 + t.exp())).log().sum(1)).mean()


@wrong(E, "large scores", "torch.where")
def branch_for_large_scores(v, u, negatives):
    def cost(s):
        return torch.where(s < -30, -s, (-s).exp().log1p())

    s, t = _scores(v, u, negatives)
    return (cost(s) + cost(-t).sum(1)).mean()


@wrong(E, "large scores", "graph is cut")
def detached(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return -(logsigmoid(s) + logsigmoid(-t).sum(1)).mean().detach()


# spearman

E = "ch02.spearman"


def _ranks(values, equal=0.5):
    below = (values[:, None] > values).sum(1)
    return below + 1 + equal * ((values[:, None] == values).sum(1) - 1)


def _pearson(a, b):
    a, b = a - a.double().mean(), b - b.double().mean()
    return (a @ b) / (a.norm() * b.norm())


@wrong(E, "correlation of the ranks", "values")
def correlation_of_the_values(x, y):
    return _pearson(x, y)


@wrong(E, "correlation of the ranks", "argsort of argsort")
def argsort_once(x, y):
    return _pearson(x.argsort(), y.argsort())


@wrong(E, "correlation of the ranks", "Kendall")
def kendall(x, y):
    order = ((x[:, None] - x).sign() * (y[:, None] - y).sign()).sum()
    return order / (len(x) * (len(x) - 1))


@wrong(E, "correlation of the ranks", "cosine")
def cosine_of_the_ranks(x, y):
    return torch.cosine_similarity(_ranks(x), _ranks(y), dim=0)


@wrong(E, "correlation of the ranks", "covariance")
def covariance_of_the_ranks(x, y):
    a, b = _ranks(x), _ranks(y)
    return ((a - a.mean()) * (b - b.mean())).mean()


@wrong(E, "correlation of the ranks", "N - 1")
def covariance_over_one_less(x, y):
    return torch.cov(torch.stack([_ranks(x), _ranks(y)]))[0, 1]


@wrong(E, "correlation of the ranks", "sign")
def ranked_from_the_greatest_on_one_side(x, y):
    return _pearson(_ranks(-x), _ranks(y))


@wrong(E, "equal values", "as they come")
def argsort_twice(x, y):
    return _pearson(x.argsort(stable=True).argsort(), y.argsort(stable=True).argsort())


@wrong(E, "equal values", "lowest")
def lowest_ranks(x, y):
    return _pearson(_ranks(x, 0.0), _ranks(y, 0.0))


@wrong(E, "equal values", "highest")
def highest_ranks(x, y):
    return _pearson(_ranks(x, 1.0), _ranks(y, 1.0))


@wrong(E, "equal values", "as many ranks")
def dense_ranks(x, y):
    return _pearson(x.unique(return_inverse=True)[1], y.unique(return_inverse=True)[1])


@wrong(E, "equal values", "short formula")
def short_formula(x, y):
    n, difference = len(x), _ranks(x) - _ranks(y)
    return 1 - 6 * difference.square().sum() / (n**3 - n)


@wrong(E, "opposite orders", "sign is lost")
def without_sign(x, y):
    return _pearson(_ranks(x), _ranks(y)).abs()


@wrong(E, "a constant side", "nothing is added")
def epsilon_in_the_denominator(x, y):
    a, b = _ranks(x) - (len(x) + 1) / 2, _ranks(y) - (len(y) + 1) / 2
    return (a @ b) / (a.norm() * b.norm() + 1e-8)


@wrong(E, "a constant side", "replaced")
def zero_for_nan(x, y):
    return _pearson(_ranks(x), _ranks(y)).nan_to_num()


# negative_sampling_gradient

E = "ch02.negative_sampling_gradient"


def _by(v, u, negatives, true=None, drawn=None, mean=True):
    """Gradients with errors (B, 1) and (B, K, 1) of one's own."""
    s, t = _scores(v, u, negatives)
    true = s.sigmoid()[:, None] - 1 if true is None else true
    drawn = t.sigmoid()[:, :, None] if drawn is None else drawn
    count = len(v) if mean else 1
    return (true * u + (drawn * negatives).sum(1)) / count, true * v / count, drawn * v[:, None] / count


@wrong(E, "by the true context", "sign")
def uphill(v, u, negatives):
    return tuple(-g for g in _by(v, u, negatives))


@wrong(E, "by the true context", "should be")
def error_of_the_true_context_without_target(v, u, negatives):
    return _by(v, u, negatives, true=(v * u).sum(1, keepdim=True).sigmoid())


@wrong(E, "by the true context", "not by u")
def error_times_u(v, u, negatives):
    by_v, _, by_negatives = _by(v, u, negatives)
    return by_v, ((v * u).sum(1, keepdim=True).sigmoid() - 1) * u / len(v), by_negatives


@wrong(E, "by the true context", "derivative of σ")
def derivative_of_sigma(v, u, negatives):
    p = (v * u).sum(1, keepdim=True).sigmoid()
    return _by(v, u, negatives, true=-p * (1 - p))


@wrong(E, "by the negatives", "sign")
def drawn_words_pulled(v, u, negatives):
    return _by(v, u, negatives, drawn=-_scores(v, u, negatives)[1].sigmoid()[:, :, None])


@wrong(E, "by the negatives", "not 1")
def drawn_words_as_true_contexts(v, u, negatives):
    return _by(v, u, negatives, drawn=_scores(v, u, negatives)[1].sigmoid()[:, :, None] - 1)


@wrong(E, "by the negatives", "not by the negative")
def error_times_the_negative(v, u, negatives):
    by_v, by_u, _ = _by(v, u, negatives)
    return by_v, by_u, _scores(v, u, negatives)[1].sigmoid()[:, :, None] * negatives / len(v)


@wrong(E, "by the negatives", "no sum")
def gradient_summed_over_the_negatives(v, u, negatives):
    by_v, by_u, by_negatives = _by(v, u, negatives)
    return by_v, by_u, by_negatives.sum(1)


@wrong(E, "by the centre", "negatives are missing")
def centre_without_negatives(v, u, negatives):
    _, by_u, by_negatives = _by(v, u, negatives)
    return ((v * u).sum(1, keepdim=True).sigmoid() - 1) * u / len(v), by_u, by_negatives


@wrong(E, "by the centre", "sign of the negatives")
def centre_with_negatives_subtracted(v, u, negatives):
    by_v, by_u, by_negatives = _by(v, u, negatives)
    true = ((v * u).sum(1, keepdim=True).sigmoid() - 1) * u / len(v)
    return 2 * true - by_v, by_u, by_negatives


@wrong(E, "by the true context", "1/B")
def sum_over_the_batch(v, u, negatives):
    return _by(v, u, negatives, mean=False)


@wrong(E, "large scores give numbers", "exp(1000)")
def sigmoid_by_hand(v, u, negatives):
    s, t = _scores(v, u, negatives)
    return _by(v, u, negatives, (s.exp() / (1 + s.exp()) - 1)[:, None], (t.exp() / (1 + t.exp()))[:, :, None])


@wrong(E, "without autograd", "autograd")
def by_autograd(v, u, negatives):
    leaves = [t.clone().requires_grad_() for t in (v, u, negatives)]
    s, t = _scores(*leaves)
    return torch.autograd.grad(-(logsigmoid(s) + logsigmoid(-t).sum(1)).mean(), leaves)
