"""fastText's text classifier: the mean of the rows of a text's words and n-grams, and a linear layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replearn_course.data.batches import Batches
from replearn_course.errors import ReplearnError
from replearn_course.scale import Setting, choose
from replearn_course.training import History, fit, linear
from replearn_course.words.corpus import encode
from replearn_course.words.ngrams import character_ngrams, fnv1a
from replearn_course.words.text import BOUNDARY, Tokenizer, tokenize
from replearn_course.words.vocabulary import Vocabulary

__all__ = ["TextClassifier", "TextFeatures", "classify_texts"]


@dataclass(frozen=True)
class TextFeatures:
    """Which rows of a table a text is the mean of.

    Attributes:
        vocabulary: words with a row of their own.
        word_ngrams: up to so many consecutive words count as one feature, hashed.
        char_ngrams: shortest and longest n-gram of letters of each word, hashed; None for none.
        buckets: rows that hashed features share.
        tokenizer: from text to words.
    """

    vocabulary: Vocabulary
    word_ngrams: int = 2
    char_ngrams: tuple[int, int] | None = None
    buckets: int = 100_000
    tokenizer: Tokenizer = tokenize

    def __len__(self) -> int:
        """Rows of the table."""
        return len(self.vocabulary) + self.buckets

    def rows(self, text: str) -> list[int]:
        """Rows of a text; none where nothing in it is known."""
        words = [word for word in self.tokenizer(text) if word != BOUNDARY]
        found = [self.vocabulary.ids[word] for word in words if word in self.vocabulary]
        hashed = [
            " ".join(gram)
            for n in range(2, self.word_ngrams + 1)
            for gram in zip(*(words[i:] for i in range(n)), strict=False)
        ]
        if self.char_ngrams:
            hashed += [gram for word in words for gram in character_ngrams(word, *self.char_ngrams)]
        return found + [len(self.vocabulary) + fnv1a(gram) % self.buckets for gram in hashed]


class TextClassifier(nn.Module):
    r"""Probabilities of classes from a bag of words and n-grams: :math:`\operatorname{softmax}(B \cdot \frac1M \sum_{i} a_i)`.

    Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification" (https://arxiv.org/abs/1607.01759); with a plain softmax,
    not the hierarchical one, which pays only for thousands of classes.

    Args:
        features: from text to rows.
        classes: names of the classes, 2 or more.
        dim: dimensions of the rows.
    """

    def __init__(self, features: TextFeatures, classes: Sequence[str], dim: int = 16) -> None:
        super().__init__()
        if len(classes) < 2:
            raise ReplearnError(f"classes: expected 2 or more, got {list(classes)}")
        self.features, self.classes = features, list(classes)
        # One row more, always zero, fills texts up to the same length.
        self.rows = nn.EmbeddingBag(len(features) + 1, dim, mode="sum", padding_idx=len(features), sparse=True)
        nn.init.uniform_(self.rows.weight, -1 / dim, 1 / dim)
        with torch.no_grad():
            self.rows.weight[-1] = 0
        self.head = nn.Linear(dim, len(classes), bias=False)
        nn.init.zeros_(self.head.weight)

    def embed(self, rows: Tensor) -> Tensor:
        """Means of rows ``(N, d)`` of texts ``(N, M)``; a text without a known feature is zero."""
        count = (rows < len(self.features)).sum(dim=1, keepdim=True)
        return self.rows(rows) / count.clamp(min=1)

    def forward(self, rows: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The loss and the accuracy of a batch.

        Args:
            rows: of texts ``(B, M)``, from :meth:`batch`.
            labels: classes ``(B,)``.
        """
        scores = self.head(self.embed(rows))
        return {"loss": F.cross_entropy(scores, labels), "accuracy": (scores.argmax(1) == labels).float().mean()}

    def batch(self, texts: Sequence[str]) -> Tensor:
        """Rows of some texts ``(N, M)``, filled up to the longest."""
        return _filled(
            [torch.tensor(self.features.rows(text), dtype=torch.int64) for text in texts], len(self.features)
        )

    @torch.no_grad()
    def probabilities(self, texts: Sequence[str]) -> Tensor:
        """Probabilities of the classes ``(N, C)``.

        Raises:
            ReplearnError: when there is no text.
        """
        if not texts:
            raise ReplearnError("texts: expected at least one, got none")
        return self.head(self.embed(self.batch(texts).to(self.head.weight.device))).softmax(dim=1).cpu()

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable class of each text."""
        return [self.classes[i] for i in self.probabilities(texts).argmax(1).tolist()]


def classify_texts(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    dim: int = 16,
    word_ngrams: int = 2,
    char_ngrams: tuple[int, int] | None = None,
    buckets: int = 100_000,
    min_count: int = 1,
    epochs: int = 5,
    lr: float = 0.5,
    batch_size: int = 16,
    seed: int = 0,
    tokenizer: Tokenizer = tokenize,
    setting: Setting | None = None,
    progress: bool = True,
) -> tuple[TextClassifier, History]:
    """Train a classifier of texts, as ``fasttext supervised`` does: SGD whose learning rate falls in a straight line to 0.

    Deviation from fastText's code: steps of small batches, whose gradients are means, instead of one text at a time.

    Args:
        texts: one string each.
        labels: one a text.
        dim: dimensions of the rows.
        word_ngrams: see :class:`TextFeatures`.
        char_ngrams: see :class:`TextFeatures`.
        buckets: see :class:`TextFeatures`.
        min_count: words that occur less often get no row.
        epochs: passes over the texts.
        lr: learning rate at the start, for a batch's mean loss.
        batch_size: texts a step.
        seed: of initial weights and order.
        tokenizer: from text to words.
        setting: device and threads; the precision is always float32.
        progress: show a bar.

    Raises:
        ReplearnError: when texts and labels differ in number, there are fewer than two classes, or no words.
    """
    if len(texts) != len(labels):
        raise ReplearnError(f"labels: expected one a text, {len(texts)}, got {len(labels)}")
    classes = sorted(set(labels))
    vocabulary = encode(texts, min_count=min_count, tokenizer=tokenizer).vocabulary
    torch.manual_seed(seed)
    features = TextFeatures(vocabulary, word_ngrams, char_ngrams, buckets, tokenizer)
    model = TextClassifier(features, classes, dim)
    number = {name: i for i, name in enumerate(classes)}
    targets = torch.tensor([number[label] for label in labels])
    rows = [torch.tensor(features.rows(text), dtype=torch.int64) for text in texts]
    history = fit(
        model,
        _TextBatches(rows, targets, batch_size, len(features), seed),
        torch.optim.SGD(model.parameters(), lr=lr),
        epochs=epochs,
        schedule=linear(),
        setting=replace(setting or choose(), precision="32-true"),
        progress=progress,
    )
    return model, history


class _TextBatches(Batches):
    """Texts in random order, a new one each epoch."""

    def __init__(self, rows: list[Tensor], labels: Tensor, batch_size: int, padding: int, seed: int) -> None:
        self.rows, self.labels, self.batch_size, self.padding, self.seed = rows, labels, batch_size, padding, seed

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, ...]]:
        order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
        for chosen in islice(order.split(self.batch_size), start, None):
            yield _filled([self.rows[i] for i in chosen.tolist()], self.padding), self.labels[chosen]


def _filled(rows: list[Tensor], padding: int) -> Tensor:
    longest = max(1, max(len(row) for row in rows))
    return torch.stack([F.pad(row, (0, longest - len(row)), value=padding) for row in rows])
