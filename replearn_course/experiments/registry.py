"""Which experiments there are. Quick to import: the code of an experiment is loaded when it runs."""

from __future__ import annotations

from replearn_course.errors import unknown_name
from replearn_course.experiments.catalogue import digits, images, words
from replearn_course.experiments.experiment import Experiment, Metric

__all__ = ["EXPERIMENTS", "Experiment", "Metric", "find"]

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment for experiment in (*words.EXPERIMENTS, *digits.EXPERIMENTS, *images.EXPERIMENTS)
}


def find(name: str) -> Experiment:
    """An experiment by name.

    Raises:
        ReplearnError: for an unknown name, with the nearest known one.
    """
    if name not in EXPERIMENTS:
        raise unknown_name("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]
