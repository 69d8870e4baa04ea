"""What a run shows: how much of it is done, what every notebook at work is doing, and the lines that stay.

On a terminal each notebook has a line, which is rewritten in place; elsewhere, as in a log, all share a line at times.
"""

import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TextIO

LOOK_EVERY, LINE_EVERY = 0.5, 10.0  # seconds between two looks on a terminal; between two lines elsewhere
UP, CLEAR = "\x1b[A", "\r\x1b[J"  # a line up; back to the start of the line, and clear all from there


class Display:
    """Shows the last line of what each notebook at work reports, as long as it is entered.

    ``expected``: seconds that each notebook of the run should take, by name.
    """

    def __init__(self, expected: Mapping[str, float], stream: TextIO | None = None) -> None:
        self.expected, self.stream = expected, stream or sys.stderr
        self.terminal = self.stream.isatty()
        self._reports: dict[str, tuple[Path, float]] = {}
        self._done = 0.0  # expected seconds of the notebooks that have ended
        self._drawn = 0  # lines on the terminal that are to be rewritten
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._clear()

    @contextmanager
    def at_work(self, name: str, report: Path) -> Iterator[None]:
        """Show what a notebook writes into its report (see :mod:`patchlib.support.progress`) for a while."""
        self._reports[name] = report, time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._reports[name]
                self._done += self.expected[name]

    def say(self, line: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self._clear()
            print(line, flush=True)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY if self.terminal else LINE_EVERY):
            with self._lock:
                self._clear()
                lines = [f"{self._percent():.0f} %", *(self._line(name, *at) for name, at in self._reports.items())]
                if self.terminal:  # a line that wraps could not be cleared
                    lines = [line[: shutil.get_terminal_size().columns - 1] for line in lines]
                self.stream.write("\n".join(lines) + "\n" if self.terminal else "  ".join(lines) + "\n")
                self.stream.flush()
                self._drawn = len(lines)

    def _percent(self) -> float:
        """Of the run's expected time: what has ended, and what has passed of those at work, which are never whole."""
        now = time.monotonic()
        passed = sum(min(now - start, 0.95 * self.expected[name]) for name, (_, start) in self._reports.items())
        return 100 * (self._done + passed) / max(sum(self.expected.values()), 1e-9)

    def _line(self, name: str, report: Path, start: float) -> str:
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
        return f"{name} {time.monotonic() - start:.0f} s {lines[-1] if lines else ''}".rstrip()

    def _clear(self) -> None:
        if self.terminal and self._drawn:
            self.stream.write(UP * self._drawn + CLEAR)
            self.stream.flush()
        self._drawn = 0
