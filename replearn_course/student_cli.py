"""The student's commands: init, check, watch, hint, progress, reset, solution."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from replearn_course.checks import Result
    from replearn_course.exercises import Chapter

_Target = Annotated[str | None, typer.Argument(help="a chapter, an exercise or a file; all when left out")]
_Exercise = Annotated[str, typer.Argument(help="an exercise, such as ch04.triplet_loss or triplet_loss")]
_Folder = Annotated[Path | None, typer.Option("--dir", help="your folder, when it is not the current one")]


def register(app: typer.Typer) -> None:
    """Add the student's commands to the command line."""
    for command in (init, check, watch, hint, progress, reset, solution):
        app.command(rich_help_panel="Exercises")(command)


def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="where to put your exercises")]) -> None:
    """Make a folder with the exercises, as scripts and as notebooks."""
    from replearn_course import student

    for path, written in student.init(folder).items():
        typer.echo(f"{'wrote' if written else 'kept '}  {path}")
    typer.echo(
        f"""
In an editor:   cd {folder}; replearn watch
                then write your answers in the .py files; each save is checked.
In a notebook:  open an .ipynb file; its check cells say what they think.
                The commands look at the .py files only."""
    )


def check(
    target: _Target = None,
    watch: Annotated[bool, typer.Option("--watch", help="go on, and check again at each save")] = False,
    folder: _Folder = None,
) -> None:
    """Check your answers; exits with 1 unless all that were asked for pass."""
    from replearn_course import student

    place = student.find_folder(folder)
    names = student.names_in(place, target)
    if watch:
        _watch(place, names)
        return
    results = list(student.check_folder(place, names))
    _show(results)
    raise typer.Exit(0 if all(results) else 1)


def watch(target: _Target = None, folder: _Folder = None) -> None:
    """Check an answer each time you save it, until Ctrl-C."""
    from replearn_course import student

    place = student.find_folder(folder)
    _watch(place, student.names_in(place, target))


def hint(
    exercise: _Exercise,
    number: Annotated[int, typer.Argument(help="which hint; each says more than the one before")] = 1,
) -> None:
    """Show a hint for an exercise."""
    from replearn_course.errors import ReplearnError

    name, chapter = _one(exercise)
    hints = chapter.hints(name)
    if not 1 <= number <= len(hints):
        raise ReplearnError(f"number: {name} has hints 1 to {len(hints)}, got {number}")
    typer.secho(f"{name}, hint {number} of {len(hints)}", bold=True)
    typer.echo(textwrap.fill(hints[number - 1], 80))
    if number < len(hints):
        typer.echo(f"\nMore: replearn hint {name} {number + 1}")


def progress(
    as_json: Annotated[bool, typer.Option("--json", help="rows for a program")] = False, folder: _Folder = None
) -> None:
    """Show which exercises are done."""
    from replearn_course import student
    from replearn_course.exercises import chapters

    place = student.find_folder(folder)
    results = list(student.check_folder(place, student.names_in(place, None)))
    if as_json:
        rows = [
            {
                "exercise": r.name,
                "chapter": r.name.split(".")[0],
                "status": r.status,
                "checks_passed": sum(o.passed for o in r.outcomes),
                "checks": r.total,
            }
            for r in results
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    for chapter in chapters().values():
        mine = [r for r in results if r.name in chapter.exercises]
        if mine:
            typer.secho(f"{chapter.name}  {chapter.title}: {sum(map(bool, mine))} of {len(mine)} done", bold=True)
        for r in mine:
            word, colour = _STATUS[r.status]
            typer.echo(f"  {typer.style(f'{word:13}', fg=colour)}  {r.name.split('.')[1]}")
    _next(place, results)


def reset(
    target: Annotated[str, typer.Argument(help="an exercise or a chapter")],
    folder: _Folder = None,
) -> None:
    """Put an exercise or a chapter back to how it was at first; your answer is kept in a copy."""
    from replearn_course import student

    done = student.reset(student.find_folder(folder), target)
    for path, copy in done.items():
        kept = f"; the file with your answer is now {copy.name}" if copy else ""
        typer.echo(f"{target}: back to the start in {path.name}{kept}")
    if not done:
        typer.echo(f"{target}: nothing to reset, it is untouched")


def solution(
    exercise: _Exercise,
    force: Annotated[bool, typer.Option("--force", help="show it although yours does not pass yet")] = False,
    folder: _Folder = None,
) -> None:
    """Show the course's solution, once yours passes."""
    from replearn_course import student

    name, chapter = _one(exercise)
    if not force:
        (result,) = student.check_folder(student.find_folder(folder), [name])
        if not result.passed:
            typer.echo(f"{name} does not pass yet ({result.status}).")
            typer.echo(f"A hint: replearn hint {name}\nThe solution all the same: replearn solution {name} --force")
            raise typer.Exit(1)
    typer.echo(chapter.solution(name))


_STATUS = {
    "passed": ("done", typer.colors.GREEN),
    "not done yet": ("not done yet", None),
    "wrong": ("not right yet", typer.colors.RED),
}


def _one(exercise: str) -> tuple[str, Chapter]:
    """Return the full name of one exercise, and its chapter."""
    from replearn_course.errors import ReplearnError
    from replearn_course.exercises import chapters, resolve

    names = resolve(exercise)
    if len(names) != 1:
        raise ReplearnError(f"exercise: expected one, such as {names[0]}, got {exercise}, which holds {len(names)}")
    return names[0], chapters()[names[0].split(".")[0]]


def _show(results: list[Result]) -> None:
    """Print results, with colours on a terminal."""
    for result in results:
        for line in str(result).splitlines():
            _line(line)


def _line(line: str) -> None:
    words = {"passed": typer.colors.GREEN, "FAILED": typer.colors.RED, "Hint:": typer.colors.YELLOW}
    for word, colour in words.items():
        before, found, after = line.partition(word)
        if found and (not before.strip() or before.endswith(": ")):
            typer.echo(before + typer.style(word, fg=colour) + after)
            return
    typer.echo(line)


def _next(place: Path, results: list[Result]) -> None:
    """Say where to go on."""
    from replearn_course import student

    for result in results:
        if not result.passed:
            path = student.chapter_file(place, _one(result.name)[1])
            typer.echo(f"Next: {result.name}, {path.name} line {student.line_of(place, result.name)}")
            typer.echo(f"      stuck? replearn hint {result.name}")
            return
    typer.echo("All of them pass.")


def _watch(place: Path, names: list[str]) -> None:
    from replearn_course import student

    standing: dict[str, Result] = {}
    try:
        for results in student.watch(place, names):
            first, standing = not standing, standing | {r.name: r for r in results}
            if first:
                typer.echo(f"{sum(map(bool, results))} of {len(names)} exercises pass in {place}.")
            else:
                typer.echo()
                _show(results)
            if first or all(results):
                _next(place, list(standing.values()))
            if first:
                typer.echo("Each save is checked; Ctrl-C ends.")
    except KeyboardInterrupt:
        typer.echo("\nWatching ended.")
