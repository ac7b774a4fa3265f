"""Character n-grams: which there are in a word, and which row of a table each has."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError

__all__ = ["Subwords", "character_ngrams", "fnv1a"]


def character_ngrams(word: str, least: int = 3, most: int = 6) -> list[str]:
    """The n-grams of ``<word>``, with signs for its beginning and end, from the shortest to the longest.

    ``<word>`` itself is not among them: a word of the vocabulary has a row of its own (Bojanowski et al. 2017, section 3.2,
    https://arxiv.org/abs/1607.04606; document D2 says the same).

    Args:
        word: not empty.
        least: letters of the shortest.
        most: letters of the longest.
    """
    marked = f"<{word}>"
    return [marked[i : i + n] for n in range(least, min(most, len(marked) - 1) + 1) for i in range(len(marked) - n + 1)]


def fnv1a(text: str) -> int:
    """The 32-bit FNV-1a hash of the UTF-8 bytes, in the variant of fastText's code: bytes above 127 are sign-extended."""
    h = 2166136261
    for byte in text.encode():
        h = ((h ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) & 0xFFFFFFFF
    return h


class Subwords:
    """Rows of a table for words and their n-grams: first one row a word, then the n-grams'.

    Args:
        words: the vocabulary.
        least: letters of the shortest n-gram, with the signs ``<`` and ``>``.
        most: letters of the longest.
        buckets: hash the n-grams into so many rows, as fastText does; by default each n-gram of the vocabulary has a row of
            its own, and one that no word of the vocabulary has is left out.

    Raises:
        ReplearnError: for lengths that are not ``1 <= least <= most``, or fewer than 1 bucket.
    """

    def __init__(self, words: Sequence[str], least: int = 3, most: int = 6, buckets: int | None = None) -> None:
        if not 1 <= least <= most:
            raise ReplearnError(f"least, most: expected 1 <= least <= most, got {least} and {most}")
        if buckets is not None and buckets < 1:
            raise ReplearnError(f"buckets: expected 1 or more, got {buckets}")
        self.least, self.most, self.buckets = least, most, buckets
        self._row: dict[str, int] = {}
        rows, starts = [], [0]
        for i, word in enumerate(words):
            rows.append(i)
            for ngram in character_ngrams(word, least, most):
                if ngram not in self._row:
                    offset = len(self._row) if buckets is None else fnv1a(ngram) % buckets
                    self._row[ngram] = len(words) + offset
                rows.append(self._row[ngram])
            starts.append(len(rows))
        self.words, self.ngrams = len(words), len(self._row)
        self.rows = torch.tensor(rows, dtype=torch.int32)  # of all words one after the other
        self.starts = torch.tensor(starts, dtype=torch.int32)  # (V + 1,)

    def __len__(self) -> int:
        """Rows of the table."""
        return self.words + (self.ngrams if self.buckets is None else self.buckets)

    def of_unseen(self, word: str) -> list[int]:
        """Rows of the n-grams of a word that is not in the vocabulary; none where no n-gram has a row."""
        ngrams = character_ngrams(word, self.least, self.most)
        if self.buckets is not None:
            return [self.words + fnv1a(ngram) % self.buckets for ngram in ngrams]
        return [self._row[ngram] for ngram in ngrams if ngram in self._row]

    def bags(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of some words, one after the other, and whose each is.

        Args:
            words: ids ``(U,)``.

        Returns:
            rows ``(L,)``, and for each its position in ``words``, ``(L,)``, from 0 up; int32 both.
        """
        first = self.starts[words]
        sizes = self.starts[words + 1] - first
        starts = sizes.cumsum(0, dtype=torch.int32) - sizes
        places = torch.arange(len(words), dtype=torch.int32, device=words.device).repeat_interleave(sizes)
        within = torch.arange(len(places), dtype=torch.int32, device=words.device)
        return self.rows[within + (first - starts)[places]], places

    def to(self, device: torch.device | str) -> Subwords:
        """The same on a device."""
        there = copy.copy(self)
        there.rows, there.starts = self.rows.to(device), self.starts.to(device)
        return there
