"""The vocabulary: which words there are, how often each occurs, and the two probabilities that word2vec makes of that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError

__all__ = ["Vocabulary", "check_word"]

# What the files can hold. A no-break space is a letter here, as in the published vectors of fastText.
_WORD = re.compile(r"[^ \t\n\r\x0b\x0c\ud800-\udfff]+")


def check_word(word: object, where: str = "") -> None:
    """Check that a word can be written to all files: text, not empty, without ASCII white space or lone surrogates.

    Args:
        word: to look at.
        where: ends what the error says, such as ``" in row 5"``.

    Raises:
        ReplearnError: when it cannot.
    """
    if not isinstance(word, str) or not _WORD.fullmatch(word):
        raise ReplearnError(f"words: expected text without white space, got {word!r}{where}")


class Vocabulary:
    """Words with their counts, most frequent first.

    Args:
        words: each once, without white space; their positions are their ids.
        counts: how often each occurs ``(V,)``, 1 or more.

    Raises:
        ReplearnError: when there are no words, a word stands twice or has white space, or the counts are not one positive
            integer a word.
    """

    def __init__(self, words: Sequence[str], counts: Tensor | Sequence[int]) -> None:
        self.words, self.counts = list(words), torch.as_tensor(counts, dtype=torch.int64)
        if not self.words:
            raise ReplearnError("words: expected at least one word, got none")
        if self.counts.shape != (len(self.words),):
            raise ReplearnError(f"counts: expected shape ({len(self.words)},), got {tuple(self.counts.shape)}")
        if self.counts.min() < 1:
            raise ReplearnError(f"counts: expected 1 or more for each word, got {self.counts.min()}")
        for word in self.words:
            check_word(word)
        if len(self.ids) < len(self.words):
            raise ReplearnError("words: expected each word once, got some twice")

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.ids

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each word."""
        return {word: i for i, word in enumerate(self.words)}

    @property
    def frequencies(self) -> Tensor:
        """The share of each word ``(V,)``, float64, in (0, 1]."""
        return self.counts.double() / self.counts.sum()

    def keep_probability(self, sample: float) -> Tensor:
        r"""With which probability an occurrence of each word is kept when frequent words are thinned out ``(V,)``.

        .. math:: p(w) = \min\Bigl(1, \sqrt{t / f(w)} + t / f(w)\Bigr)

        with the word's share :math:`f` and the threshold :math:`t`, ``sample``. This is the form of the authors' code, and of
        gensim's; the paper (Mikolov et al. 2013, section 2.3, https://arxiv.org/abs/1310.4546) has only the root.

        Args:
            sample: the share from which on words are thinned out, such as 1e-4; 0 keeps everything.

        Raises:
            ReplearnError: when ``sample`` is below 0.
        """
        if not 0 <= sample < float("inf"):
            raise ReplearnError(f"sample: expected a number from 0 up, got {sample}")
        if sample == 0:
            return torch.ones(len(self), dtype=torch.float64)
        ratio = sample / self.frequencies
        return (ratio.sqrt() + ratio).clamp(max=1)

    def noise(self, power: float = 0.75) -> Tensor:
        r"""The distribution of negatives ``(V,)``: :math:`f(w)^{3/4}`, made to sum to 1 (Mikolov et al. 2013, section 2.2)."""
        weights = self.counts.double().pow(power)
        return weights / weights.sum()
