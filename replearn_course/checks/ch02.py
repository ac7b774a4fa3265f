"""Checks of the exercises of chapter 2, Words."""

# ruff: noqa: D103  # the name of a check is what it says
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from replearn_course.checks.core import (
    Cost,
    Student,
    Wrong,
    checks,
    expect,
    expect_strings,
    gradient,
    no_loop,
    normal,
    tensor,
    unpack,
)

# keep_probability


@checks("ch02.keep_probability", hint="sqrt(t / f) + t / f, with the frequencies f = counts / counts.sum()")
def frequent_words(student: Student) -> None:
    counts = [6000, 3000, 1000]
    ratios = [0.001 / (c / 10000) for c in counts]
    of_the_first = [0.001 / (c / 6000) for c in counts]
    paper = tensor([math.sqrt(r) for r in ratios])
    want = paper + tensor(ratios)
    expect(
        student(torch.tensor(counts), sample=0.001),
        want,
        {
            "this is the paper's form, sqrt(t / f): the programs add t / f": paper,
            "this is the chance that a word is dropped: return that of keeping it": 1 - want,
            "this is the paper's chance that a word is dropped: return that of keeping it, with t / f added": 1 - paper,
            "the root is missing: sqrt(t / f) + t / f": 2 * tensor(ratios),
            "sqrt(t / f) is missing": tensor(ratios),
            "every word is kept: is the ratio upside down (it is t / f), or was it divided by // ?": torch.ones(3),
            "the frequency is the share of all words of the text: divide the counts by their sum": tensor(
                [math.sqrt(r) + r for r in of_the_first]
            ),
            "these are counts, not frequencies: divide them by their sum": tensor(
                [math.sqrt(0.001 / c) + 0.001 / c for c in counts]
            ),
        },
    )


@checks("ch02.keep_probability", hint="a probability is at most 1: the minimum with 1 is missing")
def rare_words_are_always_kept(student: Student) -> None:
    # 400 words with f = 0.8 t and 400 with f = 1.7 t, which are above the threshold but not far enough.
    expect(student(torch.tensor([10, 20]).repeat(400), sample=0.001), torch.ones(800))


@checks("ch02.keep_probability", hint="sample is an argument: use it, not a number. With t = 1 every word is kept")
def another_threshold(student: Student) -> None:
    expect(student(torch.tensor([60, 40]), sample=1.0), tensor([1, 1]))


# character_ngrams


@checks("ch02.character_ngrams", hint="every run of n characters of <word>, for each n from least to most")
def runs_of_each_length(student: Student) -> None:
    expect_strings(
        student("where", 4, 5),
        ["<whe", "wher", "here", "ere>", "<wher", "where", "here>"],
        {
            "the signs are missing: cut up <word>, not word": ["wher", "here", "where"],
            "the last of each length is missing: is the sign > there, and does the range go up to len - n + 1?": (
                ["<whe", "wher", "here", "<wher", "where"]
            ),
            "the first of each length is missing: is the sign < there, and does the range begin at 0?": (
                ["wher", "here", "ere>", "where", "here>"]
            ),
            "the runs must overlap: one begins at each position": ["<whe", "<wher"],
            "the last ones are cut short: each run must end inside <word>": (
                ["<whe", "wher", "here", "ere>", "re>", "e>", ">", "<wher", "where", "here>", "ere>", "re>", "e>", ">"]
            ),
            "the greatest length is missing: range stops before its end": ["<whe", "wher", "here", "ere>"],
            "the lengths are arguments: use least and most": [
                *("<wh", "whe", "her", "ere", "re>", "<whe", "wher", "here", "ere>"),
                *("<wher", "where", "here>", "<where", "where>"),
            ],
            "the shortest first: the outer loop is over the lengths, the inner over the positions": (
                ["<whe", "<wher", "wher", "where", "here", "here>", "ere>"]
            ),
            "the bare word is an n-gram like any other: only <word> with its signs is left out": (
                ["<whe", "wher", "here", "ere>", "<wher", "here>"]
            ),
        },
    )


