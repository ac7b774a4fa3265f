"""Settings of every test process."""

import os

from hypothesis import settings

# Two workers share two cores: with more threads than cores, those of PyTorch wait for each other, a hundred times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

# A run of CI judges the change that it is for: the same examples each time. On a desk they are new each time.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
