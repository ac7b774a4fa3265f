"""Run chapters and keep their outputs: `python tools/record.py [ch03 ch04] [--scale cpu]`.

A recorded chapter says in its metadata how it was made (``replearn``: scale, device, data, date, seed, versions). The
chapter states three of these itself: ``setting = choose()``, ``DATA`` (what the tables call its data) and ``SEED``.
Nothing is written when a cell fails, and no widget, progress bar or path of this machine is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replearn_course.files import atomic_write
from replearn_course.scale import SCALES

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
LIMIT_MIB = 1.0
WIDGET = "application/vnd.jupyter.widget-view+json"

# Runs after the last cell of a chapter and is not kept.
_FACTS = """
import importlib.metadata as _m, json as _j, platform as _p
from replearn_course.scale import machine_name as _name
print(_j.dumps({
    "scale": setting.scale, "device": _name(setting.device), "data": DATA, "seed": SEED,
    "versions": {"python": _p.python_version()} | {
        n: _m.version(n) for n in ("replearn-course", "torch", "torchvision", "numpy", "scikit-learn")},
}))
"""


class NotRecorded(Exception):
    """Why a chapter was not recorded."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="such as ch03; all of them by default")
    parser.add_argument("--scale", choices=SCALES, default="cpu")
    args = parser.parse_args()
    found = sorted((ROOT / "book").glob("ch*.ipynb"))
    chosen = [p for p in found if not args.chapters or any(p.stem.startswith(c) for c in args.chapters)]
    if unknown := [c for c in args.chapters if not any(p.stem.startswith(c) for p in found)]:
        print(f"no chapter begins with {', '.join(unknown)}; there are {[p.stem for p in found]}", file=sys.stderr)
        return 1
    for path in chosen:
        start = time.monotonic()
        try:
            size = record(path, args.scale)
        except NotRecorded as error:
            print(f"{path.name} is left as it was: {error}", file=sys.stderr)
            return 1
        print(f"{path.name}: recorded at {args.scale} in {time.monotonic() - start:.0f} s, {size / 2**20:.2f} MiB")
    return 0


def record(path: Path, scale: str) -> int:
    """Run one notebook in place and return its size in bytes.

    Raises:
        NotRecorded: when a cell fails, something is printed to stderr, or the outputs are too large.
    """
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    facts = run(notebook, scale, path.parent)
    for number, cell in enumerate(notebook.cells, 1):
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = clean(cell.outputs, number)
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "replearn": facts | {"date": date.today().isoformat()},
        }
    )
    text = nbformat.writes(notebook) + "\n"
    if len(text) > LIMIT_MIB * 2**20:
        raise NotRecorded(f"{len(text) / 2**20:.2f} MiB, more than {LIMIT_MIB}: fewer slider values, points or dpi")
    nbformat.validate(notebook)
    atomic_write(path, text)
    return len(text)


def run(notebook: NotebookNode, scale: str, folder: Path) -> dict[str, Any]:
    """Run all cells in a fresh kernel and return what the chapter says of itself.

    Raises:
        NotRecorded: when a cell fails or the chapter lacks ``setting``, ``DATA`` or ``SEED``.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from nbformat.v4 import new_code_cell

    environment = os.environ | {"REPLEARN_SCALE": scale, "REPLEARN_LIVE": "0", "REPLEARN_RECORDING": "1"}
    notebook.cells.append(new_code_cell(_FACTS))
    client = NotebookClient(
        notebook,
        timeout=3600,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute(env=environment)
        return json.loads(notebook.cells[-1].outputs[0].text)
    except CellExecutionError as error:
        number = next(i for i, cell in enumerate(notebook.cells, 1) if _failed(cell))
        if number == len(notebook.cells):
            raise NotRecorded(f"a chapter defines `setting = choose()`, `DATA` and `SEED`: {error.evalue}") from error
        raise NotRecorded(f"cell {number} failed: {error.ename}: {error.evalue}") from error
    finally:
        notebook.cells.pop()


def clean(outputs: list[NotebookNode], number: int) -> list[NotebookNode]:
    """Drop widgets and progress bars, and join what was printed.

    Raises:
        NotRecorded: for anything else on stderr, which a reader would meet as a red box.
    """
    kept: list[NotebookNode] = []
    for output in outputs:
        if WIDGET in output.get("data", {}):
            continue
        if output.output_type == "stream" and output.name == "stderr":
            noise = "\n".join(line for line in re.split(r"[\r\n]+", output.text) if line.strip() and not _is_bar(line))
            if noise:
                raise NotRecorded(f"cell {number} printed to stderr:\n{noise}")
            continue
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text  # what is printed in pieces is read in one (nbclient's own way is quadratic)
        else:
            kept.append(output)
    return kept


def _is_bar(line: str) -> bool:
    """Whether a line is one of tqdm's."""
    return bool(re.search(r"\d+%\|.*\||\d+(it|step)s? \[|\[\d+:\d+[<,]", line))


def _failed(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", []))


if __name__ == "__main__":
    sys.exit(main())
