"""Word vectors: words, their vectors, and what stands near what."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_embeddings, check_tensors, unknown_name
from replearn_course.files import load_weights, save_weights, weights_metadata
from replearn_course.words.formats import read_word2vec, write_word2vec
from replearn_course.words.ngrams import Subwords
from replearn_course.words.vocabulary import check_word

__all__ = ["SubwordVectors", "WordVectors"]

_FORMAT, _VERSION = "replearn word vectors", "1"


class WordVectors:
    """Words and their vectors, in the order of frequency where that is known.

    Attributes:
        words: the ``V`` words.
        index: the row of each word.
        matrix: the vectors ``(V, d)``, float32; not to be changed, for :attr:`unit` is kept.
        counts: how often each word stood in the corpus ``(V,)``, int64, or None.
    """

    def __init__(self, words: Sequence[str], matrix: Tensor, counts: Tensor | None = None) -> None:
        """Check and hold; nothing is copied but the list of words.

        Args:
            words: different, not empty, without ASCII white space or lone surrogates.
            matrix: their vectors ``(V, d)``, float32, finite.
            counts: their counts ``(V,)``, int64, from 0 up.

        Raises:
            ReplearnError: naming the argument, what came and what is expected.
        """
        self.words = list(words)
        self.index: dict[str, int] = {}
        for row, word in enumerate(self.words):
            check_word(word, f" in row {row}")
            if self.index.setdefault(word, row) != row:
                raise ReplearnError(f"words: expected each once, got {word!r} in rows {self.index[word]} and {row}")
        check_tensors(matrix=matrix)
        if matrix.ndim != 2 or len(matrix) != len(self.words) or not matrix.numel():
            raise ReplearnError(
                f"matrix: expected shape (V, d), a row for each of {len(self.words)} words, got {tuple(matrix.shape)}"
            )
        if matrix.dtype != torch.float32:
            raise ReplearnError(f"matrix: expected torch.float32, got {matrix.dtype}")
        if not torch.stack(matrix.detach().aminmax()).isfinite().all():  # NaN passes through; no mask of (V, d) is made
            check_embeddings(matrix=matrix)
        if counts is not None:
            check_tensors(counts=counts)
            if counts.shape != (len(self.words),) or counts.dtype != torch.int64:
                raise ReplearnError(
                    f"counts: expected shape ({len(self.words)},) and torch.int64, "
                    f"got {tuple(counts.shape)} and {counts.dtype}"
                )
            if counts.min() < 0:
                raise ReplearnError(f"counts: expected numbers from 0 up, got {counts.min().item()}")
        self.matrix = matrix.detach()
        self.counts = counts

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.index

    def __getitem__(self, word: str) -> Tensor:
        """The vector ``(d,)`` of a word.

        Raises:
            ReplearnError: for a word without a vector, with the known ones that are spelled alike.
        """
        if not isinstance(word, str):
            raise ReplearnError(f"word: expected a string, got {type(word).__name__} {word!r}")
        vector = self.vector(word)
        if vector is None:
            raise self._unknown(word)
        return vector

    def vector(self, word: str) -> Tensor | None:
        """The vector ``(d,)`` of a word, None if it has none. What knows parts of words has one for unseen words."""
        row = self.index.get(word)
        return None if row is None else self.matrix[row]

    @cached_property
    def unit(self) -> Tensor:
        """The vectors with length 1 ``(V, d)``; zero vectors stay zero. Made once, with the memory of the matrix."""
        return _unit(self.matrix)

    def nearest(self, query: str | Tensor, k: int = 10, exclude: Iterable[str] = ()) -> list[tuple[str, float]]:
        r"""The words whose vectors have the largest cosine :math:`\frac{x \cdot q}{\|x\| \|q\|}` with the query's.

        A zero vector has the cosine 0 with everything. Of words with equal cosines the earlier comes first.

        Args:
            query: a word, which is left out of the answer, or a vector ``(d,)``.
            k: how many, above 0; fewer come where there are not so many.
            exclude: words to leave out, known or not.

        Returns:
            Words and cosines in [-1, 1] up to rounding, the largest first.

        Raises:
            ReplearnError: for a word without a vector, a malformed vector or ``k`` below 1.
        """
        if k < 1:
            raise ReplearnError(f"k: expected 1 or more, got {k}")
        left_out = set(exclude)
        if isinstance(query, str):
            left_out.add(query)
            query = self[query]
        check_tensors(query=query)
        if query.shape != self.matrix.shape[1:] or not query.is_floating_point():
            raise ReplearnError(
                f"query: expected a floating vector of shape {tuple(self.matrix.shape[1:])}, "
                f"got {tuple(query.shape)} of {query.dtype}"
            )
        if not query.isfinite().all():
            raise ReplearnError("query: expected finite values, got NaN or infinity")
        cosines = self.unit @ _unit(query.detach()).to(self.unit)
        rows = [self.index[word] for word in left_out if word in self.index]
        cosines[rows] = -torch.inf
        k = min(k, len(self) - len(rows))
        if not k:
            return []
        # topk leaves the choice among equal cosines open; here the earlier words are taken.
        kept = (cosines >= cosines.topk(k).values[-1]).nonzero()[:, 0]
        best = kept[cosines[kept].sort(descending=True, stable=True).indices[:k]]
        return [(self.words[row], cosine) for row, cosine in zip(best.tolist(), cosines[best].tolist(), strict=True)]

    def analogy(self, a: str, b: str, c: str, k: int = 10) -> list[tuple[str, float]]:
        r"""The words for "``a`` is to ``b`` as ``c`` is to ...", the three left out.

        With unit vectors, the words :math:`x` with the largest cosine with :math:`b - a + c`: Mikolov, Yih and Zweig
        2013, "Linguistic Regularities in Continuous Space Word Representations", section 4
        (https://aclanthology.org/N13-1090), called 3CosAdd by Levy and Goldberg 2014, "Linguistic Regularities in
        Sparse and Explicit Word Representations" (https://aclanthology.org/W14-1618).

        Raises:
            ReplearnError: for a word without a vector or ``k`` below 1.
        """
        start, end, other = (_unit(self[word]) for word in (a, b, c))
        return self.nearest(end - start + other, k, exclude=(a, b, c))

    def subset(self, n: int) -> WordVectors:
        """The first ``n`` words, with views of their vectors and counts.

        Raises:
            ReplearnError: unless ``n`` is from 1 to the number of words.
        """
        if not 1 <= n <= len(self):
            raise ReplearnError(f"n: expected 1 to {len(self)}, the number of words, got {n}")
        return WordVectors(self.words[:n], self.matrix[:n], None if self.counts is None else self.counts[:n])

    def save(self, path: Path | str) -> Path:
        """Write all of it as one safetensors file, whole or not at all.

        Raises:
            ReplearnError: when the file cannot be written; an old one is left as it was.
        """
        state, metadata = self._state()
        return save_weights(path, state, {"format": _FORMAT, "version": _VERSION, **metadata})

    @staticmethod
    def load(path: Path | str) -> WordVectors:
        """Read what :meth:`save` wrote, onto the CPU; no code in the file is run.

        Returns:
            word vectors, with the rows of n-grams if the file has some.

        Raises:
            ReplearnError: naming the file, when it is absent, damaged, of a later version or of something else.
        """
        metadata = weights_metadata(path)
        if metadata.get("format") != _FORMAT or metadata.get("version") != _VERSION:
            raise ReplearnError(f"{path}: expected {_FORMAT!r} of version {_VERSION}, got {metadata or 'no metadata'}")
        state = load_weights(path)
        try:
            words = state["vocabulary"].numpy().tobytes().decode().split("\n")
            if "ngrams" not in metadata:
                return WordVectors(words, state["matrix"], state.get("counts"))
            subwords = Subwords(words, **json.loads(metadata["ngrams"]))
            return SubwordVectors(words, state["matrix"], state.get("counts"), state["rows"], subwords)
        except KeyError as error:
            raise ReplearnError(f"{path} is damaged: it has no tensor {error}") from None
        except (ValueError, TypeError) as error:  # the words are not UTF-8, or the parts do not fit
            raise ReplearnError(f"{path} is damaged: {error}") from error

    def _state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        text = bytearray("\n".join(self.words).encode())
        state = {"matrix": self.matrix, "vocabulary": torch.frombuffer(text, dtype=torch.uint8)}
        return state | ({} if self.counts is None else {"counts": self.counts}), {}

    def save_word2vec(self, path: Path | str, binary: bool = False) -> Path:
        """Write words and vectors, without the counts, in a format of word2vec, as gensim does, byte for byte.

        Args:
            path: the file; with a name that ends with ``.gz`` it is packed.
            binary: the binary format, a third of the text's size; both keep every bit.

        Raises:
            ReplearnError: when the file cannot be written; an old one is left as it was.
        """
        return write_word2vec(path, self.words, self.matrix.cpu().numpy(), binary)

    @classmethod
    def load_word2vec(cls, path: Path | str, binary: bool | None = None) -> Self:
        """Read a file of word2vec, fastText (``.vec``) or gensim, word by word.

        Deviations from gensim: a word that stands twice and a last line without its newline are errors.

        Args:
            path: the file; with a name that ends with ``.gz`` it is unpacked.
            binary: whether the format is the binary one; ``None`` to see it from the content.

        Raises:
            ReplearnError: naming the file and the place, when it is absent, truncated or malformed.
        """
        words, matrix = read_word2vec(path, binary)
        try:
            return cls(words, torch.from_numpy(matrix))
        except ReplearnError as error:
            raise ReplearnError(f"{path}: {error}, counted from 0") from None

    @classmethod
    def from_gensim(cls, keyed_vectors: Any) -> Self:
        """Copy ``gensim.models.KeyedVectors``, with the counts if it has them.

        Raises:
            ReplearnError: for something else, such as a model in place of its ``model.wv``.
        """
        if not hasattr(keyed_vectors, "index_to_key"):
            kind = type(keyed_vectors).__name__
            raise ReplearnError(f"keyed_vectors: expected gensim's KeyedVectors (the wv of a model), got {kind}")
        counts = keyed_vectors.expandos.get("count")
        return cls(
            keyed_vectors.index_to_key,
            torch.tensor(keyed_vectors.vectors, dtype=torch.float32),
            None if counts is None else torch.tensor(counts, dtype=torch.int64),
        )

    def to_gensim(self) -> Any:
        """Copy into ``gensim.models.KeyedVectors``, with the counts if there are any.

        Raises:
            ReplearnError: when gensim is not installed.
        """
        try:
            from gensim.models import KeyedVectors
        except ImportError as error:
            raise ReplearnError(f"to_gensim needs gensim, which cannot be imported ({error})") from error
        keyed_vectors = KeyedVectors(self.matrix.shape[1])
        keyed_vectors.add_vectors(self.words, self.matrix.cpu().numpy())
        if self.counts is not None:
            for word, count in zip(self.words, self.counts.tolist(), strict=True):
                keyed_vectors.set_vecattr(word, "count", count)
        return keyed_vectors

    def _unknown(self, word: str) -> ReplearnError:
        # Comparing with a million words takes a minute; with the frequent ones of like beginning and length, none.
        starts = (word[:1].lower(), word[:1].upper())
        alike = (known for known in self.words if known.startswith(starts) and abs(len(known) - len(word)) <= 2)
        near = difflib.get_close_matches(word, islice(alike, 5000), n=3)
        if near:
            return unknown_name("word", word, near)
        return ReplearnError(f"unknown word {word!r}; none of the {len(self)} words is spelled alike")


class SubwordVectors(WordVectors):
    """Word vectors with the rows of n-grams that they are made of, and so with one for words that were never seen.

    Attributes:
        rows: of words and n-grams, ``(len(subwords), d)``.
        subwords: which rows a word has.
    """

    def __init__(
        self, words: Sequence[str], matrix: Tensor, counts: Tensor | None, rows: Tensor, subwords: Subwords
    ) -> None:
        """Check and hold, as for word vectors.

        Args:
            words: see :class:`WordVectors`.
            matrix: see there.
            counts: see there.
            rows: ``(len(subwords), d)``, float32, finite.
            subwords: of these words.

        Raises:
            ReplearnError: naming the argument, what came and what is expected.
        """
        super().__init__(words, matrix, counts)
        check_embeddings(rows=rows)
        if subwords.words != len(self) or rows.shape != (len(subwords), matrix.shape[1]):
            raise ReplearnError(
                f"rows: expected shape ({len(subwords)}, {matrix.shape[1]}) and subwords of {len(self)} words, "
                f"got {tuple(rows.shape)} and {subwords.words}"
            )
        self.rows, self.subwords = rows.detach(), subwords

    def vector(self, word: str) -> Tensor | None:
        """The vector ``(d,)`` of a word; of an unseen one the mean of the rows of its n-grams, None if it has none."""
        known = super().vector(word)
        if known is not None or not word:
            return known
        rows = self.subwords.of_unseen(word)
        return self.rows[rows].mean(dim=0) if rows else None

    def _state(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        state, _ = super()._state()
        of = self.subwords
        ngrams = {"least": of.least, "most": of.most, "buckets": of.buckets}
        return state | {"rows": self.rows}, {"ngrams": json.dumps(ngrams)}


def _unit(x: Tensor) -> Tensor:
    """Vectors ``(..., d)`` with length 1, except zero vectors, which stay zero."""
    # The largest entry is taken out first: squares of very small or large entries would under- or overflow.
    largest = x.abs().amax(dim=-1, keepdim=True)
    return torch.nn.functional.normalize(x / largest.masked_fill(largest == 0, 1.0), dim=-1)
