"""The chapters run from top to bottom at the smoke scale, without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("*.ipynb")), ids=lambda path: path.stem)
def test_chapter_runs(path, tmp_path):
    # An empty data folder: at this scale nothing may be needed that does not ship.
    environment = os.environ | {"REPLEARN_SCALE": "smoke", "REPLEARN_DATA": str(tmp_path), "REPLEARN_LIVE": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "120"]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", str(path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
