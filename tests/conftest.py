"""Settings of every test process."""

import os

# Two workers share two cores: with more threads than cores, those of PyTorch wait for each other, a hundred times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
