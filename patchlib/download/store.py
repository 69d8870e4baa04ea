"""From manifest entries to verified files on disk.

An entry's files lie in its ``folder`` below the data folder. What is there is written down in ``.patchlib/ENTRY.json``,
last and atomically: a file named in it is whole, one that is not named, or is pending, does not count. Of an archive it
lists each unpacked file with length and hash, so that ``verify`` can say which one misses or differs.

Where the manifest has no SHA-256, because the publisher gives none, the first file that arrives is trusted and its hash
pinned in ``data_manifest.lock`` beside the data; another file under that name is refused later.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import yaml
from filelock import FileLock, Timeout
from tqdm import tqdm

from patchlib.download.fetch import DownloadError, Fetched, RetryPolicy, fetch
from patchlib.download.manifest import Entry, File, Listing
from patchlib.download.unpack import ArchiveError, move_in, unpack
from patchlib.support.provenance import atomic_write, read_json, sha256_file, write_json
from patchlib.support.wording import counted


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """How an entry is to be fetched."""

    source: str | None = None  # a file, folder or address to take it from, and from nowhere else
    # a folder or address that is asked before the publisher
    mirror: str | None = field(default_factory=lambda: os.environ.get("PATCHLIB_MIRROR") or None)
    only: str | None = None  # shell pattern for file names
    limit: int | None = None  # the first so many files only
    force: bool = False  # fetch again what is there, and trust a new hash where the manifest has none
    keep: bool = False  # keep archives beside what they held
    retry: RetryPolicy = RetryPolicy()


class Shelf:
    """An entry's folder, and what is written down about it.

    Attributes:
        files: facts by name: bytes, sha256, source; of an archive ``unpacked``, and ``pending`` while it is unpacked.
        listed: how many files there are in all, if the publisher's list has been read.
    """

    def __init__(self, entry: Entry, data: Path) -> None:
        self.entry, self.data, self.folder = entry, data, data / entry.folder
        self.path = self.folder / ".patchlib" / f"{entry.name}.json"
        record = read_json(self.path) if self.path.exists() else {}
        self.files: dict[str, dict[str, Any]] = record.get("files", {})
        self.listed: int | None = record.get("listed")

    @property
    def whole(self) -> dict[str, dict[str, Any]]:
        """Facts of the files that have been fetched."""
        return {name: facts for name, facts in self.files.items() if not facts.get("pending")}

    @property
    def state(self) -> str:
        """A word or two for ``data list``: "-", "3 of 1000 files", "complete"."""
        done, total = len(self.whole), self.listed or (None if self.entry.listing else len(self.entry.files))
        return "-" if not done else "complete" if done == total else f"{done} of {total or '?'} files"

    def note(self, name: str, facts: dict[str, Any] | None) -> None:
        """Write down what is known of a file now; None = nothing."""
        self.files.pop(name, None)
        self.files |= {name: facts} if facts else {}
        write_json(self.path, {"files": self.files, "listed": self.listed})


def get(entry: Entry, data: Path, options: FetchOptions) -> int:
    """Fetch an entry into ``data / entry.folder``: download, compare length and hash, unpack, write down.

    Returns:
        How many of its files (archives, where it has archives) are there now.

    Raises:
        DownloadError: a file could not be had, or differs from the manifest or the lock; there is not enough room;
            another call is at work.
        ArchiveError: an archive is damaged or hostile; nothing of it is left.
        ValueError: no file of the entry matches ``options.only``; the publisher's list is none.
    """
    folder = data / entry.folder
    lock = folder / ".patchlib" / f"{entry.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            shelf, files = Shelf(entry, data), _wanted(entry, folder, options)
            missing = [file for file in files if options.force or file.name not in shelf.whole]
            if not missing:
                print(f"{entry.name}: all {counted(len(files), 'file')} in {folder}; --force fetches them again")
                return len(shelf.whole)
            _check_disk(shelf, missing)
            if options.only is None and options.limit is None:
                shelf.listed = len(files)
            for number, file in enumerate(missing, 1):
                print(f"{entry.name}: {file.name} ({number} of {len(missing)})")
                _get_file(shelf, file, options)
            print(f"{entry.name}: {counted(len(missing), 'file')} fetched into {folder}")
            return len(shelf.whole)
    except Timeout:
        raise DownloadError(f"another process is fetching {entry.name} into {folder}; wait for it") from None


def is_unfinished(entry: Entry, data: Path) -> bool:
    """Whether a fetch of all the entry's files was begun and did not end."""
    shelf = Shelf(entry, data)
    return shelf.listed is not None and len(shelf.whole) < shelf.listed


