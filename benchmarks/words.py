"""Word vectors beside gensim and fastText's own package: quality and speed of the same runs, and how the cost grows.

``make bench`` runs all of it (half an hour on two cores). Each run of each side becomes a row of ``words.csv``, sides in turns;
``growth.csv`` has the cost by dimension, vocabulary and length of the text. Only training is timed, not reading the text.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import row
from replearn_course.data import TextData, text_from
from replearn_course.experiments.words import Settings, evaluate, evaluation_files
from replearn_course.files import read_csv, write_csv
from replearn_course.scale import Setting, choose, machine_gflops, machine_name
from replearn_course.training import fit
from replearn_course.words import Corpus, Subwords, WindowBatches, Word2Vec, WordSettings, WordVectors, encode, train
from replearn_course.words.text import BOUNDARY, pieces

QUALITY, GROWTH = (Path(__file__).with_name(name) for name in ("words.csv", "growth.csv"))
MODELS = {"skip-gram": 5, "cbow": 5, "fasttext": 1}  # and how many epochs each is trained
LINE = 1000  # words: the peers read lines, and cut longer ones


@dataclass
class Trained:
    """What a side made of a text, and what it cost."""

    vectors: WordVectors
    seconds: float
    cpu_seconds: float


class Looked(WordVectors):
    """A peer's vectors: those of its vocabulary, and what it says of other words."""

    def __init__(self, words: list[str], matrix: Tensor, unseen: Callable[[str], Any] | None = None) -> None:
        super().__init__(words, matrix)
        self.unseen = unseen

    def vector(self, word: str) -> Tensor | None:
        """Known or not, if the peer has an answer."""
        known = super().vector(word)
        if known is not None or self.unseen is None or not word:
            return known
        return torch.from_numpy(self.unseen(word).copy())


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """A result, wall seconds and CPU seconds of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    return work(), time.perf_counter() - wall, time.process_time() - cpu


def ours(corpus: Corpus, model: str, seed: int, epochs: int, setting: Setting, **more: Any) -> Trained:
    """The trainer of this library."""
    settings = WordSettings(architecture="cbow" if model == "cbow" else "skip-gram", epochs=epochs, **more)
    subwords = Subwords(corpus.vocabulary.words) if model == "fasttext" else None
    trained, seconds, cpu = timed(
        lambda: train(corpus, settings, subwords=subwords, seed=seed, setting=setting, progress=False)
    )
    if trained.history.stopped == "interrupted":
        raise KeyboardInterrupt  # half a training is no row
    return Trained(trained.vectors, seconds, cpu)


def gensim(lines: Path, model: str, seed: int, epochs: int, setting: Setting, **more: Any) -> Trained:
    """Gensim, reading the text from a file, which is its fastest way."""
    from gensim.models import FastText, Word2Vec

    kind = FastText if model == "fasttext" else Word2Vec
    options = {"vector_size": 100, "window": 5, "negative": 5, "sample": 1e-4, "min_count": 5, "seed": seed + 1, **more}
    peer = kind(workers=setting.threads, epochs=epochs, sg=int(model != "cbow"), **options)
    peer.build_vocab(corpus_file=str(lines))
    counts = {"total_words": peer.corpus_total_words, "total_examples": peer.corpus_count, "epochs": epochs}
    _, seconds, cpu = timed(lambda: peer.train(corpus_file=str(lines), **counts))
    unseen = peer.wv.get_vector if model == "fasttext" else None
    return Trained(Looked(peer.wv.index_to_key, torch.from_numpy(peer.wv.vectors.copy()), unseen), seconds, cpu)


def fasttext(lines: Path, model: str, seed: int, epochs: int, setting: Setting) -> Trained:
    """The package of fastText's authors; its time has the reading of the text in it, and it takes no seed."""
    import fasttext

    options = {"dim": 100, "ws": 5, "neg": 5, "t": 1e-4, "minCount": 5, "lr": 0.025, "thread": setting.threads}
    peer, seconds, cpu = timed(
        lambda: fasttext.train_unsupervised(str(lines), model="skipgram", epoch=epochs, verbose=0, **options)
    )
    words = [word for word in peer.get_words() if word != "</s>"]
    matrix = torch.stack([torch.from_numpy(peer.get_word_vector(word).copy()) for word in words])
    return Trained(Looked(words, matrix, peer.get_word_vector), seconds, cpu)


