"""Training word vectors: gradients against autograd of explicit loops, windows against brute force, resuming bit for bit."""

import dataclasses
import itertools
import math
import threading
import time

import pytest
import torch
import torch.nn.functional as F

from replearn_course.errors import ReplearnError
from replearn_course.scale import Setting
from replearn_course.training import fit
from replearn_course.words import (
    Corpus,
    Subwords,
    Vocabulary,
    WindowBatches,
    Word2Vec,
    WordSettings,
    WordVectors,
    encode,
    train,
    trainer,
)
from replearn_course.words.blocks import block_loss, cbow_steps, skipgram_steps, window_mask, window_table
from replearn_course.words.readable import negative_sampling_loss
from replearn_course.words.tables import SubwordTable

ONE_THREAD = Setting("smoke", "cpu", "32-true", 1)
TWO_THREADS = Setting("smoke", "cpu", "32-true", 2)


def normal(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# -- gradients of a block ----------------------------------------------------------------------------------------------


def skipgram_loss(v, u, n, mask, negatives):
    """The loss summed over all pairs, by loops."""
    total = v.new_zeros(())
    for s, c, o in itertools.product(*map(range, mask.shape)):
        if mask[s, c, o]:
            noise = sum(F.logsigmoid(-n[s, k] @ v[s, c]) for k in range(n.shape[1]))
            total = total - F.logsigmoid(u[s, o] @ v[s, c]) - negatives / n.shape[1] * noise
    return total


def cbow_loss(v, u, n, mask, negatives):
    total = v.new_zeros(())
    for s, c in itertools.product(range(mask.shape[0]), range(mask.shape[1])):
        places = [o for o in range(mask.shape[2]) if mask[s, c, o]]
        if places:
            h = sum(v[s, o] for o in places) / len(places)
            noise = sum(F.logsigmoid(-n[s, k] @ h) for k in range(n.shape[1]))
            total = total - F.logsigmoid(u[s, c] @ h) - negatives / n.shape[1] * noise
    return total


def a_mask(window=2, streams=2, block=3):
    """Windows of different widths, one centre without any pair, and a place cut off by the end of a sentence."""
    widths = torch.arange(streams * block).view(streams, block) % window + 1
    mask = window_mask(window_table(block, window), widths, window).double()
    mask[0, 1] = 0
    mask[1, :, 0] = 0
    return mask


@pytest.mark.parametrize("scale", [1.0, 40.0, 0.0])  # 40: saturated; 0: as output vectors begin
def test_skipgram_steps_are_the_negative_gradient(scale):
    mask = a_mask()
    rows = [normal(2, 3, 4, seed=1, scale=scale), normal(2, 7, 4, seed=2, scale=scale), normal(2, 5, 4, seed=3)]
    rows = [row.requires_grad_() for row in rows]
    loss = skipgram_loss(*rows, mask, negatives=3)
    steps = skipgram_steps(*(row.detach() for row in rows), mask, negatives=3)
    for step, gradient in zip(
        (steps.inputs, steps.outputs, steps.negatives), torch.autograd.grad(loss, rows), strict=True
    ):
        torch.testing.assert_close(step, -gradient)
    if scale < 10:  # beyond, float32 of the loss that is shown has no digits left
        mean = block_loss(steps, mask > 0, 3)
        torch.testing.assert_close(mean.double(), loss.detach() / mask.sum(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 40.0, 0.0])
def test_cbow_steps_are_the_negative_gradient_or_that_of_the_code(scale):
    mask = a_mask()
    rows = [normal(2, 7, 4, seed=1, scale=scale), normal(2, 3, 4, seed=2, scale=scale), normal(2, 5, 4, seed=3)]
    rows = [row.requires_grad_() for row in rows]
    loss = cbow_loss(*rows, mask, negatives=3)
    gradients = torch.autograd.grad(loss, rows)
    v, u, n = (row.detach() for row in rows)
    steps = cbow_steps(v, u, n, mask, negatives=3, exact=True)
    for step, gradient in zip((steps.inputs, steps.outputs, steps.negatives), gradients, strict=True):
        torch.testing.assert_close(step, -gradient)
    if scale < 10:
        some = mask.any(2, keepdim=True)
        torch.testing.assert_close(
            block_loss(steps, some, 3).double(), loss.detach() / some.sum(), rtol=1e-4, atol=1e-6
        )
    # The code of word2vec gives each word of a window the whole gradient by the mean: count times the formula's share.
    as_coded = cbow_steps(v, u, n, mask, negatives=3)
    torch.testing.assert_close(as_coded.outputs, steps.outputs)
    only = torch.zeros_like(mask)
    only[0, 0] = mask[0, 0]  # of a single centre, so that the factor is one number
    whole, share = cbow_steps(v, u, n, only, 3).inputs, cbow_steps(v, u, n, only, 3, exact=True).inputs
    torch.testing.assert_close(whole, share * mask[0, 0].sum())


def test_the_table_of_windows_is_what_a_window_is():
    block, window = 4, 3
    widths = torch.randint(1, window + 1, (5, block), generator=torch.Generator().manual_seed(0))
    mask = window_mask(window_table(block, window), widths, window)
    for s, c, o in itertools.product(range(5), range(block), range(block + 2 * window)):
        distance = abs(o - (c + window))
        assert mask[s, c, o] == (0 < distance <= widths[s, c])


# -- tables ------------------------------------------------------------------------------------------------------------


def test_changes_of_words_are_handed_back_to_each_of_their_rows():
    subwords = Subwords(["abc", "abd", "xyz"], 3, 3)
    rows = normal(len(subwords), 2)
    expected = rows.clone()
    table = SubwordTable(rows, subwords, cap=10.0)
    ids = torch.tensor([[1, 0], [1, 1]])
    means = {w: rows[subwords.bags(torch.tensor([w]))[0].long()].mean(0) for w in (0, 1, 2)}
    with table.borrow(ids) as (matrix, where):
        for i, j in itertools.product(range(2), range(2)):
            torch.testing.assert_close(matrix[where[i, j]], means[int(ids[i, j])])
        matrix[where[0, 1]] += torch.tensor([1.0, 2.0])  # word 0
        matrix[where[0, 0]] += torch.tensor([10.0, 0.0])  # word 1
    for word, change in ((0, [1.0, 2.0]), (1, [10.0, 0.0])):
        for row in subwords.bags(torch.tensor([word]))[0].tolist():
            expected[row] += torch.tensor(change)
    torch.testing.assert_close(table.rows, expected)
    torch.testing.assert_close(
        table.vectors(chunk=2),
        torch.stack([rows[subwords.bags(torch.tensor([w]))[0].long()].mean(0) for w in range(3)]),
    )


def test_a_row_of_many_words_takes_only_so_many_changes():
    words = [f"{letter}ing" for letter in "abcdefgh"]
    subwords = Subwords(words, 4, 4)  # all share "ing>"
    table = SubwordTable(torch.zeros(len(subwords), 1), subwords, cap=3.0)
    with table.borrow(torch.arange(8)) as (matrix, _):
        matrix += 1
    shared, *_ = subwords.of_unseen("xing")[-1:]
    assert table.rows[shared].item() == 3
    assert table.rows[0].item() == 1


# -- what a step sees --------------------------------------------------------------------------------------------------


def pairs_of_an_epoch(monkeypatch, corpus, settings):
    """All pairs (centre, word in its window) that one epoch trains on."""
    seen = []

    def look(self, matrix, rows, inputs, outputs, mask, rate, generator, look):
        for s, c, o in mask.nonzero().tolist():
            seen.append((int(inputs[s, c]), int(outputs[s, o])))

    monkeypatch.setattr(trainer._Trainer, "_step", look)
    train(corpus, settings, setting=ONE_THREAD, progress=False)
    return seen


def test_an_epoch_sees_each_pair_of_neighbours_once_and_none_across_sentences(monkeypatch):
    letters = [
        f"{a}{b}" for a in "abcdefghij" for b in "abcdefghij"
    ]  # a hundred words, each once in a sentence of its ten
    sentences = [letters[i : i + 10] for i in range(0, 100, 10)]
    corpus = encode(sentences, min_count=1)
    settings = WordSettings(window=1, sample=0, epochs=1, streams=3, block=4)
    monkeypatch.setattr(trainer, "LEAST_STREAM", 10_000)  # one stream: no sentence is cut by a slice
    seen = pairs_of_an_epoch(monkeypatch, corpus, settings)
    ids = corpus.vocabulary.ids
    expected = {(ids[a], ids[b]) for s in sentences for x, y in itertools.pairwise(s) for a, b in ((x, y), (y, x))}
    assert sorted(seen) == sorted(expected)


def test_streams_lose_only_pairs_at_their_joints(monkeypatch):
    words = [f"w{i:04}" for i in range(1000)]
    corpus = encode([words], min_count=1)
    monkeypatch.setattr(trainer, "LEAST_STREAM", 100)
    seen = pairs_of_an_epoch(monkeypatch, corpus, WordSettings(window=1, sample=0, epochs=1, streams=8, block=16))
    positions = [sorted(int(corpus.vocabulary.words[i][1:]) for i in pair) for pair in seen]
    assert all(b - a == 1 for a, b in positions)
    assert len(seen) == len(set(seen))
    assert 2 * 999 - 2 * 16 <= len(seen) < 2 * 999  # two joints a stream at most, two pairs each


def test_padding_makes_no_pairs_when_every_stream_lies_within_one_sentence(monkeypatch):
    """The last stream has one word, and two steps of nothing but padding; no stream has the end of a sentence in these."""
    words = [f"w{i:04}" for i in range(3 * 64 + 1)]
    corpus = encode([words], min_count=1)
    monkeypatch.setattr(Corpus, "part", lambda self, *_: torch.from_numpy(self.ids[self.ids >= 0].copy()))
    monkeypatch.setattr(trainer, "LEAST_STREAM", 10)
    seen = pairs_of_an_epoch(monkeypatch, corpus, WordSettings(window=1, sample=0, epochs=1, streams=4, block=16))
    assert all(abs(a - b) == 1 for a, b in seen)  # in the order of the alphabet, which is that of the text
    assert len(seen) == 2 * 3 * 63


def test_frequent_words_are_thinned_out_at_their_rate(monkeypatch):
    corpus = encode([["often"] * 9 + [f"rare{i % 50}"] for i in range(3000)], min_count=1)
    counted = torch.zeros(len(corpus.vocabulary))

    def look(self, matrix, rows, inputs, outputs, mask, rate, generator, look):
        counted.index_add_(0, inputs[mask.any(2)], torch.ones(int(mask.any(2).sum())))

    monkeypatch.setattr(trainer._Trainer, "_step", look)
    settings = WordSettings(window=2, sample=1e-2, epochs=1)
    train(corpus, settings, setting=ONE_THREAD, progress=False)
    expected = 27_000 * corpus.vocabulary.keep_probability(1e-2)[0].item()
    # A sentence left with one word gives no pair, so a little less comes than is kept.
    assert 0.6 * expected < counted[0] <= expected + 5 * math.sqrt(expected)


def rates_of_steps(monkeypatch, corpus, settings):
    """The learning rate of each word ``(steps, V)``, and the streams of each step."""
    rates, streams = [], []

    def look(self, matrix, rows, inputs, outputs, mask, rate, generator, look):
        rates.append(rate[:, 0].clone())
        streams.append(len(mask))

    monkeypatch.setattr(trainer._Trainer, "_step", look)
    train(corpus, settings, setting=ONE_THREAD, progress=False)
    return torch.stack(rates), streams


def test_the_learning_rate_falls_in_a_straight_line_over_all_steps_of_all_epochs(monkeypatch):
    corpus = encode([[f"w{i}" for i in range(960)]], min_count=1)
    monkeypatch.setattr(trainer, "PART", 200)  # 961 ids in 5 parts, of 12 or 13 steps each
    settings = WordSettings(sample=0, epochs=3, lr=0.5, least_lr=0.05, streams=1, cap=1e9)
    rates, _ = rates_of_steps(monkeypatch, corpus, settings)
    line = 0.5 * (1 - torch.arange(len(rates)) / len(rates))
    torch.testing.assert_close(rates[:, 0], line.clamp(min=0.05), rtol=0, atol=0.5 / len(rates))
    assert rates[0, 0] == 0.5
    assert rates[-1, 0] == pytest.approx(0.05)
    assert (rates[:, 0].diff() <= 0).all()


def test_a_word_expected_often_in_a_step_learns_by_the_cap(monkeypatch):
    corpus = encode([["often"] * 9 + [f"rare{i % 50:02}"] for i in range(3000)], min_count=1)
    settings = WordSettings(sample=1e-2, epochs=1, lr=0.5, cap=3.0, repeats=100.0, streams=4)
    rates, streams = rates_of_steps(monkeypatch, corpus, settings)
    keep, share = corpus.vocabulary.keep_probability(1e-2), corpus.vocabulary.frequencies
    kept = (keep * share) / (keep * share).sum()  # of a word among those that are left
    assert streams[0] == 4
    assert rates[0, 0].item() == pytest.approx(0.5 * 3 / (4 * 16 * kept[0].item()), rel=1e-4)
    assert rates[0, 1] == 0.5  # rare: less than the cap in a step


def test_a_text_of_few_words_is_read_in_few_streams(monkeypatch):
    few, many = (encode([[f"w{i % n:04}" for i in range(40_000)]], min_count=1) for n in (64, 4000))
    for corpus, expected in ((few, 4), (many, 19)):  # 64 words / 16 of a block; 40,001 ids / 2048
        _, streams = rates_of_steps(monkeypatch, corpus, WordSettings(sample=0, epochs=1))
        assert max(streams) == expected


def test_negatives_are_drawn_in_the_proportions_of_the_noise():
    counts = [1000, 300, 100, 30, 10, 3, 1]
    vocabulary = Vocabulary([f"w{i}" for i in range(len(counts))], counts)
    drawn = trainer._noise_table(vocabulary).bincount(minlength=len(counts)).double()
    torch.testing.assert_close(drawn / drawn.sum(), vocabulary.noise(), rtol=0, atol=1 / drawn.sum().item())


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
@pytest.mark.parametrize("with_subwords", [False, True])
def test_a_step_takes_the_words_of_its_place(monkeypatch, architecture, with_subwords):
    """The words at a step's places, their rows, and what is drawn are what the step adds to."""
    words = [f"w{i:04}" for i in range(200)]
    corpus = encode([words], min_count=1)
    monkeypatch.setattr(trainer, "LEAST_STREAM", 10_000)
    pairs = []

    def look(self, matrix, rows, inputs, outputs, mask, rate, generator, look):
        assert with_subwords or rows.equal(inputs)
        torch.testing.assert_close(matrix[rows], self.model.inputs.vectors()[inputs])
        for s, c, o in mask.nonzero().tolist():
            place = (c, o) if architecture == "skip-gram" else (o, c)
            pairs.append((int(inputs[s, place[0]]), int(outputs[s, place[1]])))

    monkeypatch.setattr(trainer._Trainer, "_step", look)
    settings = WordSettings(architecture=architecture, dim=4, window=3, sample=0, epochs=1)
    subwords = Subwords(words) if with_subwords else None
    train(corpus, settings, subwords=subwords, setting=ONE_THREAD, progress=False)
    distances = torch.tensor([abs(a - b) for a, b in pairs]).bincount()
    assert distances[0] == 0
    assert distances[1] == 2 * 199  # each neighbour, in both directions
    assert distances[1] > distances[2] > distances[3] > 0  # widths of 1, 2 and 3
    assert len(distances) == 4


# -- training ----------------------------------------------------------------------------------------------------------

GROUPS = [[f"{letter}{i}" for i in range(8)] for letter in ("cat", "dog", "sea")]


@pytest.fixture(scope="module")
def topics():
    """Sentences whose words come from one of three groups, so that words of one group share their neighbours."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.randint(8, (3000, 8), generator=generator).tolist()
    return encode([[GROUPS[i % 3][j] for j in row] for i, row in enumerate(draw)], min_count=1)


def purity(vectors: WordVectors) -> float:
    """The share of words whose five nearest are of their group."""
    right = [near[:3] == word[:3] for word in vectors.words for near, _ in vectors.nearest(word, 5)]
    return sum(right) / len(right)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"architecture": "cbow"},
        {"architecture": "cbow", "exact": True, "lr": 0.1},
        {"subwords": True, "lr": 0.01},
        {"subwords": True, "architecture": "cbow", "lr": 0.01},
        {"setting": TWO_THREADS},
    ],
    ids=str,
)
def test_words_of_a_kind_come_together(topics, more, monkeypatch):
    monkeypatch.setattr(trainer, "PART", 4096)  # several parts, so that threads share the work
    options = dict(more)
    setting = options.pop("setting", ONE_THREAD)
    # n-grams of one letter: the words of a group have nothing in common but the letters, which only fastText sees
    subwords = Subwords(topics.vocabulary.words, 2, 2) if options.pop("subwords", False) else None
    settings = WordSettings(**{"dim": 16, "sample": 0, "epochs": 8, "lr": 0.05} | options)
    model = train(topics, settings, subwords=subwords, setting=setting, progress=False)
    assert purity(model.vectors) > 0.95
    losses = model.history.column("loss")
    assert losses[-1] < losses[0]
    assert losses[0] < (1 + settings.negatives) * math.log(2)  # below that of zero vectors, so it is the mean of a pair


def tables(model):
    return model.inputs.rows, model.outputs


@pytest.mark.parametrize("with_subwords", [False, True])
def test_cut_off_and_resumed_the_result_is_the_same_bit_for_bit(topics, tmp_path, monkeypatch, with_subwords):
    monkeypatch.setattr(trainer, "PART", 4096)
    settings = WordSettings(dim=8, sample=1e-2, epochs=3)

    def subwords():
        return Subwords(topics.vocabulary.words) if with_subwords else None

    def go(**more):
        return train(topics, settings, subwords=subwords(), seed=3, setting=ONE_THREAD, progress=False, **more)

    whole = go()
    path = tmp_path / "last.pt"
    parts, train_part = [], trainer._Trainer.train_part

    class Cut(Exception):
        pass

    def cut(self, number):
        parts.append(number)
        if len(parts) == 9:
            raise Cut
        return train_part(self, number)

    monkeypatch.setattr(trainer._Trainer, "train_part", cut)
    with pytest.raises(Cut):
        go(checkpoint=path, checkpoint_seconds=0)
    monkeypatch.setattr(trainer._Trainer, "train_part", train_part)
    resumed = go(checkpoint=path, resume=True)
    for a, b in zip(tables(whole), tables(resumed), strict=True):
        assert a.equal(b)
    assert whole.history.column("loss") == resumed.history.column("loss")
    finished = go(checkpoint=path, resume=True)  # nothing is left to do
    assert finished.history.rows == resumed.history.rows
    assert tables(finished)[0].equal(tables(whole)[0])
    other = dataclasses.replace(settings, lr=0.03)
    with pytest.raises(ReplearnError, match=r"another training: lr 0.025 then, 0.03 now"):
        train(topics, other, subwords=subwords(), seed=3, checkpoint=path, resume=True, progress=False)


def test_a_checkpoint_of_other_ngrams_or_of_another_text_is_refused(topics, tmp_path):
    path = tmp_path / "last.pt"

    def go(corpus, least):
        subwords = Subwords(corpus.vocabulary.words, least, 6, buckets=50)
        train(
            corpus,
            WordSettings(dim=4, epochs=1),
            subwords=subwords,
            setting=ONE_THREAD,
            checkpoint=path,
            resume=True,
            progress=False,
        )

    go(topics, 3)
    with pytest.raises(ReplearnError, match=r"another training: ngrams \[3, 6, 50\] then, \[2, 6, 50\] now"):
        go(topics, 2)
    words = [word.replace("cat", "car") for word in topics.vocabulary.words]
    changed = dataclasses.replace(topics, vocabulary=Vocabulary(words, topics.vocabulary.counts))
    with pytest.raises(ReplearnError, match="another training: checksum of the vocabulary"):
        go(changed, 3)


def test_a_seed_decides_everything_with_one_thread(topics):
    settings = WordSettings(dim=8, epochs=1)
    one, again, other = (train(topics, settings, seed=seed, setting=ONE_THREAD, progress=False) for seed in (1, 1, 2))
    assert all(a.equal(b) for a, b in zip(tables(one), tables(again), strict=True))
    assert not tables(one)[0].equal(tables(other)[0])


def test_vectors_of_an_epoch_stay_as_they_were_when_training_goes_on(topics):
    seen = []
    subwords = Subwords(topics.vocabulary.words)
    model = train(
        topics,
        WordSettings(dim=4, epochs=2),
        subwords=subwords,
        setting=ONE_THREAD,
        on_epoch=lambda model: seen.append((model.vectors, model.vectors.rows.clone(), model.vectors.matrix.clone())),
        progress=False,
    )
    for vectors, rows, matrix in seen:
        assert vectors.rows.equal(rows)
        assert vectors.matrix.equal(matrix)
    assert not seen[0][1].equal(model.inputs.rows)
    moved = subwords.to("meta")  # as for a GPU: the caller's own, and those of training, stay where they are
    assert (moved.rows.device.type, subwords.rows.device.type, len(moved)) == ("meta", "cpu", len(subwords))


def test_an_error_in_one_thread_ends_the_others(topics, monkeypatch):
    monkeypatch.setattr(trainer, "PART", 256)
    failed = threading.Event()
    parts = []

    def train_part(self, number):
        if number == 0:
            failed.set()
            raise MemoryError("none left")
        failed.wait(10)
        parts.append(number)
        time.sleep(0.01)
        return iter(())

    monkeypatch.setattr(trainer._Trainer, "train_part", train_part)
    with pytest.raises(MemoryError, match="none left"):
        train(topics, WordSettings(dim=4), setting=TWO_THREADS, progress=False)
    assert len(parts) < 20  # of more than a hundred


@pytest.mark.parametrize("setting", [ONE_THREAD, TWO_THREADS], ids=["one thread", "two threads"])
def test_vectors_that_explode_are_noticed_and_not_saved(topics, tmp_path, setting):
    with pytest.raises(ReplearnError, match=r"explode in epoch 1.*lr=500"):
        train(
            topics,
            WordSettings(dim=8, sample=0, lr=500.0, cap=1e6),
            setting=setting,
            checkpoint=tmp_path / "last.pt",
            progress=False,
        )
    assert not (tmp_path / "last.pt").exists()


def test_vectors_begin_small_and_output_vectors_at_zero(topics, monkeypatch):
    monkeypatch.setattr(trainer._Trainer, "_step", lambda *_, **__: None)
    settings = WordSettings(dim=50, epochs=3, lr=0.3, least_lr=0.01)
    model = train(topics, settings, setting=ONE_THREAD, progress=False)
    assert 0.9 / 50 < model.inputs.rows.abs().max() <= 1 / 50
    assert model.outputs.eq(0).all()
    assert model.history.column("lr") == pytest.approx([0.2, 0.1, 0.01])


def test_vectors_lost_where_no_loss_was_looked_at_are_noticed(topics, tmp_path, monkeypatch):
    def lose(self, *_, **__):
        self.model.outputs[3] = math.nan

    monkeypatch.setattr(trainer._Trainer, "_step", lose)
    with pytest.raises(ReplearnError, match="explode in epoch 1"):
        train(topics, WordSettings(dim=4), checkpoint=tmp_path / "last.pt", setting=ONE_THREAD, progress=False)
    assert not (tmp_path / "last.pt").exists()


def test_the_readable_form_draws_anew_each_epoch(topics):
    batches = WindowBatches(topics, 64, sample=0)
    assert not next(iter(batches.epoch(0)))[1].equal(next(iter(batches.epoch(1)))[1])


def test_threads_of_torch_are_left_as_they_were(topics):
    before = torch.get_num_threads()
    train(topics, WordSettings(dim=4, epochs=1), setting=TWO_THREADS, progress=False)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"architecture": "glove"}, "unknown architecture 'glove'"),
        ({"dim": 0}, "dim: expected 1 or more"),
        ({"window": 0}, "window"),
        ({"lr": 0.0}, "lr: expected a number above 0"),
        ({"lr": float("nan")}, "lr"),
        ({"least_lr": 1.0}, "least_lr: expected 0 to lr"),
        ({"sample": -1.0}, "sample: expected a number from 0 up"),
    ],
)
def test_settings_that_make_no_sense(options, said):
    with pytest.raises(ReplearnError, match=said):
        WordSettings(**options)


def test_subwords_of_another_vocabulary(topics):
    with pytest.raises(ReplearnError, match="subwords: of 1 words, expected those of the corpus, 24"):
        train(topics, subwords=Subwords(["a"]), progress=False)


def test_vectors_of_ngrams_come_through_a_file(topics, tmp_path):
    model = train(
        topics,
        WordSettings(dim=4, epochs=1),
        subwords=Subwords(topics.vocabulary.words, buckets=50),
        setting=ONE_THREAD,
        progress=False,
    )
    vectors = model.vectors
    vectors.save(tmp_path / "vectors.safetensors")
    loaded = WordVectors.load(tmp_path / "vectors.safetensors")
    assert loaded.words == vectors.words
    assert loaded["dogs"].equal(vectors["dogs"])  # unseen
    assert "dogs" not in loaded
    rows = vectors.subwords.of_unseen("dogs")
    torch.testing.assert_close(loaded["dogs"], model.inputs.rows[rows].mean(0))


# -- the readable form -------------------------------------------------------------------------------------------------


def test_the_readable_losses_are_their_formulas(topics):
    torch.manual_seed(0)
    model = Word2Vec(topics.vocabulary, dim=5).double()
    model.outputs.weight.data.normal_()
    inputs, targets = torch.tensor([[0, 3, -1], [5, -1, -1]]), torch.tensor([2, 7])
    h = [(model.inputs.weight[0] + model.inputs.weight[3]) / 2, model.inputs.weight[5]]
    scores = [model.outputs.weight @ x for x in h]
    expected = sum(torch.logsumexp(s, 0) - s[t] for s, t in zip(scores, (2, 7), strict=True)) / 2
    torch.testing.assert_close(model(inputs, targets)["loss"], expected)
    h, u, n = normal(3, 4), normal(3, 4, seed=1), normal(3, 2, 4, seed=2)
    by_hand = -sum(
        (u[i] @ h[i]).sigmoid().log() + sum((-n[i, k] @ h[i]).sigmoid().log() for k in range(2)) for i in range(3)
    )
    torch.testing.assert_close(negative_sampling_loss(h, u, n), by_hand / 3)


def test_blocks_and_the_readable_form_have_one_gradient():
    """One centre with the words beside it, the same negatives: autograd of the readable loss, steps of a block."""
    v, u, n = normal(1, 1, 4), normal(1, 3, 4, seed=1), normal(1, 5, 4, seed=2)
    mask = window_mask(window_table(1, 1), torch.ones(1, 1, dtype=torch.int64), 1).double()
    leaf = v[0].clone().requires_grad_()
    loss = 2 * negative_sampling_loss(leaf.expand(2, 4), u[0, [0, 2]], n.expand(2, 5, 4))  # a sum over the two pairs
    (gradient,) = torch.autograd.grad(loss, leaf)
    torch.testing.assert_close(skipgram_steps(v, u, n, mask, negatives=5).inputs[0], -gradient)


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
def test_windows_of_the_readable_form(architecture):
    sentences = [["a", "b", "c"], ["d"], ["e", "f"]]
    corpus = encode(sentences, min_count=1)
    batches = WindowBatches(corpus, 2, architecture=architecture, window=1, sample=0)
    assert len(batches) == 3
    ids = corpus.vocabulary.ids
    seen = [
        (tuple(sorted(i for i in row if i >= 0)), target)
        for inputs, targets in batches.epoch(0)
        for row, target in zip(inputs.tolist(), targets.tolist(), strict=True)
    ]
    pairs = [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"), ("e", "f"), ("f", "e")]
    windows = [("b", "a"), ("ac", "b"), ("b", "c"), ("f", "e"), ("e", "f")]
    expected = [
        (tuple(sorted(ids[w] for w in first)), ids[second])
        for first, second in (pairs if architecture == "skip-gram" else windows)
    ]
    assert sorted(seen) == sorted(expected)
    again = [b for batch in batches.epoch(0, start=1) for b in batch]
    assert all(
        a.equal(b) for a, b in zip(again, [b for batch in list(batches.epoch(0))[1:] for b in batch], strict=True)
    )


@pytest.mark.parametrize(("architecture", "loss"), [("skip-gram", "negative sampling"), ("cbow", "softmax")])
def test_the_readable_form_learns_the_same(topics, architecture, loss):
    torch.manual_seed(0)
    model = Word2Vec(topics.vocabulary, dim=16, loss=loss)
    fit(
        model,
        WindowBatches(topics, 256, architecture=architecture, sample=0),
        torch.optim.Adam(model.parameters(), lr=0.02),
        epochs=1,
        setting=ONE_THREAD,
        progress=False,
    )
    assert purity(model.vectors) > 0.95


def test_unknown_loss_and_architecture(topics):
    with pytest.raises(ReplearnError, match="unknown loss"):
        Word2Vec(topics.vocabulary, loss="hinge")
    with pytest.raises(ReplearnError, match="unknown architecture"):
        WindowBatches(topics, architecture="lstm")
