"""How a check is declared, run and reported; the checks themselves stand in one file a chapter beside this one."""

from __future__ import annotations

import ctypes
import importlib
import math
import pkgutil
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from replearn_course.errors import unknown_name

NOT_DONE = "not done yet"
TIME_LIMIT = 20.0  # seconds for a check; a right answer takes well under one
_SHOWN = 12  # entries of a tensor, list or dict that a message shows


class Wrong(Exception):
    """Raised inside a check: what came and what was expected, and a hint where the mistake was recognised."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Check:
    """One property of a right answer: ``run(student)`` raises `Wrong` where it does not hold."""

    name: str
    run: Callable[[Student], None]
    hint: str


@dataclass(frozen=True)
class Outcome:
    """What one check said."""

    check: str
    passed: bool
    message: str = ""
    hint: str = ""


class Result:
    """What `check` returns: `passed`, `status` and the outcomes up to the first failure.

    Attributes:
        name: the exercise.
        outcomes: one `Outcome` for each check that ran; nothing runs after the first failure.
        total: the number of checks that the exercise has.
    """

    def __init__(self, name: str, outcomes: list[Outcome], total: int) -> None:
        self.name, self.outcomes, self.total = name, outcomes, total

    @property
    def passed(self) -> bool:
        """Whether every check of the exercise ran and passed."""
        return 0 < self.total == sum(o.passed for o in self.outcomes)

    @property
    def status(self) -> str:
        """``"passed"``, ``"not done yet"`` or ``"wrong"``."""
        if self.passed:
            return "passed"
        return NOT_DONE if any(o.message == NOT_DONE for o in self.outcomes) else "wrong"

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"<{self.name}: {self.status}, {sum(o.passed for o in self.outcomes)} of {self.total} checks>"

    def _ipython_display_(self) -> None:
        """Show nothing in a notebook: `check` has printed it already."""

    def __str__(self) -> str:
        if self.passed:
            return f"{self.name}: passed, all {self.total} checks"
        if self.status == NOT_DONE:
            return f"{self.name}: {NOT_DONE}"
        lines = [f"{self.name}: not right yet"]
        for outcome in self.outcomes:
            lines.append(f"  {'passed' if outcome.passed else 'FAILED'}  {outcome.check}")
            if not outcome.passed:
                lines += [f"          {line}" for line in outcome.message.splitlines()]
                lines += [f"          Hint: {outcome.hint}"] if outcome.hint else []
        left = self.total - len(self.outcomes)
        lines += [f"  ({left} more {'check waits' if left == 1 else 'checks wait'} for this one)"] if left else []
        return "\n".join(lines)


_EXERCISES: dict[str, list[Check]] = {}


def checks(exercise: str, hint: str) -> Callable[[Callable[[Student], None]], Callable[[Student], None]]:
    """Declare the decorated function as the next check of an exercise; its name, with spaces, is the check's name.

    Args:
        exercise: name of the exercise, such as ``"ch04.triplet_loss"``.
        hint: what is most likely wrong where this check fails; a recognised mistake has its own hint.
    """

    def declare(run: Callable[[Student], None]) -> Callable[[Student], None]:
        name = run.__name__.replace("_", " ")
        _EXERCISES.setdefault(exercise, []).append(Check(name, run, hint))
        return run

    return declare


def exercises() -> dict[str, list[Check]]:
    """All exercises with their checks, chapter by chapter."""
    package = importlib.import_module("replearn_course.checks")
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name.startswith("ch")):
        importlib.import_module(f"replearn_course.checks.{module}")
    return _EXERCISES


_muted = False


@contextmanager
def muted() -> Iterator[None]:
    """Let `check` do nothing: the command line loads a student's file first, and checks its functions then."""
    global _muted
    before, _muted = _muted, True
    try:
        yield
    finally:
        _muted = before


def check(name: str, fn: Callable[..., Any]) -> Result:
    """Check an answer, print what was found and return it. Never raises, so that "Run all" goes on.

    Args:
        name: the exercise, such as ``"ch04.triplet_loss"``.
        fn: your function.
    """
    if _muted:
        return Result(name, [], 0)
    known = exercises()
    if name not in known:
        result = Result(str(name), [Outcome("name", False, str(unknown_name("exercise", str(name), known)))], 0)
    else:
        result = run(name, fn)
    print(result)
    return result


