"""The path to a recipe: one change at a time, judged on validation images, kept in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from replearn_course.errors import unknown_name
from replearn_course.experiments import runner
from replearn_course.files import read_csv, write_csv
from replearn_course.scale import Setting, choose, machine_gflops, machine_name

__all__ = ["Tries"]


@dataclass(frozen=True)
class Tries:
    """The table of an experiment's tries, ``benchmarks/NAME.csv``; its runs stay in ``runs/NAME-tries``.

    What is measured already is not measured again: a try that was cut off goes on where it stopped.

    Attributes:
        experiment: whose recipe is looked for.
        common: settings of all tries, which make them short.
        changes: by name, the settings in which a try differs from the catalogue's recipe.
    """

    experiment: str
    common: Mapping[str, str]
    changes: Mapping[str, Mapping[str, str]]
    setting: Setting = field(default_factory=lambda: choose("full"))

    @property
    def path(self) -> Path:
        """The table."""
        return Path(__file__).with_name(f"{self.experiment.replace('-', '_')}.csv")

    @property
    def runs(self) -> Path:
        """The folder of the runs."""
        return Path("runs") / f"{self.experiment}-tries"

    def make(self, *names: str) -> None:
        """Make the tries of these changes, of all without names, but not those that the table has."""
        for name in names:
            if name not in self.changes:
                raise unknown_name("change", name, self.changes)
        for name in names or self.changes:
            self.add(name, partial(self.measured, {**self.common, **self.changes[name]}, name))

    def measured(self, overrides: Mapping[str, str], name: str) -> dict[str, Any]:
        """One training, linearly probed on the validation images if ``overrides`` do not say otherwise."""
        folder = self.runs / name.replace(" ", "-").replace(",", "")
        result = runner.run(
            self.experiment,
            setting=self.setting,
            seeds=1,
            out=folder,
            resume=folder.exists(),
            overrides={"validate": "true", **overrides},
            progress=False,
        )
        return result["outcomes"][0]["metrics"]

    def add(self, change: str, measure: Callable[[], dict[str, Any]], tested_on: str = "validation") -> None:
        """Measure and write a row, if it is not there; ``tested_on`` says which images the numbers are of."""
        rows = read_csv(self.path) if self.path.exists() else []
        if any(row["change"] == change for row in rows):
            return
        found = measure()
        rows.append(
            {
                "change": change,
                "tested_on": tested_on,
                "top1": f"{found['top1']:.4f}",
                "knn": f"{found['knn']:.4f}",
                "dimensions": f"{found['dimensions']}",
                "rank": f"{found['rank']:.1f}",
                "training_tflop": f"{found['tflop']:.1f}" if "tflop" in found else "",
                "training_seconds": f"{found['seconds']:.0f}" if "seconds" in found else "",
                "machine": machine_name(self.setting.device),
                "gflops": f"{machine_gflops(self.setting.device)}",
                "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            }
        )
        write_csv(self.path, rows)
        print(rows[-1], flush=True)
