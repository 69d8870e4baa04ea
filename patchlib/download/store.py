"""From manifest entries to verified files on disk.

An entry's files lie in its ``folder`` below the data folder. What is there is written down in ``.patchlib/ENTRY.json``,
last and atomically: a file named in it is whole, one that is not named does not count. Of an archive it lists each
unpacked file with length and hash, so that ``verify`` can say which one misses or differs.

Where the manifest has no SHA-256, because the publisher gives none, the first file that arrives is trusted and its hash
pinned in ``data_manifest.lock`` beside the data; another file under that name is refused later.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from filelock import FileLock, Timeout

from patchlib.download.fetch import DownloadError, Fetched, fetch
from patchlib.download.manifest import Entry, File, is_sha256
from patchlib.download.sources import FetchOptions, addresses, wanted
from patchlib.download.unpack import ArchiveError, Unpacked, unpack
from patchlib.support.provenance import atomic_write, read_json, sha256_file, write_json


class _Shelf:
    """An entry's folder, and what is written down about it.

    Attributes:
        record: ``files`` by name, whole ones only; ``pending``, an archive that is being unpacked; ``listed``, how many
            files there are in all, if known. Facts of a file: bytes, sha256, source, and of an archive ``unpacked``.
    """

    def __init__(self, entry: Entry, data: Path) -> None:
        self.entry, self.data, self.folder = entry, data, data / entry.folder
        self.path = self.folder / ".patchlib" / f"{entry.name}.json"
        empty: dict[str, Any] = {"files": {}, "pending": {}, "listed": None}
        self.record: dict[str, Any] = empty | (read_json(self.path) if self.path.exists() else {})

    def save(self) -> None:
        write_json(self.path, self.record)


def get(entry: Entry, data: Path, options: FetchOptions) -> Path:
    """Fetch an entry: download, compare length and hash, unpack, write down.

    Args:
        entry: what.
        data: the data folder; the entry goes to ``data / entry.folder``.
        options: from where, and how much of it.

    Returns:
        The entry's folder.

    Raises:
        DownloadError: a file could not be had, or differs from the manifest or the lock; there is not enough room;
            another call is at work.
        ArchiveError: an archive is damaged or hostile; nothing of it is left.
        ValueError: no file of the entry matches ``options.only``.
    """
    folder = data / entry.folder
    lock = folder / ".patchlib" / f"{entry.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            files, shelf = wanted(entry, folder, options), _Shelf(entry, data)
            missing = [file for file in files if options.force or file.name not in shelf.record["files"]]
            if not missing:
                print(f"{entry.name}: all {len(files)} file(s) are in {folder}; --force fetches them again")
                return folder
            _check_disk(shelf, missing)
            if options.only is None and options.limit is None:
                shelf.record["listed"] = len(files)
            for number, file in enumerate(missing, 1):
                print(f"{entry.name}: {file.name} ({number} of {len(missing)})")
                _get_file(shelf, file, options)
            print(f"{entry.name}: {len(missing)} file(s) fetched into {folder}")
    except Timeout:
        raise DownloadError(f"another process is fetching {entry.name} into {folder}; wait for it") from None
    return folder


def state(entry: Entry, data: Path) -> str:
    """A word or two for ``data list``: "-", "3 of 1000 files", "complete"."""
    record = _Shelf(entry, data).record
    done, total = len(record["files"]), record["listed"] or (None if entry.listing else len(entry.files))
    if not done:
        return "-"
    return "complete" if done == total else f"{done} of {total or '?'} files"


def count_files(entry: Entry, data: Path) -> int:
    """How many of an entry's files (archives, where it has archives) have been fetched."""
    return len(_Shelf(entry, data).record["files"])


def verify(entry: Entry, data: Path, quick: bool = False) -> list[tuple[str, str]]:
    """Compare what is on disk with what was fetched.

    Args:
        entry: what.
        data: the data folder.
        quick: compare lengths only, not hashes.

    Returns:
        Path and reason of every file that misses or differs; empty when all is well.

    Raises:
        FileNotFoundError: the entry has not been fetched by this tool.
    """
    shelf = _Shelf(entry, data)
    if not shelf.record["files"]:
        raise FileNotFoundError(
            f"{entry.name} was not fetched into {shelf.folder}; fetch it with "
            f"`python -m patchlib data get {entry.name}`"
        )
    files = [
        file
        for name, facts in shelf.record["files"].items()
        for file in facts.get("unpacked", [(name, facts["bytes"], facts["sha256"])])
    ]
    reasons = [(path, _difference(shelf.folder / path, size, sha256, quick)) for path, size, sha256 in files]
    return [(path, reason) for path, reason in reasons if reason]


def read_pins(data: Path) -> dict[str, dict[str, Any]]:
    """Pins of ``data_manifest.lock``: "entry/file" -> {sha256, bytes, source}; empty where there is no lock yet."""
    path = data / "data_manifest.lock"
    if not path.exists():
        return {}
    try:
        pins = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if all(is_sha256(pin["sha256"]) for pin in pins.values()):
            return pins
        reason: object = "a hash has not 64 hex digits"
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        reason = error
    raise ValueError(f"{path} is damaged ({reason}); restore it, or delete it to trust the next files anew")