def run(name: str, fn: Callable[..., Any]) -> Result:
    """Run the checks of an exercise up to the first that fails, and print nothing."""
    outcomes = []
    for one in exercises()[name]:
        outcomes.append(run_one(one, fn))
        if not outcomes[-1].passed:
            break
    return Result(name, outcomes, len(exercises()[name]))


def run_one(one: Check, fn: Callable[..., Any]) -> Outcome:
    """Run one check on the CPU, with gradients on, and leave the student's global random state as it was."""
    if not callable(fn):
        return Outcome(
            one.name, False, f"expected a function, got {type(fn).__name__}", "pass the function, not its result"
        )
    student = Student(fn)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.enable_grad(), _limited():
            one.run(student)
    except Wrong as wrong:
        return Outcome(one.name, False, f"{wrong}{student.last_call}", wrong.hint or one.hint)
    except _TooLong as error:
        message = f"stopped after {TIME_LIMIT:g} s: is there a loop that never ends?{student.place(error)}"
        return Outcome(one.name, False, message, one.hint)
    except (Exception, SystemExit) as error:
        if isinstance(error, NotImplementedError) and NOT_DONE in str(error):
            return Outcome(one.name, False, NOT_DONE)
        hint = next((advice for words, advice in _ADVICE.items() if words in str(error)), one.hint)
        if isinstance(error, TypeError) and not student.frames(error):
            hint = "keep the function's arguments as the exercise gives them"
        if isinstance(error, (NameError, AttributeError)):
            hint = ""  # a slip of the pen: the message says all
        text = f"your function raised {type(error).__name__}" + (f": {error}" if str(error) else "")
        return Outcome(one.name, False, text + student.place(error), hint)
    return Outcome(one.name, True)


# Words of torch's errors -> what a beginner should look at.
_ADVICE = {
    "Boolean value of Tensor": "if, and, or, max() and min() of Python want one truth value: for tensors there are "
    "torch.where, &, | and clamp",
    "with a bool tensor is not supported": "a boolean tensor is no number: convert it first, or negate it by ~",
    "must match the size of tensor": "two shapes do not fit each other: print them, and mind dim=, keepdim=True and "
    "[:, None]",
}


class _TooLong(BaseException):
    """Raised in a check that takes longer than the limit; no ``except Exception`` of a student catches it."""


@contextmanager
def _limited() -> Iterator[None]:
    """Raise `_TooLong` in this thread after the limit: a sampler that tries again for ever must not hang a notebook."""
    thread = ctypes.c_ulong(threading.get_ident())
    stop = threading.Timer(TIME_LIMIT, ctypes.pythonapi.PyThreadState_SetAsyncExc, (thread, ctypes.py_object(_TooLong)))
    stop.daemon = True
    stop.start()
    try:
        yield
    finally:
        stop.cancel()


class Student:
    """The student's function, remembering how it was called last."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn, self._call = fn, ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function; the arguments are noted before it can change them."""
        shown = [_show(a) for a in args] + [f"{k}={_show(v)}" for k, v in kwargs.items()]
        self._call = f"{getattr(self.fn, '__name__', 'your function')}({', '.join(shown)})"
        return self.fn(*args, **kwargs)

    @property
    def last_call(self) -> str:
        """The line that says what was called, or nothing before the first call."""
        return f"\nin {self._call}" if self._call else ""

    def frames(self, error: BaseException) -> list[traceback.FrameSummary]:
        """List the lines of the student's file that an exception came through; none if the call itself was refused."""
        own = getattr(getattr(self.fn, "__code__", None), "co_filename", None)
        return [f for f in traceback.extract_tb(error.__traceback__) if f.filename == own]

    def place(self, error: BaseException) -> str:
        """Say where an exception came from: the student's line, and the call."""
        frames = self.frames(error)
        return (f"\nat line {frames[-1].lineno}: {frames[-1].line}" if frames else "") + self.last_call


# What checks are made of.


