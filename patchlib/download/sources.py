"""Which files of an entry are wanted, and where each comes from: the publisher, a mirror, or a copy at hand."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urljoin, urlsplit

from patchlib.download.fetch import DownloadError, RetryPolicy, fetch
from patchlib.download.manifest import Entry, File, Listing


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """How an entry is to be fetched."""

    source: str | None = None  # a file, folder or address to take it from, and from nowhere else
    mirror: str | None = None  # a folder or address that is asked before the publisher
    only: str | None = None  # shell pattern for file names
    limit: int | None = None  # the first so many files only
    force: bool = False  # fetch again what is there, and trust a new hash where the manifest has none
    keep: bool = False  # keep archives beside what they held
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    progress: bool = True  # show bars


def wanted(entry: Entry, folder: Path, options: FetchOptions) -> list[File]:
    """The files to fetch: those the manifest names, and those the publisher lists.

    Raises:
        DownloadError: the publisher's list could not be had.
        ValueError: no file matches, or the limit is below 1.
    """
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"limit is {options.limit}, expected at least 1 file")
    files = [*entry.files, *(_listed(entry, entry.listing, folder, options) if entry.listing else [])]
    chosen = [file for file in files if options.only is None or fnmatch(file.name, options.only)]
    if not chosen:
        names = ", ".join(file.name for file in files[:5]) or "none"
        pattern = options.only if options.only is not None else entry.listing and entry.listing.match
        raise ValueError(f"no file of {entry.name} matches {pattern!r}; the files there: {names}")
    return chosen[: options.limit]


def addresses(entry: Entry, name: str, urls: Sequence[str], options: FetchOptions) -> list[str]:
    """Where one of an entry's files may lie, best first: addresses, or paths. A mirror may keep our folders, or none.

    Raises:
        DownloadError: the source is one file, and another one.
    """
    base = os.path.expanduser(options.source or options.mirror or "").rstrip("/")
    names = (f"{entry.folder}/{name}", name, PurePosixPath(name).name)
    places = list(dict.fromkeys(f"{base}/{path}" for path in names)) if base else []
    if os.path.isfile(base):
        # the only archive may be called as it likes
        if Path(base).name != names[2] and [file.name for file in entry.files if file.unpack] != [name]:
            raise DownloadError(
                f"{base} is one file, but {entry.name} also needs {name}; give the folder that holds both, or choose "
                "one with --only"
            )
        places = [base]
    return places + ([] if options.source else list(urls))


def _listed(entry: Entry, listing: Listing, folder: Path, options: FetchOptions) -> list[File]:
    """Files that the publisher's list, or a local folder, holds."""
    named = [
        (unquote(urlsplit(url).path).rsplit("/", 1)[-1], url, sha256)
        for url, sha256 in _rows(entry, listing, folder, options)
    ]
    return [
        File(
            name=(PurePosixPath(listing.folder) / base).as_posix(),
            urls=(url,),
            sha256=sha256,
            unpack=listing.unpack,
            approximate_bytes=listing.approximate_bytes,
        )
        for base, url, sha256 in named
        if fnmatch(base, listing.match) and base not in ("", ".", "..") and "\\" not in base
    ]


def _rows(entry: Entry, listing: Listing, folder: Path, options: FetchOptions) -> list[tuple[str, str | None]]:
    """Addresses and hashes in the publisher's list; where a local source has none, the names it holds."""
    place = Path(options.source or "").expanduser()
    if options.source and place.is_file():
        return [(quote(place.name), None)]
    name = "checksums.txt" if listing.format == "checksums" else f"{listing.folder}/"
    target = folder / ".patchlib" / f"{entry.name}-list"
    try:
        page = fetch(addresses(entry, name, [listing.url], options), target, retry=options.retry, progress=False)
    except DownloadError:
        if not options.source or not place.is_dir():
            raise
        folders = (place / entry.folder / listing.folder, place / listing.folder, place)
        names = {path.name for base in folders if base.is_dir() for path in base.iterdir()}
        return [(quote(name), None) for name in sorted(names)]
    text = page.path.read_text(encoding="utf-8", errors="replace")
    return _checksums(text, page.url) if listing.format == "checksums" else _links(text, page.url)


def _checksums(text: str, base: str) -> list[tuple[str, str | None]]:
    """Lines "sha256 address" -> (address, hash); an address may be relative to the list's, never a path of ours."""
    rows: list[tuple[str, str | None]] = []
    for line in filter(str.strip, text.splitlines()):
        match = re.fullmatch(r"\s*([0-9a-fA-F]{64})\s+\*?(\S.*?)\s*", line)
        if match is None:
            raise DownloadError(f"the list of checksums has the line {line[:80]!r}, expected 'sha256 address'")
        rows.append((urljoin(base, match[2]), match[1].lower()))
    return rows


def _links(text: str, base: str) -> list[tuple[str, str | None]]:
    """Links of a web server's directory page that stay in that directory."""
    links: set[str] = set()

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
            links.update(urljoin(base, value) for key, value in attributes if tag == "a" and key == "href" and value)

    Links().feed(text)
    return [(address, None) for address in sorted(links) if address.startswith(base) and address != base]
