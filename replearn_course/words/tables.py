"""Where the vectors of words live: one row a word, or the mean of the rows of a word and of its n-grams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from replearn_course.words.ngrams import Subwords

__all__ = ["SubwordTable", "WordTable"]


class WordTable:
    """One row a word.

    Args:
        rows: ``(V, d)``.
    """

    steps_together: int | None = None  # how many steps one borrowing serves: all

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    @contextmanager
    def borrow(self, ids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """A matrix whose rows may be changed, and where in it the words stand: here simply the table and the ids."""
        yield self.rows, ids

    def vectors(self) -> Tensor:
        """The vectors of all words ``(V, d)``."""
        return self.rows


class SubwordTable:
    """The vector of a word is the mean of its own row and of its n-grams' rows.

    Bojanowski et al. 2017, section 3.2 (https://arxiv.org/abs/1607.04606), write a sum, and document D2 as well; fastText's
    code and gensim take the mean. As in their code, what a word's vector is told to change, each of its rows is told whole.

    Args:
        rows: ``(len(subwords), d)``, on the device of the subwords.
        subwords: which rows a word has.
        cap: how many words' changes of one row may add up in one borrowing; more are scaled down to so many. The words
            with ``ing>``, say, do not see each other's steps, and all of them added up go too far: the row runs away.
    """

    steps_together: int | None = 2

    def __init__(self, rows: Tensor, subwords: Subwords, cap: float) -> None:
        self.rows, self.subwords, self.cap = rows, subwords, cap

    @contextmanager
    def borrow(self, ids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """A matrix with the vectors of the words at hand, composed once for several steps, and where each stands in it.

        What was changed in the matrix is handed back to the rows at the end.
        """
        words, places = torch.unique(ids, return_inverse=True)
        rows, owners = self.subwords.bags(words)
        before = self._means(rows, owners, len(words))
        matrix = before.clone()
        yield matrix, places
        self._hand_back(matrix.sub_(before), rows, owners)

    def vectors(self, chunk: int = 1 << 14) -> Tensor:
        """The vectors of all words ``(V, d)``, some at a time."""
        words = torch.arange(self.subwords.words, device=self.rows.device)
        return torch.cat([self._means(*self.subwords.bags(part), len(part)) for part in words.split(chunk)])

    def _means(self, rows: Tensor, owners: Tensor, n: int) -> Tensor:
        """The means of the rows of each of ``n`` owners, which stand in order ``(n, d)``."""
        sizes = torch.bincount(owners, minlength=n)
        return F.embedding_bag(rows, self.rows, _starts(sizes), mode="sum").div_(sizes[:, None])

    def _hand_back(self, change: Tensor, rows: Tensor, owners: Tensor) -> None:
        """Add each word's change to each of its rows: a sum for each row over the words that have it."""
        rows, order = rows.sort()
        distinct, counts = torch.unique_consecutive(rows, return_counts=True)
        sums = F.embedding_bag(owners[order], change, _starts(counts), mode="sum")  # (R, d)
        sums *= (self.cap / counts).clamp(max=1)[:, None]
        self.rows.index_add_(0, distinct.long(), sums)


def _starts(sizes: Tensor) -> Tensor:
    """Where bags of these sizes begin when they stand one after the other."""
    return (sizes.cumsum(0) - sizes).int()
