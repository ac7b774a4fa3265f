"""Word vectors of a text: word2vec by skip-gram or CBOW, fastText, and what they are worth."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replearn_course import plots
from replearn_course.data import TextData, evaluation_file
from replearn_course.data.texts import TEXTS
from replearn_course.errors import ReplearnError, unknown_name
from replearn_course.experiments.runner import Context, Interrupted
from replearn_course.files import read_csv
from replearn_course.probes import analogies, read_analogies, read_pairs, similarity
from replearn_course.words import Corpus, Subwords, WordSettings, WordVectors, encode, train

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "evaluate", "evaluation_files", "figures", "run"]

EXPORTS = ("none", "text", "binary")
PAIRS = {"wordsim353": "wordsim353", "simlex999": "simlex999", "rare-words": "rare_words"}  # file -> metric


@dataclass(frozen=True)
class Settings(WordSettings):
    """Those of the training, and those of text, n-grams and evaluation.

    Attributes:
        min_count: words that occur less often are left out.
        ngrams: whether words are made of character n-grams too, as in fastText.
        least: letters of the shortest n-gram.
        most: letters of the longest.
        buckets: hash the n-grams into so many rows; 0 for a row each.
        pairs: a file of word pairs with a score, instead of the usual ones.
        analogies: a file of analogies, instead of the usual one.
        export: also write the vectors in word2vec's ``"text"`` or ``"binary"`` format, which gensim reads, or ``"none"``.
    """

    min_count: int = 5
    ngrams: bool = False
    least: int = 3
    most: int = 6
    buckets: int = 0
    pairs: str = ""
    analogies: str = ""
    export: str = "binary"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.export not in EXPORTS:
            raise unknown_name("export", self.export, EXPORTS)
        if self.min_count < 1:
            raise ReplearnError(f"min_count: expected 1 or more, got {self.min_count}")
        if not 1 <= self.least <= self.most:
            raise ReplearnError(f"least, most: expected 1 <= least <= most, got {self.least} and {self.most}")
        for name in ("pairs", "analogies"):
            if (file := getattr(self, name)) and not Path(file).is_file():
                raise ReplearnError(f"{name}: there is no file {file}")


def run(context: Context[TextData], settings: Settings) -> dict[str, Any]:
    """Train with one seed, write the vectors, and probe them."""
    files = evaluation_files(
        context.data, settings
    )  # before the long work: they may have to be fetched, or be malformed
    for name, path in files.items():
        _read(name, path)
    corpus = _corpus(context.data, settings.min_count)
    options = {field.name: getattr(settings, field.name) for field in dataclasses.fields(WordSettings)}
    words = corpus.vocabulary.words
    model = train(
        corpus,
        WordSettings(**options),
        subwords=Subwords(words, settings.least, settings.most, settings.buckets or None) if settings.ngrams else None,
        seed=context.seed,
        setting=context.setting,
        checkpoint=context.folder / "last.pt",
        resume=context.resume,
        progress=context.progress,
    )
    history = model.history
    if history.stopped == "interrupted":
        raise Interrupted
    history.save(context.folder / "history.csv")
    vectors = model.vectors
    vectors.save(context.folder / "vectors.safetensors")
    if settings.export != "none":
        binary = settings.export == "binary"
        vectors.save_word2vec(context.folder / ("vectors.bin" if binary else "vectors.txt"), binary)
    return {
        "metrics": evaluate(vectors, files) | {"loss": history.rows[-1]["loss"]},
        "words": corpus.words,
        "vocabulary": len(corpus.vocabulary),
        "seconds": history.seconds,
        "words_per_second": corpus.words * history.epochs / history.seconds,
    }


@lru_cache(maxsize=1)
def _corpus(data: TextData, min_count: int) -> Corpus:
    """All seeds share it."""
    return encode(data.source, min_count=min_count)


def evaluation_files(data: TextData, settings: Settings) -> dict[str, Path]:
    """The files to evaluate with, by metric; for a text of one's own those that are here, without asking the network."""
    if settings.pairs or settings.analogies:
        chosen = {"pairs": settings.pairs, "analogies": settings.analogies}
        return {name: Path(file) for name, file in chosen.items() if file}
    scale = None if data.name in TEXTS else "smoke"
    found = {metric: evaluation_file(name, scale) for name, metric in {**PAIRS, "analogies": "analogies"}.items()}
    return {name: path for name, path in found.items() if path is not None}


def evaluate(vectors: WordVectors, files: dict[str, Path], say: Callable[[str], object] = print) -> dict[str, float]:
    """What the vectors know: correlations with human judgements, and analogies.

    Args:
        vectors: most frequent words first.
        files: of :func:`evaluation_files`.
        say: where a line goes for a file that says nothing about these vectors, as one of another language.
    """
    metrics: dict[str, float] = {}
    for name, path in files.items():
        asked = _read(name, path)
        try:
            metrics |= _analogies(vectors, asked) if name == "analogies" else _similarity(vectors, asked, name)
        except ReplearnError as error:  # the vectors took long, and are worth something without it
            say(f"{path.name} is left out: {error}")
    return {name: value for name, value in metrics.items() if not math.isnan(value)}


def _read(name: str, path: Path) -> Any:
    return read_analogies(path) if name == "analogies" else read_pairs(path)


def _analogies(vectors: WordVectors, questions: Any) -> dict[str, float]:
    found = analogies(vectors, questions)
    kinds = {"semantic": found.semantic, "syntactic": found.syntactic}
    shares = {kind: share for kind, share in kinds.items() if share is not None}
    return {"analogies": found.accuracy, "analogies_asked": found.asked, **shares}


def _similarity(vectors: WordVectors, pairs: Any, name: str) -> dict[str, float]:
    found = similarity(vectors, pairs)
    return {name: found.rho, f"{name}_found": found.found}


def figures(context: Context[TextData], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """The loss over the epochs, and a map of frequent words."""
    rows = read_csv(context.folder / "history.csv")
    yield "loss", plots.curves({"loss": [float(row["loss"]) for row in rows]}, "mean loss of a pair")
    vectors = WordVectors.load(context.folder / "vectors.safetensors")
    first = min(50, len(vectors) // 10)  # the most frequent words say little
    last = min(first + 250, len(vectors))
    if last - first < 10:
        return
    places = plots.to_2d(vectors.matrix[first:last])
    yield "words", plots.labelled(places, vectors.words[first:last], f"{context.data.name}: frequent words, t-SNE")
