"""One progress line for every long step, wherever the code runs.

By hand: a tqdm bar on stderr that goes away when done; where stderr is a log file, a line every ten seconds. A
notebook's kernel under the runner has no terminal: ``PATCHLIB_PROGRESS`` then names a file, to which lines are appended
and which the runner shows. ``off`` is silence.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

INTERVAL, LOG_INTERVAL = 1.0, 10.0  # seconds between two lines in that file, and in a log


class Progress(Protocol):
    """What :func:`track` yields."""

    def update(self, n: int = 1) -> object:
        """Say that ``n`` more items are done."""


@contextmanager
def track(label: str, total: int | None, unit: str = "it") -> Iterator[Progress]:
    """Show the progress of a step of ``total`` items.

    Args:
        label: what is being done, e.g. ``"L3 of procedural with cnn-small"``.
        total: number of items, None where nobody knows.
        unit: their name, e.g. ``"image"``; ``"B"`` is shown as kB, MB, GB.
    """
    target = os.environ.get("PATCHLIB_PROGRESS", "")
    if target and target != "off":
        with open(target, "a", encoding="utf-8") as file:
            yield _Lines(file, label, total, unit)
        return
    if target != "off" and not sys.stderr.isatty() and "ipykernel" not in sys.modules:  # a notebook shows bars
        yield _Log(sys.stderr, label, total, unit)
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=label, unit=unit, unit_scale=unit == "B", leave=False, disable=target == "off") as bar:
        yield bar


def say(message: str) -> None:
    """Show one line where progress is shown: why nothing moves for a while."""
    target = os.environ.get("PATCHLIB_PROGRESS", "")
    if target == "off":
        return
    if not target:
        print(message, file=sys.stderr, flush=True)
        return
    with open(target, "a", encoding="utf-8") as file:
        file.write(f"{message}\n")


class _Lines:
    """Progress as lines of a file: ``label: 120/1800 image (45.0/s)``."""

    def __init__(self, file: TextIO, label: str, total: int | None, unit: str) -> None:
        self.file, self.label, self.total, self.unit = file, label, total, unit
        self.done, self.start, self.written = 0, time.monotonic(), 0.0

    def update(self, n: int = 1) -> None:
        self.done += n
        now = time.monotonic()
        if not self.due(now):
            return
        rate = self.done / max(now - self.start, 1e-9)
        self.file.write(f"{self.label}: {self.done}/{self.total or '?'} {self.unit} ({rate:.1f}/s)\n")
        self.file.flush()

    def due(self, now: float) -> bool:
        """Whether to write a line; the end of a step has one."""
        if self.done != self.total and now - self.written < INTERVAL:
            return False
        self.written = now
        return True


class _Log(_Lines):
    """The same for a log, which stays: a line every ten seconds, however many steps have begun and ended meanwhile."""

    last = -LOG_INTERVAL  # line of any step

    def due(self, now: float) -> bool:
        if now - _Log.last < LOG_INTERVAL:
            return False
        _Log.last = now
        return True
