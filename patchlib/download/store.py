"""From manifest entries to verified files on disk.

An entry's files lie in its ``folder`` below the data folder. What is there is written down in ``.patchlib/ENTRY.json``,
last and atomically: a file named in it is whole, one that is not named does not count. What came out of an archive is
listed with length and hash in ``.patchlib/ENTRY-ARCHIVE.csv``, so that ``verify`` can say which file misses or differs.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from patchlib.download.download import DownloadError, Fetched, hash_and_size
from patchlib.download.lock import pin, read_lock
from patchlib.download.manifest import Entry, File
from patchlib.download.sources import Order, obtain, wanted
from patchlib.download.unpack import ArchiveError, Unpacked, unpack
from patchlib.support.provenance import atomic_write, read_json, write_json


class DiskFull(OSError):
    """The disk does not suffice; says how much is needed and how much is free."""


@dataclass(frozen=True)
class Problem:
    """A file that is not as it was when it was fetched."""

    path: str
    reason: str


def get(entry: Entry, data: Path, order: Order, say: Callable[[str], None] = print) -> Path:
    """Fetch an entry: download, compare length and hash, unpack, write down.

    Args:
        entry: what.
        data: the data folder; the entry goes to ``data / entry.folder``.
        order: from where, and how much of it.
        say: takes lines for the person waiting.

    Returns:
        The entry's folder.

    Raises:
        DownloadError: a file could not be had, or differs from the manifest or the lock.
        DiskFull: there is not enough room; nothing was fetched.
        ArchiveError: an archive is damaged or hostile; nothing of it is left.
        ValueError: no file of the entry matches ``order.only``.
    """
    folder = data / entry.folder
    files = wanted(entry, folder, order)
    record = _record(entry, folder)
    missing = [file for file in files if order.force or file.name not in record["files"]]
    if not missing:
        say(f"{entry.name}: all {len(files)} file(s) are in {folder}; --force fetches them again")
        return folder
    _check_disk(entry, missing, data, say)
    if order.only is None and order.limit is None:
        record["listed"] = len(files)
    for number, file in enumerate(missing, 1):
        say(f"{entry.name}: {file.name} ({number} of {len(missing)})")
        _get_file(entry, file, data, record, order)
    say(f"{entry.name}: {len(missing)} file(s) fetched into {folder}")
    return folder


def state(entry: Entry, data: Path) -> str:
    """A word or two for ``data list``: "-", "3 of 1000 files", "complete"."""
    record = _record(entry, data / entry.folder)
    done = count_files(entry, data)
    total = record["listed"] or (len(entry.files) if entry.listing is None else None)
    if not done:
        return "-"
    return "complete" if done == total else f"{done} of {total or '?'} files"


def count_files(entry: Entry, data: Path) -> int:
    """How many of an entry's files (archives, where it has archives) have been fetched."""
    return len(_record(entry, data / entry.folder)["files"])


def verify(entry: Entry, data: Path, quick: bool = False) -> list[Problem]:
    """Compare what is on disk with what was fetched.

    Args:
        entry: what.
        data: the data folder.
        quick: compare lengths only, not hashes.

    Returns:
        Every file that misses or differs; empty when all is well.

    Raises:
        FileNotFoundError: the entry has not been fetched by this tool.
    """
    folder = data / entry.folder
    record = _record(entry, folder)
    if not record["files"]:
        raise FileNotFoundError(
            f"{entry.name} was not fetched into {folder}; fetch it with `python -m patchlib data get {entry.name}`"
        )
    problems = []
    for name, facts in record["files"].items():
        whole = [Unpacked(name, facts["bytes"], facts["sha256"])]
        items = _read_inventory(_inventory(entry, folder, name)) if "tops" in facts else whole
        problems += [problem for item in items if (problem := _compare(folder, item, quick))]
    return problems


def human(size: int | None) -> str:
    """A length for people, in powers of 1000."""
    if size is None:
        return "an unknown size"
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def _get_file(entry: Entry, file: File, data: Path, record: dict[str, Any], order: Order) -> None:
    folder, name = data / entry.folder, file.name
    pinned = None if order.force else read_lock(data).get(f"{entry.name}/{name}", {}).get("sha256")
    try:
        fetched = _arrived(record, file, folder) or obtain(entry, file, folder, order, file.sha256 or pinned)
    except DownloadError as error:
        if pinned and not file.sha256 and pinned in str(error):
            hint = f"{pinned} is pinned in {data / 'data_manifest.lock'} since the first time"
            raise DownloadError(f"{error}\n{hint}; --force replaces data and pin, if you trust the new file") from error
        raise
    facts: dict[str, Any] = {"bytes": fetched.bytes, "sha256": fetched.sha256, "source": fetched.url}
    if file.unpack is not None:
        record["arrived"] = {name: facts} if fetched.path == folder / name else {}
        _save(entry, folder, record)
        facts["tops"] = _unpack(entry, file, file.unpack, folder, fetched.path, record, order)
    record["files"][name] = facts
    record["arrived"], record["moving"] = {}, []
    if file.sha256 is None:
        pin(data, f"{entry.name}/{name}", fetched.sha256, fetched.bytes, fetched.url)
    _save(entry, folder, record)
    if file.unpack is not None and fetched.path == folder / name and not order.keep:
        fetched.path.unlink()


