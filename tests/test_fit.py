"""``fit``: whatever cuts a training off, resumed it ends with the same bits; and it says what is wrong."""

import dataclasses
import errno
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
import training_job
from torch import nn
from training_job import EPOCHS, SETTING, STEPS, images, train

from replearn_course.data import Compose, PKBatches, TripletBatches, ViewBatches
from replearn_course.errors import ReplearnError
from replearn_course.files import load_checkpoint, read_csv
from replearn_course.methods import InBatchTripletNetwork, MoCo, TripletNetwork
from replearn_course.networks import SmallCNN, projector
from replearn_course.training import History, fit, plateau, warmup_cosine
from replearn_course.training.fit import _Loop

JOB = Path(training_job.__file__)


def flat(value, path=""):
    """Every leaf of nested dicts, lists and tuples, by its path."""
    if isinstance(value, dict):
        return {k: v for key in value for k, v in flat(value[key], f"{path}/{key}").items()}
    if isinstance(value, list | tuple):
        return flat(dict(enumerate(value)), path)
    return {path: value}


def assert_same(ours, theirs):
    """Bit for bit: weights, statistics, optimiser, history without the seconds."""
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        one, other = flat(one.state_dict()), flat(other.state_dict())
        assert one.keys() == other.keys()
        for name, value in one.items():
            same = torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
            assert same, name
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in run[2].rows] for run in (ours, theirs)]
    assert rows[0] == rows[1]
    assert (ours[2].stopped, ours[2].flop) == (theirs[2].stopped, theirs[2].flop)


@pytest.fixture(scope="module")
def whole():
    """The training never cut off, by schedule."""
    return {schedule: train(None, schedule=schedule) for schedule in training_job.SCHEDULES}


def test_the_training_that_is_cut_off_exercises_what_it_should(whole):
    method, optimizer, history = whole["plateau"]
    assert history.epochs == EPOCHS
    assert method.encoder[1].num_batches_tracked == EPOCHS * STEPS
    assert optimizer.state_dict()["state"][0]["step"] == EPOCHS * STEPS
    assert history.column("loss")[-1] < history.column("loss")[0]
    assert_same(whole["plateau"], train(None))  # and it is the same each time
    assert whole["warmup-cosine"][2].rows != history.rows


# -- cut off and resumed -----------------------------------------------------------------------------------------------


def kill_at(step: int, number: int = signal.SIGINT):
    """Send this process a signal before its step ``step`` (from 0)."""
    return lambda made: os.kill(os.getpid(), number) if made == step else None


@pytest.mark.parametrize("schedule", training_job.SCHEDULES)
@pytest.mark.parametrize("step", [0, 7, 2 * STEPS - 1])  # the first, one in the midst, the last of an epoch
def test_ctrl_c_and_resume(tmp_path, whole, schedule, step):
    before = signal.getsignal(signal.SIGINT)
    cut = train(tmp_path / "last.pt", schedule=schedule, each_step=kill_at(step))
    assert cut[2].stopped == "interrupted"
    assert cut[2].epochs == step // STEPS
    assert signal.getsignal(signal.SIGINT) is before
    assert load_checkpoint(tmp_path / "last.pt")["step"] == step % STEPS + 1  # the step under way was finished
    torch.manual_seed(99)  # a new process begins with another random state
    assert_same(train(tmp_path / "last.pt", schedule=schedule, resume=True), whole[schedule])


def test_sigterm_and_resume_twice(tmp_path, whole):
    for step, done in ((3, 0), (6, 1)):  # the second counts from where the first ended
        cut = train(tmp_path / "last.pt", each_step=kill_at(step, signal.SIGTERM), resume=True)
        assert (cut[2].stopped, cut[2].epochs) == ("interrupted", done + (step == 6))
    assert_same(train(tmp_path / "last.pt", resume=True), whole["plateau"])


def test_resume_at_an_epochs_end(tmp_path, whole):
    class Broken(Exception):
        pass

    def stop(made):
        if made == 2 * STEPS + 3:
            raise Broken

    with pytest.raises(Broken):
        train(tmp_path / "last.pt", each_step=stop)
    state = load_checkpoint(tmp_path / "last.pt")
    assert (len(state["rows"]), state["step"]) == (2, 0)
    assert_same(train(tmp_path / "last.pt", resume=True), whole["plateau"])


