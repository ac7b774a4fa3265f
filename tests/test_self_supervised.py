"""Self-supervised experiments: what is measured is what the catalogue names, on the parts and after the epochs that it says."""

import dataclasses
import math
import os
import signal
from itertools import product
from pathlib import Path

import pytest
import torch
import training_job
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from replearn_course import methods
from replearn_course.cli import app
from replearn_course.data import ImageSet, Splits, ViewBatches
from replearn_course.errors import ReplearnError
from replearn_course.experiments import (
    EXPERIMENTS,
    ablations,
    controls,
    evaluation,
    find,
    floors,
    imagenet,
    runner,
    self_supervised,
    step_times,
)
from replearn_course.experiments import suspects as suspects_
from replearn_course.experiments.catalogue import images as catalogue
from replearn_course.experiments.runner import Context, Interrupted
from replearn_course.experiments.self_supervised import Settings
from replearn_course.files import load_checkpoint, load_weights, read_csv, read_json
from replearn_course.networks import N1, Encoder, Representation, projector
from replearn_course.probes import FineTuned, embed, linear_probe
from replearn_course.results import claim, table
from replearn_course.training import History, fit

SETTING = training_job.SETTING
#: What makes any of the experiments a matter of a second.
TINY = {"encoder": "n1", "projector": "16-8", "epochs": 1, "batch_size": 64, "sub_batch": 32, "n_views": 2, "queue": 64}
ALL = [name for name, experiment in EXPERIMENTS.items() if experiment.module == "self_supervised"]


def images(n, seed=0):
    """Noise in colour with a class-dependent brightness, four classes."""
    grey = training_job.images(n, side=8, seed=seed)
    return dataclasses.replace(grey, images=grey.images.expand(-1, 3, -1, -1).contiguous())


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """In place of the datasets: 200 images, 50 of a class, so that 1 % of them is one of each."""
    data = Splits.of(images(200), images(40, seed=1))
    monkeypatch.setattr(runner, "load", lambda *_: data)
    monkeypatch.setattr(self_supervised, "load", lambda *_: data)
    return data


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(self_supervised, "figures", lambda *_: [])


def settings_of(name, **changes):
    """An experiment's own, made small."""
    own = Settings(**find(name).settings)
    small = (
        TINY
        | ({"patch": 8, "wider": ""} if own.patch else {})
        | ({"transfer": "tiny-imagenet"} if own.transfer else {})
    )
    small |= {"reported": 0, "probed": "", "suspects": min(own.suspects, 1), "drawn": min(own.drawn, 10)}
    return dataclasses.replace(own, **small | changes)


def measured(folder, settings, data, seed=0, say=print):
    """What the experiment gives for one seed."""
    torch.manual_seed(seed)
    folder.mkdir(exist_ok=True)
    return self_supervised.run(Context(SETTING, data, seed, folder, False, False, say), settings)


def run(name, out, seeds=1, **arguments):
    """The whole run, with settings as text."""
    overrides = {key: str(value) for key, value in (TINY | arguments.pop("overrides", {})).items()}
    quiet = {"progress": False, "say": lambda _: None, "setting": SETTING}
    return runner.run(name, out=out, seeds=seeds, overrides=overrides, **quiet | arguments)


# -- what is measured --------------------------------------------------------------------------------------------------

#: Given and in no table: what helps to understand a result, and the geometry of the other dataset.
CHOSEN = ("d1_lr", "weight_decay")
UNNAMED = {*CHOSEN, *(f"transfer_{name}" for name in (*CHOSEN, "dimensions", "rank", "spread"))}


