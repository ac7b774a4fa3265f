"""What happened while training: one row an epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replearn_course.files import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History"]


@dataclass
class History:
    """The rows of a training.

    Attributes:
        rows: for each epoch ``epoch`` (from 1), the mean of each value that the method reports, ``lr``, ``seconds``, and
            what validation gave, under ``val_…``.
        stopped: ``"finished"``, ``"early"`` (the monitored value no longer fell) or ``"interrupted"``.
        flop: floating-point operations of training: three times those of the forward passes, 6 × multiply-adds × images.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    stopped: str = "finished"
    flop: float = 0.0

    @property
    def epochs(self) -> int:
        """Epochs trained."""
        return len(self.rows)

    @property
    def seconds(self) -> float:
        """Time of training itself, without validation."""
        return sum(row["seconds"] for row in self.rows)

    def best(self, monitor: str) -> int:
        """The epoch (from 1) at which ``monitor`` was least, the first such."""
        return min(self.rows, key=lambda row: row[monitor])["epoch"]  # type: ignore[return-value]

    def column(self, name: str) -> list[float]:
        """One value over the epochs."""
        return [row[name] for row in self.rows]

    def __str__(self) -> str:
        if not self.rows:
            return "no epoch was finished"
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        lines = [" ".join(f"{name:>10}" for name in columns)]
        lines += [" ".join(f"{_short(row.get(name)):>10}" for name in columns) for row in self.rows]
        return "\n".join(lines)

    def save(self, path: Path | str) -> None:
        """Write the rows as CSV."""
        write_csv(path, self.rows)

    def plot(self, *names: str) -> Figure:
        """Curves over the epochs; by default the loss, of training and validation."""
        from replearn_course.plots import curves

        wanted = names or [name for name in ("loss", "val_loss") if self.rows and name in self.rows[0]]
        return curves({name: self.column(name) for name in wanted})


def _short(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e6 else f"{value:.4g}"
