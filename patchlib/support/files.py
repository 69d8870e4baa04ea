"""Folders that one run writes at a time, arrays that are computed once, and disks that are full."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchlib.support import paths, progress, provenance

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def kept_arrays(
    kind: str,
    config: Mapping[str, Any],
    make: Callable[[], Mapping[str, NDArray[Any]]],
    folder: str | Path | None = None,
) -> dict[str, NDArray[Any]]:
    """Arrays from disk, or made and written there: they are computed once for each configuration.

    Args:
        kind: of the file ``<kind>-<hash of config>.npz``.
        config: everything that decides the arrays.
        make: computes them, by name.
        folder: of the file; None = that of the kind in the cache.
    """
    import numpy as np

    path = Path(folder or paths.cache() / kind) / f"{kind}-{provenance.config_hash(config)}.npz"
    text = provenance.canonical_json(config)
    if path.exists():
        with np.load(path) as file:
            if str(file["config"]) == text:
                return {name: file[name] for name in file.files if name != "config"}
    arrays = dict(make())
    with provenance.atomic_write(path) as file:
        contents: dict[str, Any] = {**arrays, "config": text}
        np.savez(file, **contents)
    return arrays


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