@pytest.mark.parametrize("name", [name for name in ALL if not name.endswith("n2")])
def test_what_is_measured_is_what_the_catalogue_names(name, tmp_path, tiny):
    """Ten epochs of the catalogue are one here."""
    own = Settings(**find(name).settings)
    short = lambda epoch: max(1, int(epoch) // 10)  # noqa: E731
    epochs = {"epochs": short(own.epochs), "reported": own.reported and short(own.reported)}
    probed = " ".join(str(short(epoch)) for epoch in own.probed.split())
    found = measured(tmp_path / "seed", settings_of(name, **epochs, probed=probed), tiny)
    suffixes = {f"_{short(epoch)}": f"_{epoch}" for epoch in own.probed.split()}
    given = set()
    for metric, value in found["metrics"].items():
        assert isinstance(value, float | int), metric
        ending = next((e for e in suffixes if metric.endswith(e)), "")
        given.add(metric.removesuffix(ending) + suffixes.get(ending, ""))
    named = {metric.name for metric in find(name).metrics}
    assert named - given <= {"memory"} | ({"suspect_statistics"} if own.encoder == "n1" else set())
    on_the_curve = {
        f"{name}_{epoch}" for name in ("top1", "top5", "d1_top1", "d1_top5") for epoch in own.probed.split()
    }
    assert given - named <= UNNAMED | on_the_curve
    assert (len(found["tsne"]["x"]) if own.drawn else None) == (10 if own.drawn else None)
    assert len(found["history"]) == settings_of(name, **epochs).epochs


def test_each_milestone_has_the_numbers_of_a_training_that_ended_there(tmp_path, tiny):
    """The rate is constant, so that the training of two epochs begins with that of one."""
    rule = {"method": "vicreg", "schedule": "constant", "partial_lr": 0.0}
    both = measured(tmp_path / "both", Settings(**TINY | rule | {"epochs": 2, "reported": 1}), tiny)
    one = measured(tmp_path / "one", Settings(**TINY | rule), tiny)["metrics"]
    two = measured(tmp_path / "two", Settings(**TINY | rule | {"epochs": 2}), tiny)["metrics"]
    found = both["metrics"]
    for name in ("top1", "d1_top1", "d1_lr", "knn", "rank", "spread"):
        assert found[name] == one[name], name
    for name in ("top1", "top5", "d1_top1", "d1_top5"):
        assert found[f"{name}_2"] == two[name], name
    assert one["rank"] != two["rank"]
    assert found["tflop"] == pytest.approx(one["tflop"])
    assert found["tflop"] == pytest.approx(two["tflop"] / 2)
    assert found["seconds"] == both["history"][0]["seconds"]
    assert [point["epoch"] for point in both["curve"]] == [1, 2]
    assert [point["top1"] for point in both["curve"]] == [one["top1"], two["top1"]]


def test_percent_stand_beside_the_claims(tmp_path):
    result = run("supervised-n1", tmp_path, seeds=2, overrides={"drawn": 5, "transfer": ""})
    by_name = {metric["name"]: metric for metric in result["metrics"]}
    fractions = [outcome["metrics"]["network_top1"] for outcome in result["outcomes"]]
    top1 = by_name["network_top1"]
    assert top1["values"] == [100 * fraction for fraction in fractions]
    assert top1["value"] == pytest.approx(50 * sum(fractions))
    assert (top1["unit"], top1["claimed"]) == ("percent", claim("d1-cifar10-n1-supervised-top1")["value"])
    line = next(
        line for line in (tmp_path / "supervised-n1-smoke" / "report.txt").read_text().splitlines() if "70.6" in line
    )
    spread = 100 * abs(fractions[0] - fractions[1]) / 2**0.5
    assert line.split("  ")[0] == "the network itself, top-1"
    assert f"{top1['value']:.1f} ± {spread:.1f} %" in line
    assert by_name["dimensions"]["value"] == 256
    assert "tsne" in result["outcomes"][0]
    assert "tsne" not in result["outcomes"][1]
    figures = sorted(file.name for file in (tmp_path / "supervised-n1-smoke" / "figures").iterdir())
    assert figures == ["loss.png", "tsne.png"]


@pytest.mark.parametrize("name", [experiment.name for experiment in catalogue.EXPERIMENTS])
def test_a_table_fits_a_terminal(name):
    experiment = find(name)
    rows = [
        {
            "metric": metric.title,
            "value": 100.0 if metric.unit == "percent" else 9999.0,
            "spread": 10.0 if metric.unit == "percent" else 999.0,
            "unit": metric.unit,
            "claimed": claim(metric.claim)["value"] if metric.claim else None,
            "document": experiment.document,
        }
        for metric in experiment.metrics
    ]
    assert max(map(len, table(rows).splitlines())) <= 80


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs: expected 1 or more, got 0"),
        ({"reported": 3}, "reported, probed: expected epochs from 1 to 2, got 3"),
        ({"probed": "1 0"}, "reported, probed: expected epochs from 1 to 2, got 0"),
        ({"probed": "1 two"}, "probed: expected epochs such as '20 40', got '1 two'"),
        ({"suspects": 1, "partial_lr": 0}, "partial_lr: the suspects need one above 0, got 0"),
    ],
)
def test_settings_that_cannot_be_are_said_before_a_folder_is_made(tmp_path, changes, message):
    with pytest.raises(ReplearnError, match=message):
        run("vicreg-n1", tmp_path, overrides={"epochs": 2} | changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("vicreg", {"batch_size": 1}, "views: a batch needs two images or more to compare, got 1"),
        ("vicreg", {"batch_size": 201}, "batch_size: expected at most the 200 images that there are, got 201"),
        ("vicreg", {"n_views": 1}, "views: expected 2 or more of each image, got 1"),
        ("moco", {"n_views": 4}, "views: MoCo compares two, a query and a key, got 4"),
        (
            "wmse",
            {"projector": "32"},
            "z: cannot whiten d = 32 dimensions: the 32 embeddings of a sub-batch of 32 images",
        ),
        ("wmse", {"sub_batch": 48}, "sub_batch: expected a divisor of the batch, 64, got 48"),
        ("simclr", {"views": "simcrl"}, "unknown preset 'simcrl'; did you mean 'simclr'"),
        ("simclr", {"without": "sobel"}, "sobel"),
        ("simclr", {"projector": "moco"}, "unknown projector 'moco'; did you mean 'moco-v"),
        ("simclr", {"encoder": "n3"}, "unknown encoder 'n3'"),
        ("simclr", {"method": "simcl"}, "unknown method 'simcl'; did you mean 'simclr'"),
        (
            "simclr",
            {"optimizer": "sgd", "lr": 1e30},
            r"no longer finite in epoch 1: .* after step 1; a smaller learning rate",
        ),
    ],
)
def test_what_cannot_be_trained_is_said(tmp_path, name, changes, message):
    with pytest.raises(ReplearnError, match=message):
        run(name, tmp_path, overrides=changes)


# -- cut off and resumed -----------------------------------------------------------------------------------------------


def interrupt_at(monkeypatch, method, step):
    """Ctrl-C within the training step ``step`` (from 1) of a method; all steps that were made are counted."""
    forward, made = method.forward, []

    def interrupted(self, *batch):
        if self.training:
            made.append(1)
            if len(made) == step:
                os.kill(os.getpid(), signal.SIGINT)
        return forward(self, *batch)

    monkeypatch.setattr(method, "forward", interrupted)
    return made


def comparable(result):
    return {m["name"]: m["values"] for m in result["metrics"] if m["name"] not in ("seconds", "memory")}


CUT = {"overrides": {"epochs": 3, "probed": "1", "reported": 2, "suspects": 0, "transfer": ""}}


