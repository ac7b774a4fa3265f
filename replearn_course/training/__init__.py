"""Training: one loop for all methods."""

from replearn_course.training.fit import fit
from replearn_course.training.history import History
from replearn_course.training.memory import peak_memory
from replearn_course.training.optimisers import LARS, OPTIMIZERS, make_optimizer, parameter_groups
from replearn_course.training.schedules import constant, linear, plateau, warmup_cosine

__all__ = [
    "LARS",
    "OPTIMIZERS",
    "History",
    "constant",
    "fit",
    "linear",
    "make_optimizer",
    "parameter_groups",
    "peak_memory",
    "plateau",
    "warmup_cosine",
]
