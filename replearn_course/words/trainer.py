"""Training word vectors: blocks of text, gradients by hand, and as many threads as there are cores."""

from __future__ import annotations

import math
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from replearn_course.errors import ReplearnError, unknown_name
from replearn_course.files import load_checkpoint, save_checkpoint
from replearn_course.scale import Setting, choose, keep_memory
from replearn_course.training.history import History
from replearn_course.training.interrupt import Interrupt
from replearn_course.training.progress import Progress
from replearn_course.words.blocks import block_loss, cbow_steps, skipgram_steps, window_mask, window_table
from replearn_course.words.corpus import Corpus
from replearn_course.words.ngrams import Subwords
from replearn_course.words.tables import SubwordTable, WordTable
from replearn_course.words.vectors import SubwordVectors, WordVectors
from replearn_course.words.vocabulary import Vocabulary

__all__ = ["ARCHITECTURES", "WordModel", "WordSettings", "train"]

ARCHITECTURES = ("skip-gram", "cbow")

PART = 1 << 18  # ids of the text that a thread takes at a time
LEAST_STREAM = 1 << 11  # ids; a short text gets fewer streams
NOISE_TABLE = 256, 1 << 22  # entries for each word, and at most, from which negatives are drawn
LOOK_EVERY = 16  # steps from one look at the loss to the next
_FORMAT = 1


@dataclass(frozen=True)
class WordSettings:
    """What word2vec and fastText leave to choose.

    Attributes:
        architecture: ``"skip-gram"`` (a word predicts each word of its window) or ``"cbow"`` (their mean predicts it).
        dim: dimensions of the vectors.
        window: words before and behind at most; the width of each word's window is drawn from 1 to ``window``.
        negatives: noise words for each pair (skip-gram) or for each word (CBOW).
        sample: the share of the text from which on a word is thinned out; see ``Vocabulary.keep_probability``.
        epochs: passes over the text.
        lr: learning rate at the start; it falls in a straight line to ``least_lr``.
        least_lr: learning rate at the end.
        exact: for CBOW, the gradient of the formula instead of that of the authors' code; see ``cbow_steps``.
        streams: places of the text that are read at once. With one only, a step would see a word again and again.
        block: consecutive words of each stream in a step.
        shared: negatives that the words of a block share.
        repeats: how often a word of a step may stand in it again, on average; a text of few words is read in fewer streams.
        cap: a word that is expected more often than this in one step takes only so many of its changes.
        row_cap: with n-grams, a row takes the changes of at most so many words at once; see ``SubwordTable``.
    """

    architecture: str = "skip-gram"
    dim: int = 100
    window: int = 5
    negatives: int = 5
    sample: float = 1e-4
    epochs: int = 5
    lr: float = 0.025
    least_lr: float = 1e-4
    exact: bool = False
    streams: int = 128
    block: int = 16
    shared: int = 16
    repeats: float = 1.0
    cap: float = 3.0
    row_cap: float = 4.0

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise unknown_name("architecture", self.architecture, ARCHITECTURES)
        for name in ("dim", "window", "negatives", "epochs", "streams", "block", "shared"):
            if (value := getattr(self, name)) < 1:
                raise ReplearnError(f"{name}: expected 1 or more, got {value}")
        if not 0 <= self.sample < math.inf:
            raise ReplearnError(f"sample: expected a number from 0 up, got {self.sample}")
        for name in ("lr", "repeats", "cap", "row_cap"):
            if not 0 < (value := getattr(self, name)) < math.inf:
                raise ReplearnError(f"{name}: expected a number above 0, got {value}")
        if not 0 <= self.least_lr <= self.lr:
            raise ReplearnError(f"least_lr: expected 0 to lr, which is {self.lr}, got {self.least_lr}")


