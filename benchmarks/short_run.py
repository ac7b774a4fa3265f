"""The path to the short run's recipe: one change at a time, judged on validation images, kept in ``short_run.csv``.

``python -m benchmarks.short_run`` trains ``short-run`` with each change at 0.04 PFLOP, an eighth of its budget, on a part of the
training images, and adds the rows that are missing (seven minutes each on two cores); names of changes after the command choose
some of them. With ``--whole`` it trains the recipe as it is on the training images without the validation split and goes
step by step from patches to a representation of an image, with a part of the labels. The test set is not read.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from benchmarks.tries import Tries
from replearn_course.data import load
from replearn_course.experiments import find, runner, self_supervised
from replearn_course.experiments.evaluation import evaluate

#: Of all tries: the four corner patches of an image, which is quick, the same number of patches in all, and the same images
#: for the probe (34 patches of each would leave it half of them).
COMMON = {
    "epochs": "1",
    "images": "12800",
    "stride": "15",
    "flip": "false",
    "parts": "1",
    "components": "0",
}

#: Each changes one thing of the catalogue's recipe.
CHANGES: dict[str, dict[str, str]] = {
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
    "17 patches of 32 images": {"batch_size": "32"},
    "8 patches of 128 images": {"n_views": "8", "batch_size": "128", "epochs": "2"},
    "two layers joined, 512 principal components": {"encoder": "patch-net-joined", "components": "512"},
    "ε² of 0.2, the authors'": {"distortion": "0.4472136"},
    "without grey": {"without": "grey"},
    "without colour jitter": {"without": "colour"},
}

#: Of one training: from patches to a representation of the image and its probe, step by step; the fourth is the recipe.
STEPS: dict[str, dict[str, Any]] = {
    "the mean over 16 patches": {"flip": False, "parts": 1, "wider": "", "components": 0, "weight_decays": "1e-5"},
    "and their mirror images": {"flip": True},
    "the means over quarters": {"parts": 2},
    "512 principal components of these": {"components": 512},
    "weight decay of the probe chosen": {"weight_decays": "1e-5 1e-4 1e-3 1e-2 1e-1"},
    "patches of 24 pixels too": {"wider": "24"},
}
LABELS = 20_000  # of the training images, to save hours

TRIES = Tries("short-run", COMMON, CHANGES)


def represented(changes: dict[str, Any]) -> dict[str, Any]:
    """The encoder of the whole recipe, its patches put together and probed in another way."""
    settings = self_supervised.Settings(**{**find("short-run").settings, **changes})
    (folder,) = (TRIES.runs / "whole").glob("*/seed-0")
    data = load("cifar10", "full").to(TRIES.setting.device)
    context = runner.Context(TRIES.setting, data, 0, folder, True, False)
    network = self_supervised.kept(context, settings, data.train, settings.at)
    labelled = data.train.split(LABELS)[1]
    return evaluate(network, labelled, data.validation, seed=0, weight_decays=settings.decays)


def main() -> None:
    """Add each row that is not there yet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.short_run", description=__doc__)
    parser.add_argument("change", nargs="*", help="some of the changes, instead of all")
    parser.add_argument("--whole", action="store_true", help="the whole recipe, and ways to put its patches together")
    arguments = parser.parse_args()
    if not arguments.whole:
        TRIES.make(*arguments.change)
        return
    TRIES.add("the whole recipe", partial(TRIES.measured, {"probed": ""}, "whole"))
    changes: dict[str, Any] = {}
    for step, more in STEPS.items():
        changes |= more
        TRIES.add(f"the whole recipe, {LABELS:,} labels: {step}", partial(represented, dict(changes)))


if __name__ == "__main__":
    main()