@pytest.mark.usefixtures("no_figures")
def test_a_run_cut_off_goes_on_and_gives_the_same_numbers(tmp_path, monkeypatch):
    whole = comparable(run("vicreg-n1", tmp_path / "whole", **CUT))
    made = interrupt_at(monkeypatch, methods.VICReg, 8)  # the second of three steps of the last epoch
    fine_tuning = interrupt_at(monkeypatch, methods.Supervised, 5)
    with pytest.raises(Interrupted):
        run("vicreg-n1", tmp_path, **CUT)
    seed = tmp_path / "vicreg-n1-smoke" / "seed-0"
    milestones = [seed / f"encoder-epoch-{epoch}.safetensors" for epoch in (1, 2)]
    kept = [file.read_bytes() for file in milestones]
    assert not (seed / "encoder-epoch-3.safetensors").exists()
    with pytest.raises(KeyboardInterrupt):  # this time while fine-tuning, which has no checkpoint of its own
        run("vicreg-n1", tmp_path, resume=True, **CUT)
    assert not (seed / "metrics.json").exists()
    assert len(fine_tuning) == 5
    assert comparable(run("vicreg-n1", tmp_path, resume=True, **CUT)) == whole
    assert len(made) == 9  # no step was made twice
    assert [file.read_bytes() for file in milestones] == kept
    assert read_json(seed / "metrics.json")["metrics"].get("memory") == read_json(seed / "training-memory.json")["mib"]


# -- the parts of the data ---------------------------------------------------------------------------------------------


class Poisoned:
    """A test set that may not be looked at."""

    def to(self, device):
        return self

    def __getattr__(self, name):
        raise AssertionError(f"the test set was asked for its {name}")


def test_validate_never_touches_the_test_set(tmp_path, monkeypatch, tiny):
    guarded = Splits(tiny.published, Poisoned(), tiny.n_validation)
    monkeypatch.setattr(runner, "load", lambda *_: guarded)
    monkeypatch.setattr(self_supervised, "load", lambda *_: guarded)
    trained_on = []
    monkeypatch.setattr(
        self_supervised, "ViewBatches", lambda data, *a, **k: trained_on.append(data) or ViewBatches(data, *a, **k)
    )
    # 45 images of a class are left: 10 % are 4 or 5, and 1 % none.
    overrides = {"validate": True, "suspects": 0, "drawn": 5, "transfer": "tiny-imagenet"}
    said = []
    result = run("vicreg-n1", tmp_path, overrides=overrides, say=said.append)
    assert {"partial10_top1", "transfer_top1"} <= {metric["name"] for metric in result["metrics"]}
    assert [len(data) for data in trained_on] == [180]
    assert torch.equal(trained_on[0].images, tiny.train.images)
    with pytest.raises(AssertionError, match="the test set was asked for its"):
        run("vicreg-n1", tmp_path, overrides=overrides | {"validate": False})


@pytest.mark.usefixtures("no_figures")
def test_fewer_images_and_those_seen_on_purpose(tmp_path, monkeypatch, tiny):
    trained_on = []
    monkeypatch.setattr(
        self_supervised, "ViewBatches", lambda data, *a, **k: trained_on.append(data) or ViewBatches(data, *a, **k)
    )
    measured(tmp_path / "few", settings_of("vicreg", images=100, partial_lr=0.0), tiny)
    measured(tmp_path / "seen", settings_of("vicreg-n1-seen"), tiny)
    assert trained_on[0].labels.bincount().tolist() == [25] * 4
    left = len(tiny.published) - len(tiny.test)
    assert torch.equal(trained_on[1].images, torch.cat([tiny.published.images[:left], tiny.test.images]))


def test_labels_are_for_probes_alone(tmp_path, tiny):
    """Training with other labels gives the same encoder, for every method but the supervised one."""
    turned = dataclasses.replace(tiny.published, labels=tiny.published.labels.flip(0))
    for name, same in (("vicreg", True), ("supervised", False)):
        encoders = []
        for data in (tiny, Splits(turned, tiny.test, tiny.n_validation)):
            measured(tmp_path / "seed", settings_of(name, partial_lr=0.0), data)
            encoders.append(load_weights(tmp_path / "seed" / "encoder-epoch-1.safetensors"))
            for file in (tmp_path / "seed").iterdir():
                file.unlink()
        assert all(torch.equal(encoders[0][key], encoders[1][key]) for key in encoders[0]) is same


# -- a user's own pictures ---------------------------------------------------------------------------------------------


def pictures(folder, n, classes=("cats", "dogs")):
    for i in range(n):
        below = folder / classes[i % len(classes)] if classes else folder
        below.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((12 + i % 3, 14), 60).convert("RGB").save(below / f"{i}.png")
    return folder


def command(out, folder, *more):
    small = [f"--set={key}={value}" for key, value in (TINY | {"batch_size": 8}).items()]
    asked = ["run", "vicreg", "--scale", "smoke", "--images", str(folder), "--image-size", "8", "--out", str(out)]
    return CliRunner().invoke(app, [*asked, *small, *more])


def test_pictures_without_labels_give_weights_and_costs(tmp_path):
    done = command(tmp_path / "runs", pictures(tmp_path / "photos", 20, classes=()))
    assert done.exit_code == 0, done.output
    assert "photos (20 images of 8×8, no labels)" in done.output
    folder = tmp_path / "runs" / "vicreg-smoke"
    names = {metric["name"] for metric in read_json(folder / "result.json")["metrics"]}
    assert names - {"memory"} == {"tflop", "seconds"}
    weights = load_weights(folder / "seed-0" / "encoder-epoch-1.safetensors")
    self_supervised.encoder("n1", 3, 8).load_state_dict(weights)
    assert {file.name for file in (folder / "figures").iterdir()} == {"loss.png", "rank.png", "tsne.png"}


