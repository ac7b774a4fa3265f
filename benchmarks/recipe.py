"""The path to the improved recipe: one change at a time, judged on the validation split, kept in ``recipe.csv``.

``python -m benchmarks.recipe NAME setting=value ...`` trains ``mnist-triplet-recipe`` with these settings and adds a row. The test
set is not read.
"""

from __future__ import annotations

import argparse
import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import torch

from replearn_course.data import PKBatches, RandomAffine, load
from replearn_course.experiments.mnist_recipe import Settings, network
from replearn_course.files import read_csv, write_csv
from replearn_course.probes import embed, linear_probe
from replearn_course.scale import choose, machine_gflops, machine_name
from replearn_course.training import fit, warmup_cosine

PATH = Path(__file__).with_name("recipe.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("change", help="what was changed, in words")
    parser.add_argument("settings", nargs="*", help="setting=value")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--precision")
    arguments = parser.parse_intermixed_args()
    settings = Settings()
    for text in arguments.settings:
        name, value = text.split("=")
        settings = dataclasses.replace(settings, **{name: type(getattr(settings, name))(value)})
    setting = choose("full", precision=arguments.precision)
    data = load("mnist", "full").to(setting.device)
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        torch.manual_seed(seed)
        method = network(settings)
        views = RandomAffine(settings.degrees, settings.resize, settings.shear, settings.shift)
        batches = PKBatches(data.train, settings.p, settings.k, seed=seed, views=views, n_batches=settings.batches)
        optimizer = torch.optim.Adam(method.parameters(), lr=settings.lr)
        history = fit(
            method,
            batches,
            optimizer,
            epochs=settings.epochs,
            schedule=warmup_cosine(settings.warmup),
            setting=setting,
            progress=False,
        )
        train_z, val_z = embed(method.encoder, data.train.images), embed(method.encoder, data.validation.images)
        probe = linear_probe(train_z, data.train.labels.cpu(), val_z, data.validation.labels.cpu())
        row = {
            "change": arguments.change,
            "settings": " ".join(f"{name}={value}" for name, value in dataclasses.asdict(settings).items()),
            "seed": seed,
            "val_accuracy": f"{probe.top1:.4f}",
            "loss": f"{history.rows[-1]['loss']:.4g}",
            "active": f"{history.rows[-1]['active']:.4f}",
            "seconds": f"{history.seconds:.0f}",
            "tflop": f"{history.flop / 1e12:.2f}",
            "precision": setting.precision,
            "threads": setting.threads,
            "machine": machine_name(setting.device),
            "gflops": machine_gflops(setting.device),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        }
        rows = [*(read_csv(PATH) if PATH.exists() else []), row]
        write_csv(PATH, rows)
        print(row, flush=True)


if __name__ == "__main__":
    main()
