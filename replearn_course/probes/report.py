"""The classification report and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from replearn_course.errors import ReplearnError, check_labels, check_tensors

__all__ = ["Report", "Row", "report"]


class Row(NamedTuple):
    """One line of the report: precision, recall and F1 are fractions in [0, 1], support is a number of items."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Report:
    """What :func:`report` found; ``print`` shows it as scikit-learn does.

    Attributes:
        rows: one for each class, ascending by label.
        accuracy: a fraction in [0, 1].
        macro: the mean over classes.
        weighted: the mean over classes weighted by support.
        classes: the labels ``(C,)``, ascending.
        confusion: ``(C, C)`` counts, row the true class and column the predicted one.
        text: the report as text.
    """

    rows: list[Row]
    accuracy: float
    macro: Row
    weighted: Row
    classes: Tensor
    confusion: Tensor
    text: str

    def __str__(self) -> str:
        return self.text


def report(true: Tensor, predicted: Tensor, names: Sequence[str] | None = None, digits: int = 2) -> Report:
    r"""Precision, recall and F1 of each class and the confusion matrix; the scores are scikit-learn's.

    For a class with :math:`t` items, :math:`p` predictions and :math:`h` of them right: precision is :math:`h / p`,
    recall :math:`h / t`, F1 :math:`2 h / (p + t)`; zero where a denominator is zero. The classes are those that occur
    in either argument.

    Args:
        true: true labels ``(N,)``.
        predicted: predicted labels ``(N,)``.
        names: of the classes, ascending by label; the labels themselves when ``None``.
        digits: decimals in the text.

    Raises:
        ReplearnError: for malformed labels, none at all, or a wrong number of names.
    """
    from sklearn.metrics import classification_report

    check_tensors(true=true)
    if true.ndim != 1 or not len(true):
        raise ReplearnError(f"true: expected shape (N,) with at least one label, got {tuple(true.shape)}")
    check_labels(len(true), true=true)
    check_labels(len(true), predicted=predicted)
    true, predicted = true.detach().cpu(), predicted.detach().cpu()
    classes, index = torch.cat([true, predicted]).unique(return_inverse=True)
    rows, columns = index.split(len(true))
    if names is None:
        names = [str(label) for label in classes.tolist()]
    elif len(names) != len(classes):
        raise ReplearnError(f"names: expected {len(classes)}, one for each class that occurs, got {len(names)}")

    count = len(classes)
    arguments = {
        "y_true": true.numpy(),
        "y_pred": predicted.numpy(),
        "labels": classes.numpy(),
        # Rows are read back by position, so that equal names or one called "accuracy" do no harm.
        "target_names": [str(i) for i in range(count)],
        "zero_division": 0.0,
    }
    table = classification_report(**arguments, output_dict=True)

    def row(key: str, name: str) -> Row:
        line = table[key]
        return Row(name, float(line["precision"]), float(line["recall"]), float(line["f1-score"]), int(line["support"]))

    return Report(
        rows=[row(str(i), str(name)) for i, name in enumerate(names)],
        accuracy=float(table["accuracy"]),
        macro=row("macro avg", "macro avg"),
        weighted=row("weighted avg", "weighted avg"),
        classes=classes,
        confusion=torch.bincount(rows * count + columns, minlength=count**2).view(count, count),
        text=classification_report(**arguments | {"target_names": list(map(str, names))}, digits=digits),
    )
