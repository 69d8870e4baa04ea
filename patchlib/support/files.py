"""Folders that one run writes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from patchlib.support import progress


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer per folder, which is made if absent; the operating system frees the lock of a killed run."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.say(f"waiting for another run that is writing {folder.name}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