@checks("ch02.character_ngrams", hint="the whole <word> is no n-gram of itself: it has its own row")
def the_whole_is_left_out(student: Student) -> None:
    got = student("cat")
    if isinstance(got, (list, tuple)) and "<cat>" in got:
        raise Wrong("<cat> itself is in the list")


@checks("ch02.character_ngrams", hint="an n-gram that occurs twice is listed twice: a list, no set")
def repeated_ngrams(student: Student) -> None:
    expect_strings(student("banana", 2, 2), ["<b", "ba", "an", "na", "an", "na", "a>"])


@checks(
    "ch02.character_ngrams",
    hint="letters are Python's characters, of any alphabet: slice the string itself, no bytes, no pattern of a to z",
)
def letters_of_any_alphabet(student: Student) -> None:
    expect_strings(
        student("Ёжик", 4, 4),
        ["<Ёжи", "Ёжик", "жик>"],
        {"the letters stay as they are, capitals too": ["<ёжи", "ёжик", "жик>"]},
    )


@checks("ch02.character_ngrams", hint="a word that is too short has no n-gram: the list is empty")
def a_short_word(student: Student) -> None:
    expect_strings(student("я", 4, 6), [])


# skipgram_pairs: the order has its own check, so the others sort the pairs first.


def _pairs(ids: list[int], near: Callable[[int, int], bool]) -> Tensor:
    """Make the pairs of words at all positions (i, j) that are near, in the order that is asked."""
    places = range(len(ids))
    return torch.tensor([[ids[i], ids[j]] for i in places for j in places if near(i, j)]).reshape(-1, 2)


def _sorted(pairs: Any) -> Any:
    """Sort the rows; what is no table of two columns stays as it is."""
    if not (isinstance(pairs, Tensor) and pairs.ndim == 2 and pairs.shape[1] == 2):
        return pairs
    return pairs[(1000 * pairs[:, 0] + pairs[:, 1]).argsort()]


def _expect_pairs(got: Any, want: Tensor, mistakes: dict[str, Tensor]) -> None:
    """Expect pairs in any order; where their number is another, the hint says so."""
    got, want = _sorted(got), _sorted(want)
    missing = isinstance(got, Tensor) and got.shape[1:] == (2,) and len(got) - len(want)
    number = f"pairs are {'missing' if missing < 0 else 'too many'}: each i with all j where 0 < |i - j| <= widths[i]"
    known = {hint: _sorted(mistaken) for hint, mistaken in mistakes.items()}
    expect(got, want, known | {number: got if missing else None})


@checks("ch02.skipgram_pairs", hint="each position i with all j at a distance of 1 to widths[i], inside the text")
def each_centre_has_its_window(student: Student) -> None:
    ids, widths = [70, 30, 90, 50, 10, 20], [1, 3, 2, 1, 1, 4]
    _expect_pairs(
        student(torch.tensor(ids), torch.tensor(widths)),
        _pairs(ids, lambda i, j: 0 < abs(i - j) <= widths[i]),
        {
            "each centre is paired with itself: leave the distance 0 out": (
                _pairs(ids, lambda i, j: abs(i - j) <= widths[i])
            ),
            "only the right side: a context has words before the centre too": (
                _pairs(ids, lambda i, j: 0 < j - i <= widths[i])
            ),
            "only the left side: a context has words after the centre too": (
                _pairs(ids, lambda i, j: 0 < i - j <= widths[i])
            ),
            "the window is one too narrow: a distance of exactly w belongs to it": (
                _pairs(ids, lambda i, j: 0 < abs(i - j) < widths[i])
            ),
            "the end of the text does not touch its beginning: is a position negative?": (
                _pairs(ids, lambda i, j: 0 < min((i - j) % 6, (j - i) % 6) <= widths[i])
            ),
            "these are positions, not words: index ids with them": (
                _pairs(list(range(6)), lambda i, j: 0 < abs(i - j) <= widths[i])
            ),
            "all words are paired with all: the widths of the windows are not used": _pairs(ids, lambda i, j: i != j),
            "the width of the context is used, or the columns are swapped: first the centre, and its width counts": (
                _pairs(ids, lambda i, j: 0 < abs(i - j) <= widths[j])
            ),
            "the widest window is used for all: each centre has its own": (
                _pairs(ids, lambda i, j: 0 < abs(i - j) <= max(widths))
            ),
        },
    )


