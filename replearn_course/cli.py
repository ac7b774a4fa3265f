"""The ``replearn`` command. Heavy imports wait inside the commands, so that ``replearn --help`` answers at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from replearn_course import student_cli, words_cli
from replearn_course.errors import ReplearnError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Representation learning on real data: run the experiments, see the results, do the exercises.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Datasets: what there is, fetch one, check its files.", no_args_is_help=True)
app.add_typer(data_app, name="data")
student_cli.register(app)
words_cli.register(app)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Runs = Annotated[Path, typer.Option("--runs", help="The folder of run folders.")]


@app.command(name="list")
def list_experiments(as_json: AsJson = False) -> None:
    """List the experiments."""
    from replearn_course.experiments import EXPERIMENTS

    rows = [
        {"experiment": e.name, "title": e.title, "document": e.document, "chapter": e.chapter, "data": e.data}
        for e in EXPERIMENTS.values()
    ]
    _print(rows, as_json, ("experiment", "chapter", "document", "title"))


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="The experiment; `replearn list` shows them.")],
    scale: Annotated[str | None, typer.Option(help="smoke, cpu or full; by default full with a GPU, else cpu.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:1, mps; by default a GPU if there is one.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="32-true, bf16-mixed or 16-mixed; by default what is fast.")
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="torch.compile the encoder, for long runs on a GPU.")
    ] = False,
    seeds: Annotated[int | None, typer.Option(help="How many seeds, from 0 on; by default 1 at smoke, else 3.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of run folders.")] = Path("runs"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest run that was cut off or has fewer seeds.")
    ] = False,
    settings: Annotated[list[str] | None, typer.Option("--set", help="A setting, name=value; may be repeated.")] = None,
    corpus: Annotated[
        str | None, typer.Option(help="For word vectors: your own text, a file or a folder; or text8, wiki2015.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="For experiments on any images: a folder of your own, with the classes, if any, in subfolders."
        ),
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Their side in pixels; by default 32.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out files in that folder that cannot be read as images.")
    ] = False,
    record: Annotated[bool, typer.Option("--record", help="Copy the result into the ledger.")] = False,
) -> None:
    """Run an experiment: train, probe, plot, and print what was claimed beside what was measured."""
    from replearn_course.experiments import find
    from replearn_course.scale import choose_scale

    find(name)  # before the seconds that torch takes
    choose_scale(scale) if scale else None
    overrides = dict(_pair(text) for text in settings or [])
    if record and overrides:
        raise ReplearnError("--record: the ledger keeps runs at an experiment's own settings; leave out --set")
    if record and images:
        raise ReplearnError("--record: the ledger keeps runs on data that others have too; leave out --images")
    from replearn_course import results
    from replearn_course.experiments.runner import Interrupted
    from replearn_course.experiments.runner import run as run_experiment
    from replearn_course.scale import choose

    setting = choose(scale, device, precision, compile)
    if seeds is None:
        seeds = 1 if setting.scale == "smoke" else 3
    try:
        result = run_experiment(
            name,
            setting=setting,
            seeds=seeds,
            out=out,
            resume=resume,
            overrides=overrides,
            corpus=corpus,
            images=images,
            image_size=image_size,
            skip_broken=skip_broken,
        )
    except (Interrupted, KeyboardInterrupt):
        again = [a for a in sys.argv[1:] if a != "--resume"]
        typer.echo(f"\ninterrupted; nothing is lost. Go on with: replearn {' '.join(again)} --resume")
        raise typer.Exit(130) from None
    if record:
        typer.echo(f"recorded in {results.record(result)}")


@app.command()
def show(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or its name below runs/.")],
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show a run: its settings, its numbers beside the claims, its files; or how far an unfinished one is."""
    from replearn_course.files import read_csv, read_json
    from replearn_course.results import results_below, table

    folder = next((f for f in (run_folder, runs / run_folder) if (f / "settings.json").exists()), None)
    if folder is None:
        from replearn_course.errors import unknown_name

        raise unknown_name(
            "run", str(run_folder), [str(f.parent.relative_to(runs)) for f in runs.rglob("settings.json")]
        )
    described = read_json(folder / "settings.json")
    finished = (folder / "result.json").exists()
    rows = results_below(folder) if finished else []
    epochs = {str(f.relative_to(folder)): len(read_csv(f)) for f in sorted(folder.rglob("*history.csv"))}
    files = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
    if as_json:
        typer.echo(
            json.dumps({**described, "finished": finished, "results": rows, "epochs": epochs, "files": files}, indent=2)
        )
        return
    for key, value in described.items():
        typer.echo(
            f"{key:<11} {value if not isinstance(value, dict) else ', '.join(f'{k}={v}' for k, v in value.items())}"
        )
    typer.echo()
    if finished:
        typer.echo(f"{table(rows)}\n\n{rows[0]['protocol']}")
    else:
        typer.echo(
            f"not finished; go on with: replearn run {described['experiment']} --scale {described['scale']} --resume"
        )
    typer.echo("\n" + "\n".join(files))


@app.command()
def results(
    experiment: Annotated[str | None, typer.Argument(help="Only of this experiment.")] = None,
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show all measured numbers, of the ledger and of your own runs, beside what the documents claim."""
    from replearn_course.experiments import find
    from replearn_course.results import headings, table
    from replearn_course.results import results as all_results

    if experiment:
        find(experiment)
    rows = all_results(runs, experiment=experiment)
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    typer.echo("\n\n".join(f"{heading}\n\n{table(of_run)}" for heading, of_run in headings(rows).items()))


@data_app.command(name="list")
def list_data(as_json: AsJson = False) -> None:
    """List the datasets, and which are here."""
    from replearn_course.data.datasets import DATASETS
    from replearn_course.scale import data_folder

    rows = []
    for name, dataset in DATASETS.items():
        here = not dataset.missing()
        rows.append({"dataset": name, "title": dataset.title, "download": dataset.size, "here": here})
    if not as_json:
        typer.echo(f"folder: {data_folder()} (set REPLEARN_DATA to change it)\n")
    _print(rows, as_json, ("dataset", "title", "download", "here"))


@data_app.command()
def fetch(name: Annotated[str, typer.Argument(help="The dataset.")] = "mnist") -> None:
    """Fetch a dataset unless it is here, with its checksums verified."""
    from replearn_course.data.datasets import fetch as fetch_dataset

    typer.echo(f"{name} is in {fetch_dataset(name)}")


@data_app.command()
def verify(name: Annotated[str, typer.Argument(help="The dataset.")] = "mnist") -> None:
    """Compare each file of a dataset with its published checksum."""
    from replearn_course.data.datasets import verify as verify_dataset

    state = verify_dataset(name)
    _print([{"file": file, "state": found} for file, found in state.items()], False, ("file", "state"))
    if set(state.values()) != {"ok"}:
        raise typer.Exit(1)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ReplearnError(f"--set: expected name=value, got {text!r}")
    return name, value


def _print(rows: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...]) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not rows:
        typer.echo("nothing yet")
        return
    lines = [columns, *(tuple(_word(row[c]) for c in columns) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def _word(value: Any) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def main() -> None:
    """Run the command; an error that its message explains is printed without a traceback."""
    try:
        app()
    except ReplearnError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        raise SystemExit(2) from None