def pin(data: Path, key: str, fetched: Fetched) -> None:
    """Write one file's hash into the lock, atomically."""
    pins = read_pins(data) | {key: {"sha256": fetched.sha256, "bytes": fetched.bytes, "source": fetched.url}}
    with atomic_write(data / "data_manifest.lock", "w") as file:
        file.write("# Hashes trusted on first use (see data_manifest.yaml). Keep this file beside the data.\n")
        yaml.safe_dump(pins, file, sort_keys=True)


def human(size: int | None) -> str:
    """A length for people, in powers of 1000."""
    if size is None:
        return "an unknown size"
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def _check_disk(shelf: _Shelf, files: Sequence[File]) -> None:
    lengths = {file.name: file.bytes or file.approximate_bytes for file in files}
    known = sum(length or 0 for length in lengths.values())
    size = None if None in lengths.values() else known
    needed = known + sum(file.unpacked_bytes or lengths[file.name] or 0 for file in files if file.unpack)
    free, place = shutil.disk_usage(shelf.path.parent).free, shelf.data
    print(f"{shelf.entry.name}: {len(files)} file(s), {human(size)} to fetch; {human(free)} free in {place}")
    if needed > free:
        raise DownloadError(
            f"{shelf.entry.name} needs {human(needed)} while it unpacks, but {place} has {human(free)} free; make "
            "room, or set PATCHLIB_DATA to a larger disk"
        )


def _get_file(shelf: _Shelf, file: File, options: FetchOptions) -> None:
    """Fetch one file, unpack it if it is an archive, write it down, and pin it if the manifest has no hash."""
    record, key = shelf.record, f"{shelf.entry.name}/{file.name}"
    pinned = None if options.force else read_pins(shelf.data).get(key, {}).get("sha256")
    try:
        fetched = _arrived(shelf, file) or fetch(
            addresses(shelf.entry, file.name, file.urls, options),
            shelf.folder / file.name,
            file.bytes,
            file.sha256 or pinned,
            options.retry,
            options.progress,
        )
    except DownloadError as error:
        if pinned and not file.sha256 and pinned in str(error):
            hint = f"{pinned} is pinned in {shelf.data / 'data_manifest.lock'} since the first time"
            raise DownloadError(f"{error}\n{hint}; --force replaces data and pin, if you trust the new file") from error
        raise
    facts: dict[str, Any] = {"bytes": fetched.bytes, "sha256": fetched.sha256, "source": fetched.url}
    if file.unpack is not None:
        facts["unpacked"] = _unpack(shelf, file, file.unpack, facts, options.progress)
    record["files"][file.name], record["pending"] = facts, {}
    if file.sha256 is None:
        pin(shelf.data, key, fetched)
    shelf.save()
    if file.unpack is not None and not options.keep:
        fetched.path.unlink()


def _arrived(shelf: _Shelf, file: File) -> Fetched | None:
    """An archive that an earlier call downloaded but did not come to unpack."""
    facts, path = shelf.record["pending"].get(file.name), shelf.folder / file.name
    if facts is None or _difference(path, facts["bytes"], facts["sha256"]):
        return None
    return Fetched(path, facts["bytes"], facts["sha256"], facts["source"])


def _unpack(shelf: _Shelf, file: File, rule: str, facts: dict[str, Any], progress: bool) -> list[Unpacked]:
    """Unpack beside the place, then move what lies at the archive's top into it; returns what came out."""
    folder, name, record = shelf.folder, file.name, shelf.record
    staging = folder / f".unpacking-{PurePosixPath(name).name}"
    interrupted = record["pending"].get(name, {}).get("unpacked", [])
    ours = _tops([*interrupted, *record["files"].get(name, {}).get("unpacked", [])])
    record["pending"] = {name: facts | {"unpacked": interrupted}}  # the next call need not fetch the archive again
    shelf.save()
    try:
        unpacked = unpack(folder / name, staging, rule, file.unpacked_bytes, progress)
    except ArchiveError:
        (folder / name).unlink()
        raise
    tops = _tops(unpacked)
    foreign = [top for top in tops if top not in ours and (folder / top).exists()]
    if foreign:
        shutil.rmtree(staging)
        raise DownloadError(
            f"{folder / foreign[0]} is there already, and `data get {shelf.entry.name}` did not put it there; move it "
            f"away, or use it as it is, with root={str(folder)!r}"
        )
    # should the machine stop now, the next call knows that these are ours to replace
    record["pending"] = {name: facts | {"unpacked": unpacked}}
    shelf.save()
    for top in tops:
        _remove(folder / top)
        os.replace(staging / top, folder / top)
    staging.rmdir()
    return unpacked


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _tops(unpacked: Sequence[Sequence[Any]]) -> list[str]:
    """What lies at the top of an archive."""
    return sorted({path.split("/")[0] for path, *_ in unpacked})


def _difference(path: Path, size: int, sha256: str, quick: bool = False) -> str | None:
    """How a file differs from what was fetched, None if it does not."""
    if not path.is_file():
        return "is missing"
    if (length := path.stat().st_size) != size:
        return f"has {length} bytes, expected {size}"
    if not quick and sha256_file(path) != sha256:
        return "has other content than when it was fetched"
    return None