def _arrived(record: dict[str, Any], file: File, folder: Path) -> Fetched | None:
    """An archive that an earlier call downloaded but did not come to unpack."""
    facts, path = record["arrived"].get(file.name), folder / file.name
    if facts is None or not path.is_file() or hash_and_size(path) != (facts["bytes"], facts["sha256"]):
        return None
    return Fetched(path=path, bytes=facts["bytes"], sha256=facts["sha256"], url=facts["source"])


def _unpack(
    entry: Entry, file: File, rule: str, folder: Path, archive: Path, record: dict[str, Any], order: Order
) -> list[str]:
    """Unpack beside the place, then move what lies at the archive's top into it; returns those names."""
    staging = folder / f".unpacking-{PurePosixPath(file.name).name}"
    try:
        items = unpack(archive, staging, rule, file.unpacked_bytes, order.progress)
    except ArchiveError:
        if archive == folder / file.name:
            archive.unlink()
        raise
    tops = sorted({item.path.split("/")[0] for item in items})
    ours = {*record["moving"], *record["files"].get(file.name, {}).get("tops", [])}
    foreign = [name for name in tops if name not in ours and (folder / name).exists()]
    if foreign:
        shutil.rmtree(staging)
        raise DownloadError(
            f"{folder / foreign[0]} is there already, and `data get {entry.name}` did not put it there; move it away, "
            f"or use it as it is, with root={str(folder)!r}"
        )
    record["moving"] = tops  # should the machine stop now, the next call knows that these are ours to replace
    _save(entry, folder, record)
    for name in tops:
        _remove(folder / name)
        os.replace(staging / name, folder / name)
    staging.rmdir()
    with atomic_write(_inventory(entry, folder, file.name), "w") as table:
        csv.writer(table, lineterminator="\n").writerows((item.sha256, item.bytes, item.path) for item in items)
    return tops


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_disk(entry: Entry, files: Sequence[File], data: Path, say: Callable[[str], None]) -> None:
    lengths = [file.bytes or file.approximate_bytes for file in files]
    size = None if None in lengths else sum(length or 0 for length in lengths)
    needed = sum(length or 0 for length in lengths)
    needed += sum(file.unpacked_bytes or file.bytes or file.approximate_bytes or 0 for file in files if file.unpack)
    place = next(path for path in (data, *data.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    say(f"{entry.name}: {len(files)} file(s), {human(size)} to fetch; {human(free)} free in {place}")
    if needed > free:
        raise DiskFull(
            f"{entry.name} needs {human(needed)} while it unpacks, but {place} has {human(free)} free; make room, or "
            "set PATCHLIB_DATA to a larger disk"
        )


def _record(entry: Entry, folder: Path) -> dict[str, Any]:
    path = folder / ".patchlib" / f"{entry.name}.json"
    empty: dict[str, Any] = {"files": {}, "arrived": {}, "moving": [], "listed": None}
    return {**empty, **read_json(path)} if path.exists() else empty


def _save(entry: Entry, folder: Path, record: dict[str, Any]) -> None:
    write_json(folder / ".patchlib" / f"{entry.name}.json", record)


def _inventory(entry: Entry, folder: Path, name: str) -> Path:
    return folder / ".patchlib" / f"{entry.name}-{name.replace('/', '-')}.csv"


def _read_inventory(path: Path) -> Iterator[Unpacked]:
    with open(path, encoding="utf-8", newline="") as file:
        for sha256, length, name in csv.reader(file):
            yield Unpacked(name, int(length), sha256)


def _compare(folder: Path, item: Unpacked, quick: bool) -> Problem | None:
    path = folder / item.path
    if not path.is_file():
        return Problem(item.path, "is missing")
    if (length := path.stat().st_size) != item.bytes:
        return Problem(item.path, f"has {length} bytes, expected {item.bytes}")
    if not quick and hash_and_size(path)[1] != item.sha256:
        return Problem(item.path, "has other content than when it was fetched")
    return None