@lru_cache(maxsize=1)
def text(quick: bool) -> tuple[TextData, Corpus, Path]:
    """The text, as a corpus, and as lines for the peers in a file that goes with this process."""
    data = text_from("wikipedia", "smoke" if quick else None)
    folder = tempfile.TemporaryDirectory(prefix="replearn-bench-")
    lines = Path(folder.name) / "lines.txt"
    words = (word for piece in pieces(data.source) for word in piece if word != BOUNDARY)
    with lines.open("w", encoding="utf-8") as file:
        while line := " ".join(islice(words, LINE)):
            file.write(line + "\n")
    _FOLDERS.append(folder)
    return data, encode(data.source), lines


_FOLDERS: list[Any] = []  # removed when the process ends


def sides(model: str, seed: int) -> dict[str, Callable[..., Trained]]:
    """Who takes part, by the name that the table gives them; fastText's own package once, as it takes no seed."""
    found: dict[str, Callable[..., Trained]] = {"ours": ours, f"gensim {version('gensim')}": gensim}
    if model == "skip-gram":
        found["ours, 32 shared negatives"] = lambda *a: ours(*a, shared=32)
    if model == "fasttext" and seed == 0:
        try:
            found[f"fasttext {version('fasttext')}"] = fasttext
        except PackageNotFoundError:  # it is built from source, and not everywhere
            print("    fasttext's own package is not installed, and left out")
    return found


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """Train each model by each side with three seeds; then the usual loop; then how the cost grows."""
    data, corpus, lines = text(quick)
    setting = choose("full", "cpu", "32-true")
    files = evaluation_files(data, Settings())
    for model, epochs in MODELS.items():
        epochs = 1 if quick else epochs
        seconds: dict[str, list[float]] = {}
        for seed in range(1 if quick else 3):
            for name, side in sides(model, seed).items():
                source = corpus if name.startswith("ours") else lines
                trained = side(source, model, seed, epochs, setting)
                seconds.setdefault(name, []).append(trained.seconds)
                found = _row(
                    data, corpus, model, name, seed, epochs, trained, evaluate(trained.vectors, files), setting
                )
                print(f"    {found}", flush=True)
                if not quick:
                    _keep(QUALITY, found, ("model", "system", "seed"))
        mine = statistics.median(seconds.pop("ours"))
        for name, theirs in seconds.items():
            if not name.startswith("ours"):
                what = f"{model}, {corpus.words:,} words of {data.name}, {epochs} epoch{'s' if epochs > 1 else ''}"
                yield row(what, name, mine, statistics.median(theirs))
    yield from _usual_loops(corpus, setting, quick)
    if not quick:
        growth(data, setting)


def _row(
    data: TextData,
    corpus: Corpus,
    model: str,
    system: str,
    seed: int,
    epochs: int,
    trained: Trained,
    metrics: dict[str, float],
    setting: Setting,
) -> dict[str, Any]:
    rate = corpus.words * epochs
    return {
        "model": model,
        "system": system,
        "seed": seed,
        "epochs": epochs,
        **{name: f"{metrics[name]:.4f}" for name in QUALITIES if name in metrics},
        "words_per_second": round(rate / trained.seconds),
        "words_per_cpu_second": round(rate / trained.cpu_seconds),
        "seconds": f"{trained.seconds:.1f}",
        "data": data.name,
        **_machine(setting),
    }


QUALITIES = ("analogies", "semantic", "syntactic", "wordsim353", "simlex999", "rare_words", "rare_words_found")


