"""The ledger: rows of one shape, claimed beside measured, and damaged files named."""

import json
import re

import pytest

from replearn_course import results as ledger
from replearn_course.errors import ReplearnError
from replearn_course.results import (
    COLUMNS,
    claim,
    compared,
    format_value,
    load_result,
    measured,
    record,
    results,
    table,
)

RESULT = {
    "experiment": "toy",
    "scale": "cpu",
    "device": "a CPU",
    "precision": "32-true",
    "threads": 1,
    "data": "MNIST",
    "document": "D3",
    "protocol": "by hand",
    "seeds": 3,
    "date": "2026-01-01",
    "gflops": 10.0,
    "commit": None,
    "versions": {},
    "settings": {"epochs": 2},
    "metrics": [
        {"metric": "accuracy", "value": 0.98765, "spread": 0.001, "unit": "fraction", "claim": "x", "claimed": "0.99"},
        {"metric": "epochs trained", "value": 21.0, "spread": None, "unit": "epochs", "claim": None, "claimed": None},
    ],
}


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A ledger without results."""
    monkeypatch.setattr(ledger, "LEDGER", tmp_path / "ledger")
    return tmp_path


def test_the_ledgers_rows_have_the_columns_and_known_claims():
    for row in results():
        assert set(COLUMNS) <= set(row)
        assert row["seeds"] >= 1
        assert row["source"].startswith("ledger/")
        if row["claim"]:
            assert row["claimed"] == claim(row["claim"])["value"]


def test_record_and_read_back(empty):
    assert results() == []
    record(RESULT)
    record({**RESULT, "seeds": 5})  # takes the place of the first
    assert load_result("toy", "cpu")["seeds"] == 5
    rows = results(experiment="toy")
    assert [(row["metric"], row["value"], row["seeds"]) for row in rows] == [
        ("accuracy", 0.98765, 5),
        ("epochs trained", 21.0, 5),
    ]
    assert set(COLUMNS) <= set(rows[0])
    assert rows[0]["source"] == "ledger/toy-cpu.json"
    assert rows[0]["settings"] == {"epochs": 2}
    assert results(experiment="other") == []
    with pytest.raises(ReplearnError, match="toy-cpu.json in the ledger has 5, this run 4; run it with --seeds 5"):
        record({**RESULT, "seeds": 4})
    assert load_result("toy", "cpu")["seeds"] == 5
    with pytest.raises(ReplearnError, match="cannot read .*toy-full.json"):
        load_result("toy", "full")
    assert load_result("toy")["scale"] == "cpu"  # the largest that there is
    record({**RESULT, "scale": "full"})
    assert load_result("toy")["scale"] == "full"
    with pytest.raises(ReplearnError, match="cannot read .*other-full.json"):
        load_result("other")


def test_runs_are_found_below_folders(empty):
    for name in ("one", "two"):
        folder = empty / "runs" / name
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({**RESULT, "experiment": name}))
    (empty / "runs" / "unfinished").mkdir()
    rows = results(empty / "runs")
    assert [row["experiment"] for row in rows] == ["one", "one", "two", "two"]
    assert rows[0]["source"] == str(empty / "runs" / "one")
    assert [row["experiment"] for row in results(empty / "runs" / "two")] == ["two", "two"]
    (empty / "runs" / "one" / "result.json").write_text('{"experiment": "one"}')
    with pytest.raises(ReplearnError, match="is not the result of a run: 'seeds' is missing"):
        results(empty / "runs")
    (empty / "runs" / "one" / "result.json").write_text("{")
    with pytest.raises(ReplearnError, match="not valid JSON"):
        results(empty / "runs")


def test_unknown_claim_names_the_nearest():
    with pytest.raises(
        ReplearnError, match="unknown claim 'd3-mnist-2d-stop-epok'; did you mean 'd3-mnist-2d-stop-epoch'"
    ):
        claim("d3-mnist-2d-stop-epok")


def test_table_puts_claimed_beside_measured():
    text = table([{**metric, "document": "D3"} for metric in RESULT["metrics"]])
    head, rule, first, second = (line.split("  ") for line in text.splitlines())
    cells = lambda line: [cell.strip() for cell in line if cell.strip()]  # noqa: E731
    assert cells(head) == ["metric", "measured", "claimed"]
    assert set("".join(rule)) == {"-"}
    assert cells(first) == ["accuracy", "0.9877 ± 0.0010", "0.99 (D3)"]
    assert cells(second) == ["epochs trained", "21", "–"]
    assert table([]) == "no results"
    nothing_claimed = table([{**RESULT["metrics"][1], "document": "D3"}])
    assert [line.split() for line in nothing_claimed.splitlines()] == [
        ["metric", "measured"],
        ["-" * 14, "-" * 8],
        ["epochs", "trained", "21"],
    ]


@pytest.mark.parametrize(
    ("value", "spread", "unit", "expected"),
    [
        (None, None, "", "–"),
        ("", None, "", "–"),
        ("0.99", None, "fraction", "0.99"),
        (0.5, None, "fraction", "0.5000"),
        (21.0, None, "epochs", "21"),
        (21.5, 0.707, "epochs", "21.5 ± 0.7"),
        (21.0, 0.0, "epochs", "21"),
        (0, None, "seconds", "0 seconds"),
        (39.31, 0.04, "TFLOP", "39.3 ± 0.0 TFLOP"),
        (64.83, 0.26, "percent", "64.8 ± 0.3 %"),
        (65.0, 0.0, "percent", "65.0 ± 0.0 %"),
        (100.0, None, "percent", "100.0 %"),
        (256.0, 0.0, "", "256"),
    ],
)
def test_numbers_as_a_table_shows_them(value, spread, unit, expected):
    assert format_value(value, spread, unit) == expected


def test_a_chapters_table_says_how_its_numbers_came_about(empty):
    record(RESULT)
    shown = measured("toy", "cpu").data
    assert "<td>accuracy</td><td>0.9877 ± 0.0010</td><td>0.99 (D3)</td>" in shown
    assert (
        "toy · MNIST · scale cpu · 3 seeds, mean ± standard deviation · a CPU · 1 thread · 32-true · 10 GFLOP/s"
        in shown
    )
    assert "2026-01-01. by hand." in shown
    without = measured("toy", "cpu", leave_out="accuracy").data
    assert "claimed" not in without  # no column of dashes alone
    assert "0.9877" not in without
    record({**RESULT, "protocol": "a < b"})
    assert "a &lt; b" in measured("toy", "cpu").data
    with pytest.raises(ReplearnError):
        measured("toy", "full")


def test_runs_side_by_side(empty):
    def run(name, seeds, *metrics):
        rows = [dict(zip(("name", "metric", "value", "spread", "unit"), m, strict=True)) for m in metrics]
        rows = [{**row, "claim": None, "claimed": None} for row in rows]
        record({**RESULT, "experiment": name, "seeds": seeds, "metrics": rows})

    run("one", 3, ("top1", "probe", 51.52, 0.26, "percent"), ("rank", "rank", 12.0, 0.0, "dimensions"))
    run("two", 1, ("top1", "probe", 48.0, None, "percent"), ("cosine", "cosine", 0.25, 0.01, "correlation"))
    metrics = {"top1": "linear, %", "rank": "rank", "cosine": "cosine"}
    shown = compared({"one": "First", "two": "Second <"}, metrics).data
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", line) for line in re.findall("<tr>(.*?)</tr>", shown)]
    assert rows == [
        ["", "linear, %", "rank", "cosine"],
        ["First", "51.5 ± 0.3", "12", "–"],
        ["Second &lt;", "48.0", "–", "0.2500 ± 0.0100"],
    ]
    assert "MNIST · scale cpu · 1 or 3 seeds, mean ± standard deviation · a CPU · 32-true." in shown
    turned = compared(["one", "two"], metrics, transposed=True).data
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", line) for line in re.findall("<tr>(.*?)</tr>", turned)]
    assert rows[:2] == [["", "one", "two"], ["linear, %", "51.5 ± 0.3", "48.0"]]
    assert "1 seed ·" in compared(["two"], metrics).data
    with pytest.raises(ReplearnError, match="cannot read .*three-cpu.json"):
        compared(["one", ("three", "cpu")], metrics)
    record({**load_result("one"), "scale": "full", "metrics": load_result("two")["metrics"]})
    both = compared(["one", ("one", "cpu")], {"top1": "linear, %"}).data
    assert "<td>one</td><td>48.0</td>" in both
    assert "<td>one, cpu</td><td>51.5 ± 0.3</td>" in both
    assert "scale full (First), scale cpu (two) ·" in compared({"one": "First", "two": "two"}, metrics).data
