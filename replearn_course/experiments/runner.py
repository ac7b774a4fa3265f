"""``run``: an experiment with several seeds becomes a run folder, whatever happens on the way.

The folder holds ``settings.json``, for each seed ``seed-S/`` (checkpoint, history, weights, metrics), ``figures/``, ``report.txt``
and, when all is done, ``result.json``. Each file is whole or absent, so a run that was cut off goes on where it was.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import torch

from replearn_course import __version__
from replearn_course.data import images_from, load, text_from
from replearn_course.data.batches import Batches
from replearn_course.errors import ReplearnError, unknown_name
from replearn_course.experiments.registry import Experiment, find
from replearn_course.files import atomic_write, read_json, restore_weights, save_weights, write_json
from replearn_course.results import claim, table
from replearn_course.scale import Setting, banner, choose, machine_gflops, machine_name
from replearn_course.training import History, fit

__all__ = ["Context", "Interrupted", "run"]


class Interrupted(Exception):
    """Training was asked to end; what was computed is in the run folder."""


Data = TypeVar("Data")
Measured = TypeVar("Measured")


@dataclasses.dataclass
class Context(Generic[Data]):
    """What an experiment is given for one seed.

    Attributes:
        setting: scale, device, precision, threads.
        data: the splits of images, on the device; or a text.
        seed: of initial weights, order, draws and views.
        folder: of this seed.
        resume: go on from what the folder holds.
        progress: show bars.
        say: where lines go.
    """

    setting: Setting
    data: Data
    seed: int
    folder: Path
    resume: bool
    progress: bool = True
    say: Callable[[str], object] = print

    def fit(
        self, method: torch.nn.Module, batches: Batches, optimizer: Any, *, name: str = "", **arguments: Any
    ) -> History:
        """Train with a checkpoint in the folder, and keep history and weights under ``name``.

        Raises:
            Interrupted: when training was asked to end.
        """
        stem = f"{name}-" if name else ""
        history = fit(
            method,
            batches,
            optimizer,
            setting=self.setting,
            checkpoint=self.folder / f"{stem}last.pt",
            resume=self.resume,
            progress=self.progress,
            **arguments,
        )
        if history.stopped == "interrupted":
            raise Interrupted
        history.save(self.folder / f"{stem}history.csv")
        save_weights(self.folder / f"{stem}model.safetensors", method.state_dict(), {"replearn": __version__})
        return history

    def once(self, name: str, compute: Callable[[], Measured]) -> Measured:
        """What ``compute`` gives, kept in the folder under ``name``: a run that is cut off later does not compute it again."""
        file = self.folder / f"{name}.json"
        if file.exists():
            return read_json(file)
        found = compute()
        write_json(file, found)
        return found

    def restore(self, method: torch.nn.Module, name: str = "") -> None:
        """Give a method the weights that this seed ended with."""
        restore_weights(self.folder / (f"{name}-model.safetensors" if name else "model.safetensors"), method)
        method.to(self.setting.device).eval()


def run(
    name: str,
    *,
    setting: Setting | None = None,
    seeds: int = 3,
    out: Path | str = "runs",
    resume: bool = False,
    overrides: dict[str, str] | None = None,
    corpus: str | None = None,
    images: Path | str | None = None,
    image_size: int | None = None,
    skip_broken: bool = False,
    progress: bool = True,
    say: Any = print,
) -> dict[str, Any]:
    """Run an experiment and write its run folder.

    Args:
        name: of the experiment.
        setting: scale, device, precision, threads; by default chosen from the environment and the machine.
        seeds: how many, from 0 on.
        out: the folder of the run folders.
        resume: go on with the newest run of the same experiment, scale, settings, data and precision that was cut off or
            has fewer seeds; one that is finished is only shown.
        overrides: settings by name, as text.
        corpus: for experiments on text, another text: a file, a folder, or the name of one.
        images: for experiments on any images, a folder of them, which ``images_from`` reads.
        image_size: to which they are brought, in pixels; 32 by default.
        skip_broken: leave out files in that folder which cannot be read as images, and say which.
        progress: show bars.
        say: where lines go.

    Returns:
        The result, as in ``result.json``.

    Raises:
        ReplearnError: for an unknown experiment or setting, data that is absent, or only runs of other settings to resume.
        Interrupted: when training was asked to end.
    """
    experiment = find(name)
    if seeds < 1:
        raise ReplearnError(f"seeds: expected 1 or more, got {seeds}")
    setting = setting or choose()
    torch.set_num_threads(setting.threads)
    module = importlib.import_module(f"replearn_course.experiments.{experiment.module}")
    settings = _settings(module, experiment, setting.scale, overrides or {})
    if corpus and not experiment.text:
        raise ReplearnError(f"corpus: {name} works on images of {experiment.data}, not on text")
    if images and not experiment.any_images:
        raise ReplearnError(f"images: {name} works on {experiment.data} alone")
    if not images and (image_size is not None or skip_broken):
        raise ReplearnError("image_size, skip_broken: only with images of your own")
    data: Any
    if images:
        data = images_from(images, 32 if image_size is None else image_size, skip_broken=skip_broken, say=say)
    elif experiment.text:
        data = text_from(corpus or experiment.data, setting.scale)
    else:
        data = load(experiment.data, setting.scale)
    say(banner(setting, data.name))
    described = {
        "experiment": name,
        "scale": setting.scale,
        "device": machine_name(setting.device),
        "precision": setting.precision,
        "threads": setting.threads,
        "data": data.name,
        "settings": dataclasses.asdict(settings),
    }
    folder, resumed = _folder(Path(out), described, seeds, resume)
    say(f"run folder: {folder}" + (" (resumed)" if resumed else ""))
    for torn in folder.rglob(".*.tmp"):  # a write that was killed
        torn.unlink(missing_ok=True)
    if _seeds_done(folder) >= seeds:
        say((folder / "report.txt").read_text(encoding="utf-8"))
        return read_json(folder / "result.json")
    data = data.to(setting.device)

    outcomes, maker = [], _maker(setting)
    say_once = functools.cache(say)  # what is left out with one seed is left out with each
    for seed in range(seeds):
        context = Context(setting, data, seed, folder / f"seed-{seed}", resumed, progress, say_once)
        done = context.folder / "metrics.json"
        if done.exists():
            outcomes.append(read_json(done))
            continue
        context.folder.mkdir(parents=True, exist_ok=True)
        say(f"seed {seed}")
        start = time.perf_counter()
        makers = _makers(context.folder / "made-by.json", maker)
        torch.manual_seed(seed)
        outcome = module.run(context, settings)
        outcome |= {"wall_seconds": round(time.perf_counter() - start, 1), "made_by": makers}
        write_json(done, outcome)
        outcomes.append(outcome)

    result = _result(experiment, described, settings, outcomes)
    first = Context(setting, data, 0, folder / "seed-0", True, progress)
    for stem, figure in module.figures(first, settings):
        _save_figure(folder / "figures" / f"{stem}.png", figure)
    text = table([{**metric, "document": experiment.document} for metric in result["metrics"]])
    of_seeds = f"{seeds} seeds, mean ± standard deviation" if seeds > 1 else "1 seed"
    note = f"{result['data']}, scale {setting.scale}, {of_seeds}"
    atomic_write(folder / "report.txt", f"{experiment.title}\n{note}\n\n{text}\n\n{result['protocol']}\n")
    write_json(folder / "result.json", result)
    say(f"\n{experiment.title}\n{note}\n\n{text}\n\nfigures, weights and this table: {folder}")
    return result


def _settings(module: ModuleType, experiment: Experiment, scale: str, overrides: dict[str, str]) -> Any:
    """The defaults, what the experiment and the scale change in them, and what the user changes."""
    fields = {field.name: field for field in dataclasses.fields(module.Settings)}
    settings = module.Settings(**{**experiment.settings, **experiment.scales.get(scale, {})})
    changes = {}
    for name, text in overrides.items():
        if name not in fields:
            raise unknown_name("setting", name, fields)
        now = getattr(settings, name)
        kind = type(now) if now is not None else int
        try:
            value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError):
            raise ReplearnError(f"{name}: expected {kind.__name__}, got {text!r}") from None
        if kind in (int, float) and not 0 <= value < math.inf:
            raise ReplearnError(f"{name}: expected a finite number from 0 up, got {text}")
        changes[name] = value
    return dataclasses.replace(settings, **changes)  # all at once: some are only right together


def _folder(out: Path, described: dict[str, Any], seeds: int, resume: bool) -> tuple[Path, bool]:
    """A new folder; to resume, the newest unfinished run of the same description, or the newest finished one."""
    stem = f"{described['experiment']}-{described['scale']}"
    number = lambda folder: int(folder.name.removeprefix(stem).lstrip("-") or 1)  # noqa: E731
    there = [f for f in out.glob(f"{stem}*") if f.name.removeprefix(stem).lstrip("-").isdecimal() or f.name == stem]
    there.sort(key=lambda folder: (_seeds_done(folder) < seeds, number(folder)))
    begun = {f: read_json(f / "settings.json") for f in there if (f / "settings.json").exists()} if resume else {}
    keys = ("settings", "data", "precision")
    if same := [f for f, before in begun.items() if all(before[key] == described[key] for key in keys)]:
        return same[-1], True
    for folder in [f for f in begun if _seeds_done(f) < seeds][-1:]:
        key = next(key for key in keys if begun[folder][key] != described[key])
        raise ReplearnError(
            f"{folder} was begun with other {key}: {_difference(begun[folder][key], described[key])}; "
            "resume with the same, or start a new run without --resume"
        )
    folder = out / (f"{stem}-{max(map(number, there)) + 1}" if there else stem)
    write_json(folder / "settings.json", described)
    return folder, False


def _seeds_done(folder: Path) -> int:
    """How many seeds a finished run has; none while it has no result."""
    result = folder / "result.json"
    return read_json(result)["seeds"] if result.exists() else 0


def _difference(before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        return ", ".join(f"{k} {before.get(k)} then, {now.get(k)} now" for k in now if before.get(k) != now.get(k))
    return f"{before} then, {now} now"


def _result(
    experiment: Experiment,
    described: dict[str, Any],
    settings: Any,
    outcomes: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The result of all seeds; where they were made on several machines or commits, it names each, and has the last's speed."""
    metrics = []
    for metric in experiment.metrics:
        factor = 100 if metric.unit == "percent" else 1  # experiments give fractions
        values = [factor * outcome["metrics"][metric.name] for outcome in outcomes if metric.name in outcome["metrics"]]
        if not values:  # such as analogies of a text in another language
            continue
        stated = claim(metric.claim) if metric.claim else None
        metrics.append(
            {
                "metric": metric.title,
                "name": metric.name,
                "value": statistics.fmean(values),
                "spread": statistics.stdev(values) if len(values) > 1 else None,
                "values": values,
                "unit": metric.unit,
                "claim": metric.claim,
                "claimed": stated["value"] if stated else None,
            }
        )
    others = [name for outcome in outcomes for name in outcome.get("other_data", ())]
    makers = [maker for outcome in outcomes for maker in outcome["made_by"]]
    distinct = lambda values: "; ".join(dict.fromkeys(value for value in values if value))  # noqa: E731
    return {
        **described,
        "data": distinct([described["data"], *others]),
        "device": distinct(maker["device"] for maker in makers),
        "title": experiment.title,
        "document": experiment.document,
        "chapter": experiment.chapter,
        "protocol": protocol(experiment, settings),
        "seeds": len(outcomes),
        "metrics": metrics,
        "outcomes": outcomes,
        **{key: makers[-1][key] for key in ("threads", "gflops", "versions")},
        "commit": distinct(maker["commit"] for maker in makers) or None,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _maker(setting: Setting) -> dict[str, Any]:
    """The machine and the code that are about to compute."""
    return {
        "device": machine_name(setting.device),
        "threads": setting.threads,
        "compile": setting.compile,
        "gflops": machine_gflops(setting.device),
        "versions": {"replearn": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "commit": _commit(),
    }


def _makers(file: Path, maker: dict[str, Any]) -> list[dict[str, Any]]:
    """All that a seed was computed by, kept before it is: a run may go on elsewhere, and with newer code."""
    makers = read_json(file) if file.exists() else []
    if maker not in makers:
        makers.append(maker)
        write_json(file, makers)
    return makers


def protocol(experiment: Experiment, settings: Any) -> str:
    """How the numbers come about with these settings; one that is None limits nothing and reads "all"."""
    if callable(experiment.protocol):
        return experiment.protocol(settings)
    values = dataclasses.asdict(settings)
    return experiment.protocol.format(**{name: "all" if value is None else value for name, value in values.items()})


def _commit() -> str | None:
    """The commit of the checkout that this package is read from, if it is one; "-dirty" where its code was changed since."""

    def git(*command: str) -> str:
        here = ["git", "-C", str(Path(__file__).parents[1])]
        return subprocess.run([*here, *command], capture_output=True, text=True, check=True, timeout=5).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", "*.py") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _save_figure(path: Path, figure: Any) -> None:
    import io

    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, facecolor="white", bbox_inches="tight")
    plt.close(figure)
    atomic_write(path, buffer.getvalue())