def test_pictures_with_labels_are_probed_and_what_is_left_out_is_said_once(tmp_path):
    done = command(tmp_path / "runs", pictures(tmp_path / "photos", 40), "--seeds", "2")
    assert done.exit_code == 0, done.output
    left_out = [line for line in done.output.splitlines() if line.startswith("left out")]
    assert left_out == [
        "left out: fine-tuning on 1 % of the labels; share: 0.01 leaves class cats of 16 images without any; "
        "the least that leaves each class one is 0.0313"
    ]
    metrics = {m["name"]: m["values"] for m in read_json(tmp_path / "runs" / "vicreg-smoke" / "result.json")["metrics"]}
    assert "partial1_top1" not in metrics
    for name in ("top1", "d1_top1", "knn", "partial10_top1"):
        assert len(metrics[name]) == 2
        assert all(0 <= value <= 100 for value in metrics[name])


def test_a_batch_larger_than_the_folder_and_a_broken_file_are_said(tmp_path):
    folder = pictures(tmp_path / "photos", 40)
    done = command(tmp_path / "runs", folder, "--set=batch_size=256")
    assert "batch_size: expected at most the 32 images that there are, got 256" in str(done.exception)
    whole = (folder / "cats" / "0.png").read_bytes()
    (folder / "cats" / "0.png").write_bytes(whole[: len(whole) // 2])
    done = command(tmp_path / "again", folder)
    assert isinstance(done.exception, ReplearnError)
    assert "0.png" in str(done.exception)
    assert "--skip-broken" in str(done.exception)
    assert not (tmp_path / "again").exists()


# -- probes ------------------------------------------------------------------------------------------------------------


class Flat(Representation):
    """The pixels themselves."""

    embedding_size = 192

    def forward(self, x):
        return x.flatten(1)


def of_accuracy(top1, top5):
    """What fine-tuning might find."""
    return FineTuned(top1, top5, 0.75, 0, [], Flat(), nn.Linear(1, 2))


@pytest.mark.parametrize(("per_class", "expected"), [(None, {"1": 2, "10": 15}), (500, {"1": 5, "10": 50})])
def test_shares_are_of_the_published_images(monkeypatch, per_class, expected):
    """A copy of 150 images a class; 500 were published."""
    train, drawn = images(600), []

    def spy(encoder, few, test, **rates):
        drawn.append((few, rates))
        return of_accuracy(0.25, 0.5)

    monkeypatch.setattr(evaluation, "fine_tune", spy)
    rates = {"lr": 0.3, "encoder_lr": 0.1, "seed": 4, "setting": SETTING}
    found = evaluation.few_labels(Flat(), train, train, per_class=per_class, **rates)
    assert found == {
        f"partial{share}_{name}": value
        for share in expected
        for name, value in (("top1", 0.25), ("top5", 0.5), ("seen", 0.75))
    }
    assert [few.labels.bincount().tolist() for few, _ in drawn] == [[n] * 4 for n in expected.values()]
    assert all(given == rates for _, given in drawn)
    small, large = ({image.numpy().tobytes() for image in few.images} for few, _ in drawn)
    assert small < large


def test_a_copy_with_too_few_images_leaves_the_share_out(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "fine_tune", lambda *_, **__: of_accuracy(1.0, 1.0))
    said, rates = [], {"lr": 0.3, "encoder_lr": 0.1, "seed": 0, "setting": SETTING}
    found = evaluation.few_labels(Flat(), images(80), images(8), per_class=500, **rates, say=said.append)
    assert set(found) == {"partial1_top1", "partial1_top5", "partial1_seen"}
    assert said == [
        "left out: fine-tuning on 10 % of the labels; n: expected 50 images of each class, but class 0 has 20"
    ]


def test_linear_probes_are_trained_where_the_images_are(monkeypatch):
    """Embeddings are on the CPU, and a probe trains by default where they are: beside a GPU it would stand idle."""
    probe, devices = evaluation.linear_probe, []

    def spy(*tensors, device=None, **rule):
        devices.append(device)
        return probe(*tensors, device=device, **rule)

    monkeypatch.setattr(evaluation, "linear_probe", spy)
    data = images(80)
    evaluation.evaluate(Flat(), data, images(20), seed=0)
    assert len(devices) == 2 + len(evaluation.SGD_RATES)
    assert set(devices) == {data.images.device}


def test_the_rate_of_d1s_probe_is_chosen_without_the_test_set(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(60, 5, generator=generator), torch.arange(60) % 3
    test_z, test_y = torch.randn(20, 5, generator=generator) + 100, torch.arange(20) % 3
    probe, calls = evaluation.linear_probe, []

    def spy(*tensors, **rule):
        calls.append((*tensors, rule))
        return probe(*tensors, **rule)

    monkeypatch.setattr(evaluation, "linear_probe", spy)
    here = torch.device("cpu")
    probes = evaluation.LinearProbes(z, y, test_z, test_y, 7, here)
    found = probes.ours() | probes.as_d1()
    ours, *tried, theirs = calls
    assert ours[4] == {"device": here, "weight_decay": 1e-5}
    assert [call[4]["lr"] for call in tried] == list(evaluation.SGD_RATES)
    held = {tuple(row.tolist()) for row in tried[0][2]}
    for train_z, _, held_z, held_y, rule in tried:
        assert (len(train_z), len(held_z)) == (54, 6)
        rows = torch.cat([train_z, held_z])
        assert torch.equal(rows.sort(dim=0).values, z.sort(dim=0).values)  # all of them, each once
        assert {tuple(row.tolist()) for row in held_z} == held
        assert all(
            torch.equal(y[(z == row).all(dim=1)], label[None]) for row, label in zip(held_z, held_y, strict=True)
        )
        own = {"optimizer": "sgd", "standardise": False, "weight_decay": 0.0, "seed": 7, "device": here}
        assert rule == own | {"lr": rule["lr"]}
    scores = [probe(*call[:4], **call[4]).top1 for call in tried]
    assert found["d1_lr"] == evaluation.SGD_RATES[scores.index(max(scores))]
    assert all(torch.equal(a, b) for a, b in zip(theirs[:4], (z, y, test_z, test_y), strict=True))
    assert theirs[4] == tried[0][4] | {"lr": found["d1_lr"]}


def test_a_rate_whose_loss_is_lost_is_never_chosen():
    z = 1e18 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    y = torch.arange(40) % 2
    assert evaluation.LinearProbes(z, y, z, y, 0).as_d1()["d1_lr"] == evaluation.SGD_RATES[0]


def test_our_weight_decay_is_chosen_without_the_test_set():
    """Five dimensions tell the class, 295 more and a quarter of wrong labels can be learned by heart: a large decay is better."""
    generator = torch.Generator().manual_seed(1)
    z, test_z = torch.randn(1000, 300, generator=generator), torch.randn(1000, 300, generator=generator)
    y, test_y = ((part[:, :5].sum(dim=1) > 0).long() for part in (z, test_z))
    y[::4] = 1 - y[::4]
    probes = evaluation.LinearProbes(z, y, test_z, test_y, 0)
    small, large = (probes.ours([decay]) for decay in (1e-6, 0.3))
    assert large["top1"] > small["top1"] + 0.02
    assert probes.ours([1e-6, 0.3]) == large
    against = dataclasses.replace(probes, test_y=1 - test_y)  # labels for which the small one is better
    assert against.ours([1e-6, 0.3])["weight_decay"] == 0.3


def test_what_each_suspect_is(monkeypatch):
    """Each image has one bright pixel, which no other has: all can be learned by heart, and nothing about any other."""

    def lit(first, n):
        pixels = torch.zeros(n, 192, dtype=torch.uint8)
        pixels[torch.arange(n), first + torch.arange(n)] = 255
        return ImageSet("lit", pixels.view(n, 3, 8, 8), torch.arange(n) % 4, ("0", "1", "2", "3"))

    train, test = lit(0, 40), lit(40, 20)
    tuned = []

    def spy(encoder, a, b, **how):
        tuned.append((len(a), len(b), torch.equal(a.images, b.images), how.pop("trained", "all"), how.get("epochs")))
        assert how["lr"] == 0.3
        assert how["encoder_lr"] == 0.1
        return of_accuracy(len(tuned) / 10, 1.0)

    monkeypatch.setattr(suspects_, "fine_tune", spy)
    rates = {"lr": 0.3, "encoder_lr": 0.1, "seed": 0, "setting": SETTING}
    found = suspects_.suspects(Flat(), train, test, epochs=3, **rates)
    assert found == {
        "suspect_honest": 0.25,  # all test images look alike to the classifier, and a quarter are of the class it says
        "suspect_tested_on_train": 1.0,
        "suspect_trained_on_test": 1.0,
        "suspect_trained_on_both": 1.0,
        "suspect_honest_sgd": 0.1,
        "suspect_fine_tuned": 0.2,
    }
    assert tuned == [(40, 20, False, "classifier", 3), (40, 20, False, "all", 3)]
    normed = Encoder(nn.Sequential(nn.BatchNorm2d(3), nn.Flatten()), (3,), 192, None)
    assert suspects_.suspects(normed, train, test, epochs=3, **rates)["suspect_statistics"] == 0.5
    assert tuned[-1] == (40, 20, False, "classifier and statistics", 3)
    assert {name.removeprefix("suspect_") for name in found} | {"statistics"} == set(catalogue.SUSPECTS)


# -- ablations and floors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", catalogue.ABLATIONS)
def test_an_ablation_changes_what_it_names_and_can_be_trained(name, tiny):
    settings = ablations.Settings()
    variant = ablations.of_variant(settings, name)
    plain = Settings(encoder="n1", epochs=8, lr=1e-3, temperature=0.2)
    changes = dict(catalogue.ABLATIONS[name][1])
    changes["epochs"] = 8 // changes.pop("shorter", 1)
    different = {k: v for k, v in dataclasses.asdict(variant).items() if v != getattr(plain, k)}
    assert different == {k: v for k, v in changes.items() if v != getattr(plain, k)}
    assert variant.n_views * variant.epochs == 16  # equal compute
    with torch.device("meta"):
        method = self_supervised.build(variant, tiny.train)
    assert len(self_supervised.transforms(variant, tiny.train)) == variant.n_views
    if variant.method == "moco":
        assert len(method.queue) == variant.queue
        return
    widths = [layer.out_features for layer in method.projector if isinstance(layer, nn.Linear)]
    assert bool(widths) == (variant.projector != "none")
    z = torch.randn(variant.n_views, variant.batch_size, *widths[-1:] or [method.encoder.embedding_size])
    assert method.loss(z).loss.isfinite()


def test_ablations_are_tested_on_validation_images(tmp_path, monkeypatch, tiny):
    guarded = Splits(tiny.published, Poisoned(), tiny.n_validation)
    monkeypatch.setattr(runner, "load", lambda *_: guarded)
    monkeypatch.setitem(
        catalogue.ABLATIONS, "small", ("small", {"method": "vicreg", "projector": "16-8", "batch_size": 32})
    )
    overrides = {"variants": "small", "epochs": "2", "images": "120"}
    how = {"setting": SETTING, "seeds": 1, "progress": False, "say": lambda _: None}
    result = runner.run("ablations", out=tmp_path, overrides=overrides, **how)
    found = result["outcomes"][0]
    assert set(found["metrics"]) == {f"small{kind}" for kind in ("", "_rank", "_spread", "_tflop")}
    values = found["spectra"]["small"]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    p = torch.tensor(values, dtype=torch.float64) / sum(values)
    assert found["metrics"]["small_rank"] == pytest.approx(torch.special.entr(p).sum().exp().item(), rel=1e-4)
    with pytest.raises(ReplearnError, match="unknown variant 'no_variants'; did you mean 'no_variance'"):
        runner.run("ablations", out=tmp_path / "none", overrides={"variants": "vicreg no_variants"}, **how)
    assert not (tmp_path / "none").exists()


def test_the_pictures_of_ablations_are_their_spectra(tmp_path):
    (tmp_path / "metrics.json").write_text('{"spectra": {"no_variance": [1.0, 0.0], "width_256": [1.0, 0.5]}}')
    ((name, figure),) = ablations.figures(Context(SETTING, None, 0, tmp_path, True), ablations.Settings())
    assert name == "spectra"
    (line,) = figure.axes[0].lines
    assert line.get_ydata().tolist() == [1.0, 1e-8]


def test_floors(tmp_path):
    overrides = {"components": "6", "few_centroids": "2", "centroids": "5", "patches": "300", "untrained": "n1"}
    result = runner.run(
        "floors", out=tmp_path, overrides=overrides, setting=SETTING, seeds=1, progress=False, say=lambda _: None
    )
    found = result["outcomes"][0]["metrics"]
    named = {metric.name for metric in find("floors").metrics}
    assert named - set(found) == {f"untrained_{n}{what}" for n in ("n2", "resnet18") for what in ("", "_dimensions")}
    assert set(found) - named == {
        f"{name}_weight_decay" for name in ("pixels", "pca", "untrained_n1", "few_kmeans", "kmeans")
    }
    sizes = {name.removesuffix("_dimensions"): n for name, n in found.items() if name.endswith("_dimensions")}
    assert sizes == {"pixels": 192, "pca": 6, "untrained_n1": 256, "few_kmeans": 8, "kmeans": 20}
    assert min(found["pixels"], found["pca"]) > 0.6  # classes differ in brightness, which patches are normalised for


def test_the_weight_decay_of_a_floor_is_chosen_on_a_tenth_of_the_training_images(tmp_path, monkeypatch, tiny):
    probed = []

    def spy(z, y, test_z, test_y, weight_decay, device):
        probed.append((len(z), len(test_z), weight_decay))
        return of_accuracy(1 - abs(math.log10(weight_decay) + 3) / 10, 1.0)  # best at 1e-3

    monkeypatch.setattr(evaluation, "linear_probe", spy)
    context = Context(SETTING, tiny, 0, tmp_path, False, False)
    own = floors.Settings(few_centroids=2, centroids=5, patches=300, untrained="", weight_decays="1e-2 1e-3 1e-4")
    found = floors.run(context, own)["metrics"]
    n, test = len(tiny.published), len(tiny.test)
    tried = [(n - n // 10, n // 10, decay) for decay in (1e-2, 1e-3, 1e-4)]
    assert probed == [*tried, (n, test, 1e-3)] * 4
    assert found["kmeans_weight_decay"] == 1e-3
    monkeypatch.delattr(floors.KMeansFeatures, "fit")
    floors.run(context, own)
    assert len(probed) == 16  # kept: neither made nor measured again


@pytest.mark.parametrize("name", ["controls-n1", "controls-n2"])
def test_controls(name, tmp_path, tiny, monkeypatch):
    """The numbers are those of a new encoder, on both datasets, at the catalogue's size."""
    seen = []

    def few_labels(encoder, train, test, **rest):
        (share,) = rest["shares"]
        assert rest["lr"] == rest["encoder_lr"]
        seen.append((type(encoder).__name__, train.images.shape[-1], rest["per_class"], share, rest["lr"]))
        return {f"partial{share}_top1": rest["lr"]}

    monkeypatch.setattr(controls, "few_labels", few_labels)
    context = Context(SETTING, tiny, 0, tmp_path, False, False)
    own = find(name)
    found = controls.run(context, controls.Settings(**own.settings | {"transfer_size": 4}))
    network = name[-2:].upper()
    assert seen == [(network, *size, *share) for size in ((8, None), (4, 500)) for share in (("1", 0.3), ("10", 0.1))]
    assert found["metrics"].keys() <= {metric.name for metric in own.metrics}
    assert (found["metrics"]["partial1_top1"], found["metrics"]["transfer_partial10_top1"]) == (0.3, 0.1)
    assert found["other_data"] == [f"{tiny.name} at 4 × 4"]
    assert controls.run(context, controls.Settings(**own.settings))["metrics"] == found["metrics"]
    assert len(seen) == 4  # kept, not measured again


def test_n2_is_fine_tuned_at_the_best_of_its_trials():
    rows = read_csv(Path(__file__).parents[1] / "benchmarks/rates.csv")
    trials = [row for row in rows if row["training"] == "fine-tuning, VICReg of N2, 10 epochs"]
    best = max(trials, key=lambda row: float(row["partial1"]) + float(row["partial10"]))
    own = Settings(**find("vicreg-n2").settings)
    assert (own.partial_lr, own.partial_encoder_lr) == (float(best["lr"]), float(best["encoder_lr"]))
    for name, whose in (("vicreg-n2", "of fine-tuning with N2,"), ("vicreg-n1", "of fine-tuning chosen with N1")):
        experiment = find(name)
        assert whose in experiment.protocol(Settings(**experiment.settings))


def test_step_times(tmp_path, tiny, monkeypatch):
    """Every method of the comparison in turns, the first turn not counted; what is reported is the median of a step."""
    trained = []

    def fit(method, batches, optimizer, epochs, **_):
        trained.append(type(method).__name__)
        of_turn = 1000 if len(trained) <= n else [4, 6, 20][(len(trained) - 1) // n - 1]
        return History([{"seconds": of_turn * len(batches)}])

    n = len(self_supervised.METHODS)
    monkeypatch.setattr(step_times, "fit", fit)
    context = Context(SETTING, tiny, 0, tmp_path, False, False)
    found = step_times.run(context, step_times.Settings(steps=1, turns=3))["metrics"]
    assert trained == ["SimCLR", "MoCo", "BarlowTwins", "WMSE", "VICReg", "EMPSSL", "Supervised"] * 4
    assert found == dict.fromkeys([metric.name for metric in find("step-times").metrics], 6000)


def test_an_interrupted_measurement_of_step_times_reports_nothing(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(step_times, "fit", lambda *_, **__: History([{"seconds": 1.0}], stopped="interrupted"))
    with pytest.raises(KeyboardInterrupt):
        step_times.run(Context(SETTING, tiny, 0, tmp_path, False, False), step_times.Settings(steps=1, turns=1))


def test_imagenet(tmp_path, tiny, monkeypatch):
    """A frozen encoder on images of each size, with all labels and with few; Tiny ImageNet's by the class."""
    torch.manual_seed(0)
    network, seen = N1(), []

    def choose(train, share, seed, per_class=None):
        seen.append((share, per_class))
        return evaluation.labelled(train, share, seed, per_class)

    monkeypatch.setattr(imagenet, "encoder", lambda name, channels: network)
    monkeypatch.setattr(imagenet, "labelled", choose)
    monkeypatch.setattr(imagenet, "PUBLISHED_PER_CLASS", 100)
    context = Context(SETTING, tiny, 0, tmp_path, False, False)
    found = imagenet.run(context, imagenet.Settings(sizes="8 12"))
    z, test_z = (embed(network, s.resized(8).images) for s in (tiny.published, tiny.test))  # the images' own size
    few = tiny.published.fraction(0.1)
    few_z = embed(network, few.images)
    assert found["metrics"]["top1_8"] == linear_probe(z, tiny.published.labels, test_z, tiny.test.labels).top1
    assert found["metrics"]["few10_top1_8"] == linear_probe(few_z, few.labels, test_z, tiny.test.labels).top1
    named = {metric.name.replace("_64", "_8").replace("_128", "_12") for metric in find("imagenet").metrics}
    assert found["metrics"].keys() - named == {
        f"{p}{name}_{n}" for p in ("", "transfer_") for name in CHOSEN for n in (8, 12)
    }
    assert named <= found["metrics"].keys()
    assert seen == [("1", None), ("10", None), ("1", 100), ("10", 100)] * 2
    assert imagenet.run(context, imagenet.Settings(sizes="8 12")) == found
    assert len(seen) == 8  # kept, not measured again
    monkeypatch.setattr(imagenet, "PUBLISHED_PER_CLASS", 10)  # 1 % of ten
    said = []
    context = Context(SETTING, tiny, 0, tmp_path / "few", False, False, said.append)
    context.folder.mkdir()
    partial = imagenet.run(context, imagenet.Settings(sizes="8"))["metrics"]
    assert found["metrics"].keys() - partial.keys() >= {"transfer_few1_top1_8", "transfer_few1_top5_8"}
    assert partial["transfer_few10_top1_8"] > 0
    assert said == ["left out: 1 % of the labels; n: expected 1 or more images a class, got 0"]


def test_a_result_names_all_data_that_it_is_of(tmp_path, tiny, no_figures):
    """The copy of another dataset may be partial, which its name says."""
    quick = {"epochs": "1", "drawn": "0", "partial_lr": "0"}
    both = run(
        "supervised-n1", tmp_path / "both", overrides=quick | {"transfer": "tiny-imagenet", "transfer_size": "16"}
    )
    assert both["data"] == f"{tiny.name}; {tiny.name} at 16 × 16"
    assert run("supervised-n1", tmp_path / "one", overrides=quick)["data"] == tiny.name


@pytest.mark.parametrize("other", ["text", "grey"])
def test_a_dataset_that_cannot_be_transferred_to_is_refused_before_training(other, tmp_path, tiny, monkeypatch):
    grey = dataclasses.replace(tiny.published, images=tiny.published.images[:, :1])
    data = {"text": object(), "grey": Splits.of(grey, grey)}[other]
    monkeypatch.setattr(self_supervised, "load", lambda *_: data)
    with pytest.raises(ReplearnError, match="transfer: expected a dataset of images of 3 channels, got tiny-imagenet"):
        run("vicreg", tmp_path, overrides={"transfer": "tiny-imagenet"})
    assert not list(tmp_path.rglob("*history.csv"))


def test_what_would_only_fail_after_training_is_refused_before_it(tiny):
    for wrong in ("", "1e-5 many", "-1", "nan", "1e-5 inf"):
        for settings in (Settings, floors.Settings):
            with pytest.raises(ReplearnError, match="weight_decays: expected finite numbers from 0 up"):
                settings(weight_decays=wrong)
    for name in ("stride", "parts"):
        with pytest.raises(ReplearnError, match=f"{name}: expected a whole number from 1 up, got 0"):
            Settings(**{name: 0})
    with pytest.raises(ReplearnError, match="unknown schedule 'cosin'; did you mean 'cosine'"):
        Settings(schedule="cosin")
    with pytest.raises(ReplearnError, match="unknown encoder 'n3'"):
        floors.Settings(untrained="n1 n3")
    for wrong in ("", "big", "0", "64 12.5"):
        with pytest.raises(ReplearnError, match="sizes: expected sides in pixels such as '64 128'"):
            imagenet.Settings(sizes=wrong)
    for wrong in ("0", "six", "2.5"):
        with pytest.raises(ReplearnError, match="wider: expected sides in pixels such as '24'"):
            Settings(wider=wrong)
    with pytest.raises(ReplearnError, match="wider: expected sides up to 8, that of the images, got 9"):
        self_supervised.transforms(Settings(views="patches", patch=5, wider="7 9"), tiny.train)


def test_the_other_dataset_is_probed_with_the_same_decays(tmp_path, tiny, monkeypatch):
    decays = []
    probe = self_supervised.evaluate
    monkeypatch.setattr(
        self_supervised, "evaluate", lambda *a, **how: decays.append(how["weight_decays"]) or probe(*a, **how)
    )
    measured(
        tmp_path / "seed",
        settings_of("vicreg", partial_lr=0.0, transfer="tiny-imagenet", weight_decays="1e-4 1e-2"),
        tiny,
    )
    assert decays == [[1e-4, 1e-2]] * 2


def test_patches_need_crops_at_their_own_size_and_keep_the_kinds_of_views_apart(tiny):
    for views in ("simclr", "barlow", "none"):
        with pytest.raises(ReplearnError, match=f"views: patches need 'patches' or 'patches-enlarged', got '{views}'"):
            self_supervised.transforms(Settings(views=views, patch=5), tiny.train)
    drawn = self_supervised.transforms(Settings(views="patches", patch=5, n_views=3), tiny.train)
    assert [view(torch.rand(2, 3, 8, 8), torch.Generator()).shape[-1] for view in drawn] == [5] * 3


def test_enlarged_patches_are_trained_on_and_embedded_alike(tmp_path, tiny):
    """A square of 5 pixels of 8, brought back to 8; embedded with squares of 7, which the encoder takes as 8 too."""
    own = Settings(**TINY | {"views": "patches-enlarged", "patch": 5, "stride": 3, "wider": "7"})
    view = self_supervised.transforms(own, tiny.train)[0]
    x = torch.rand(50, 3, 8, 8)
    boxes = view.steps[0]._boxes(50, 8, 8, torch.Generator())
    assert (boxes[:, 2:] == 5).all()
    assert boxes[:, :2].unique().tolist() == [0, 1, 2, 3]
    assert view(x, torch.Generator()).shape == x.shape
    context = Context(SETTING, tiny, 0, tmp_path, False, False)
    encoder = self_supervised.encoder(own.encoder, 3, 8).eval()
    self_supervised.save_weights(tmp_path / "encoder-epoch-1.safetensors", encoder.state_dict(), {})
    network = self_supervised.kept(context, own, tiny.train, 1)

    def corners(side):
        crop = self_supervised.RandomResizedCrop(8, (1.0, 1.0), (1.0, 1.0))
        places = product((0, 8 - side), (0, 8 - side))
        seen = [encoder(crop(x[:, :, r : r + side, c : c + side], torch.Generator())) for r, c in places]
        return torch.stack(seen).mean(0)

    assert torch.allclose(network(x), torch.cat([corners(5), corners(7)], dim=1), atol=1e-5)
    assert "3 pixels apart at most, joined by that over patches of 7 pixels" in find("long-run").protocol(own)


def test_all_pictures_of_a_folder_without_labels_are_trained_on(tiny):
    pictures = [
        dataclasses.replace(part, classes=("one",), labels=0 * part.labels) for part in (tiny.published, tiny.test)
    ]
    images, test = self_supervised._parts(Splits(*pictures, tiny.n_validation), Settings())
    assert torch.equal(images.images, torch.cat([tiny.published.images, tiny.test.images]))
    assert torch.equal(test.images, tiny.test.images)


def test_components_are_of_the_training_images(tmp_path, tiny):
    """Also where test images are drawn: no representation may depend on what it is tested on."""
    own = settings_of("short-run", components=3, probed="", drawn=0)
    measured(tmp_path / "seed", own, tiny)
    context = Context(SETTING, tiny, 0, tmp_path / "seed", False, False)
    network = self_supervised.kept(context, own, tiny.published, own.at)
    z = embed(network, tiny.published.images)
    assert z.shape[1] == 3
    assert z.mean(dim=0).abs().max() < 1e-3 * z.std(dim=0).max()
    seen = []
    keep = self_supervised.kept
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(self_supervised, "kept", lambda *given: seen.append(given[2]) or keep(*given))
        list(self_supervised.figures(context, own))
    assert [part is tiny.published for part in seen] == [True]


# -- a collapse while training -----------------------------------------------------------------------------------------


def test_a_collapse_under_wmse_is_said_with_its_step_and_nothing_is_lost(tmp_path):
    torch.manual_seed(0)
    method = methods.WMSE(Encoder(nn.Flatten(), (3,), 192, 8), projector(8, (6, 4)), 16)
    steps = iter(range(100))

    def collapse(module, _):
        if module.training and next(steps) == 5:  # the sixth step, the second of the second epoch
            nn.init.zeros_(module.projector[-1].weight)

    method.register_forward_pre_hook(collapse)
    batches = ViewBatches(images(64), 16, self_supervised.preset("d1", 8), seed=1)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.01)
    path = tmp_path / "last.pt"
    message = f"^epoch 2, step 2: the covariance of the embeddings is singular .*; the last good checkpoint is {path}$"
    with pytest.raises(ReplearnError, match=message):
        fit(method, batches, optimizer, epochs=3, checkpoint=path, setting=SETTING, progress=False)
    state = load_checkpoint(path)
    assert (len(state["rows"]), state["step"]) == (1, 0)
    assert state["model"]["projector.3.weight"].abs().max() > 0
