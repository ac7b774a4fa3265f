"""Settings that no document states: D1's learning rates, and MoCo's for an encoder without batch norm; kept in ``rates.csv``.

``python -m benchmarks.rates`` trains N1 on the training images without the validation split for a few epochs at each rate, then
fine-tunes on 1 % and 10 % of the labels at each pair of rates, and adds the rows that are missing (two hours on two cores). All is
judged on validation images, the test set is not read. The runs stay in ``runs/rates``, so that it goes on where it was stopped.
N2's encoders are those of the runs ``vicreg-n2`` at the scales full and cpu, which saw the validation images too, without
their labels.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from replearn_course.data import load
from replearn_course.errors import ReplearnError
from replearn_course.experiments import runner
from replearn_course.experiments.evaluation import few_labels
from replearn_course.files import read_csv, restore_weights, write_csv
from replearn_course.networks import encoder
from replearn_course.scale import choose, machine_name

PATH, RUNS = Path(__file__).with_name("rates.csv"), Path("runs/rates")
SETTING = choose("full")
SEED = 0

#: Experiment, what is changed in it, epochs of a trial, and its rates.
TRAININGS: tuple[tuple[str, dict[str, str], int, tuple[str, ...]], ...] = (
    ("vicreg-n1", {}, 3, ("2e-4", "3e-4", "1e-3", "3e-3")),
    ("supervised-n1", {}, 5, ("0.01", "0.05", "0.1")),
    ("moco", {"projector": "moco-v2", "groups": "1"}, 3, ("3e-4", "1e-3")),
    ("moco", {"projector": "simclr", "groups": "1"}, 3, ("1e-3",)),
    ("moco", {"projector": "simclr", "groups": "4"}, 3, ("1e-3",)),
    ("moco", {"projector": "simclr", "groups": "4", "queue": "1024"}, 3, ("1e-3",)),
    ("moco", {"projector": "simclr", "groups": "4", "momentum": "0.9"}, 3, ("1e-3",)),
)
#: By start, the network, the file of its weights if it is not new, and rates of the classifier and of the encoder.
FINE_TUNINGS: dict[str, tuple[str, str, tuple[tuple[float, float], ...]]] = {
    "VICReg, 3 epochs": (
        "n1",
        "runs/rates/vicreg-n1-1e-3/*/seed-0/encoder-epoch-3.safetensors",
        tuple(product((0.1, 0.3, 1.0), (0.02, 0.05))),
    ),
    "from scratch": ("n1", "", ((0.03, 0.03), (0.1, 0.1), (0.3, 0.3), (1.0, 1.0))),
    "VICReg of N2, 30 epochs": (
        "n2",
        "runs/vicreg-n2-full/seed-0/encoder-epoch-30.safetensors",
        ((0.3, 0.02), (0.1, 0.02)),
    ),
    "VICReg of N2, 10 epochs": (
        "n2",
        "runs/vicreg-n2-cpu/seed-0/encoder-epoch-10.safetensors",
        ((0.3, 0.02), (0.1, 0.02), (0.1, 0.05), (0.1, 0.005), (0.03, 0.02), (0.03, 0.05), (0.01, 0.02)),
    ),
    "N2 from scratch": ("n2", "", ((0.03, 0.03), (0.1, 0.1), (0.3, 0.3))),
}


def trained(name: str, changes: dict[str, str], epochs: int, lr: str) -> dict[str, Any]:
    """A short training at one rate, linearly probed on the validation images."""
    only_linear = {"reported": "0", "probed": "", "suspects": "0", "drawn": "0", "transfer": "", "partial_lr": "0"}
    overrides = {"validate": "true", "epochs": str(epochs), "lr": lr} | only_linear | changes
    folder = RUNS / "-".join([name, lr, *changes.values()])
    result = runner.run(
        name, setting=SETTING, seeds=1, out=folder, resume=folder.exists(), overrides=overrides, progress=False
    )
    found = result["outcomes"][0]["metrics"]
    return {"linear": found["top1"], "linear_as_d1": found["d1_top1"], "network": found.get("network_top1")}


def fine_tuned(name: str, weights: str, lr: float, encoder_lr: float) -> dict[str, Any]:
    """Fine-tuning on few labels at one pair of rates, tested on the validation images."""
    data = load("cifar10", "full").to(SETTING.device)
    torch.manual_seed(SEED)
    network = encoder(name).to(SETTING.device)
    if weights:
        files = list(Path().glob(weights))
        if not files:
            raise ReplearnError(f"{weights}: expected the weights of that run, got none; make it first")
        restore_weights(files[0], network)
    rates: dict[str, Any] = {"lr": lr, "encoder_lr": encoder_lr, "seed": SEED, "setting": SETTING}
    found = few_labels(network, data.train, data.validation, **rates)  # without the shares on which it diverged
    return {share: found.get(f"{share}_top1", 0.0) for share in ("partial1", "partial10")}


def main() -> None:
    """Add each row that is not there yet."""
    rows = read_csv(PATH) if PATH.exists() else []
    for name, changes, epochs, rates in TRAININGS:
        label = ", ".join([f"{name}, {epochs} epochs", *(f"{key} {value}" for key, value in changes.items())])
        for lr in rates:
            _add(rows, label, lr, "", partial(trained, name, changes, epochs, lr))
    for start, (network, weights, pairs) in FINE_TUNINGS.items():
        for lr, encoder_lr in pairs:
            measure = partial(fine_tuned, network, weights, lr, encoder_lr)
            _add(rows, f"fine-tuning, {start}", f"{lr:g}", f"{encoder_lr:g}", measure)


def _add(rows: list[dict[str, str]], training: str, lr: str, encoder_lr: str, measure: Any) -> None:
    key = {"training": training, "lr": lr, "encoder_lr": encoder_lr}
    if any(row | key == row for row in rows):
        return
    found = measure()
    names = ("linear", "linear_as_d1", "network", "partial1", "partial10")
    values = {name: "" if found.get(name) is None else f"{found[name]:.4f}" for name in names}
    about = {"seed": SEED, "machine": machine_name(SETTING.device), "date": datetime.now(UTC).strftime("%Y-%m-%d")}
    rows.append(key | values | about)
    write_csv(PATH, rows)
    print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
