"""Recording a chapter keeps what a reader should see, and changes nothing when something is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import record  # noqa: E402

NAMES = (
    "from types import SimpleNamespace\n"
    "import os\n"
    "setting, DATA, SEED = SimpleNamespace(scale=os.environ['REPLEARN_SCALE'], device='cpu'), 'none', 7"
)


def write(path: Path, *sources: str) -> Path:
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    return path


@pytest.fixture(autouse=True)
def package_is_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def test_outputs_and_facts_are_kept_and_bars_are_not(tmp_path):
    bar = "import sys\nprint('50%|#####     | 5/10 [00:01<00:01, 5.00it/s]', file=sys.stderr)\nprint('kept')"
    path = write(tmp_path / "ch99.ipynb", NAMES, bar, "1 + 1")
    size = record.record(path, "smoke")
    notebook = nbformat.read(path, as_version=4)
    assert size == path.stat().st_size
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3]
    assert [out.text for out in notebook.cells[1].outputs] == ["kept\n"]
    assert notebook.cells[2].outputs[0].data["text/plain"] == "2"
    facts = notebook.metadata.replearn
    assert (facts.scale, facts.data, facts.seed) == ("smoke", "none", 7)
    assert set(facts.versions) >= {"python", "torch"}
    assert set(notebook.metadata) == {"kernelspec", "language_info", "replearn"}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([NAMES, "1 / 0"], "cell 2 failed: ZeroDivisionError"),
        (["1"], "a chapter defines `setting = choose\\(\\)`, `DATA` and `SEED`: name 'setting'"),
        ([NAMES, "import warnings; warnings.warn('look here')"], "(?s)cell 2 printed to stderr:.*look here"),
        ([NAMES, "print('x\\n' * 600_000)"], "more than 1.0"),
    ],
    ids=["error", "no facts", "stderr", "large"],
)
def test_a_failed_run_leaves_the_file_as_it_was(tmp_path, sources, message):
    path = write(tmp_path / "ch99.ipynb", *sources)
    before = path.read_bytes()
    with pytest.raises(record.NotRecorded, match=message):
        record.record(path, "smoke")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_widgets_are_dropped_and_printed_pieces_joined():
    widget = new_output("display_data", data={record.WIDGET: {}, "text/plain": "0%"})
    pieces = [new_output("stream", name="stdout", text=text) for text in ("one ", "two")]
    assert record.clean([pieces[0], widget, pieces[1]], 1) == [new_output("stream", name="stdout", text="one two")]
