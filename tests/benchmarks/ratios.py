"""What is measured against what: best times of functions that take turns, and the table that is made of them."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import pandas as pd
from pytest_benchmark.fixture import BenchmarkFixture

from patchlib.support import machine

WORKERS = machine.cores()
Best = Callable[..., list[float]]  # of :func:`in_turns`, with the test's own timer
OPERATIONS = (  # rows of the table; it is written when all of them were measured
    "decode and crop, L3",
    "extraction, cnn-small",
    "extraction, vit-small",
    "extraction, a second worker",
    "exact search",
    "PQ search, first 100 images",
    "PQ search, first 1000 images",
    "evaluation",
    "re-ranking grid, 792 cells",
)


def in_turns(benchmark: BenchmarkFixture, *functions: Callable[[], object], rounds: int = 3) -> list[float]:
    """Shortest time of each in seconds; they take turns, so that a busy machine is unfair to none of them.

    The first is ours: pytest-benchmark keeps its times and, as extra information, those of the others. What it makes
    of them, from one run to the next, is ``--benchmark-save`` and ``--benchmark-compare``.
    """
    others: list[list[float]] = [[] for _ in functions[1:]]

    def rest() -> None:
        for function, taken in zip(functions[1:], others, strict=True):
            start = time.perf_counter()
            function()
            taken.append(time.perf_counter() - start)

    benchmark.pedantic(functions[0], setup=rest, rounds=rounds)
    benchmark.extra_info["beside"] = [min(taken) for taken in others]
    return [benchmark.stats.stats.min, *benchmark.extra_info["beside"]]


@dataclass
class Ratios:
    """Rows of the two tables, in the order of measurement."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    throughput: list[dict[str, Any]] = field(default_factory=list)

    def add(self, operation: str, ours: float, theirs: float, count: float, unit: str, obvious: str) -> float:
        """A row: both times in seconds for ``count`` units of work; returns how many times faster ours is."""
        if operation not in OPERATIONS:
            raise ValueError(f"operation {operation!r} is not among {OPERATIONS}")
        self.rows[operation] = {
            "operation": operation,
            "ours": rate(count / ours, unit),
            "the obvious way": rate(count / theirs, unit),
            "ratio": round(theirs / ours, 1),
            "what the obvious way is": obvious,
        }
        return theirs / ours

    def table(self) -> pd.DataFrame:
        """Rows in the order of ``OPERATIONS``."""
        return pd.DataFrame([self.rows[name] for name in OPERATIONS if name in self.rows])

    @property
    def complete(self) -> bool:
        """Whether every operation was measured."""
        return set(self.rows) == set(OPERATIONS)


def rate(value: float, unit: str) -> str:
    """Three significant digits, e.g. ``12.3 images/s``."""
    return f"{float(f'{value:.3g}'):,g} {unit}/s"


def where_measured() -> dict[str, str]:
    """What the numbers were measured on, with and when."""
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "torch", "faiss-cpu", "pillow"))
    return {
        "processor": f"{machine.processor()}, {WORKERS} cores",
        "software": f"Python {platform.python_version()}, {packages}",
        "date": datetime.now(UTC).date().isoformat(),
    }
