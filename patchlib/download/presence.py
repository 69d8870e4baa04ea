"""A benchmark made present: what its loader misses is named with licence, size and free disk, then fetched."""

import shutil
from typing import Any

from tqdm import tqdm

from patchlib import benchmarks
from patchlib.benchmarks import Benchmark
from patchlib.benchmarks.image_files import NotFetched
from patchlib.download import manifest, store
from patchlib.download.manifest import Entry
from patchlib.download.store import FetchOptions
from patchlib.support import paths

FREELY = 1_000_000_000  # bytes that are fetched without having been asked for


def load(name: str, options: dict[str, Any], download: bool | None = None) -> Benchmark:
    """Load a benchmark; where it is not there, or its download did not end, fetch it first.

    Args:
        name, options: of :func:`patchlib.benchmarks.load`.
        download: whether to fetch; None = up to 1 GB, and beyond that stop with the line that says yes.

    Raises:
        FileNotFoundError: the benchmark is not there, and may not be fetched.
        DownloadError, ArchiveError: as :func:`patchlib.download.store.get`; what has arrived is kept, and continued.
    """
    if download is False or options.get("root") is not None:
        return benchmarks.load(name, **options)
    fetched: list[Entry] = []
    while isinstance(found := _found(name, options), Entry):
        if found in fetched:
            return benchmarks.load(name, **options)  # says what it misses all the same
        _fetch(found, download)
        fetched.append(found)
    return found


def missing(name: str, options: dict[str, Any]) -> str:
    """What would be fetched first, its size, the free disk and its licence; empty if the benchmark is there."""
    if options.get("root") is not None or name not in {entry.layout for entry in manifest.load().values()}:
        return ""
    found = _found(name, options)
    return _told(found) if isinstance(found, Entry) else ""


def _found(name: str, options: dict[str, Any]) -> Benchmark | Entry:
    """The benchmark, or the first entry whose download did not end or that its loader misses."""
    entries = manifest.load()
    for entry in entries.values():
        if entry.layout == name and store.is_unfinished(entry, paths.data()):
            return entry
    try:
        return benchmarks.load(name, **options)
    except NotFetched as error:
        return entries[error.entry]


def _told(entry: Entry) -> str:
    size = f"about {tqdm.format_sizeof(entry.approximate_bytes, 'B')}" if entry.approximate_bytes else "of unknown size"
    paths.data().mkdir(parents=True, exist_ok=True)
    free = tqdm.format_sizeof(shutil.disk_usage(paths.data()).free, "B")
    return f"{entry.title}: {size}, {free} are free in {paths.data()}; licence: {entry.licence.strip()}"


def _fetch(entry: Entry, download: bool | None) -> None:
    told = _told(entry)
    if download is None and not 0 < (entry.approximate_bytes or 0) <= FREELY:
        raise FileNotFoundError(
            f"{told}\nTo fetch it say download=True (headless: --set download=true), or run `python -m patchlib data "
            f"get {entry.name}`; `--from FILE` takes an archive that is there already"
        )
    print(told)
    store.get(entry, paths.data(), FetchOptions())
