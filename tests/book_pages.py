"""The built book, once for all tests that read it, whichever worker of pytest-xdist asks first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = [sys.executable, str(ROOT / "tools" / "build_book.py")]


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built pages."""
    from filelock import FileLock

    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):  # a worker's own folder; its parent belongs to all of them
        shared = shared.parent
    out = shared / "book"
    with FileLock(shared / "book.lock"):
        if not (out / "built").exists():
            done = subprocess.run([*BUILD, "--out", str(out)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
            (out / "built").touch()
    return out / "_build" / "html"