def tensor(values: Any) -> Tensor:
    """Make a float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


def rng(seed: int) -> torch.Generator:
    """Make a CPU generator with this seed."""
    return torch.Generator(device="cpu").manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    """Draw normal float64 values ``shape``."""
    return torch.randn(*shape, dtype=torch.float64, generator=rng(seed))


def expect(got: Any, want: Tensor | float, mistakes: Mapping[str, Tensor | float | None] | None = None) -> None:
    """Raise `Wrong` unless a tensor (or number) has the shape and the values expected, to 1e-5.

    Args:
        got: what the student's function returned.
        want: what it should be; a number stands for a scalar tensor.
        mistakes: hint -> what a well-known wrong answer returns, NaN included; a match, in any shape, gives its hint.
    """
    want = torch.as_tensor(want)
    value = returned_tensor(got, want)
    for hint, mistaken in (mistakes or {}).items():
        if mistaken is not None and _close(value, torch.as_tensor(mistaken)) and not _close(value, want):
            raise Wrong(_difference(value, want), hint)
    if value.shape != want.shape:
        raise Wrong(f"expected shape {tuple(want.shape)}, got shape {tuple(value.shape)}", _shape_hint(value, want))
    if not _close(value, want):
        raise Wrong(_difference(value, want))


def returned_tensor(got: Any, want: Tensor) -> Tensor:
    """Take what came back as a tensor; `Wrong` where it is none. A plain number passes for a scalar."""
    if isinstance(got, Tensor):
        return got.detach()
    if want.ndim == 0 and isinstance(got, (int, float)):
        return tensor(got)
    raise _another_type(got, "a number" if want.ndim == 0 else f"a tensor of shape {tuple(want.shape)}")


def expect_strings(got: Any, want: Sequence[str], mistakes: Mapping[str, Sequence[str]] | None = None) -> None:
    """Raise `Wrong` unless a list (or tuple) holds the strings expected, in their order.

    Args:
        got: what the student's function returned.
        want: what it should be.
        mistakes: hint -> what a well-known wrong answer returns.
    """
    if not isinstance(got, (list, tuple)):
        raise _another_type(got, "a list of strings")
    came, want = list(got), list(want)
    if came == want:
        return
    hint = next((h for h, mistaken in (mistakes or {}).items() if came == list(mistaken)), "")
    if not hint and sorted(map(repr, came)) == sorted(map(repr, want)):
        hint = "the right strings in another order"
    raise Wrong(f"expected {_strings(want)}\ngot      {_strings(came)}", hint)


def _another_type(got: Any, expected: str) -> Wrong:
    if got is None:
        return Wrong(f"expected {expected}, got None", "the function returns nothing: is a `return` missing?")
    return Wrong(f"expected {expected}, got {type(got).__name__}", f"return {expected}, not {type(got).__name__}")


def unpack(got: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Take several results apart; `Wrong` where there are not as many as names."""
    if not (isinstance(got, (tuple, list)) and len(got) == len(names)):
        came = f"{len(got)} values" if isinstance(got, (tuple, list)) else "None" if got is None else type(got).__name__
        raise Wrong(f"expected {len(names)} tensors ({', '.join(names)}), got {came}", f"return {', '.join(names)}")
    return tuple(got)


def indices(got: Any, name: str, n: int, below: int) -> Tensor:
    """Take what a sampler returned as indices ``(n,)``, each in ``[0, below)``; `Wrong` where it is not that."""
    if not isinstance(got, Tensor):
        raise Wrong(f"{name}: expected a tensor of shape ({n},), got {type(got).__name__}", f"{name} must be a tensor")
    if tuple(got.shape) != (n,):
        raise Wrong(
            f"{name}: expected shape ({n},), got shape {tuple(got.shape)}", f"{name} is one row of exactly {n} indices"
        )
    if got.is_floating_point() or got.dtype == torch.bool:
        raise Wrong(f"{name}: expected integer indices, got {got.dtype}", f"{name} holds indices of items: integers")
    if n and not (int(got.min()) >= 0 and int(got.max()) < below):
        raise Wrong(
            f"{name}: expected indices from 0 to {below - 1}, got {int(got.min())} to {int(got.max())}",
            f"{name} holds positions in labels, not the labels themselves",
        )
    return got.long()


