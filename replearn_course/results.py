"""The ledger: what the documents claim, and what was measured. The tables of the book are made from these two alone.

``claims`` is one CSV file, entered by hand from the documents. ``results`` are JSON files, one a run, written by
:func:`replearn_course.experiments.run` and copied into the ledger by ``replearn run --record``.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replearn_course.errors import ReplearnError, unknown_name
from replearn_course.files import read_csv, read_json, write_json

if TYPE_CHECKING:
    from IPython.display import HTML

__all__ = [
    "COLUMNS",
    "claim",
    "claims",
    "compared",
    "format_value",
    "headings",
    "html_table",
    "load_result",
    "measured",
    "provenance",
    "record",
    "results",
    "results_below",
    "table",
]

LEDGER = Path(__file__).parent / "ledger"

#: What the ledger has a file of: an experiment, at its largest scale or at the one that is named.
Run = str | tuple[str, str]

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
    rows = [row for file in sorted((LEDGER / "results").glob("*.json")) for row in _rows(file)]
    rows += [row for folder in folders for row in results_below(folder)]
    return [row for row in rows if experiment in (None, row["experiment"])]


def results_below(folder: Path | str) -> list[dict[str, Any]]:
    """The measured numbers of a run folder, or of all runs below a folder, without the ledger."""
    return [row for file in sorted(Path(folder).rglob("result.json")) for row in _rows(file)]


def load_result(experiment: str, scale: str | None = None) -> dict[str, Any]:
    """The ledger's file of an experiment, whole: settings, machine, metrics of each seed, tables.

    Args:
        experiment: its name.
        scale: by default the largest that the ledger has.

    Raises:
        ReplearnError: when the ledger has none.
    """
    there = [s for s in ("full", "cpu") if _file(experiment, s).exists()]
    return read_json(_file(experiment, scale or [*there, "full"][0]))


def record(result: dict[str, Any]) -> Path:
    """Copy a run's result into the ledger, in the place of an earlier one of the same experiment and scale.

    Raises:
        ReplearnError: when the earlier one has more seeds.
    """
    file = _file(result["experiment"], result["scale"])
    if file.exists() and (before := read_json(file)["seeds"]) > (now := result["seeds"]):
        raise ReplearnError(
            f"seeds: {file.name} in the ledger has {before}, this run {now}; run it with --seeds {before}"
        )
    return write_json(file, result)


def _file(experiment: str, scale: str) -> Path:
    return LEDGER / "results" / f"{experiment}-{scale}.json"


def _rows(file: Path) -> Iterable[dict[str, Any]]:
    result = read_json(file)
    inside = file.is_relative_to(LEDGER)
    try:
        common = {
            key: result[key] for key in ("experiment", "seeds", "data", "scale", "device", "protocol", "document")
        }
        more = {
            key: result[key] for key in ("precision", "threads", "date", "gflops", "commit", "versions", "settings")
        }
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
    """A number as a table shows it: fractions with four decimals, the spread behind ±, seconds and the like named."""
    if value is None or value == "":
        return "–"
    if isinstance(value, str):
        return value
    if unit in ("fraction", "correlation", "nats"):
        digits = 4
    elif unit == "percent":
        digits, unit = 1, "%"
    else:
        digits = 0 if abs(value) >= 1000 or (float(value).is_integer() and not spread) else 1
    counted = digits == 0 and spread == 0  # the same in every run
    text = f"{value:.{digits}f}" + (f" ± {spread:.{digits}f}" if spread is not None and not counted else "")
    return text if unit in ("", "fraction", "correlation", "epochs") else f"{text} {unit}"


def headings(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows under one line for each run: experiment, data, scale, seeds, device, and where the numbers stand."""
    of_runs: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        seeds = f"{row['seeds']} seed{'s' if row['seeds'] > 1 else ''}"
        where = " · ".join((row["experiment"], f"scale {row['scale']}", seeds)) + f"\n{row['data']}"
        of_runs.setdefault(f"{where}\n{row['device']} · {row['source']}", []).append(row)
    return of_runs


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Claimed beside measured, as text; without a column of dashes where nothing is claimed."""
    if not rows:
        return "no results"
    shown: list[tuple[str, ...]] = [("metric", "measured", "claimed")]
    for row in rows:
        shown.append(
            (
                row["metric"],
                format_value(row["value"], row["spread"], row["unit"]),
                "–" if row["claimed"] is None else f"{row['claimed']} ({row['document']})",
            )
        )
    if all(row["claimed"] is None for row in rows):
        shown = [line[:2] for line in shown]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in shown]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def measured(experiment: str, scale: str | None = None, leave_out: str | tuple[str, ...] = ()) -> HTML:
    """A chapter's table of a run in the ledger: claimed beside measured, and below it how the numbers came about.

    Args:
        experiment: its name.
        scale: of the run; by default the largest that the ledger has.
        leave_out: metrics whose title begins with this, or one of these, are not shown.

    Raises:
        ReplearnError: when the ledger has no such run.
    """
    run = load_result(experiment, scale)
    rows = [
        (
            metric["metric"],
            format_value(metric["value"], metric["spread"], metric["unit"]),
            "–" if metric["claimed"] is None else f"{metric['claimed']} ({run['document']})",
        )
        for metric in run["metrics"]
        if not metric["metric"].startswith(leave_out)
    ]
    lines: list[tuple[str, ...]] = [("", "measured", "claimed"), *rows]
    if all(row[2] == "–" for row in rows):
        lines = [row[:2] for row in lines]
    return html_table(*lines, below=provenance(run))


def compared(
    experiments: Mapping[Run, str] | Sequence[Run],
    metrics: Mapping[str, str],
    *,
    transposed: bool = False,
) -> HTML:
    """Several runs of the ledger side by side: a row each, a column for each metric; a dash where a run lacks it.

    Below stand, once each, the data, seeds and machines that the runs had; their protocols are on the page of all results.

    Args:
        experiments: of each its name, for the largest scale that the ledger has, or its name and a scale; or a mapping from
            these to what the table calls them.
        metrics: from the name of a metric to the heading of its column, which names the unit.
        transposed: a column for each run and a row for each metric instead.

    Raises:
        ReplearnError: when the ledger lacks a run.
    """
    pairs = [(run, None) if isinstance(run, str) else run for run in experiments]
    named = (
        experiments.values() if isinstance(experiments, Mapping) else [", ".join(filter(None, pair)) for pair in pairs]
    )
    titles, runs = list(named), [load_result(*pair) for pair in pairs]
    lines: list[tuple[str, ...]] = [("", *metrics.values())]
    for title, run in zip(titles, runs, strict=True):
        of = {metric["name"]: metric for metric in run["metrics"]}
        lines.append((title, *(_bare(of.get(name)) for name in metrics)))
    if transposed:
        lines = list(zip(*lines, strict=True))
    counts = sorted({run["seeds"] for run in runs})
    seeds = " or ".join(map(str, counts)) + (" seed" if counts == [1] else " seeds, mean ± standard deviation")
    unique = lambda key: dict.fromkeys(str(run[key]) for run in runs)  # noqa: E731
    where = (*unique("data"), _scales(titles, runs), seeds, *unique("device"), *unique("precision"))
    return html_table(*lines, below=f"{' · '.join(where)}.")


def _scales(titles: Sequence[str], runs: Sequence[dict[str, Any]]) -> str:
    """The scale of all runs; where they differ, which has which."""
    of: dict[str, list[str]] = {}
    for title, run in zip(titles, runs, strict=True):
        of.setdefault(run["scale"], []).append(title)
    return ", ".join(
        f"scale {scale}" + (f" ({'; '.join(those)})" if len(of) > 1 else "") for scale, those in of.items()
    )


def _bare(metric: dict[str, Any] | None) -> str:
    """A metric's number without its unit, which stands in the heading."""
    if metric is None:
        return "–"
    text = format_value(metric["value"], metric["spread"], metric["unit"])
    return text.removesuffix(" %").removesuffix(f" {metric['unit']}")


def provenance(run: dict[str, Any]) -> str:
    """How the numbers of a run came about, in a few lines: data, seeds, machine, date, protocol."""
    seeds = f"{run['seeds']} seeds, mean ± standard deviation" if run["seeds"] > 1 else "1 seed"
    threads = f"{run['threads']} thread{'s' if run['threads'] > 1 else ''}"
    speed = f"{run['gflops']:.0f} GFLOP/s in float32"
    where = (run["experiment"], run["data"], f"scale {run['scale']}", seeds, run["device"], threads, run["precision"])
    return f"{' · '.join(where)} · {speed} · {run['date']}. {run['protocol']}."


def html_table(header: Sequence[str], *rows: Sequence[str], below: str = "") -> HTML:
    """A table for a notebook's output, with a line of small print below."""
    from IPython.display import HTML

    line = lambda kind, row: "<tr>" + "".join(f"<{kind}>{html.escape(c)}</{kind}>" for c in row) + "</tr>"  # noqa: E731
    body = "".join(line("td", row) for row in rows)
    note = f'<p class="replearn-provenance">{html.escape(below)}</p>' if below else ""
    return HTML(f'<table class="dataframe"><thead>{line("th", header)}</thead><tbody>{body}</tbody></table>{note}')
