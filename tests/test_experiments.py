"""Experiments: a run folder is whole, a run that was cut off goes on, and the registry agrees with what it names."""

import dataclasses
import importlib
import json
import os
import signal

import pytest
import torch
from matplotlib.image import imread

from replearn_course.errors import ReplearnError
from replearn_course.experiments import EXPERIMENTS, find, mnist_triplet, runner
from replearn_course.experiments.runner import Interrupted, protocol, run
from replearn_course.files import load_weights, read_csv, read_json
from replearn_course.methods import TripletNetwork
from replearn_course.results import COLUMNS, claim, results
from replearn_course.scale import SCALES, Setting

NAME = "mnist-triplet-2d"
SETTING = Setting("smoke", "cpu", "32-true", 1)
TINY = {"epochs": "2", "images": "96"}  # 96 images in batches of 32: six steps a seed


def run_tiny(out, **arguments):
    settings = {"seeds": 2, "overrides": TINY, "progress": False, "say": lambda _: None, "setting": SETTING}
    return run(NAME, out=out, **settings | arguments)


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(mnist_triplet, "figures", lambda *_: [])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run never cut off: its result, its folder and the lines that it said."""
    out, said = tmp_path_factory.mktemp("runs"), []
    result = run_tiny(out, say=said.append)
    return result, out / f"{NAME}-smoke", "\n".join(said)


def test_run_folder_holds_everything(whole):
    result, folder, said = whole
    found = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
    per_seed = ("last.pt", "history.csv", "model.safetensors", "metrics.json", "made-by.json")
    figures = ("loss", "active", "embeddings-train", "embeddings-test")
    assert found == {
        "settings.json",
        "result.json",
        "report.txt",
        *(f"seed-{seed}/{file}" for seed in range(2) for file in per_seed),
        *(f"figures/{name}.png" for name in figures),
    }
    assert read_json(folder / "result.json") == json.loads(json.dumps(result))
    report = (folder / "report.txt").read_text()
    for line in ("accuracy, linear probe", "2 seeds", "stand-in for MNIST", result["protocol"]):
        assert line in report
    assert "scale smoke" in said
    assert str(folder) in said
    assert "claimed" in said
    for name in figures:
        height, width, _ = imread(folder / "figures" / f"{name}.png").shape
        assert min(height, width) > 200


def test_result_says_how_it_came_about(whole):
    result, folder, _ = whole
    assert result["seeds"] == 2
    assert result["settings"] == read_json(folder / "settings.json")["settings"]
    assert (result["settings"]["epochs"], result["settings"]["images"], result["settings"]["embedding_size"]) == (
        2,
        96,
        2,
    )
    assert (result["scale"], result["precision"], result["threads"]) == ("smoke", "32-true", 1)
    assert result["gflops"] > 0
    assert result["versions"]["torch"] == torch.__version__
    assert "batch 32" in result["protocol"]
    by_name = {metric["name"]: metric for metric in result["metrics"]}
    for name, metric in by_name.items():
        values = [outcome["metrics"][name] for outcome in result["outcomes"]]
        assert metric["values"] == values
        assert metric["value"] == pytest.approx(sum(values) / 2)
        assert metric["spread"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert by_name["stop_epoch"]["value"] == 2
    assert by_name["stop_epoch"]["claimed"] == claim("d3-mnist-2d-stop-epoch")["value"]
    assert result["outcomes"][0]["metrics"] != result["outcomes"][1]["metrics"]  # seeds differ


def test_run_is_a_row_a_metric_of_results(whole):
    result, folder, _ = whole
    rows = [row for row in results(folder.parent) if row["source"] == str(folder)]
    assert rows == [row for row in results(folder) if row["source"] == str(folder)]
    assert len(rows) == len(result["metrics"])
    for row, metric in zip(rows, result["metrics"], strict=True):
        assert set(COLUMNS) <= set(row)
        assert (row["experiment"], row["metric"], row["value"]) == (NAME, metric["metric"], metric["value"])
        assert (row["document"], row["scale"], row["seeds"]) == ("D3", "smoke", 2)


def test_weights_and_history_are_those_of_the_training(whole):
    result, folder, _ = whole
    history = read_csv(folder / "seed-1" / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2"]
    metrics = read_json(folder / "seed-1" / "metrics.json")
    assert metrics["metrics"]["active"] == float(history[-1]["active"])
    method = mnist_triplet.network(mnist_triplet.Settings(**result["settings"]))
    method.load_state_dict(load_weights(folder / "seed-1" / "model.safetensors"))


# -- cut off and resumed -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_figures")
def test_a_run_cut_off_within_a_seed_goes_on(tmp_path, whole, monkeypatch):
    forward, made = TripletNetwork.forward, []

    def interrupt_at_the_tenth(self, *batch):
        if self.training:
            made.append(1)
            if len(made) == 10:  # the fourth of six steps of the second seed
                os.kill(os.getpid(), signal.SIGINT)
        return forward(self, *batch)

    monkeypatch.setattr(TripletNetwork, "forward", interrupt_at_the_tenth)
    with pytest.raises(Interrupted):
        run_tiny(tmp_path)
    folder = tmp_path / f"{NAME}-smoke"
    assert (folder / "seed-0" / "metrics.json").exists()
    assert (folder / "seed-1" / "last.pt").exists()
    assert not (folder / "seed-1" / "metrics.json").exists()
    assert not (folder / "result.json").exists()
    first = (folder / "seed-0" / "metrics.json").read_text()
    torn = folder / "seed-1" / ".last.pt.123.tmp"  # what kill -9 leaves of a write
    torn.touch()
    result = run_tiny(tmp_path, resume=True)
    assert [f.name for f in tmp_path.iterdir()] == [folder.name]
    assert not torn.exists()
    assert len(made) == 12  # no step was made twice
    assert (folder / "seed-0" / "metrics.json").read_text() == first
    assert result["metrics"] == whole[0]["metrics"]


@pytest.mark.usefixtures("no_figures")
def test_a_run_cut_off_between_seeds_goes_on(tmp_path, whole, monkeypatch):
    def interrupt(line):
        if line == "seed 1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, say=interrupt)
    with pytest.raises(
        ReplearnError, match="was begun with other settings: images 96 then, 64 now; resume with the same"
    ):
        run_tiny(tmp_path, resume=True, overrides={**TINY, "images": "64"})
    with pytest.raises(ReplearnError, match="was begun with other precision: 32-true then, bf16-mixed now"):
        run_tiny(tmp_path, resume=True, setting=dataclasses.replace(SETTING, precision="bf16-mixed"))
    said = []
    assert run_tiny(tmp_path, resume=True, say=said.append)["metrics"] == whole[0]["metrics"]
    assert "(resumed)" in "\n".join(said)
    assert "seed 0" not in said
    monkeypatch.setattr(mnist_triplet, "run", lambda context, _: pytest.fail(f"trained seed {context.seed}"))
    with pytest.raises(pytest.fail.Exception, match="trained seed 2"):  # one more seed is all that is trained
        run_tiny(tmp_path, resume=True, seeds=3)


@pytest.mark.usefixtures("no_figures")
def test_resume_finds_the_run_of_its_settings_and_trains_nothing_twice(tmp_path, monkeypatch):
    def interrupt(line):
        if line == "seed 1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, say=interrupt)
    with pytest.raises(ReplearnError, match="epochs: expected 1 or more"):
        run_tiny(tmp_path, overrides={"epochs": "0"})  # leaves a newer folder of other settings
    folder = tmp_path / f"{NAME}-smoke"
    result = run_tiny(tmp_path, resume=True)
    assert read_json(folder / "result.json") == json.loads(json.dumps(result))
    monkeypatch.setattr(mnist_triplet, "run", lambda context, _: pytest.fail(f"trained seed {context.seed}"))
    for seeds in (2, 1):
        said = []
        assert run_tiny(tmp_path, resume=True, seeds=seeds, say=said.append)["seeds"] == 2
        assert "2 seeds, mean" in said[-1]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_goes_on_elsewhere_names_all_machines_and_commits(tmp_path, monkeypatch):
    for seeds, commit, machine in ((1, "aaa", "one CPU"), (2, "bbb", "another")):
        monkeypatch.setattr(runner, "_commit", lambda commit=commit: commit)
        monkeypatch.setattr(runner, "machine_name", lambda _, machine=machine: machine)
        result = run_tiny(tmp_path, seeds=seeds, resume=seeds > 1)
    assert (result["commit"], result["device"]) == ("aaa; bbb", "one CPU; another")
    assert [[maker["commit"] for maker in outcome["made_by"]] for outcome in result["outcomes"]] == [["aaa"], ["bbb"]]


@pytest.mark.usefixtures("no_figures")
def test_the_commit_is_that_at_the_start_of_each_seed_also_if_it_was_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_commit", lambda: "aaa")
    train_ = mnist_triplet.run

    def cut_off(context, settings):
        monkeypatch.setattr(runner, "_commit", lambda: "bbb")
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist_triplet, "run", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, seeds=1)
    monkeypatch.setattr(mnist_triplet, "run", train_)
    assert run_tiny(tmp_path, seeds=1, resume=True)["commit"] == "aaa; bbb"


def test_each_run_has_a_folder_of_its_own(tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    def stop(*_):
        raise Enough

    monkeypatch.setattr(mnist_triplet, "run", stop)
    for expected in ("", "-2", "-3"):
        with pytest.raises(Enough):
            run_tiny(tmp_path)
        assert (tmp_path / f"{NAME}-smoke{expected}" / "settings.json").exists()
    with pytest.raises(Enough):
        run_tiny(tmp_path, resume=True)  # the newest
    assert len(list(tmp_path.iterdir())) == 3
    assert (tmp_path / f"{NAME}-smoke-3" / "seed-0").exists()


def test_bad_requests_are_said_before_a_folder_is_made(tmp_path):
    for arguments, message in (
        ({"overrides": {"epoch": "3"}}, "unknown setting 'epoch'; did you mean 'epochs'"),
        ({"overrides": {"epochs": "three"}}, "epochs: expected int, got 'three'"),
        ({"overrides": {"lr": "fast"}}, "lr: expected float, got 'fast'"),
        ({"overrides": {"lr": "-1"}}, "lr: expected a finite number from 0 up, got -1"),
        ({"overrides": {"lr": "nan"}}, "lr: expected a finite number from 0 up, got nan"),
        ({"seeds": 0}, "seeds: expected 1 or more, got 0"),
    ):
        with pytest.raises(ReplearnError, match=message):
            run_tiny(tmp_path, **arguments)
    with pytest.raises(ReplearnError, match="unknown experiment 'mnist-triplet-2'; did you mean 'mnist-triplet-2d'"):
        run("mnist-triplet-2")
    with pytest.raises(ReplearnError, match="normalise: expected bool, got 'flase'"):
        run("mnist-triplet-recipe", overrides={"normalise": "flase"}, setting=SETTING, out=tmp_path)
    assert not list(tmp_path.iterdir())


# -- the registry ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_agrees_with_what_it_names(name):
    experiment = find(name)
    assert experiment.name == name
    module = importlib.import_module(f"replearn_course.experiments.{experiment.module}")
    assert callable(module.run)
    assert callable(module.figures)
    assert set(experiment.scales) <= set(SCALES)
    for scale in SCALES:
        settings = module.Settings(**{**experiment.settings, **experiment.scales.get(scale, {})})
        as_dict = dataclasses.asdict(settings)
        assert json.loads(json.dumps(as_dict)) == as_dict  # resume compares them with those on the disk
        text = protocol(experiment, settings)
        assert "{" not in text
        assert "None" not in text
        types = {field.name: type(getattr(module.Settings(), field.name)) for field in dataclasses.fields(settings)}
        for setting, value in as_dict.items():
            assert type(value) is types[setting] or types[setting] is type(None), setting
    names = [metric.name for metric in experiment.metrics]
    titles = [metric.title for metric in experiment.metrics]
    assert len(set(names)) == len(names)
    assert len(set(titles)) == len(titles)
    for metric in experiment.metrics:
        if metric.claim:
            stated = claim(metric.claim)
            assert stated["document"] == experiment.document
            float(stated["value"])


def test_unknown_experiment_names_the_nearest():
    with pytest.raises(ReplearnError, match="did you mean 'mnist-siamese'"):
        find("mnist-siamse")