def test_ctrl_c_while_validating_is_not_forgotten(tmp_path):
    # In the last epoch too: what called fit must hear of it, and a resume must find that there is nothing left to do.
    for epoch in (2, EPOCHS):
        calls = []

        def validate(method, calls=calls, epoch=epoch):
            calls.append(1)
            if len(calls) == epoch:
                os.kill(os.getpid(), signal.SIGINT)
            return {"val_loss": 1.0 / len(calls)}

        path = tmp_path / f"{epoch}.pt"
        history = train(path, validation=validate)[2]
        assert (history.stopped, history.epochs) == ("interrupted", epoch)
    assert train(path, validation=validate, resume=True)[2].stopped == "finished"
    assert len(calls) == EPOCHS


def test_a_finished_training_is_not_trained_again(tmp_path, whole):
    train(tmp_path / "last.pt")
    again = train(tmp_path / "last.pt", resume=True, each_step=lambda _: pytest.fail("trained"))
    assert_same(again, whole["plateau"])


def test_without_resume_it_begins_anew(tmp_path, whole):
    train(tmp_path / "last.pt", each_step=kill_at(7))
    assert_same(train(tmp_path / "last.pt"), whole["plateau"])
    assert_same(train(tmp_path / "absent.pt", resume=True), whole["plateau"])


def test_random_numbers_taken_between_epochs_are_not_taken_again(tmp_path):
    ways = {
        "on_epoch": lambda *_: torch.rand(3),
        "validation": lambda _: {"val_loss": torch.rand(()).item() + random.random()},
    }
    random.seed(4)
    plain = train(None, **ways)
    random.seed(4)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "last.pt", **ways, each_step=lambda made: raise_if(made == STEPS, KeyboardInterrupt))
    random.seed(5)
    assert_same(train(tmp_path / "last.pt", **ways, resume=True), plain)


def raise_if(condition, error):
    if condition:
        raise error


def test_early_stopping_is_resumed(tmp_path):
    values = [3.0, 2.0, 2.5, 2.4, 2.3, 1.0]

    def run(path, **more):
        at = iter(values[more.pop("skip", 0) :])
        return train(path, validation=lambda _: {"val_loss": next(at)}, epochs=9, patience=2, **more)

    plain = run(None)
    assert (plain[2].stopped, plain[2].epochs) == ("early", 4)
    assert run(tmp_path / "last.pt", each_step=kill_at(3 * STEPS))[2].epochs == 3
    assert_same(run(tmp_path / "last.pt", skip=3, resume=True), plain)
    assert_same(run(tmp_path / "last.pt", skip=6, resume=True), plain)