def _machine(setting: Setting) -> dict[str, Any]:
    return {
        "threads": setting.threads,
        "gflops": machine_gflops(),
        "machine": machine_name(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _keep(path: Path, found: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Put a row in the place of the one like it, at once: a run that is stopped keeps what it measured."""
    before = read_csv(path) if path.exists() else []
    write_csv(path, [r for r in before if any(r[k] != str(found[k]) for k in keys)] + [found])


def _usual_loops(corpus: Corpus, setting: Setting, quick: bool) -> Iterator[dict[str, Any]]:
    """Skip-gram as it is usually written, for some seconds of a first epoch, beside the same number of words here."""
    _, seconds, _ = timed(lambda: train(corpus, WordSettings(epochs=1), setting=setting, progress=False))
    here = corpus.words / seconds
    optimizers = {
        "softmax": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "negative sampling": lambda model: torch.optim.Adam(model.parameters(), lr=1e-3),
        "negative sampling, sparse": lambda model: torch.optim.SparseAdam(list(model.parameters()), lr=1e-3),
    }
    for name, optimizer in optimizers.items():
        loss, _, sparse = name.partition(", ")
        model = Word2Vec(corpus.vocabulary, loss=loss, sparse=bool(sparse))
        batches = _FirstBatches(corpus, 512, architecture="skip-gram")
        batches.steps = 3 if loss == "softmax" or quick else 50
        history = fit(model, batches, optimizer(model), epochs=1, setting=setting, progress=False)
        words = batches.steps * batches.batch_size / (batches.keep.sum().item() / corpus.words)  # of the text
        what = f"skip-gram, the usual loop with {name}, {words:,.0f} words"
        yield row(what, f"nn.Embedding, autograd, torch {torch.__version__}", words / here, history.seconds)


class _FirstBatches(WindowBatches):
    """Only the first batches of an epoch."""

    steps = 1

    def __len__(self) -> int:
        return self.steps


def growth(data: TextData, setting: Setting) -> None:
    """One epoch of skip-gram as dimension, vocabulary and text grow; texts beyond the whole repeat it, which costs the same.

    Gensim takes part where a minute is enough.
    """
    _, whole, lines = text(False)
    for dim in (50, 100, 200, 300):
        _grow("dimension", dim, whole, setting, lines if dim in (50, 100, 300) else None, dim)
    for least, most in ((5, 10_000), (5, 30_000), (5, None), (1, None)):
        corpus = encode(data.source, min_count=least, max_words=most)
        _grow("vocabulary", len(corpus.vocabulary), corpus, setting)
    with tempfile.TemporaryDirectory(prefix="replearn-bench-") as folder:
        for times in (0.5, 1, 2, 6):
            path = Path(folder) / "longer.txt"
            with lines.open(encoding="utf-8") as file:
                part = list(islice(file, int(whole.words / LINE * min(times, 1))))
            with path.open("w", encoding="utf-8") as file:
                for _ in range(max(1, int(times))):
                    file.writelines(part)
            corpus = encode(path)
            _grow("words", corpus.words, corpus, setting, path if times <= 2 else None)


def _grow(what: str, size: int, corpus: Corpus, setting: Setting, lines: Path | None = None, dim: int = 100) -> None:
    sides = {"ours": lambda: ours(corpus, "skip-gram", 0, 1, setting, dim=dim)}
    if lines is not None:
        sides[f"gensim {version('gensim')}"] = lambda: gensim(lines, "skip-gram", 0, 1, setting, vector_size=dim)
    for system, side in sides.items():
        trained = side()
        found = {
            "grows": what,
            "size": size,
            "system": system,
            "words_per_second": round(corpus.words / trained.seconds),
            "words_per_cpu_second": round(corpus.words / trained.cpu_seconds),
            "seconds": f"{trained.seconds:.1f}",
            **_machine(setting),
        }
        print(f"    {found}", flush=True)
        _keep(GROWTH, found, ("grows", "size", "system"))
