"""The commands of experiments and results, as a user calls them; those of a student are in test_exercises.py."""

import json

import pytest
from typer.testing import CliRunner

from replearn_course.cli import app
from replearn_course.results import COLUMNS


def replearn(*args):
    done = CliRunner().invoke(app, [str(a) for a in args])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with one finished run."""
    out = tmp_path_factory.mktemp("runs")
    said = replearn("run", "mnist-triplet-2d", "--scale", "smoke", "--set", "epochs=1", "--out", out)
    assert said.endswith(f"figures, weights and this table: {out / 'mnist-triplet-2d-smoke'}\n")
    assert "1 seed\n" in said
    return out


def test_show_is_of_this_run_alone(runs):
    name = "mnist-triplet-2d-smoke"
    shown = json.loads(replearn("show", name, "--runs", runs, "--json"))
    assert {row["experiment"] for row in shown["results"]} == {"mnist-triplet-2d"}
    assert {row["scale"] for row in shown["results"]} == {"smoke"}
    text = replearn("show", runs / name)
    assert text.count("accuracy, linear probe") == 1
    assert shown["results"][0]["protocol"] in text


def test_results_name_each_run_and_fit_a_terminal(runs, tmp_path):
    text = replearn("results", "--runs", runs)
    assert "mnist-triplet-2d · scale smoke · 1 seed\nscikit-learn digits (stand-in for MNIST)\n" in text
    assert "TFLOP" in text
    assert max(map(len, replearn("results", "--runs", tmp_path).splitlines())) <= 80  # those of the ledger
    rows = json.loads(replearn("results", "mnist-triplet-2d", "--runs", runs, "--json"))
    assert {row["experiment"] for row in rows} == {"mnist-triplet-2d"}
    assert all(set(COLUMNS) <= set(row) for row in rows)


def test_data_list(monkeypatch, tmp_path):
    monkeypatch.setenv("REPLEARN_DATA", str(tmp_path))
    assert json.loads(replearn("data", "list", "--json"))[0]["here"] is False
    assert replearn("data", "list").splitlines()[-1].endswith("no")


def test_the_ledger_takes_no_run_of_changed_settings(tmp_path):
    asked = ["run", "mnist-triplet-2d", "--scale", "smoke", "--set", "epochs=1", "--record", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, asked)
    assert "--record: the ledger keeps runs at an experiment's own settings; leave out --set" in str(done.exception)
    assert not list(tmp_path.iterdir())  # said before any work