@checks("ch02.skipgram_pairs", hint="the right pairs in another order: by the position of the centre, then the context")
def order_of_the_pairs(student: Student) -> None:
    ids = [70, 30, 90, 50]
    want = _pairs(ids, lambda i, j: 0 < abs(i - j) <= 2)
    expect(
        student(torch.tensor(ids), torch.full((4,), 2)),
        want,
        {"sorted by the numbers of the words: the order is that of their positions in the text": _sorted(want)},
    )


@checks(
    "ch02.skipgram_pairs",
    hint="a word beside another occurrence of itself is a pair, and pairs may repeat: compare positions, not words",
)
def words_that_repeat(student: Student) -> None:
    ids = [4, 4, 6, 4, 6]
    want = _pairs(ids, lambda i, j: 0 < abs(i - j) <= 2)
    _expect_pairs(
        student(torch.tensor(ids), torch.full((5,), 2)),
        want,
        {
            "a word beside another occurrence of itself is a pair too: compare positions, not words": (
                want[want[:, 0] != want[:, 1]]
            ),
            "a pair that occurs twice is listed twice": want.unique(dim=0),
        },
    )


_NO_PAIR = "a single word has no pair: the result has two columns and no row, the shape (0, 2)"


@checks("ch02.skipgram_pairs", hint=_NO_PAIR)
def a_single_word(student: Student) -> None:
    expect(student(torch.tensor([5]), torch.tensor([3])), torch.zeros(0, 2), {_NO_PAIR: torch.zeros(0)})


@checks("ch02.skipgram_pairs", hint="a Python loop over the positions: a mask of distances and nonzero do it at once")
def no_python_loop(student: Student) -> None:
    with Cost() as cost:
        student(torch.arange(64), torch.arange(64) % 2 + 1)
    no_loop(cost, 64)


# unseen_vector

_ROWS = {
    "<ca": tensor([2, 0]),
    "cat": tensor([0, 4]),
    "at>": tensor([4, 8]),
    "<cat": tensor([9, 1]),
    "cat>": tensor([0, 7]),
    "at": tensor([100, 0]),  # too short to be asked for
    "dog": tensor([0, 100]),
}


def _copy(rows: dict[str, Tensor]) -> dict[str, Tensor]:
    return {ngram: row.clone() for ngram, row in rows.items()}


@checks("ch02.unseen_vector", hint="the mean of the rows of the word's n-grams")
def mean_of_the_rows(student: Student) -> None:
    expect(
        student("cat", _copy(_ROWS)),
        tensor([3, 4]),
        {
            "this is the sum, as in the paper: take the mean over the n-grams": tensor([15, 20]),
            "the signs are missing: cut up <word>, not word": tensor([0, 4]),
            "this is the mean of all rows: only the n-grams of the word count": tensor([115, 120]) / 7,
            "only the n-grams of the least length count here: go up to most": tensor([2, 4]),
            "a mean over the coordinates: the mean is over the n-grams, dim=0": tensor([1, 2, 6, 5, 3.5]),
            "rows of other lengths are used: the n-grams have the lengths least to most": tensor([115, 20]) / 6,
        },
    )


@checks("ch02.unseen_vector", hint="n-grams without a row do not count: divide by the number of those that have one")
def ngrams_without_a_row(student: Student) -> None:
    expect(
        student("cap", _copy(_ROWS)),
        tensor([2, 0]),
        {
            "divided by the number of all n-grams: those without a row do not count": tensor([2, 0]) / 5,
            "divided by the number of all n-grams, and of <word>: those without a row do not count": tensor([2, 0]) / 6,
        },
    )


