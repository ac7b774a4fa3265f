"""Word vectors, chapter 2."""

from __future__ import annotations

from typing import Any

from replearn_course.experiments.experiment import Experiment, Metric

__all__ = ["EXPERIMENTS"]

_WORD_METRICS = (
    Metric("analogies", "analogies, all"),
    Metric("semantic", "analogies, semantic"),
    Metric("syntactic", "analogies, syntactic"),
    Metric("analogies_asked", "analogies asked, of 19,544", "questions"),
    Metric("wordsim353", "WordSim-353, rank correlation", "correlation"),
    Metric("simlex999", "SimLex-999, rank correlation", "correlation"),
    Metric("rare_words", "Stanford rare words, rank correlation", "correlation"),
    Metric("rare_words_found", "rare words: pairs with two vectors, of 2,034", "pairs"),
    Metric("pairs", "your word pairs, rank correlation", "correlation"),
    Metric("pairs_found", "your word pairs with two vectors", "pairs"),
    Metric("loss", "mean loss of a pair, last epoch", "nats"),
)

_WORD_PROTOCOL = (
    "{architecture}, {dim} dimensions, window {window}, {negatives} negatives, subsampling {sample}, words of {min_count} or more "
    "occurrences, {epochs} epochs, learning rate {lr} falling to {least_lr}; {streams} streams in blocks of {block} with {shared} "
    "shared negatives; vectors of the last step. Analogies by 3CosAdd among the 30,000 most frequent words, the question's "
    "words left out, questions with a rarer word not asked; Spearman's correlation of cosine and human score over the pairs "
    "with two vectors. Streams, blocks, shared negatives and caps were chosen on wiki2015 with these files in view, by single "
    "epochs; the rest are the usual settings"
)

_WORD_SCALES: dict[str, dict[str, Any]] = {
    "smoke": {"dim": 50, "sample": 1e-3, "epochs": 5},
    "cpu": {"epochs": 1},
}

EXPERIMENTS = (
    Experiment(
        name="word2vec",
        title="word2vec by skip-gram with negative sampling",
        document="D2",
        chapter=2,
        module="words",
        data="wikipedia",
        metrics=_WORD_METRICS,
        settings={},
        scales=_WORD_SCALES,
        protocol=_WORD_PROTOCOL,
        text=True,
    ),
    Experiment(
        name="word2vec-cbow",
        title="word2vec by continuous bag of words with negative sampling",
        document="D2",
        chapter=2,
        module="words",
        data="wikipedia",
        metrics=_WORD_METRICS,
        settings={"architecture": "cbow"},
        scales=_WORD_SCALES,
        protocol=_WORD_PROTOCOL,
        text=True,
    ),
    Experiment(
        name="fasttext",
        title="fastText: skip-gram on words and their character n-grams",
        document="D2",
        chapter=2,
        module="words",
        data="wikipedia",
        metrics=_WORD_METRICS,
        settings={"ngrams": True},
        scales=_WORD_SCALES,
        protocol=_WORD_PROTOCOL.replace("{dim} dimensions", "n-grams of {least} to {most} letters, {dim} dimensions"),
        text=True,
    ),
)
