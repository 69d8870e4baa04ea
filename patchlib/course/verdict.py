"""How a check speaks: green when all cases agree, red with one sentence on the first that does not."""

import copy
import html
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RED, PLAIN = "\x1b[31;1m", "\x1b[0m"
SHOWN = 8  # numbers of an array that a sentence can bear
NOT_YET = "is not written yet: replace its `...`, run its cell again, then this one. Hints are folded above."


class Failed(Exception):
    """What is wrong, for whoever wrote it. Notebooks show the sentence in red, and no traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython asks an exception for this
        return [f"{RED}✗ {self}{PLAIN}"]


class NotYet(Failed):
    """Nothing has been written so far."""


class Passed:
    """What a check returns when nothing is wrong; notebooks show it in green."""

    def __init__(self, message: str) -> None:
        self.message = message

    def __repr__(self) -> str:
        return f"✓ {self.message}"

    def _repr_html_(self) -> str:
        return f'<b style="color:#00734f">✓ {html.escape(self.message)}</b>'


class Case(NamedTuple):
    """Arguments, what they must give, and how far off that may be."""

    arguments: tuple[Any, ...]
    expected: Any
    tolerance: float = 1e-5


def compare(name: str, yours: Callable[..., Any], cases: Sequence[Case]) -> Passed:
    """Call a student's function, called ``name``, on every case.

    Cases expect numbers, arrays or tuples of them; where bytes (uint8) are expected, bytes must come.

    Raises:
        NotYet: it returns nothing.
        Failed: a case raises or differs; the sentence names it, what came back and what was expected.
    """
    for number, case in enumerate(cases, 1):
        asked = f"{name}({', '.join(map(_told, case.arguments))}), case {number} of {len(cases)}"
        got = called(name, yours, case.arguments, asked)
        fault = _fault(got, case.expected, case.tolerance)
        if fault:
            raise Failed(f"{asked}: {fault}")
    return Passed(f"{name}: {len(cases)} cases agree")


def called(name: str, yours: Callable[..., Any], arguments: tuple[Any, ...], asked: str) -> Any:
    """What a student's function returns for copies of the arguments; raises as :func:`compare` does."""
    if not callable(yours):
        raise NotYet(f"{name} {NOT_YET}")
    try:
        got = yours(*copy.deepcopy(arguments))
    except Exception as error:
        code = getattr(yours, "__code__", None)
        steps = [
            step for step in traceback.extract_tb(error.__traceback__) if code and step.filename == code.co_filename
        ]
        where = f" in its line `{steps[-1].line}`" if steps and steps[-1].line else ""
        raise Failed(f"{asked}: {type(error).__name__}{where}: {error}") from None
    if got is None or got is ...:
        raise NotYet(f"{name} {NOT_YET}")
    return got


def _fault(got: Any, expected: Any, tolerance: float) -> str:
    """What is wrong with a result; empty if nothing is."""
    if isinstance(expected, tuple):
        if not isinstance(got, tuple) or len(got) != len(expected):
            return f"came back {_told(got)}, expected {len(expected)} values"
        faults = [_fault(ours, theirs, tolerance) for ours, theirs in zip(got, expected, strict=True)]
        return next((f"value {n}: {fault}" for n, fault in enumerate(faults, 1) if fault), "")
    try:
        values, wanted = np.asarray(got, float), np.asarray(expected, float)
    except (TypeError, ValueError):
        return f"came back {_told(got)}, expected {_told(expected)}"
    if values.shape != wanted.shape:
        return f"came back shape {values.shape}, expected {wanted.shape}"
    if getattr(expected, "dtype", None) == np.uint8 and np.asarray(got).dtype != np.uint8:
        return f"came back {np.asarray(got).dtype}, expected uint8"
    wrong = ~np.isclose(values, wanted, rtol=0, atol=tolerance, equal_nan=True)
    return _first_difference(values, wanted, wrong) if wrong.any() else ""


def _first_difference(values: NDArray[Any], wanted: NDArray[Any], wrong: NDArray[np.bool_]) -> str:
    if wanted.size <= SHOWN:
        return f"came back {_told(values)}, expected {_told(wanted)}"
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    if wanted.ndim > 1 and wanted.shape[-1] <= SHOWN:  # a box, a pixel: all of it
        place = place[:-1]
    at = f"[{', '.join(map(str, place))}]"
    return f"at {at} came back {_told(values[place])}, expected {_told(wanted[place])}"


def _told(value: Any) -> str:
    """A value as a sentence can bear it."""
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "shape"):
        array = np.asarray(value)
        if array.size > SHOWN:
            return f"array of shape {array.shape}"
        return str(np.round(array, 4).tolist() if array.dtype.kind == "f" else array.tolist())
    text = repr(value)
    return text if len(text) < 60 else type(value).__name__