@checks("ch02.unseen_vector", hint="an n-gram that occurs twice counts twice: a list, no set")
def ngrams_that_repeat(student: Student) -> None:
    rows = {ngram: tensor([0, 1]) for ngram in ("<ba", "ban", "nan", "na>")} | {"ana": tensor([6, 1])}
    range_ends = "nothing is found where least = most: both lengths are included, and range stops before its end"
    expect(student("banana", rows, least=3, most=3), tensor([2, 1]), {range_ends: torch.zeros(2)})


@checks("ch02.unseen_vector", hint="the lengths are arguments: use least and most")
def other_lengths(student: Student) -> None:
    rows = {"<c": tensor([1, 0]), "ca": tensor([0, 2]), "at": tensor([3, 0]), "t>": tensor([0, 4])}
    longer = {"cat": tensor([50, 50]), "<cat": tensor([50, 50])}
    expect(student("cat", rows | longer, least=2, most=2), tensor([1, 1.5]))


@checks("ch02.unseen_vector", hint="no n-gram has a row: return zeros of the size of a row")
def nothing_known(student: Student) -> None:
    expect(
        student("ёж", {"dog": tensor([1, 2, 3])}),
        torch.zeros(3),
        {"NaN is the mean over nothing: return zeros where no n-gram has a row": torch.full((3,), torch.nan)},
    )


@checks(
    "ch02.unseen_vector",
    hint="a row was changed: += on a tensor changes the tensor itself, and here it is the row. Add to fresh zeros",
)
def rows_stay_as_they_are(student: Student) -> None:
    rows = _copy(_ROWS)
    student("cat", rows)
    for ngram, row in _ROWS.items():
        if ngram not in rows or not rows[ngram].equal(row):
            came = rows[ngram].tolist() if ngram in rows else "nothing"
            raise Wrong(f"the row of {ngram} was {row.tolist()} before the call; now it is {came}")


# negative_sampling_loss: the oracle is a loop over numbers.


