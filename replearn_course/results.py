"""The ledger: what the documents claim, and what was measured. The tables of the book are made from these two alone.

``claims`` is one CSV file, entered by hand from the documents. ``results`` are JSON files, one a run, written by
:func:`replearn_course.experiments.run` and copied into the ledger by ``replearn run --record``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from replearn_course.errors import ReplearnError, unknown_name
from replearn_course.files import read_csv, read_json, write_json

__all__ = ["COLUMNS", "claim", "claims", "format_value", "load_result", "record", "results", "table"]

LEDGER = Path(__file__).parent / "ledger"

#: What a row of :func:`results` holds at least.
COLUMNS = (
    "experiment",
    "metric",
    "value",
    "spread",
    "seeds",
    "data",
    "scale",
    "device",
    "protocol",
    "claimed",
    "document",
)


def claims() -> list[dict[str, str]]:
    """Every number that the four documents state, one row each, as text; see the file's header for the columns."""
    return read_csv(LEDGER / "claims.csv")


def claim(claim_id: str) -> dict[str, str]:
    """One claim by its id.

    Raises:
        ReplearnError: when there is none of that id.
    """
    by_id = {row["id"]: row for row in claims()}
    if claim_id not in by_id:
        raise unknown_name("claim", claim_id, by_id)
    return by_id[claim_id]


def results(*folders: Path | str, experiment: str | None = None) -> list[dict[str, Any]]:
    """The measured numbers: those of the ledger, and of the runs found below ``folders``.

    Args:
        folders: run folders, or folders that hold some.
        experiment: only of this experiment.

    Returns:
        One row a number, with at least :data:`COLUMNS`: ``value`` the mean over the seeds and ``spread`` their standard
        deviation (``n - 1``; ``None`` for one seed), ``claimed`` the document's number or ``None``, ``source`` the ledger's
        file or the run folder.
    """
    files = sorted((LEDGER / "results").glob("*.json"))
    for folder in folders:
        files += sorted(Path(folder).rglob("result.json"))
    rows = [row for file in files for row in _rows(file)]
    return [row for row in rows if experiment in (None, row["experiment"])]


def load_result(experiment: str, scale: str = "full") -> dict[str, Any]:
    """The ledger's file of an experiment, whole: settings, machine, metrics of each seed, tables.

    Raises:
        ReplearnError: when the ledger has none.
    """
    return read_json(_file(experiment, scale))


def record(result: dict[str, Any]) -> Path:
    """Copy a run's result into the ledger, in the place of an earlier one of the same experiment and scale."""
    return write_json(_file(result["experiment"], result["scale"]), result)


def _file(experiment: str, scale: str) -> Path:
    return LEDGER / "results" / f"{experiment}-{scale}.json"


def _rows(file: Path) -> Iterable[dict[str, Any]]:
    result = read_json(file)
    inside = file.is_relative_to(LEDGER)
    try:
        common = {
            key: result[key] for key in ("experiment", "seeds", "data", "scale", "device", "protocol", "document")
        }
        more = {key: result[key] for key in ("precision", "threads", "date", "gflops", "commit", "versions")}
        for metric in result["metrics"]:
            yield {
                "experiment": common["experiment"],
                "metric": metric["metric"],
                "value": metric["value"],
                "spread": metric["spread"],
                **{key: common[key] for key in ("seeds", "data", "scale", "device", "protocol")},
                "claimed": metric["claimed"],
                "document": common["document"],
                "claim": metric["claim"],
                "unit": metric["unit"],
                **more,
                "source": f"ledger/{file.name}" if inside else str(file.parent),
            }
    except (KeyError, TypeError) as error:
        raise ReplearnError(f"{file} is not the result of a run: {error} is missing") from error


def format_value(value: Any, spread: float | None = None, unit: str = "") -> str:
    """A number as a table shows it: fractions with four decimals, counts as they are, the spread behind ±."""
    if value is None or value == "":
        return "–"
    if isinstance(value, str):
        return value
    digits = 4 if unit == "fraction" else (0 if float(value).is_integer() and not spread else 1)
    text = f"{value:.{digits}f}"
    return f"{text} ± {spread:.{digits}f}" if spread is not None else text


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Claimed beside measured, as text."""
    if not rows:
        return "no results"
    shown = [("metric", "measured", "claimed", "document")]
    for row in rows:
        shown.append(
            (
                row["metric"],
                format_value(row["value"], row["spread"], row["unit"]),
                format_value(row["claimed"]),
                row["document"] if row["claimed"] is not None else "",
            )
        )
    widths = [max(len(line[i]) for line in shown) for i in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in shown]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
