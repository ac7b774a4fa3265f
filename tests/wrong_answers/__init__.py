"""Plausible wrong answers: each says which check must reject it first, and a word that the hint must hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WrongAnswer:
    exercise: str
    check: str
    word: str
    fn: Callable[..., Any]


WRONG: list[WrongAnswer] = []


def wrong(exercise: str, check: str, word: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Collect the decorated function as a wrong answer.

    Args:
        exercise: the exercise that it answers.
        check: the first check that must reject it.
        word: what the hint must hold, since it names the mistake.
    """

    def collect(fn: Callable[..., Any]) -> Callable[..., Any]:
        WRONG.append(WrongAnswer(exercise, check, word, fn))
        return fn

    return collect
