"""What an experiment says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Experiment", "Metric"]


@dataclass(frozen=True)
class Metric:
    """A number that an experiment measures.

    Attributes:
        name: its key in what the experiment's ``run`` returns.
        title: what a table calls it.
        unit: ``"fraction"``, ``"epochs"``, ``"seconds"``, …
        claim: the id of the document's number of the same thing, if it has one.
    """

    name: str
    title: str
    unit: str = "fraction"
    claim: str | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        name: what ``replearn run`` calls it.
        title: one line.
        document: D0 to D3, or ``"ours"``.
        chapter: of the book.
        module: below ``replearn_course.experiments``; it has ``Settings`` (a frozen dataclass), ``run(context, settings)``
            for one seed, and ``figures(context, settings)`` for the pictures of the first seed.
        data: the dataset.
        text: whether that is a text, and another can take its place.
        any_images: whether a folder of the user's own images can take its place.
        metrics: what it measures, in the order of the table.
        settings: what differs from the defaults of ``Settings``.
        scales: what differs at a scale.
        protocol: how the numbers come about: a text with the settings' names in braces, or what makes one of the settings.
    """

    name: str
    title: str
    document: str
    chapter: int
    module: str
    data: str
    metrics: tuple[Metric, ...]
    settings: dict[str, Any]
    scales: dict[str, dict[str, Any]]
    protocol: str | Callable[[Any], str]
    text: bool = False
    any_images: bool = False
