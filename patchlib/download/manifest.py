"""``data_manifest.yaml``: everything that can be downloaded, typed and checked when it is read."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from patchlib.support import paths
from patchlib.support.suggest import unknown

KINDS = ("benchmark", "ids", "features", "weights")
UNPACK = ("zip", "tar")
LISTINGS = ("checksums", "index")
SCHEMES = "https, http or ftp"
COUNTS = ("images", "queries", "text_queries", "positives", "boxes", "files")


@dataclass(frozen=True, kw_only=True)
class File:
    """One file to fetch."""

    name: str  # where it goes, a POSIX path below the entry's folder
    urls: tuple[str, ...]  # mirrors of the very same bytes, best first
    bytes: int | None = None  # exact length, or None where the publisher does not say
    approximate_bytes: int | None = None  # rough length for the question "does the disk suffice", never checked
    sha256: str | None = None  # 64 hex digits, or None = trust on first use, then pinned in the lock
    unpack: str | None = None  # "zip" or "tar" (compressed or not); None keeps the file as it is
    unpacked_bytes: int | None = None  # length of the unpacked files in all; unpacking stops beyond it


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Files whose names the publisher's own list gives, so that none is typed, or guessed, here."""

    format: str  # "checksums" (lines "sha256 url") or "index" (a web server's page of links)
    url: str  # address of the list
    match: str  # shell pattern for the last part of a file's address
    folder: str = "."  # where the files go, below the entry's folder
    unpack: str | None = None  # as in File
    approximate_bytes: int | None = None  # rough length of one file


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A benchmark, a set of weights or of published features; texts are for people."""

    name: str  # its key in the manifest
    kind: str  # one of KINDS
    title: str
    home: str
    licence: str
    citation: str  # BibTeX
    folder: str  # where it goes below the data folder; entries of one benchmark share it
    verified: str  # what has been checked, and what could not be
    files: tuple[File, ...] = ()
    listing: Listing | None = None  # adds what the publisher lists
    layout: str | None = None  # the loader in patchlib.benchmarks that reads it
    expected: Mapping[str, int] = field(default_factory=dict)  # counts that `data verify` compares, of COUNTS

    @property
    def approximate_bytes(self) -> int | None:
        """Length of all files, exact or rough; None where one is unknown."""
        lengths = [file.bytes or file.approximate_bytes for file in self.files]
        if self.listing is not None:
            each, count = self.listing.approximate_bytes, self.expected.get("files")
            lengths.append(each * count if each and count else None)
        return None if None in lengths else sum(length or 0 for length in lengths)


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


def is_sha256(value: Any) -> bool:
    """Whether a value is a SHA-256 as this project writes it."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and re.match("(https?|ftp)://[^/:]", value) is not None


def _is_inside(value: Any) -> bool:
    path = PurePosixPath(value if _is_text(value) else "..")
    return not (path.is_absolute() or ".." in path.parts or "\\" in value or ":" in value)


def _one_of(known: tuple[str, ...]) -> tuple[Callable[[Any], object], str]:
    return lambda value: value in known, f"one of {', '.join(known)}"


TEXT, COUNT, INSIDE = (_is_text, "text"), (_is_count, "a whole number >= 0"), (_is_inside, "a path in the data folder")
# what a value must be; a key means the same in a file, a listing and an entry
RULES: dict[str, tuple[Callable[[Any], object], str]] = {
    "kind": _one_of(KINDS),
    **dict.fromkeys(("title", "home", "licence", "verified", "layout", "match"), TEXT),
    "citation": (lambda value: _is_text(value) and value.lstrip().startswith("@"), "BibTeX beginning with '@'"),
    **dict.fromkeys(("folder", "name"), INSIDE),
    "files": (_is_list, "a list"),
    "listing": (lambda value: isinstance(value, dict), "a mapping"),
    "expected": (
        lambda value: isinstance(value, dict) and set(value) <= set(COUNTS) and all(map(_is_count, value.values())),
        f"whole numbers >= 0 of {', '.join(COUNTS)}",
    ),
    "url": (_is_address, f"an address with {SCHEMES}"),
    "urls": (lambda value: _is_list(value) and value and all(map(_is_address, value)), f"addresses with {SCHEMES}"),
    **dict.fromkeys(("bytes", "approximate_bytes", "unpacked_bytes"), COUNT),
    "sha256": (is_sha256, "64 hex digits in lower case"),
    "unpack": _one_of(UNPACK),
    "format": _one_of(LISTINGS),
}


def _entry(where: str, name: str, value: Any) -> Entry:
    entry = _read(where, value, Entry, name=name)
    files = tuple(_read(f"{where}, files[{number}]", file, File) for number, file in enumerate(entry.files))
    names = [file.name for file in files]
    if len(set(names)) < len(names):
        raise ValueError(f"{where}, files: a name is there twice: {names}")
    if not files and entry.listing is None:
        raise ValueError(f"{where}: expected files or a listing, got neither")
    listing = entry.listing and _read(f"{where}, listing", entry.listing, Listing)
    return dataclasses.replace(entry, files=files, listing=listing)


def _read(where: str, value: Any, record: type, **given: str) -> Any:
    """A mapping as a ``record``: no unknown key, none missing, each value as :data:`RULES` asks; null = left out."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a mapping, got {value!r}")
    known = {item.name: item for item in dataclasses.fields(record) if item.name not in given}
    settings = {}
    for key, content in value.items():
        if key not in known:
            raise ValueError(f"{where}: {unknown('key', key, known)}")
        if content is None:
            continue
        fits, expected = RULES[key]
        if not fits(content):
            raise ValueError(f"{where}, {key}: expected {expected}, got {content!r}")
        settings[key] = tuple(content) if isinstance(content, list) else content
    for key, item in known.items():
        if key not in settings and item.default is item.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where}: the key {key!r} is missing")
    return record(**settings, **given)
