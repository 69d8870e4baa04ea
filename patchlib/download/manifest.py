"""``data_manifest.yaml``: everything that can be downloaded, typed and checked when it is read."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from patchlib.support import paths

KINDS = ("benchmark", "ids", "features", "weights")
UNPACK = ("zip", "tar")
LISTINGS = ("checksums", "index")
SCHEMES = ("https", "http", "ftp")
COUNTS = ("images", "queries", "text_queries", "positives", "boxes", "files")


@dataclass(frozen=True, kw_only=True)
class File:
    """One file to fetch.

    Attributes:
        name: where it goes, a POSIX path below the entry's folder.
        urls: mirrors of the very same bytes, best first.
        bytes: exact length, or None where the publisher does not say.
        approximate_bytes: rough length for the question "does the disk suffice", never checked.
        sha256: 64 hex digits, or None = trust on first use, then pinned in the lock.
        unpack: ``"zip"`` or ``"tar"`` (compressed or not); None keeps the file as it is.
        unpacked_bytes: length of the unpacked files in all; unpacking stops beyond it.
    """

    name: str
    urls: tuple[str, ...]
    bytes: int | None = None
    approximate_bytes: int | None = None
    sha256: str | None = None
    unpack: str | None = None
    unpacked_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files whose names the publisher's own list gives, so that none is typed, or guessed, here.

    Attributes:
        format: ``"checksums"`` (lines "sha256 url") or ``"index"`` (a web server's page of links).
        url: address of the list.
        match: shell pattern for the last part of a file's address.
        folder: where the files go, below the entry's folder.
        unpack: as in :class:`File`.
        approximate_bytes: rough length of one file.
    """

    format: str
    url: str
    match: str
    folder: str = "."
    unpack: str | None = None
    approximate_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A benchmark, a set of weights or of published features.

    Attributes:
        name: its key in the manifest.
        kind: one of :data:`KINDS`.
        title, home, licence: for people; ``citation`` is BibTeX.
        folder: where it goes below the data folder; entries of one benchmark share it.
        files: what to fetch; ``listing`` adds what the publisher lists.
        layout: the loader in :mod:`patchlib.benchmarks` that reads it, or None.
        expected: counts that ``data verify`` compares, see :data:`COUNTS`.
        verified: what has been checked, and what could not be.
    """

    name: str
    kind: str
    title: str
    home: str
    licence: str
    citation: str
    folder: str
    verified: str
    files: tuple[File, ...] = ()
    listing: Listing | None = None
    layout: str | None = None
    expected: Mapping[str, int] = field(default_factory=dict)

    @property
    def approximate_bytes(self) -> int | None:
        """Length of all named files, exact or rough; None where one is unknown."""
        lengths = [file.bytes or file.approximate_bytes for file in self.files]
        known = [length for length in lengths if length is not None]
        return sum(known) if known and len(known) == len(lengths) else None


def load(path: Path | None = None) -> dict[str, Entry]:
    """Read and check the manifest.

    Args:
        path: the file; None = ``data_manifest.yaml`` of the checkout.

    Returns:
        Entries by name, in the file's order.

    Raises:
        ValueError: names the file, the entry, the key and the value that is wrong.
    """
    path = paths.root() / "data_manifest.yaml" if path is None else path
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("entries"), dict):
        raise ValueError(f"{path}: expected a mapping with the key 'entries', got {type(content).__name__}")
    return {name: _entry(f"{path}: entry {name!r}", name, value) for name, value in content["entries"].items()}


def find(entries: Mapping[str, Entry], name: str) -> Entry:
    """The entry of a name.

    Raises:
        ValueError: no such entry; lists the nearest and all.
    """
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ValueError(f"no entry {name!r} in the data manifest; {hint}known: {', '.join(entries)}")


def _entry(where: str, name: str, value: Any) -> Entry:
    fields = _mapping(where, value, Entry, skip={"name"})
    _one_of(where, "kind", fields["kind"], KINDS)
    for key in ("title", "home", "licence", "citation", "verified"):
        _text(where, key, fields[key])
    _relative(where, "folder", fields["folder"])
    if not fields["citation"].lstrip().startswith("@"):
        raise ValueError(f"{where}, citation: expected BibTeX beginning with '@', got {fields['citation'][:40]!r}")
    files = fields.get("files") or []
    if not isinstance(files, list):
        raise ValueError(f"{where}, files: expected a list, got {files!r}")
    fields["files"] = tuple(_file(f"{where}, files[{number}]", item) for number, item in enumerate(files))
    names = [file.name for file in fields["files"]]
    if len(set(names)) < len(names):
        raise ValueError(f"{where}, files: a name is there twice: {names}")
    if fields.get("listing") is not None:
        fields["listing"] = _listing(f"{where}, listing", fields["listing"])
    if not fields["files"] and fields.get("listing") is None:
        raise ValueError(f"{where}: expected files or a listing, got neither")
    expected = fields["expected"] = fields.get("expected") or {}
    for key, count in expected.items():
        _one_of(f"{where}, expected", "count", key, COUNTS)
        _count(f"{where}, expected", key, count)
    return Entry(name=name, **fields)


def _file(where: str, value: Any) -> File:
    fields = _mapping(where, value, File)
    _relative(where, "name", fields["name"])
    urls = fields["urls"]
    if not isinstance(urls, list) or not urls:
        raise ValueError(f"{where}, urls: expected a list of addresses, got {urls!r}")
    for url in urls:
        _url(where, "urls", url)
    for key in ("bytes", "approximate_bytes", "unpacked_bytes"):
        _count(where, key, fields.get(key))
    if fields.get("unpack") is not None:
        _one_of(where, "unpack", fields["unpack"], UNPACK)
    if fields.get("sha256") is not None:
        check_sha256(where, fields["sha256"])
    return File(**{**fields, "urls": tuple(urls)})


def _listing(where: str, value: Any) -> Listing:
    fields = _mapping(where, value, Listing)
    _one_of(where, "format", fields["format"], LISTINGS)
    _url(where, "url", fields["url"])
    _text(where, "match", fields["match"])
    _relative(where, "folder", fields.get("folder", "."))
    _count(where, "approximate_bytes", fields.get("approximate_bytes"))
    if fields.get("unpack") is not None:
        _one_of(where, "unpack", fields["unpack"], UNPACK)
    return Listing(**fields)


def _mapping(where: str, value: Any, record: type, skip: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    """``value`` as keywords of ``record``: every required key there, no unknown one."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a mapping, got {value!r}")
    known = {item.name: item for item in dataclasses.fields(record) if item.name not in skip}
    for key in value:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{where}: unknown key {key!r}; {hint}expected {', '.join(known)}")
    for key, item in known.items():
        bare = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if bare and value.get(key) is None:
            raise ValueError(f"{where}: the key {key!r} is missing")
    return dict(value)


def _text(where: str, key: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}, {key}: expected text, got {value!r}")


def _one_of(where: str, key: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{where}, {key}: expected one of {', '.join(known)}, got {value!r}")


def _count(where: str, key: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{where}, {key}: expected a whole number >= 0, got {value!r}")


def _url(where: str, key: str, value: Any) -> None:
    parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"{where}, {key}: expected an address with {', '.join(SCHEMES)}, got {value!r}")


def _relative(where: str, key: str, value: Any) -> None:
    _text(where, key, value)
    if PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts or "\\" in value or ":" in value:
        raise ValueError(f"{where}, {key}: expected a path inside the data folder, got {value!r}")


def check_sha256(where: str, value: Any) -> str:
    """``value`` if it is a SHA-256 as this project writes it.

    Raises:
        ValueError: it is not; the message begins with ``where``.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError(f"{where}, sha256: expected 64 hex digits in lower case, got {value!r}")
    return value