@dataclass
class WordModel:
    """What training gives.

    Attributes:
        vocabulary: of the corpus.
        inputs: the table of input vectors; these are *the* word vectors.
        outputs: output vectors ``(V, d)``: how well a word fits beside another is the product of its output vector and the other's
            input vector.
        settings: they were trained with.
        history: a row an epoch: mean loss of a pair, learning rate, seconds, words a second.
    """

    vocabulary: Vocabulary
    inputs: WordTable | SubwordTable
    outputs: Tensor
    settings: WordSettings
    history: History = field(default_factory=History)

    @property
    def vectors(self) -> WordVectors:
        """The word vectors, with those of n-grams if there are any, on the CPU."""
        words, counts = self.vocabulary.words, self.vocabulary.counts
        rows = self.inputs.rows.detach().to("cpu", copy=True)  # training may go on
        if isinstance(self.inputs, SubwordTable):
            return SubwordVectors(words, self.inputs.vectors().cpu(), counts, rows, self.inputs.subwords.to("cpu"))
        return WordVectors(words, rows, counts)


def train(
    corpus: Corpus,
    settings: WordSettings | None = None,
    *,
    subwords: Subwords | None = None,
    seed: int = 0,
    setting: Setting | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
    on_epoch: Callable[[WordModel], None] | None = None,
    progress: bool = True,
) -> WordModel:
    """Train word vectors on a corpus.

    The text is read in parts. Of each part, frequent words are thinned out and the rest is laid out as ``streams`` texts side
    by side; a step takes the next ``block`` words of all of them. On a CPU each thread takes a part of its own, and all
    change the same tables without waiting for each other (Niu et al. 2011, "Hogwild!",
    https://arxiv.org/abs/1106.5730): with one thread the result is the same each time, with more it differs in the last digits
    from the first step on, and by chance in the end.

    Args:
        corpus: from :func:`~replearn_course.words.corpus.encode`.
        settings: the defaults are those of the papers.
        subwords: rows of n-grams, for fastText; they must be of the corpus's vocabulary.
        seed: of the initial vectors, of what is thinned out, of windows and negatives.
        setting: device and threads; the precision is always float32.
        checkpoint: a file for all that is needed to go on, written whole after each epoch, and within one.
        checkpoint_seconds: how often within an epoch.
        resume: go on from ``checkpoint`` if it is there.
        on_epoch: called after each epoch.
        progress: show a bar, or a line an epoch where nobody watches.

    Returns:
        The model. Ctrl-C ends training after the parts under way, with a checkpoint written and
        ``history.stopped == "interrupted"``.

    Raises:
        ReplearnError: when the vectors explode, the subwords are of another vocabulary, or the checkpoint is damaged or of
            another training.
    """
    settings = settings or WordSettings()
    if subwords is not None and subwords.words != len(corpus.vocabulary):
        raise ReplearnError(
            f"subwords: of {subwords.words} words, expected those of the corpus, {len(corpus.vocabulary)}"
        )
    if not corpus.has_words():
        raise ReplearnError("corpus: expected words, got only boundaries")
    keep_memory()
    trainer = _Trainer(corpus, settings, subwords, seed, setting or choose())
    path = Path(checkpoint) if checkpoint else None
    if resume and path and path.exists():
        trainer.load(path)
    history = trainer.model.history
    with _one_thread_each(), Interrupt() as interrupt, Progress(settings.epochs, trainer.parts, progress) as bar:
        bar.rows(history.rows)
        while history.epochs < settings.epochs:
            start = time.perf_counter()
            trainer.run(until=start + checkpoint_seconds if path else math.inf, interrupt=interrupt, bar=bar)
            trainer.seconds += time.perf_counter() - start
            if trainer.next_part == trainer.parts:
                row = trainer.row()
                history.rows.append(row)
                trainer.next_epoch()
                bar.row(row)
                if on_epoch:
                    on_epoch(trainer.model)
            if interrupt.asked and history.epochs < settings.epochs:
                history.stopped = "interrupted"
            if path:
                trainer.save(path)
            if history.stopped == "interrupted":
                break
    return trainer.model


