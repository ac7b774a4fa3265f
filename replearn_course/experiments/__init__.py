"""The experiments of the documents, by name: settings, what they run, what they claim."""

from replearn_course.experiments.registry import EXPERIMENTS, Experiment, Metric, find

__all__ = ["EXPERIMENTS", "Experiment", "Metric", "find"]
