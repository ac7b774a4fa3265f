"""Word vectors against what people say: the similarity of pairs, and analogies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_count, check_tensors
from replearn_course.files import read_text
from replearn_course.losses.distances import paired_distances
from replearn_course.probes.neighbours import CHUNK
from replearn_course.words.vectors import WordVectors

__all__ = ["Analogies", "Similarity", "analogies", "read_analogies", "read_pairs", "similarity", "spearman"]

Pair = tuple[str, str, float]
Question = tuple[str, str, str, str]


def spearman(x: Tensor, y: Tensor) -> float:
    r"""Spearman's rank correlation: Pearson's correlation of the ranks.

    With the ranks :math:`r_i` of ``x`` and :math:`s_i` of ``y``,

    .. math:: \rho = \frac{\sum_i (r_i - \bar r)(s_i - \bar s)}
        {\sqrt{\sum_i (r_i - \bar r)^2} \sqrt{\sum_i (s_i - \bar s)^2}}.

    Equal values share the mean of the ranks that they take up. Source: Spearman 1904, "The Proof and Measurement of
    Association between Two Things" (https://doi.org/10.2307/1412159).

    Args:
        x: finite numbers ``(N,)``, at least two different ones.
        y: the same number of them, of any real dtype.

    Returns:
        From -1 to 1.

    Raises:
        ReplearnError: for a wrong shape, NaN or infinity, or values that are all equal, which have no order.
    """
    check_tensors(x=x, y=y)
    for name, values in (("x", x), ("y", y)):
        if values.ndim != 1 or len(values) != len(x) or values.is_complex():
            raise ReplearnError(f"{name}: expected real numbers of shape ({len(x)},), got {tuple(values.shape)}")
        if not values.isfinite().all():
            raise ReplearnError(f"{name}: expected finite values, got NaN or infinity")
        if len(values.unique()) < 2:
            raise ReplearnError(f"{name}: expected at least two different values, got {len(values)} equal ones")
    r, s = (ranks - ranks.mean() for ranks in (_ranks(x), _ranks(y)))
    rho = (r @ s / (r @ r * (s @ s)).sqrt()).item()
    return min(max(rho, -1.0), 1.0)


def _ranks(x: Tensor) -> Tensor:
    """Ranks from 1 up ``(N,)``, float64; equal values share their mean rank."""
    _, place, counts = x.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts.double() - 1) / 2)[place]


def read_pairs(path: Path | str) -> list[Pair]:
    """Read pairs of words with the score that people gave them, as WordSim-353, SimLex-999, MEN or RW have them.

    A line holds two words and a number, separated by tabs or, where there is none, by other white space. Empty lines
    and those that begin with ``#`` are passed over, and so is a first line whose last field has no digit: a header.

    Raises:
        ReplearnError: naming the file and the line, when it is absent or malformed, or has no pair.
    """
    pairs: list[Pair] = []
    header = True  # may still come
    for place, line in _lines(path):
        if line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
        is_header = header and not any(letter.isdigit() for letter in fields[-1])
        header = False
        if is_header:
            continue
        score = _number(fields[-1])
        if len(fields) != 3 or not all(fields) or not math.isfinite(score):
            raise ReplearnError(f"{place}: expected two words and a number, got {line!r}")
        pairs.append((fields[0], fields[1], score))
    if not pairs:
        raise ReplearnError(f"{path}: expected pairs of words with a score, got none")
    return pairs


@dataclass(frozen=True)
class Similarity:
    """What :func:`similarity` found, with its protocol.

    Attributes:
        rho: Spearman's correlation of cosines and human scores, in [-1, 1], over the pairs that were found.
        pairs: pairs that were asked.
        found: pairs whose two words have a vector.
        left_out: the others, which were not counted.
        lower: whether the words were lower-cased.
    """

    rho: float
    pairs: int
    found: int
    left_out: int
    lower: bool


def similarity(vectors: WordVectors, pairs: Sequence[Pair], *, lower: bool = True) -> Similarity:
    """Compare the cosines of word vectors with the scores that people gave the same pairs.

    Protocol: Spearman's correlation over the pairs whose two words have a vector; the others are left out and counted,
    so that two models compare only where both found the same pairs. A model that has vectors for unseen words
    (``WordVectors.vector``) leaves out fewer. A pair that stands twice counts twice.
    A zero vector has the cosine 0 with everything.

    Args:
        vectors: the word vectors.
        pairs: of :func:`read_pairs`: two words and their score.
        lower: lower-case the words of the pairs, for vectors of a lower-cased corpus.

    Raises:
        ReplearnError: for something other than word vectors, fewer than two pairs with vectors, or cosines or scores
            that are all equal.
    """
    _check_vectors(vectors)
    first, second, scores = [], [], []
    for a, b, score in pairs:
        x, y = (vectors.vector(word.lower() if lower else word) for word in (a, b))
        if x is not None and y is not None:
            first.append(x)
            second.append(y)
            scores.append(score)
    if len(scores) < 2:
        raise ReplearnError(f"pairs: expected two or more whose words have vectors, got {len(scores)} of {len(pairs)}")
    cosines = 1 - paired_distances(torch.stack(first).double(), torch.stack(second).double(), metric="cosine")
    return Similarity(
        rho=spearman(cosines.cpu(), torch.tensor(scores, dtype=torch.float64)),
        pairs=len(pairs),
        found=len(scores),
        left_out=len(pairs) - len(scores),
        lower=lower,
    )


def read_analogies(path: Path | str) -> dict[str, list[Question]]:
    """Read analogy questions by section, in the form of word2vec's ``questions-words.txt``.

    A line ``: name`` begins a section; every other line that is not empty holds four words ``a b c d``, for "``a`` is
    to ``b`` as ``c`` is to ``d``".

    Raises:
        ReplearnError: naming the file and the line, when it is absent or malformed, or has no question.
    """
    sections: dict[str, list[Question]] = {}
    questions: list[Question] | None = None
    for place, line in _lines(path):
        if line.startswith(":"):
            questions = sections.setdefault(line[1:].strip(), [])
            continue
        if questions is None:
            raise ReplearnError(f"{place}: expected a section (': name') before the first question, got {line!r}")
        fields = line.split()
        if len(fields) != 4:
            raise ReplearnError(f"{place}: expected four words, got {line!r}")
        a, b, c, d = fields
        questions.append((a, b, c, d))
    if not any(sections.values()):
        raise ReplearnError(f"{path}: expected analogy questions, got none")
    return sections


@dataclass(frozen=True)
class Analogies:
    """What :func:`analogies` found, with its protocol.

    Attributes:
        accuracy: share of right answers among the questions that were asked, in [0, 1].
        semantic: the same for the semantic sections; None where no question of them was asked.
        syntactic: the same for the syntactic sections, whose names begin with ``gram``.
        by_section: right answers and questions asked, by section, in the order of the file.
        asked: questions whose four words are in the vocabulary.
        of: questions that there are.
        vocabulary: words that could be the answer.
        lower: whether the words of the questions were lower-cased.
    """

    accuracy: float
    semantic: float | None
    syntactic: float | None
    by_section: dict[str, tuple[int, int]]
    asked: int
    of: int
    vocabulary: int
    lower: bool


@torch.no_grad()
def analogies(
    vectors: WordVectors,
    questions: Mapping[str, Sequence[Question]],
    *,
    restrict: int = 30_000,
    lower: bool = True,
    chunk: int = CHUNK,
) -> Analogies:
    r"""Answer analogy questions by the arithmetic of word vectors.

    Protocol, that of word2vec's ``compute-accuracy`` program: with unit vectors :math:`x`, the answer to
    ":math:`a` is to :math:`b` as :math:`c` is to ..." is

    .. math:: \operatorname*{arg\,max}_{x \notin \{a, b, c\}} \; (b - a + c) \cdot x

    over the first ``restrict`` words, the most frequent ones. It is right when it is :math:`d`, and never when
    :math:`d` is one of the three. A question with a word outside of these is left out and counted. Of words with equal
    products the earlier one is the answer. Sources: Mikolov et al. 2013, "Efficient Estimation of Word Representations
    in Vector Space", section 4.1 (https://arxiv.org/abs/1301.3781); Levy and Goldberg 2014, who call it 3CosAdd
    (https://aclanthology.org/W14-1618).

    Args:
        vectors: the word vectors, in the order of frequency.
        questions: of :func:`read_analogies`: sections of questions ``(a, b, c, d)``.
        restrict: words that count as known, from the first; all, where there are not so many.
        lower: lower-case the words of the questions, for vectors of a lower-cased corpus.
        chunk: questions at a time; memory is proportional to ``chunk * restrict``.

    Raises:
        ReplearnError: for something other than word vectors, ``restrict`` or ``chunk`` below 1, or no question whose
            words are all known.
    """
    _check_vectors(vectors)
    check_count(restrict=restrict, chunk=chunk)
    unit = vectors.unit[:restrict]
    rows, sections = [], []
    for name, section in questions.items():
        for question in section:
            row = [vectors.index.get(word.lower() if lower else word, restrict) for word in question]
            if max(row) < restrict:
                rows.append(row)
                sections.append(name)
    of = sum(map(len, questions.values()))
    if not rows:
        raise ReplearnError(f"questions: expected some with words among the first {len(unit)}, got none of {of}")

    score = {name: [0, 0] for name in questions}
    right: list[bool] = []
    for part in torch.tensor(rows, device=unit.device).split(chunk):
        a, b, c, d = part.unbind(dim=1)
        products = (unit[b] - unit[a] + unit[c]) @ unit.T
        best, answers = products.scatter_(1, part[:, :3], -torch.inf).max(dim=1)
        right += ((answers == d) & (best > -torch.inf)).tolist()  # -inf: there was no word but the three
    for name, is_right in zip(sections, right, strict=True):
        score[name][0] += is_right
        score[name][1] += 1
    return Analogies(
        accuracy=sum(right) / len(right),
        semantic=_share(score[name] for name in score if not name.startswith("gram")),
        syntactic=_share(score[name] for name in score if name.startswith("gram")),
        by_section={name: (hits, asked) for name, (hits, asked) in score.items()},
        asked=len(right),
        of=of,
        vocabulary=len(unit),
        lower=lower,
    )


def _share(scores: Iterable[list[int]]) -> float | None:
    hits, asked = (sum(column) for column in zip([0, 0], *scores, strict=True))
    return hits / asked if asked else None


def _check_vectors(vectors: object) -> None:
    if not isinstance(vectors, WordVectors):
        raise ReplearnError(f"vectors: expected WordVectors, got {type(vectors).__name__}")


def _lines(path: Path | str) -> Iterator[tuple[str, str]]:
    """The lines that are not empty, stripped, each after its place for errors."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
