"""Training: one loop for all methods."""

from replearn_course.training.fit import fit
from replearn_course.training.history import History
from replearn_course.training.schedules import linear, plateau, warmup_cosine

__all__ = ["History", "fit", "linear", "plateau", "warmup_cosine"]