def verify(entry: Entry, data: Path, quick: bool = False) -> dict[str, str]:
    """Compare what is on disk with what was fetched: lengths, and unless ``quick`` hashes.

    Returns:
        Path -> reason of every file that misses or differs; empty when all is well.

    Raises:
        FileNotFoundError: the entry has not been fetched by this tool.
    """
    shelf = Shelf(entry, data)
    if not shelf.whole:
        raise FileNotFoundError(
            f"{entry.name} was not fetched into {shelf.folder}; fetch it with "
            f"`python -m patchlib data get {entry.name}`"
        )
    files = [
        file
        for name, facts in shelf.whole.items()
        for file in facts.get("unpacked", [(name, facts["bytes"], facts["sha256"])])
    ]
    reasons = {path: _difference(shelf.folder / path, size, sha256, quick) for path, size, sha256 in files}
    return {path: reason for path, reason in reasons.items() if reason}


def read_pins(data: Path) -> dict[str, dict[str, Any]]:
    """Pins of ``data_manifest.lock``: "entry/file" -> {sha256, bytes, source}; empty where there is no lock yet."""
    path = data / "data_manifest.lock"
    if not path.exists():
        return {}
    try:
        pins = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if all(re.fullmatch("[0-9a-f]{64}", pin["sha256"]) for pin in pins.values()):
            return pins
        reason: object = "a hash has not 64 hex digits"
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        reason = error
    raise ValueError(f"{path} is damaged ({reason}); restore it, or delete it to trust the next files anew")


def _pin(data: Path, key: str, facts: dict[str, Any]) -> None:
    """Write one file's hash into the lock, atomically."""
    pins = read_pins(data) | {key: {name: facts[name] for name in Fetched._fields}}
    with atomic_write(data / "data_manifest.lock", "w") as file:
        file.write("# Hashes trusted on first use (see data_manifest.yaml). Keep this file beside the data.\n")
        yaml.safe_dump(pins, file, sort_keys=True)


def _wanted(entry: Entry, folder: Path, options: FetchOptions) -> list[File]:
    """The files that the manifest names and that the publisher lists, as far as they are asked for."""
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"limit is {options.limit}, expected at least 1 file")
    files = [*entry.files, *(_listed(entry, entry.listing, folder, options) if entry.listing else [])]
    chosen = [file for file in files if fnmatch(file.name, options.only or "*")]
    if not chosen:
        pattern = options.only or entry.listing and entry.listing.match
        names = ", ".join(file.name for file in files[:5]) or "none"
        raise ValueError(f"no file of {entry.name} matches {pattern!r}; the files there: {names}")
    return chosen[: options.limit]


def _listed(entry: Entry, listing: Listing, folder: Path, options: FetchOptions) -> list[File]:
    """Files that the publisher's list names; of a copy at hand without the list, those it holds."""
    copy = Path(options.source).expanduser() if options.source else None
    if copy and copy.is_file():
        return listing.choose({quote(copy.name): None})
    name = "checksums.txt" if listing.format == "checksums" else f"{listing.folder}/"
    target = folder / ".patchlib" / f"{entry.name}-list"
    try:
        source = fetch(_addresses(entry, name, [listing.url], options), target, None, None, options.retry).source
    except DownloadError:
        if not copy or not copy.is_dir():
            raise
        folders = [Path(place).parent for place in _addresses(entry, f"{listing.folder}/*", [], options)]
        names = {path.name for held in folders if held.is_dir() for path in held.iterdir()}
        return listing.choose({quote(name): None for name in sorted(names)})
    return listing.read(target.read_text(encoding="utf-8", errors="replace"), source)


def _addresses(entry: Entry, name: str, urls: Sequence[str], options: FetchOptions) -> list[str]:
    """Where one of an entry's files may lie, best first: addresses, or paths. A copy may keep our folders, or none."""
    base, plain = os.path.expanduser(options.source or options.mirror or "").rstrip("/"), PurePosixPath(name).name
    places = list(dict.fromkeys(f"{base}/{path}" for path in (f"{entry.folder}/{name}", name, plain) if base))
    if os.path.isfile(base):
        # the only archive may be called as it likes
        if Path(base).name != plain and [file.name for file in entry.files if file.unpack] != [name]:
            raise DownloadError(
                f"{base} is one file, but {entry.name} also needs {name}; give the folder that holds both, or choose "
                "one with --only"
            )
        places = [base]
    return places + ([] if options.source else list(urls))


