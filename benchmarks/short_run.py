"""The path to the short run's recipe: one change at a time, judged on validation images, kept in ``short_run.csv``.

``python -m benchmarks.short_run`` trains ``short-run`` with each change at 0.04 PFLOP, an eighth of its budget, on a part of the
training images, and adds the rows that are missing (five minutes each on two cores). With ``--whole`` it trains the recipe as it
is on the training images without the validation split and compares ways to make one representation of an image. The test set is
not read. The runs stay in ``runs/short``, so that it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from replearn_course.data import load
from replearn_course.experiments import find, runner, self_supervised
from replearn_course.experiments.evaluation import evaluate
from replearn_course.files import read_csv, write_csv
from replearn_course.scale import choose, machine_gflops, machine_name

PATH, RUNS = Path(__file__).with_name("short_run.csv"), Path("runs/short")
SETTING = choose("full")

#: Of all tries: the four corner patches of an image, which is quick, and the same number of patches in all.
TRY = {"epochs": "1", "images": "12800", "stride": "15", "flip": "false", "parts": "1", "components": "0"}

#: Each changes one thing of the catalogue's recipe.
TRIES: dict[str, dict[str, str]] = {
    "the recipe": {},
    "Muon 0.05": {"lr": "0.05"},
    "Muon 0.15": {"lr": "0.15"},
    "AdamW 1e-2": {"optimizer": "adamw", "lr": "1e-2"},
    "AdamW 3e-3": {"optimizer": "adamw", "lr": "3e-3"},
    "InfoNCE, temperature 0.2": {"method": "simclr", "temperature": "0.2"},
    "VICReg": {"method": "vicreg"},
    "similarity 100": {"similarity": "100"},
    "similarity 400": {"similarity": "400"},
    "projector 1024-1024": {"projector": "1024-1024"},
    "8 patches of 128 images": {"n_views": "8", "batch_size": "128", "epochs": "2"},
    "34 patches of 32 images": {"n_views": "34", "batch_size": "32", "images": "6400"},
    "34 patches of 64 images": {"n_views": "34", "images": "6400"},
    "two layers joined, 512 principal components": {"encoder": "patch-net-joined", "components": "512"},
    "ε² of 0.2, the authors'": {"distortion": "0.4472136"},
    "without grey": {"without": "grey"},
    "without colour jitter": {"without": "colour"},
}

#: Of one training: ways from patches to a representation of the image.
WAYS: dict[str, dict[str, Any]] = {
    "the mean over 16 patches": {"flip": False, "parts": 1, "components": 0},
    "their mirror images too": {"parts": 1, "components": 0},
    "the means over quarters": {"components": 0},
    "512 principal components of these": {},
}


def measured(overrides: dict[str, str], label: str) -> dict[str, Any]:
    """One training, linearly probed on the validation images."""
    folder = RUNS / label.replace(" ", "-").replace(",", "")
    overrides = {"validate": "true", **overrides}
    result = runner.run(
        "short-run", setting=SETTING, seeds=1, out=folder, resume=folder.exists(), overrides=overrides, progress=False
    )
    return result["outcomes"][0]["metrics"]


def by_another_way(changes: dict[str, Any]) -> dict[str, Any]:
    """The encoder of the whole recipe, its patches put together in another way."""
    experiment = find("short-run")
    settings = self_supervised.Settings(**{**experiment.settings, **changes})
    (folder,) = (RUNS / "whole").glob("*/seed-0")
    data = load("cifar10", "full").to(SETTING.device)
    context = runner.Context(SETTING, data, 0, folder, True, False)
    network = self_supervised.kept(context, settings, data.train, settings.at)
    return evaluate(network, data.train, data.validation, seed=0)


def main() -> None:
    """Add each row that is not there yet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.short_run", description=__doc__)
    parser.add_argument("--whole", action="store_true", help="the whole recipe, and ways to put its patches together")
    rows = read_csv(PATH) if PATH.exists() else []
    if parser.parse_args().whole:
        _add(rows, "the whole recipe", partial(measured, {}, "whole"))
        for way, changes in WAYS.items():
            _add(rows, f"the whole recipe: {way}", partial(by_another_way, changes))
    else:
        for change, overrides in TRIES.items():
            _add(rows, change, partial(measured, {**TRY, **overrides}, change))


def _add(rows: list[dict[str, str]], change: str, measure: Callable[[], dict[str, Any]]) -> None:
    if any(row["change"] == change for row in rows):
        return
    found = measure()
    rows.append(
        {
            "change": change,
            "val_top1": f"{found['top1']:.4f}",
            "val_knn": f"{found['knn']:.4f}",
            "dimensions": f"{found['dimensions']}",
            "rank": f"{found['rank']:.1f}",
            "training_tflop": f"{found['tflop']:.1f}" if "tflop" in found else "",
            "training_seconds": f"{found['seconds']:.0f}" if "seconds" in found else "",
            "machine": machine_name(SETTING.device),
            "gflops": f"{machine_gflops(SETTING.device)}",
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        }
    )
    write_csv(PATH, rows)
    print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
