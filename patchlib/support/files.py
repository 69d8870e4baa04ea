"""Folders that one run writes at a time, and disks that are full."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from patchlib.support import progress


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer per folder, which is made if absent; the operating system frees the lock of a killed run."""
    from filelock import FileLock, Timeout  # a tenth of a second

    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        progress.say(f"waiting for another run that is writing {folder.name}")
        lock.acquire()
    except OSError as error:
        text = f"cannot write in {folder} ({error.strerror}); set PATCHLIB_CACHE or PATCHLIB_DATA to a place of yours"
        raise OSError(error.errno, text) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def made_once(path: Path) -> Iterator[bool]:
    """Whether a file that is written last is missing; if so, its folder is ours until it has been made."""
    if path.exists():
        yield False
        return
    with locked(path.parent):
        yield not path.exists()


@contextmanager
def full_disk_explained(folder: Path, variable: str) -> Iterator[None]:
    """A full disk as an error that names the folder and what to do; ``variable`` moves the folder elsewhere."""
    try:
        yield
    except OSError as error:
        # numpy says of a full disk "23040 requested and 22496 written", and no more
        if error.errno != errno.ENOSPC and not re.search(r"requested and \d+ written", str(error)):
            raise
        text = f"the disk of {folder} is full; what is finished is kept: make room, or set {variable} to another disk"
        raise OSError(errno.ENOSPC, f"{text}, and run again") from error