def gradient(loss: Any, x: Tensor) -> Tensor:
    """Differentiate a scalar by autograd; `Wrong` where the graph was cut."""
    if not isinstance(loss, Tensor):
        raise Wrong(
            f"expected a scalar tensor, got {type(loss).__name__}",
            "return a tensor: no gradient flows through a number",
        )
    if not loss.requires_grad:
        raise Wrong(
            "the result has no gradient",
            "the graph is cut somewhere: no .item(), .detach(), float(), torch.tensor() or numpy on the way, the "
            "result must be made of the arguments",
        )
    (grad,) = torch.autograd.grad(loss.sum(), x, allow_unused=True)
    return torch.zeros_like(x) if grad is None else grad


def seeded(once: Tensor, again: Tensor, other: Tensor) -> None:
    """`Wrong` unless two draws with one seed are equal, and a draw with another seed differs."""
    if not once.equal(again):
        raise Wrong(
            "two calls with equally seeded generators gave different results",
            "some of the chance is not from the generator: pass generator=generator to every random call",
        )
    if once.equal(other):
        raise Wrong(
            "generators with two different seeds gave the same result",
            "the seed is fixed inside the function: use the generator that comes in, and seed nothing",
        )


class Cost(TorchFunctionMode):
    """Counts what is done with tensors inside a ``with`` block.

    It sees the calls that the student's code makes, not what happens inside of them. (TorchDispatchMode would, but the
    first one in a process imports torch._dynamo, which takes seconds.)

    Attributes:
        operations: the number of operations with a tensor as their result.
        calls: the number of all calls, with those that return no tensor, such as torch.equal.
        bytes: the size of the largest tensor that came back, by its storage, so that a broadcast view is free.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations, self.calls, self.bytes = 0, 0, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and note it."""
        out = func(*args, **(kwargs or {}))
        made = [t for t in (out if isinstance(out, (tuple, list)) else (out,)) if isinstance(t, Tensor)]
        self.operations += bool(made)
        self.calls += 1
        self.bytes = max([self.bytes, *(t.untyped_storage().nbytes() for t in made)])
        return out


def no_loop(cost: Cost, n: int, limit: int | None = None) -> None:
    """`Wrong` where the number of operations for ``n`` items tells of a Python loop over them."""
    if cost.operations >= (limit or n):
        raise Wrong(f"{cost.operations} tensor operations for {n} items: their number grows with the items")


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-5, atol=1e-5, equal_nan=True)


def _shape_hint(value: Tensor, want: Tensor) -> str:
    if want.ndim == 0:
        return "reduce to one number, with the mean that the text asks for"
    return "the axes are swapped" if value.shape == want.shape[::-1] else "look at the shapes in the docstring again"


def _difference(value: Tensor, want: Tensor) -> str:
    """Say what was expected and what came: whole where it is small, else the first entry that differs."""
    if value.shape != want.shape:
        return f"expected shape {tuple(want.shape)}, got shape {tuple(value.shape)}"
    if want.numel() <= _SHOWN:
        return f"expected {_numbers(want)}\ngot      {_numbers(value)}"
    off = ~torch.isclose(value.double(), want.double(), rtol=1e-5, atol=1e-5)
    at = tuple(int(i) for i in off.nonzero()[0])
    entry = f"at {list(at)} expected {_numbers(want[at])}, got {_numbers(value[at])}"
    return f"{entry} ({int(off.sum())} of {off.numel()} entries differ)"


def _numbers(t: Tensor) -> str:
    def text(x: Any) -> str:
        if isinstance(x, list):
            return "[" + ", ".join(text(i) for i in x) + "]"
        return f"{x + 0:.5g}" if isinstance(x, float) and math.isfinite(x) else str(x)  # + 0: -0.0 becomes 0

    return text(t.detach().tolist())


def _strings(items: list[Any]) -> str:
    """Show the first items of a list."""
    return "[" + ", ".join([*map(repr, items[:_SHOWN]), *(["..."] if len(items) > _SHOWN else [])]) + "]"


def _show(x: Any) -> str:
    """Show an argument: small tensors and dicts whole, larger ones by their size."""
    if isinstance(x, Tensor):
        return _numbers(x) if x.numel() <= _SHOWN else f"tensor{tuple(x.shape)}"
    if isinstance(x, dict):
        entries = ", ".join(f"{key!r}: {_show(value)}" for key, value in x.items())
        return f"{{{entries}}}" if len(x) <= _SHOWN else f"dict of {len(x)}"
    return "generator" if isinstance(x, torch.Generator) else repr(x)