def _logistic(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def _dot(a: Tensor, b: Tensor) -> float:
    return sum(p * q for p, q in zip(a.tolist(), b.tolist(), strict=True))


def _true(v: Tensor, u: Tensor) -> list[float]:
    """Cost of the true context of each pair."""
    return [-math.log(_logistic(_dot(a, b))) for a, b in zip(v, u, strict=True)]


def _drawn(v: Tensor, negatives: Tensor) -> list[list[float]]:
    """Cost of each negative of each pair."""
    return [[-math.log(_logistic(-_dot(n, a))) for n in ns] for a, ns in zip(v, negatives, strict=True)]


@checks("ch02.negative_sampling_loss", hint="-log σ(u·v) - Σ log σ(-n·v), summed over the negatives of a pair")
def one_pair(student: Student) -> None:
    v, u, n = normal(1, 3, seed=1), normal(1, 3, seed=2), normal(1, 4, 3, seed=3)
    (true,), (drawn,) = _true(v, u), _drawn(v, n)
    p = _logistic(_dot(u[0], v[0]))
    near = sum(_drawn(-v, n)[0])
    expect(
        student(v, u, n),
        true + sum(drawn),
        {
            "the sign is wrong: this is what is maximised, the loss is its negative": -true - sum(drawn),
            "the minus inside the last σ is missing: a drawn word should score low": true + near,
            "the sign of the negatives is wrong: a drawn word costs -log σ(-n·v)": true - sum(drawn),
            "both signs inside σ are swapped: the true context should score high, a drawn word low": (
                -math.log(1 - p) + near
            ),
            "the negatives meet the centre v, not the context u": true + sum(_drawn(u, n)[0]),
            "the logarithm is missing: -log σ": -p - sum(math.exp(-cost) for cost in drawn),
            "the negatives are missing": true,
            "the true context is missing": sum(drawn),
            "this is the mean over the negatives: add them up": true + sum(drawn) / 4,
            "this is the mean over the negatives and the true context: add them up": (true + sum(drawn)) / 5,
            "the true context counts once, not once for each negative": 4 * true + sum(drawn),
            "the scores were added up: each negative has its own σ": (
                true - math.log(_logistic(-_dot(n.sum(dim=1)[0], v[0])))
            ),
        },
    )


@checks("ch02.negative_sampling_loss", hint="the mean over the pairs of the batch, each with its own negatives")
def mean_over_the_pairs(student: Student) -> None:
    v, u, n = normal(3, 2, seed=4), normal(3, 2, seed=5), normal(3, 1, 2, seed=6)
    true, drawn = sum(_true(v, u)), sum(sum(costs) for costs in _drawn(v, n))
    of_all = sum(sum(sum(costs) for costs in _drawn(v, n.roll(shift, dims=0))) for shift in range(3))
    every = sum(sum(_true(v, u.roll(shift, dims=0))) for shift in range(3))
    expect(
        student(v, u, n),
        (true + drawn) / 3,
        {
            "this is the sum: take the mean over the pairs": true + drawn,
            "the sum over the negatives is not divided by the number of pairs": true / 3 + drawn,
            "each pair has its own negatives: here each centre meets those of all pairs": (true + of_all) / 3,
            "each centre has its own context: here each meets all contexts": every / 9 + drawn / 3,
        },
    )


_HUGE = (torch.tensor([[1000.0]]), torch.tensor([[-1.0]]), torch.tensor([[[1.0]]]))  # float32; scores ±1000


@checks(
    "ch02.negative_sampling_loss",
    hint="log σ must not go over σ, which rounds to 0 or 1: logsigmoid, or softplus with the other sign",
)
def large_scores(student: Student) -> None:
    for v, u, n in (_HUGE, tuple(t.double() for t in _HUGE)):
        leaf = v.clone().requires_grad_()
        loss = student(leaf, u, n)
        expect(
            loss,
            2000.0,
            {
                "infinite: σ(-1000) rounds to 0, or exp(1000) to infinity. logsigmoid and softplus do without": (
                    torch.inf
                ),
                "inf - inf or inf / inf is NaN: exp(1000) is infinite. logsigmoid and softplus do without": torch.nan,
            },
        )
        grad = gradient(loss, leaf)
        branch = "NaN gradient: torch.where differentiates the branch that it leaves out too, and 0 · ∞ is NaN"
        expect(grad, torch.tensor([[2.0]]), {branch: torch.tensor([[torch.nan]])})


# spearman: the oracle ranks by counting.


def _pearson(a: list[float], b: list[float]) -> float:
    p, q = sum(a) / len(a), sum(b) / len(b)
    products = sum((x - p) * (y - q) for x, y in zip(a, b, strict=True))
    return products / math.sqrt(sum((x - p) ** 2 for x in a) * sum((y - q) ** 2 for y in b))


def _positions(values: list[float]) -> list[float]:
    """Where the smallest stands, the second smallest and so on: what argsort gives, and ranks are not."""
    return [float(i) for i in sorted(range(len(values)), key=values.__getitem__)]


def _ranks(values: list[float], equal: float) -> list[float]:
    """Ranks; of equal values each has the lowest rank plus the share ``equal`` of what they span."""
    return [sum(w < v for w in values) + 1 + equal * (values.count(v) - 1) for v in values]


def _dense(values: list[float]) -> list[float]:
    return [float(sorted(set(values)).index(v)) for v in values]


def _appearance(values: list[float]) -> list[float]:
    """Ranks in which the first of equal values comes first."""
    return [float(p) for p in _positions(_positions(values))]


def _short_formula(a: list[float], b: list[float]) -> float:
    n = len(a)
    return 1 - 6 * sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (n**3 - n)


@checks("ch02.spearman", hint="Pearson's correlation of the ranks")
def correlation_of_the_ranks(student: Student) -> None:
    x, y = [0.3, -2.0, 40.0, 1.5, 7.0, 2.5], [0.2, -1.0, 0.5, 9.0, 0.4, 0.3]
    a, b = _ranks(x, 0), _ranks(y, 0)
    want = _short_formula(a, b)
    order = [
        (p - q) * (r - s) > 0
        for i, (p, r) in enumerate(zip(x, y, strict=True))
        for q, s in zip(x[:i], y[:i], strict=True)
    ]
    cosine = sum(p * q for p, q in zip(a, b, strict=True)) / sum(p * p for p in a)
    expect(
        student(tensor(x), tensor(y)),
        want,
        {
            "this is Pearson's correlation of the values: take their ranks first": _pearson(x, y),
            "argsort is not the ranks: it says where the smallest stands. argsort of argsort does": (
                _pearson(_positions(x), _positions(y))
            ),
            "this is Kendall's correlation, which counts pairs in the same order": 2 * sum(order) / len(order) - 1,
            "this is the cosine of the ranks: subtract their mean first": cosine,
            "the sign is wrong": -want,
            "this is the covariance of the ranks: divide by both lengths": want * 35 / 12,
            "this is the covariance of the ranks over N - 1: divide by both lengths": want * 3.5,
        },
    )


@checks("ch02.spearman", hint="equal values share the mean of the ranks that they take up together")
def equal_values(student: Student) -> None:
    x, y = [5.0, 1.5, 5.0, 3.0, 5.0, 7.0, 1.5], [2.0, 3.5, 3.5, 5.0, 7.0, 6.0, 1.0]  # the values are ranks

    def ranked(rank: Callable[[list[float]], list[float]]) -> float:
        return _pearson(rank(x), rank(y))

    expect(
        student(tensor(x), tensor(y)),
        ranked(lambda values: _ranks(values, 0.5)),
        {
            "equal values are ranked as they come: they share their mean rank": ranked(_appearance),
            "equal values all have their lowest rank: they share the mean of theirs": ranked(lambda v: _ranks(v, 0)),
            "equal values all have their highest rank: they share the mean of theirs": ranked(lambda v: _ranks(v, 1)),
            "the values after equal ones rank too low: equal values take up as many ranks as there are": (
                ranked(_dense)
            ),
            "the short formula with 6 Σ (a - b)² does not hold with equal values: take Pearson's": (
                _short_formula(_ranks(x, 0.5), _ranks(y, 0.5))
            ),
        },
    )


@checks("ch02.spearman", hint="opposite orders have the correlation -1: the sign is lost")
def opposite_orders(student: Student) -> None:
    expect(student(tensor([1, 2, 4, 3]), tensor([4, 3, 1, 2])), -1.0)


@checks(
    "ch02.spearman",
    hint="where all values of one side are equal there is no order: 0 / 0 is NaN, nothing is added or replaced",
)
def a_constant_side(student: Student) -> None:
    values, constant = tensor([1, 2, 3, 4, 5, 6, 7]), torch.full((7,), 0.5, dtype=torch.float64)
    for x, y in ((constant, values), (values, constant)):
        expect(student(x, y), torch.nan)


# negative_sampling_gradient: the oracle differentiates the loss written with log1p and exp.


def _by_autograd(v: Tensor, u: Tensor, negatives: Tensor) -> list[Tensor]:
    v, u, negatives = (t.clone().requires_grad_() for t in (v, u, negatives))
    true = torch.einsum("bd,bd->b", v, u).neg().exp().log1p()
    drawn = torch.einsum("bd,bkd->bk", v, negatives).exp().log1p()
    return list(torch.autograd.grad((true.sum() + drawn.sum()) / len(v), (v, u, negatives)))


def _gradients(student: Student, *numbers: Tensor) -> tuple[Any, ...]:
    return unpack(student(*numbers), ("the gradient by v", "by u", "by negatives"))


_BATCH = normal(3, 2, seed=4), normal(3, 2, seed=5), normal(3, 4, 2, seed=6)
_NO_MEAN = "the factor 1/B is missing: the loss is a mean over B pairs"


@checks("ch02.negative_sampling_gradient", hint="the gradient by u is (σ(u·v) - 1) v, over B")
def by_the_true_context(student: Student) -> None:
    v, u, _ = _BATCH
    want = _by_autograd(*_BATCH)[1]
    p = tensor([[_logistic(_dot(a, b))] for a, b in zip(u, v, strict=True)])  # (B, 1)
    expect(
        _gradients(student, *_BATCH)[1],
        want,
        {
            _NO_MEAN: 3 * want,
            "the sign is wrong: the gradient points uphill, the error is σ(u·v) - 1": -want,
            "the error is σ(u·v) less what it should be: σ(u·v) - 1": p * v / 3,
            "u enters only the dot product with v: multiply the error by v, not by u": (p - 1) * u / 3,
            "this is the derivative of σ: the loss has log σ, whose derivative by the score is 1 - σ": (
                -p * (1 - p) * v / 3
            ),
            "this is the derivative by the score: it has still to be multiplied by v": (p - 1) / 3,
        },
    )


@checks("ch02.negative_sampling_gradient", hint="the gradient by the k-th negative is σ(n_k·v) v, over B")
def by_the_negatives(student: Student) -> None:
    v, _, n = _BATCH
    want = _by_autograd(*_BATCH)[2]
    centre = v[:, None]
    p = tensor([[[_logistic(_dot(one, a))] for one in ns] for a, ns in zip(v, n, strict=True)])  # (B, K, 1)
    expect(
        _gradients(student, *_BATCH)[2],
        want,
        {
            _NO_MEAN: 3 * want,
            "the sign is wrong: a drawn word is pushed away, the error is σ(n·v) - 0": -want,
            "the error of a drawn word is σ(n·v) - 0: it should have the probability 0, not 1": (p - 1) * centre / 3,
            "the error of a drawn word is σ(n·v), not σ(-n·v)": (1 - p) * centre / 3,
            "a negative enters only the dot product with v: multiply the error by v, not by the negative": p * n / 3,
            "each negative has its own gradient: no sum over them": want.sum(dim=1),
            "the negatives are added up in the loss: their gradients carry no 1/K": want / 4,
        },
    )


@checks("ch02.negative_sampling_gradient", hint="v is in all K + 1 scores: (σ(u·v) - 1) u + Σ σ(n_k·v) n_k, over B")
def by_the_centre(student: Student) -> None:
    v, u, _ = _BATCH
    want = _by_autograd(*_BATCH)[0]
    true = tensor([[_logistic(_dot(a, b)) - 1] for a, b in zip(u, v, strict=True)]) * u / 3
    expect(
        _gradients(student, *_BATCH)[0],
        want,
        {
            _NO_MEAN: 3 * want,
            "the negatives are missing: v is in their scores too": true,
            "the true context is missing: v is in its score too": want - true,
            "the sign of the negatives is wrong: their errors are added": 2 * true - want,
            "the sign is wrong: the gradient points uphill": -want,
            "this is the mean over the negatives: add them up": true + (want - true) / 4,
        },
    )


@checks(
    "ch02.negative_sampling_gradient",
    hint="NaN: exp(1000) is infinite, and inf / inf is NaN. torch.sigmoid copes with any score",
)
def large_scores_give_numbers(student: Student) -> None:
    for name, got in zip(("v", "u", "negatives"), _gradients(student, *_HUGE), strict=True):
        if isinstance(got, Tensor) and not got.isfinite().all():
            raise Wrong(f"the gradient by {name} is {got.tolist()}")


@checks(
    "ch02.negative_sampling_gradient", hint="by hand: write the formula of the gradient, without autograd or backward()"
)
def without_autograd(student: Student) -> None:
    with torch.inference_mode():
        student(*_BATCH)