def test_kill_9_and_resume(tmp_path, whole):
    path = tmp_path / "last.pt"
    job = subprocess.Popen([sys.executable, str(JOB), "kill", str(path)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.Random().uniform(0.0, 0.5))  # no moment may matter
    job.kill()
    assert job.wait() == -signal.SIGKILL
    state = load_checkpoint(path)
    print("killed after", len(state["rows"]), "epochs and", state["step"], "steps")
    assert_same(train(path, resume=True), whole["plateau"])


def test_another_number_of_threads_is_noted(tmp_path, capsys):
    train(tmp_path / "last.pt", each_step=kill_at(2))
    state = load_checkpoint(tmp_path / "last.pt")
    torch.save({**state, "threads": 7}, tmp_path / "last.pt")
    train(tmp_path / "last.pt", resume=True)
    assert "began with 7 threads and goes on with 1" in capsys.readouterr().out


# -- checkpoints that are not to be trusted ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "last.pt"
    train(path, epochs=1)
    return path.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_checkpoint(tmp_path, checkpoint, share):
    path = tmp_path / "last.pt"
    path.write_bytes(checkpoint[: int(share * len(checkpoint))])
    with pytest.raises(ReplearnError, match=r"last\.pt is not a whole checkpoint .*truncated or damaged"):
        train(path, resume=True)
    assert path.stat().st_size == int(share * len(checkpoint))  # left for whoever wants to look


def test_flipped_bytes_are_found_or_harmless(tmp_path, checkpoint):
    path = tmp_path / "last.pt"
    path.write_bytes(checkpoint)
    right = flat(load_checkpoint(path))
    places = random.Random(0).sample(range(len(checkpoint)), 150)
    tail = range(len(checkpoint) - 1500, len(checkpoint))  # the zip's directory, where it is most confusing
    found = 0
    for place in [*places, *tail[::10]]:
        damaged = bytearray(checkpoint)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            state = flat(load_checkpoint(path))
        except ReplearnError:
            found += 1
            continue
        assert state.keys() == right.keys()
        for name, value in state.items():
            assert torch.equal(value, right[name]) if isinstance(value, torch.Tensor) else value == right[name]
    assert found > 120


class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_foreign_pickles_do_not_run(tmp_path):
    path, trace = tmp_path / "last.pt", tmp_path / "trace"
    torch.save({"format": 1, "model": Malice(trace)}, path)
    with pytest.raises(ReplearnError, match="is not a checkpoint of replearn"):
        train(path, resume=True)
    path.write_bytes(pickle.dumps(Malice(trace)))
    with pytest.raises(ReplearnError, match="not a whole checkpoint"):
        train(path, resume=True)
    torch.save(Malice(trace), path, _use_new_zipfile_serialization=False)
    with pytest.raises(ReplearnError, match="not a whole checkpoint"):
        train(path, resume=True)
    assert not trace.exists()


def test_checkpoints_of_another_training(tmp_path, checkpoint):
    path = tmp_path / "last.pt"
    for foreign in (torch.zeros(3), [1, 2], {"weights": torch.zeros(3)}, {"format": 99}):
        torch.save(foreign, path)
        with pytest.raises(ReplearnError, match="is not a checkpoint of this version"):
            train(path, resume=True)
    path.write_bytes(checkpoint)
    with pytest.raises(ReplearnError, match=r"of another training: .*Missing key.*encoder\.trunk"):
        train(path, resume=True, method=TripletNetwork(SmallCNN(3, image_size=8)))
    wide = training_job.network()
    wide.encoder[5] = nn.Linear(256, 4)
    with pytest.raises(ReplearnError, match=r"of another training: .*size mismatch"):
        train(path, resume=True, method=wide)
    with pytest.raises(ReplearnError, match="of another training"):
        train(path, resume=True, schedule="warmup-cosine")


# -- full disk ---------------------------------------------------------------------------------------------------------


def test_full_disk_leaves_the_last_checkpoint(tmp_path, whole, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "last.pt"

    def fill(made):
        if made == STEPS + 2:
            monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(ReplearnError, match=r"cannot write .*last\.pt: No space left on device; the file .* unchanged"):
        train(path, each_step=fill)
    assert [f.name for f in tmp_path.iterdir()] == ["last.pt"]
    monkeypatch.undo()
    assert len(load_checkpoint(path)["rows"]) == 1
    assert_same(train(path, resume=True), whole["plateau"])


# -- losses that are lost ----------------------------------------------------------------------------------------------


class Spoilt(nn.Module):
    """A triplet network that from step ``at`` (from 0) on has a loss and a term that are NaN, or a gradient alone."""

    def __init__(self, at, gradient_only=False):
        super().__init__()
        self.method, self.at, self.gradient_only = training_job.network(9.0), at, gradient_only

    def forward(self, *batch):
        report = self.method(*batch) | {"term": torch.ones(())}
        self.at -= self.training
        if self.at < 0 and self.gradient_only:
            report["loss"] = report["loss"] + (report["loss"] * 0).sqrt()
        elif self.at < 0:
            report |= {"loss": report["loss"] * math.nan, "term": torch.tensor(math.inf)}
        return report


@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("step", [STEPS + 1, 2 * STEPS - 1])
def test_nan_ends_training_and_keeps_the_checkpoint_before_it(tmp_path, gradient_only, step):
    path = tmp_path / "last.pt"
    at = step - STEPS + 1
    terms = "" if gradient_only else f"loss from step {at} on, term from step {at} on, "
    message = (
        rf"^no longer finite in epoch 2: {terms}6 weights such as method\.encoder\.0\.weight after step {at}; "
        rf"a smaller learning rate than 0\.01 may help; the last good checkpoint is {path}$"
    )
    with pytest.raises(ReplearnError, match=message):
        train(path, method=Spoilt(step, gradient_only), checkpoint_seconds=0.0)  # a checkpoint each step
    state = load_checkpoint(path)
    done = len(state["rows"]) * STEPS + state["step"]
    assert done == step
    assert all(value.isfinite().all() for value in state["model"].values())


@pytest.mark.parametrize(
    ("gradient_only", "found"),
    [
        (False, "loss from step 3 on, term from step 3 on, 8 weights such as .* after step 3"),
        (True, "8 weights .* after step 3"),
    ],
)
def test_the_step_of_a_nan_is_found_where_the_loss_refuses_it(tmp_path, gradient_only, found):
    with pytest.raises(ReplearnError, match=rf"epoch 1: {found}; .*there is no checkpoint from before that$"):
        train(tmp_path / "last.pt", method=Spoilt(2, gradient_only))  # the loss refuses embeddings that are NaN
    assert not list(tmp_path.iterdir())


def test_the_step_of_a_nan_is_found_at_the_end_of_the_epoch():
    class Lost(Constant):
        """Reports a term that is infinite at its second step, and nothing else is wrong."""

        def forward(self, *images):
            self.at = getattr(self, "at", 0) + self.training
            return super().forward(*images) | {"term": torch.tensor(math.inf if self.at == 2 else 1.0)}

    with pytest.raises(ReplearnError, match="no longer finite in epoch 1: term from step 2 on; a smaller"):
        train_constant(method=Lost())
    losses = iter([1.0, math.nan])
    with pytest.raises(ReplearnError, match="no longer finite in epoch 2: val_loss; a smaller"):
        train_constant(validation=lambda _: {"val_loss": next(losses)})


def test_the_step_of_a_nan_is_found_after_a_resume(tmp_path):
    path = tmp_path / "last.pt"
    train(path, method=Spoilt(99), each_step=kill_at(1))  # steps 1 and 2
    with pytest.raises(ReplearnError, match=rf"epoch 1: loss from step 4 on, .*checkpoint is {path}$"):
        train(path, method=Spoilt(1), resume=True)


class Refuses(nn.Module):
    """A triplet network that from step ``at`` (from 0) on refuses its batches."""

    def __init__(self, at):
        super().__init__()
        self.method, self.at = training_job.network(), at

    def forward(self, *batch):
        self.at -= self.training
        if self.at < 0:
            raise ReplearnError("the embeddings have collapsed")
        return self.method(*batch)


def test_a_batch_that_a_method_refuses_is_said_with_its_step_and_nothing_is_lost(tmp_path):
    path = tmp_path / "last.pt"
    message = "^epoch 2, step 3: the embeddings have collapsed; the last good checkpoint is "
    with pytest.raises(ReplearnError, match=f"{message}{path}$"):
        train(path, method=Refuses(STEPS + 2))
    state = load_checkpoint(path)
    assert (len(state["rows"]), state["step"]) == (1, 0)  # that of the end of the first epoch
    with pytest.raises(ReplearnError, match=message):  # resumed it comes to the same batch
        train(path, method=Refuses(2), resume=True)
    with pytest.raises(ReplearnError, match="^epoch 1, step 3: .*; there is no checkpoint from before that$"):
        train(None, method=Refuses(2))


def test_what_a_method_refuses_before_training_is_said_as_it_is():
    class Never(Constant):
        def forward(self, *images):
            raise ReplearnError("images: too few")

    with pytest.raises(ReplearnError, match="^images: too few$"):
        train_constant(method=Never())


# -- torch.compile -----------------------------------------------------------------------------------------------------


def test_a_compiled_encoder_trains_alike_and_its_weights_keep_their_names(tmp_path, monkeypatch, whole):
    """With torch's compiler of graphs, and without the making of machine code, which takes a minute."""
    compiled = []

    def in_place(module):
        compiled.append(module)
        plain(module, backend="eager")

    plain = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", in_place)
    setting = dataclasses.replace(SETTING, compile=True)
    ours = train(tmp_path / "last.pt", setting=setting)
    assert compiled == [ours[0].encoder]
    assert_same(ours, whole["plateau"])
    assert load_checkpoint(tmp_path / "last.pt")["model"].keys() == ours[0].state_dict().keys()
    assert_same(train(tmp_path / "last.pt", resume=True), whole["plateau"])  # and without it goes on from there


# -- early stopping, schedules, validation -----------------------------------------------------------------------------


class Constant(nn.Module):
    """A weight that falls by the learning rate each step of plain SGD; an image passes through a linear map of 64 × 10."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.linear = nn.Linear(64, 10).requires_grad_(False)

    def forward(self, *images):
        seen = sum(self.linear(x.flatten(1)).sum() for x in images)
        return {"loss": self.weight + 0 * seen, "active": images[0].mean()}


def train_constant(lr=1.0, method=None, **arguments):
    method = method or Constant()
    settings = {"epochs": 3, "setting": SETTING, "progress": False}
    optimizer = torch.optim.SGD([method.weight], lr=lr)
    return method, fit(method, TripletBatches(images(20), 8), optimizer, **settings | arguments)


@pytest.mark.parametrize(
    ("values", "patience", "epochs", "best"),
    [
        ([5, 4, 4.5, 3, 3.5, 3.2, 3.1, 0], 3, 7, 4),  # three epochs without a fall after the fourth
        ([1, 1, 1, 1], 2, 3, 1),  # equal is no fall
        ([4, 3, 2, 1], 1, 4, 4),
        ([1, 2, 0], 1, 2, 1),
    ],
)
def test_early_stopping_by_hand(values, patience, epochs, best):
    at = iter(values)
    _, history = train_constant(validation=lambda _: {"val_loss": next(at)}, patience=patience, epochs=len(values))
    assert (history.epochs, history.best("val_loss")) == (epochs, best)
    assert history.stopped == ("early" if epochs < len(values) else "finished")


def test_plateau_halves_when_torch_would():
    values = [5, 4, 4.2, 4.1, 3.99999, 4, 3, 3, 3, 3, 3, 2, 2.5, 2.4, 2.3]
    at = iter(values)
    _, history = train_constant(
        lr=0.8, schedule=plateau(0.5, 1), validation=lambda _: {"x": next(at)}, monitor="x", epochs=len(values)
    )
    peer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=0.8)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(peer, factor=0.5, patience=1)
    expected = []
    for value in values:
        expected.append(peer.param_groups[0]["lr"])  # the rate that the epoch was trained with
        scheduler.step(value)
    assert history.column("lr") == expected
    assert expected[3:6] == [0.8, 0.4, 0.4]  # halved after the second epoch in a row without a fall


@pytest.mark.parametrize(("warmup", "floor"), [(0.25, 0.0), (0.0, 0.1), (0.1, 0.5)])
def test_warmup_cosine_by_its_formula(warmup, floor):
    epochs, steps = 4, 3
    method, _ = train_constant(lr=2.0, schedule=warmup_cosine(warmup, floor), epochs=epochs)
    total = epochs * steps
    rise = round(warmup * total)
    factors = [
        (s + 1) / rise if s < rise else floor + (1 - floor) * (1 + math.cos(math.pi * (s - rise) / (total - rise))) / 2
        for s in range(total)
    ]
    assert max(factors) == 1
    assert method.weight.item() == pytest.approx(-2.0 * sum(factors), rel=1e-5)


def test_validation_is_the_same_each_epoch():
    data = images(20)
    torch.manual_seed(0)
    method = TripletNetwork(SmallCNN(2, image_size=8), margin=1.0)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.0)
    validation = TripletBatches(images(13, seed=4), 8, seed=2)
    history = fit(
        method, TripletBatches(data, 8), optimizer, epochs=3, validation=validation, setting=SETTING, progress=False
    )
    by_hand = {"val_loss": 0.0, "val_active": 0.0}
    with torch.no_grad():
        for batch in validation.epoch(0):
            for name, value in method(*batch).items():
                by_hand[f"val_{name}"] += value.item() * len(batch[0]) / 13
    for row in history.rows:
        assert {name: row[name] for name in by_hand} == pytest.approx(by_hand, rel=1e-6)
    assert len(set(history.column("val_loss"))) == 1
    assert len(set(history.column("loss"))) == 3  # training triplets are new each epoch


def test_validation_neither_trains_nor_drops_out():
    method = training_job.network()
    seen = []
    fit(
        method,
        TripletBatches(images(16), 8),
        torch.optim.SGD(method.parameters(), lr=0.1),
        epochs=2,
        validation=lambda m: seen.append((m.training, torch.is_grad_enabled())) or {"val_loss": 0.0},
        on_epoch=lambda m, h: seen.append((m is method, h.epochs)),
        setting=SETTING,
        progress=False,
    )
    assert seen == [(False, False), (True, 1), (False, False), (True, 2)]


# -- what is reported --------------------------------------------------------------------------------------------------


def test_flop_are_six_times_multiply_adds_times_images():
    method = InBatchTripletNetwork(SmallCNN(2, image_size=8, hidden=10), "batch-hard")
    counted = TripletNetwork(method.encoder)
    optimizer = torch.optim.SGD(counted.parameters(), lr=0.1)
    history = fit(counted, TripletBatches(images(20), 8), optimizer, epochs=1, setting=SETTING, progress=False)
    multiply_adds = 64 * 9 * 16 + 16 * 9 * 16 * 32 + 32 * 4 * 10 + 10 * 2
    assert history.flop == 6 * multiply_adds * 3 * 20  # three images a triplet, 20 triplets an epoch


def test_flop_of_what_is_not_trained_are_of_the_forward_pass_alone():
    _, history = train_constant(epochs=2)
    assert history.flop == 2 * 640 * 3 * 20 * 2
    method = MoCo(SmallCNN(2, image_size=8, hidden=10), projector(2, [3]), queue=16)
    batches = ViewBatches(images(16), 8, [Compose(())] * 2)
    optimizer = torch.optim.SGD(method.encoder.parameters(), lr=0.1)
    history = fit(method, batches, optimizer, epochs=1, setting=SETTING, progress=False)
    a_network = 64 * 9 * 16 + 16 * 9 * 16 * 32 + 32 * 4 * 10 + 10 * 2 + 2 * 3
    against_the_queue = 16 * 3
    assert history.flop == 2 * (3 * (a_network + against_the_queue) + a_network) * 16


def test_rows_are_means_over_the_steps():
    batches = TripletBatches(images(20), 8)
    method, history = train_constant(epochs=1)
    actives = [batch[0].mean().item() for batch in batches.epoch(0)]
    row = history.rows[0]
    assert row["active"] == pytest.approx(sum(actives) / 3)
    assert row["loss"] == pytest.approx((0 - 1 - 2) / 3)
    assert row["lr"] == 1.0
    assert method.weight.item() == -3


def test_history_as_table_csv_and_plot(tmp_path):
    assert str(History()) == "no epoch was finished"
    history = History([{"epoch": 1, "loss": 0.5, "val_loss": 0.25, "seconds": 2.0}])
    history.rows.append({"epoch": 2, "loss": 0.125, "val_loss": 0.0625, "seconds": 1.5})
    assert str(history).split() == [
        "epoch",
        "loss",
        "val_loss",
        "seconds",
        "1",
        "0.5",
        "0.25",
        "2",
        "2",
        "0.125",
        "0.0625",
        "1.5",
    ]
    assert history.seconds == 3.5
    history.save(tmp_path / "history.csv")
    rows = read_csv(tmp_path / "history.csv")
    assert [{k: float(v) for k, v in row.items()} for row in rows] == history.rows
    axes = history.plot().axes[0]
    assert [(line.get_label(), list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines] == [
        ("loss", [1, 2], [0.5, 0.125]),
        ("val_loss", [1, 2], [0.25, 0.0625]),
    ]
    assert len(history.plot("seconds").axes[0].lines) == 1
    plt.close("all")


def test_progress_without_a_terminal_is_a_line_an_epoch(capsys):
    train_constant(progress=True)
    out = capsys.readouterr()
    lines = out.out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("epoch 2/3 loss -4 active ")
    assert out.err == ""
    train_constant(progress=False)
    assert capsys.readouterr().out == ""


def test_progress_in_a_terminal_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    train_constant(progress=True)
    out = capsys.readouterr()
    assert out.out == ""
    assert "9/9" in out.err


def test_bad_requests_are_said_before_training():
    for arguments, message in (
        ({"epochs": 0}, "epochs: expected 1 or more, got 0"),
        ({"patience": 0, "validation": lambda _: {}}, "patience: expected 1 or more, got 0"),
        ({"patience": 2}, "validation: early stopping and plateau schedules look at 'val_loss'"),
        ({"schedule": plateau()}, "validation: .*'val_loss', which needs it"),
    ):
        with pytest.raises(ReplearnError, match=message):
            train_constant(**arguments)
    with pytest.raises(ReplearnError, match=r"monitor: 'val_los' is not among .*'val_loss'"):
        train_constant(validation=lambda _: {"val_loss": 1.0}, monitor="val_los", patience=1)
    with pytest.raises(ReplearnError, match="optimizer: holds parameters that are not of this method"):
        train(None, method=training_job.network(), optimizer_of=training_job.network())
    assert train_constant(monitor="lr", patience=2)[1].stopped == "early"  # a number of training needs no validation
    with pytest.raises(ReplearnError, match=r"factor in \(0, 1\)"):
        plateau(1.0)
    with pytest.raises(ReplearnError, match=r"warmup in \[0, 1\)"):
        warmup_cosine(1.0)


def test_fit_works_outside_the_main_thread():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:  # where signals cannot be caught
        assert pool.submit(train_constant).result()[1].epochs == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_on_the_cpu_train_on_a_gpu():
    setting = dataclasses.replace(SETTING, device="cuda")
    method, _, history = train(None, setting=setting)
    assert history.epochs == training_job.EPOCHS
    assert next(method.parameters()).is_cuda


def test_the_loss_scale_is_kept(tmp_path):
    """Of 16-mixed, which only a GPU has; a stand-in says what came back."""

    class Scale:
        def __init__(self, scale):
            self.scale = scale

        def state_dict(self):
            return {"scale": self.scale}

        def load_state_dict(self, state):
            self.scale = state["scale"]

    method = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    _Loop(tmp_path / "last.pt", method, optimizer, None, Scale(1024.0)).save()
    found = Scale(65536.0)
    _Loop(tmp_path / "last.pt", method, optimizer, None, found).load()
    assert found.scale == 1024.0


# -- several processes -------------------------------------------------------------------------------------------------


def test_two_processes_train_as_one(tmp_path):
    kinds = ["triplet", "batch-all", "batch-hard", "batch-norm"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(JOB), "ranks"]
    command += [",".join(kinds), str(tmp_path / "rank")]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]
    for kind in kinds:
        alone = training_job.train_together(kind)
        for name, value in alone.items():
            for rank in ranks:
                assert torch.allclose(rank[kind][name], value, atol=1e-5), (kind, name)
            assert torch.equal(ranks[0][kind][name], ranks[1][kind][name]), (kind, name)
        assert alone["loss"] > 0


def test_processes_end_together_when_one_is_asked_to(tmp_path):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(JOB),
        "interrupt",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "last")], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"last-{rank}.pt", weights_only=True) for rank in range(2)]
    assert ranks == [{"stopped": "interrupted", "steps": 3}] * 2
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 3


def test_what_cannot_be_shared(monkeypatch):
    from replearn_course.training import ranks

    monkeypatch.setattr(ranks, "_world", lambda: 2)
    monkeypatch.setattr(ranks.dist, "get_rank", lambda: 1)
    shared = ranks.share((torch.arange(5), torch.arange(5) * 2))  # the fifth is left out
    assert [t.tolist() for t in shared] == [[1, 3], [2, 6]]
    with pytest.raises(ReplearnError, match="a batch of 1 cannot be shared by 2 processes"):
        ranks.share((torch.arange(1),))


def test_pk_batches_train():
    torch.manual_seed(0)
    method = InBatchTripletNetwork(SmallCNN(2, image_size=8, hidden=16), "batch-all", 1.0)
    batches = PKBatches(images(40), 4, 5, n_batches=10)
    optimizer = torch.optim.Adam(method.parameters(), lr=0.01)
    history = fit(method, batches, optimizer, epochs=4, setting=SETTING, progress=False)
    assert history.column("loss")[-1] < 0.7 * history.column("loss")[0]
