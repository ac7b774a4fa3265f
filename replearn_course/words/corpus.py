"""A corpus as numbers: one pass over the text, word ids in a file, and from then on memory never depends on its length."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from replearn_course.errors import ReplearnError
from replearn_course.words.text import BOUNDARY, Source, Tokenizer, pieces, tokenize
from replearn_course.words.vocabulary import Vocabulary

__all__ = ["Corpus", "encode"]

CHUNK = 1 << 23  # ids rewritten at a time


@dataclass(frozen=True)
class Corpus:
    """A text as ids of a vocabulary.

    Attributes:
        vocabulary: its words.
        ids: int32 ``(T,)``, mapped from a file: ids of words in the order of the text, -1 between sentences. Words that
            are not in the vocabulary are left out, as word2vec does, so that their neighbours move together.
        words: how many words the text has, with those that were left out.
    """

    vocabulary: Vocabulary
    ids: np.ndarray
    words: int
    _folder: Any = field(repr=False, default=None)  # keeps the file for as long as the corpus lives

    def __len__(self) -> int:
        return len(self.ids)

    def has_words(self) -> bool:
        """Whether there is more than boundaries; a text that has words is not read to its end."""
        return any((part >= 0).any() for part in _chunks(self.ids))

    def part(self, number: int, parts: int, slices: int) -> Tensor:
        """One of several parts of the text that are alike: a slice from each of many places all over it.

        Neighbouring pages share their rare words, and a step that sees a word many times learns badly from it; in a part made
        of slices from everywhere, a word is about as frequent as in the whole.

        Args:
            number: which part, from 0.
            parts: how many there are; together they are the text.
            slices: how many places each comes from.

        Returns:
            ids ``(n,)`` in memory, int32, with -1 between slices as between sentences.
        """
        edges = np.linspace(0, len(self), slices * parts + 1).astype(np.int64)
        starts, ends = edges[number:-1:parts], edges[number + 1 :: parts]
        pieces = [piece for a, b in zip(starts, ends, strict=True) for piece in (self.ids[a:b], [-1])]
        return torch.from_numpy(np.concatenate(pieces, dtype=np.int32))


def encode(
    source: Source,
    *,
    min_count: int = 5,
    max_words: int | None = None,
    tokenizer: Tokenizer = tokenize,
    folder: Path | str | None = None,
) -> Corpus:
    """Read a text once, count its words, and write it as ids.

    Args:
        source: see :func:`~replearn_course.words.text.pieces`: a file, a folder, or any iterable of sentences.
        min_count: words that occur less often are left out.
        max_words: the most frequent ones are kept; by default all. Equally frequent words are in alphabetical order.
        tokenizer: from text to words; ``str.split`` where the text is tokenized already.
        folder: where the file of ids goes, 4 bytes a word, twice as many while reading; by default the system's temporary
            folder. It is removed with the corpus.

    Raises:
        ReplearnError: when the text is empty, has fewer than two words, no word occurs ``min_count`` times, the disk is
            full, or the source cannot be read.
    """
    if min_count < 1:
        raise ReplearnError(f"min_count: expected 1 or more, got {min_count}")
    if max_words is not None and max_words < 2:
        raise ReplearnError(f"max_words: expected 2 or more, got {max_words}")
    try:
        place = tempfile.TemporaryDirectory(prefix="replearn-corpus-", dir=folder)
        first, ids = Path(place.name) / "as-read", Path(place.name) / "ids"
        words, counts = _read(source, tokenizer, first)
        kept = _kept(words, counts, min_count, max_words)
        new_id = np.full(len(words), -2, np.int32)  # -2: left out
        new_id[0] = -1
        new_id[kept] = np.arange(len(kept), dtype=np.int32)
        vocabulary = Vocabulary([words[i] for i in kept], torch.from_numpy(counts[kept]))
        _rewrite(first, ids, new_id)
        first.unlink()
    except OSError as error:
        where = folder or tempfile.gettempdir()
        raise ReplearnError(
            f"folder: cannot write the ids below {where}: {error.strerror or error}; they need 8 bytes a word, "
            f"and go elsewhere with this argument or the environment variable TMPDIR"
        ) from error
    return Corpus(vocabulary, np.memmap(ids, np.int32, "r"), int(counts[1:].sum()), place)


class _Numbers(dict[str, int]):
    """Gives each new word the next number: with ``map`` this counts a million words in a tenth of a second."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


def _read(source: Source, tokenizer: Tokenizer, path: Path) -> tuple[list[str], np.ndarray]:
    """Write each word as a number in order of first appearance, 0 for a boundary; return the words and their counts."""
    numbers = _Numbers({BOUNDARY: 0})
    counts = np.zeros(1 << 16, np.int64)
    with path.open("wb") as file:
        for tokens in pieces(source, tokenizer):
            part = np.fromiter(map(numbers.__getitem__, tokens), np.int32, len(tokens))
            file.write(part.data)  # a full disk is named in its error, in that of `tofile` it is not
            if len(numbers) > len(counts):
                counts = np.concatenate([counts, np.zeros(len(numbers), np.int64)])
            np.add.at(counts, part, 1)  # a piece may be one short sentence: nothing here may cost a vocabulary
    if "" in numbers:
        raise ReplearnError("source: expected words, got an empty string among them")
    return list(numbers), counts[: len(numbers)]


def _kept(words: list[str], counts: np.ndarray, min_count: int, max_words: int | None) -> list[int]:
    """The numbers of the words of the vocabulary, most frequent first."""
    if len(words) < 2:
        raise ReplearnError("source: expected a text, got one without a single word")
    if len(words) < 3:
        raise ReplearnError(f"source: expected a text of different words, got only {words[1]!r}, {counts[1]} times")
    often = [i for i in range(1, len(words)) if counts[i] >= min_count]
    if len(often) < 2:
        most = int(counts[1:].max())
        raise ReplearnError(
            f"min_count: of {len(words) - 1} different words {len(often)} occur {min_count} times or more, expected at least 2; "
            f"the most frequent occurs {most} time{'s' if most > 1 else ''}: choose a smaller min_count or a longer text"
        )
    return sorted(often, key=lambda i: (-counts[i], words[i]))[:max_words]


def _rewrite(source: Path, target: Path, new_id: np.ndarray) -> None:
    with target.open("wb") as file:
        for part in _chunks(np.memmap(source, np.int32, "r")):
            ids = new_id[part]
            file.write(ids[ids != -2].data)


def _chunks(ids: np.ndarray) -> Iterator[np.ndarray]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