class _Trainer:
    """The state of a training, and what its threads do."""

    def __init__(
        self, corpus: Corpus, settings: WordSettings, subwords: Subwords | None, seed: int, setting: Setting
    ) -> None:
        self.corpus, self.settings, self.seed, self.device = corpus, settings, seed, setting.device
        self.threads = setting.threads if setting.device == "cpu" else 1
        vocabulary = corpus.vocabulary
        generator = torch.Generator().manual_seed(seed)
        rows, d = len(subwords) if subwords else len(vocabulary), settings.dim
        # From -1/d to 1/d, as in fastText and gensim; the code of word2vec takes half of that.
        start = (torch.rand(rows, d, generator=generator) - 0.5).mul_(2 / d).to(self.device)
        inputs = SubwordTable(start, subwords.to(self.device), settings.row_cap) if subwords else WordTable(start)
        self.model = WordModel(vocabulary, inputs, torch.zeros(len(vocabulary), d, device=self.device), settings)
        keep = vocabulary.keep_probability(settings.sample)
        self.keep = keep.float().to(self.device)
        self.noise = _noise_table(vocabulary).to(self.device)
        expected = (keep * vocabulary.frequencies) / (keep * vocabulary.frequencies).sum()  # of a word in the kept text
        self.share = expected.float().to(self.device)
        # In skip-gram the centres predict the words around them, in CBOW the other way round.
        skipgram = settings.architecture == "skip-gram"
        self.inputs_reach, self.outputs_reach = (0, settings.window) if skipgram else (settings.window, 0)
        self.windows = window_table(settings.block, settings.window, self.device)
        self.parts = -(-len(corpus) // PART)
        enough = settings.repeats / (settings.block * expected.square().sum().item())
        self.streams = max(1, min(settings.streams, len(corpus) // LEAST_STREAM, int(enough)))
        self.next_epoch()

    def next_epoch(self) -> None:
        self.next_part, self.seconds = 0, 0.0
        self.loss, self.looks = 0.0, 0

    def run(self, until: float, interrupt: Interrupt, bar: Progress) -> None:
        """Train on the next parts of this epoch, until there are none, the time is up or an end is asked for."""
        start = time.perf_counter() - self.seconds
        lock = threading.Lock()
        failed: list[Exception] = []

        def work() -> None:
            torch.set_num_threads(1)  # counts for this thread only
            late = False  # each does a part at least, or a training that is saved often would stand still
            while True:
                with lock:
                    if interrupt.asked or failed or late or self.next_part == self.parts:
                        return
                    number, self.next_part = self.next_part, self.next_part + 1
                try:
                    losses = [loss.item() for loss in self.train_part(number)]
                    self._must_be_sane(losses)
                except Exception as error:  # ends the other threads too, and is raised below
                    failed.append(error)
                    return
                with lock:
                    self.loss, self.looks = self.loss + sum(losses), self.looks + len(losses)
                    bar.step(self.next_part, lambda: self._pace(start))
                late = time.perf_counter() > until

        if self.threads == 1:
            work()
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                for future in [pool.submit(work) for _ in range(self.threads)]:
                    future.result()
        if failed:
            raise failed[0]

    def _pace(self, start: float) -> dict[str, float]:
        words = self.corpus.words * self.next_part / self.parts
        return {"loss": self.loss / max(1, self.looks), "words/s": words / (time.perf_counter() - start)}

    def train_part(self, number: int) -> Iterator[Tensor]:
        """Train on one part, and give the loss of some of its steps."""
        s, epoch = self.settings, self.model.history.epochs
        generator = torch.Generator(self.device).manual_seed(_mixed(self.seed, epoch, number))
        laid = self._lay_out(self.corpus.part(number, self.parts, self.streams).to(self.device), generator)
        if laid is None:
            return
        ids, sentences = laid
        streams, length = len(ids), ids.shape[1] - 2 * s.window
        scale = (s.cap / (streams * s.block * self.share)).clamp(max=1)[:, None]
        steps = length // s.block
        # In a text of long sentences most steps lie within one in each stream, and need no look at where it ends.
        reach = sentences.unfold(1, s.block + 2 * s.window, s.block)  # (S, steps, E)
        least, most = reach.amin(2), reach.amax(2)
        divided = ((least != most) | (least < 0)).any(0).tolist()  # below 0: there is padding, and perhaps nothing else
        together = self.model.inputs.steps_together or steps

        def places_of(first: int, last: int, beyond: int) -> slice:
            """The places of the centres of some steps, and so many beyond them."""
            return slice(first * s.block + s.window - beyond, last * s.block + s.window + beyond)

        for first in range(0, steps, together):
            last = min(first + together, steps)
            with self.model.inputs.borrow(ids[:, places_of(first, last, self.inputs_reach)].contiguous()) as (
                matrix,
                rows,
            ):
                for step in range(first, last):
                    done = (epoch + (number + step / steps) / self.parts) / s.epochs
                    lr = max(s.least_lr, s.lr * (1 - done))
                    widths = torch.randint(1, s.window + 1, (streams, s.block), generator=generator, device=self.device)
                    mask = window_mask(self.windows, widths, s.window)
                    if divided[step]:
                        centre, place = reach[:, step, s.window : -s.window, None], reach[:, step, None]
                        mask *= (centre == place) & (centre >= 0)
                    at = (step - first) * s.block
                    loss = self._step(
                        matrix,
                        rows[:, at : at + s.block + 2 * self.inputs_reach],
                        ids[:, places_of(step, step + 1, self.inputs_reach)],
                        ids[:, places_of(step, step + 1, self.outputs_reach)],
                        mask,
                        scale * lr,
                        generator,
                        look=step % LOOK_EVERY == 0,
                    )
                    if loss is not None:
                        yield loss

    def _lay_out(self, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
        """Thin out a part and lay it out as streams side by side.

        Returns:
            the ids of all places ``(S, W + L + W)``, and the sentence of each, -1 for padding; None where nothing is left.
        """
        s = self.settings
        sentences = (ids < 0).cumsum(0)
        is_word = ids >= 0
        ids, sentences = ids[is_word].long(), sentences[is_word]
        kept = torch.rand(len(ids), generator=generator, device=self.device) < self.keep[ids]
        ids, sentences = ids[kept], sentences[kept]
        if not len(ids):
            return None
        streams = min(self.streams, -(-len(ids) // s.block))
        length = -(-len(ids) // (streams * s.block)) * s.block
        empty, around = (0, streams * length - len(ids)), (s.window, s.window)
        ids, sentences = F.pad(ids, empty), F.pad(sentences, empty, value=-1)
        return F.pad(ids.view(streams, length), around), F.pad(sentences.view(streams, length), around, value=-1)

    def _step(
        self,
        matrix: Tensor,
        rows: Tensor,
        inputs: Tensor,
        outputs: Tensor,
        mask: Tensor,
        rate: Tensor,
        generator: torch.Generator,
        look: bool,
    ) -> Tensor | None:
        """One step: gather rows, compute, add.

        Args:
            matrix: of input vectors.
            rows: where in it the inputs stand ``(S, ·)``.
            inputs: ids of the words whose input vectors take part ``(S, ·)``.
            outputs: ids of the words whose output vectors take part ``(S, ·)``.
            mask: ``(S, B, E)``.
            rate: the learning rate of each word ``(V, 1)``.
            generator: of the negatives.
            look: whether to compute the loss.
        """
        s, streams, table = self.settings, len(mask), self.model.outputs
        drawn = torch.randint(len(self.noise), (streams * s.shared,), generator=generator, device=self.device)
        row_v, word_v, word_u, word_n = rows.reshape(-1), inputs.reshape(-1), outputs.reshape(-1), self.noise[drawn]
        v = matrix.index_select(0, row_v).view(streams, -1, s.dim)
        u = table.index_select(0, word_u).view(streams, -1, s.dim)
        n = table.index_select(0, word_n).view(streams, s.shared, s.dim)
        if s.architecture == "skip-gram":
            steps, pairs = skipgram_steps(v, u, n, mask, s.negatives), mask > 0
        else:
            steps, pairs = cbow_steps(v, u, n, mask, s.negatives, s.exact), mask.any(2, keepdim=True)
        loss = block_loss(steps, pairs, s.negatives) if look else None
        for target, place, word, change in (
            (matrix, row_v, word_v, steps.inputs),
            (table, word_u, word_u, steps.outputs),
            (table, word_n, word_n, steps.negatives),
        ):
            # No alpha, and places of 64 bits: each of the two makes index_add_ twice as slow.
            target.index_add_(0, place, change.view(-1, s.dim).mul_(rate.index_select(0, word)))
        return loss

    def _must_be_sane(self, losses: list[float]) -> None:
        """Asked after each part, so that a checkpoint never holds a training that is lost."""
        s = self.settings
        start = (1 + s.negatives) * math.log(2)  # of vectors that are all zero
        mean = sum(losses) / max(1, len(losses))
        if math.isfinite(mean) and mean < 3 * start:
            return
        caps = f"cap than {s.cap:g}" if isinstance(self.model.inputs, WordTable) else f"row_cap than {s.row_cap:g}"
        raise ReplearnError(
            f"the vectors explode in epoch {self.model.history.epochs + 1}: the mean loss of a pair is {mean:.4g}, "
            f"that of zero vectors {start:.4g}; a smaller learning rate than lr={s.lr:g} helps, or a smaller {caps}"
        )

    def row(self) -> dict[str, float]:
        """What the epoch that ended was like."""
        s, epoch = self.settings, self.model.history.epochs + 1
        if not all(table.isfinite().all() for table in (self.model.inputs.rows, self.model.outputs)):
            self._must_be_sane([math.nan])
        return {
            "epoch": epoch,
            "loss": self.loss / max(1, self.looks),
            "lr": max(s.least_lr, s.lr * (1 - epoch / s.epochs)),
            "seconds": self.seconds,
            "words_per_second": self.corpus.words / self.seconds,
        }

    def save(self, path: Path) -> None:
        save_checkpoint(
            path,
            {
                "format": _FORMAT,
                "training": self._description(),
                "inputs": self.model.inputs.rows,
                "outputs": self.model.outputs,
                "rows": self.model.history.rows,
                "next_part": self.next_part,
                "seconds": self.seconds,
                "loss": (self.loss, self.looks),
            },
        )

    def load(self, path: Path) -> None:
        state = load_checkpoint(path)
        if (found := state.get("format") if isinstance(state, dict) else None) != _FORMAT:
            raise ReplearnError(f"{path} is not a checkpoint of word vectors of this version: format {found}")
        now, before = self._description(), state["training"]
        if other := [f"{k} {before.get(k)} then, {now[k]} now" for k in now if before.get(k) != now[k]]:
            raise ReplearnError(f"{path} is of another training: {', '.join(other)}")
        self.model.inputs.rows.copy_(state["inputs"])
        self.model.outputs.copy_(state["outputs"])
        self.model.history.rows = state["rows"]
        self.next_part, self.seconds = state["next_part"], state["seconds"]
        self.loss, self.looks = state["loss"]

    def _description(self) -> dict[str, Any]:
        """What must be the same for a training to go on."""
        words = self.corpus.vocabulary.words
        corpus = {"words": self.corpus.words, "vocabulary": len(words), "ids": len(self.corpus)}
        checksum = {"checksum of the vocabulary": zlib.crc32("\n".join(words).encode())}
        ngrams = None
        if isinstance(self.model.inputs, SubwordTable):
            of = self.model.inputs.subwords
            ngrams = [of.least, of.most, of.buckets]
        return {**asdict(self.settings), "seed": self.seed, "ngrams": ngrams, **corpus, **checksum}


def _noise_table(vocabulary: Vocabulary) -> Tensor:
    """Ids in the proportions of the noise distribution: a uniform draw from it is a draw from the distribution.

    A word's probability is right to one part in the table's length; drawing so costs a lookup, an exact draw several.
    """
    size = min(NOISE_TABLE[0] * len(vocabulary), NOISE_TABLE[1])
    quantiles = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    ids = torch.searchsorted(vocabulary.noise().cumsum(0), quantiles)
    return ids.clamp_(max=len(vocabulary) - 1)


def _mixed(*numbers: int) -> int:
    """A seed for each tuple of small numbers."""
    seed = 0
    for n in numbers:
        seed = (seed * 1_000_003 + n + 1) % 2**63
    return seed


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """One thread inside torch: the threads of training are our own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