def _check_disk(shelf: Shelf, files: Sequence[File]) -> None:
    lengths = {file.name: file.bytes or file.approximate_bytes or 0 for file in files}
    needed = sum(lengths.values()) + sum(lengths[file.name] for file in files if file.unpack)
    size = tqdm.format_sizeof(sum(lengths.values()), "B") if all(lengths.values()) else "an unknown size"
    free = shutil.disk_usage(shelf.path.parent).free
    room = f"{tqdm.format_sizeof(free, 'B')} free"
    print(f"{shelf.entry.name}: {counted(len(files), 'file')}, {size} to fetch; {room} in {shelf.data}")
    if needed > free:
        raise DownloadError(
            f"{shelf.entry.name} needs {tqdm.format_sizeof(needed, 'B')} while it unpacks, but {shelf.data} has "
            f"{room}; make room, or set PATCHLIB_DATA to a larger disk"
        )


def _get_file(shelf: Shelf, file: File, options: FetchOptions) -> None:
    """Fetch one file, unpack it if it is an archive, write it down, and pin it if the manifest has no hash."""
    facts = _arrived(shelf, file) or _fetch(shelf, file, options)
    if file.unpack is not None:
        facts["unpacked"] = _unpack(shelf, file, file.unpack, facts)
    if file.sha256 is None:
        _pin(shelf.data, f"{shelf.entry.name}/{file.name}", facts)
    shelf.note(file.name, facts)
    if file.unpack is not None and not options.keep:
        (shelf.folder / file.name).unlink()


def _arrived(shelf: Shelf, file: File) -> dict[str, Any] | None:
    """Facts of an archive that an earlier call downloaded but did not come to unpack."""
    facts = shelf.files.get(file.name, {})
    if not facts.get("pending") or _difference(shelf.folder / file.name, facts["bytes"], facts["sha256"]):
        return None
    return {name: facts[name] for name in Fetched._fields}


def _fetch(shelf: Shelf, file: File, options: FetchOptions) -> dict[str, Any]:
    pins = {} if options.force else read_pins(shelf.data)
    pinned = pins.get(f"{shelf.entry.name}/{file.name}", {}).get("sha256")
    urls = _addresses(shelf.entry, file.name, file.urls, options)
    try:
        return fetch(urls, shelf.folder / file.name, file.bytes, file.sha256 or pinned, options.retry)._asdict()
    except DownloadError as error:
        if pinned and not file.sha256 and pinned in str(error):
            hint = f"{pinned} is pinned in {shelf.data / 'data_manifest.lock'} since the first time"
            raise DownloadError(f"{error}\n{hint}; --force replaces data and pin, if you trust the new file") from error
        raise


def _unpack(shelf: Shelf, file: File, rule: str, facts: dict[str, Any]) -> list[Any]:
    """Unpack beside the place, then move what lies at the archive's top into it; returns what came out."""
    folder, before = shelf.folder, shelf.files.get(file.name)
    archive, staging = folder / file.name, folder / f".unpacking-{PurePosixPath(file.name).name}"
    ours = before.get("unpacked", []) if before else []
    # should the machine stop, the next call need not fetch the archive again
    shelf.note(file.name, facts | {"unpacked": ours, "pending": True})
    try:
        unpacked = unpack(archive, staging, rule)
    except ArchiveError:
        archive.unlink()
        shelf.note(file.name, before)
        raise
    taken = {path.name for path in staging.iterdir() if (folder / path.name).exists()}
    if foreign := sorted(taken - {path.split("/")[0] for path, *_ in ours}):
        shutil.rmtree(staging)
        raise DownloadError(
            f"{folder / foreign[0]} is there already, and `data get {shelf.entry.name}` did not put it there; move it "
            f"away, or use it as it is, with root={str(folder)!r}"
        )
    # ... and knows what it may replace
    shelf.note(file.name, facts | {"unpacked": [*ours, *unpacked], "pending": True})
    move_in(staging, folder)
    return unpacked


def _difference(path: Path, size: int, sha256: str, quick: bool = False) -> str | None:
    """How a file differs from what was fetched, None if it does not."""
    if not path.is_file():
        return "is missing"
    if (length := path.stat().st_size) != size:
        return f"has {length} bytes, expected {size}"
    if not quick and sha256_file(path) != sha256:
        return "has other content than when it was fetched"
    return None
