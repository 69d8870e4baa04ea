"""Where the files of a manifest entry come from: the publisher, a mirror, or a copy at hand."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from patchlib.download.download import DownloadError, Fetched, Patience, fetch, hash_and_size
from patchlib.download.manifest import Entry, File, Listing
from patchlib.support.provenance import atomic_write

SCHEMES = ("http://", "https://", "ftp://")


@dataclass(frozen=True, kw_only=True)
class Order:
    """How an entry is to be fetched.

    Attributes:
        source: a file, folder or address to take it from and from nowhere else; None = the publisher.
        mirror: a folder or address that is asked before the publisher.
        only: shell pattern for file names; None = all.
        limit: the first so many files only.
        force: fetch again what is there, and trust a new hash where the manifest has none.
        keep: keep archives beside what they held.
        patience: attempts and time-outs.
        progress: show bars.
    """

    source: str | None = None
    mirror: str | None = None
    only: str | None = None
    limit: int | None = None
    force: bool = False
    keep: bool = False
    patience: Patience = field(default_factory=Patience)
    progress: bool = True


def wanted(entry: Entry, folder: Path, order: Order) -> list[File]:
    """The files an order asks for: those the manifest names, and those the publisher lists.

    Raises:
        DownloadError: the publisher's list could not be had.
        ValueError: no file matches, or the limit is below 1.
    """
    if order.limit is not None and order.limit < 1:
        raise ValueError(f"limit is {order.limit}, expected at least 1 file")
    files = list(entry.files)
    if entry.listing is not None:
        files += _listed(entry, entry.listing, folder, order)
    chosen = [file for file in files if order.only is None or fnmatch(file.name, order.only)]
    if not chosen:
        names = ", ".join(file.name for file in files[:5]) or "none"
        pattern = order.only if order.only is not None else entry.listing and entry.listing.match
        raise ValueError(f"no file of {entry.name} matches {pattern!r}; the files there: {names}")
    return chosen[: order.limit]


def obtain(entry: Entry, file: File, folder: Path, order: Order, sha256: str | None) -> Fetched:
    """Get one file's bytes: a copy at hand, else a download. An archive at hand stays where it is.

    Args:
        entry, file: what.
        folder: the entry's folder.
        order: from where.
        sha256: its hash if known, from the manifest or the lock.

    Raises:
        DownloadError: it is nowhere, or what is there differs.
    """
    for place in (order.source, order.mirror):
        if place and not place.startswith(SCHEMES):
            path = _at_hand(Path(place).expanduser(), entry, file, must=place == order.source)
            if path is not None:
                return _take(path, file, folder / file.name, sha256)
    addresses = _addresses(entry, file.name, file.urls, order)
    return fetch(addresses, folder / file.name, file.bytes, sha256, order.patience, order.progress)


def _addresses(entry: Entry, name: str, urls: Iterable[str], order: Order) -> list[str]:
    """Addresses of a file, best first. A mirror may keep our folders or have all files in one."""
    base = order.source or order.mirror or ""
    mirrored = [f"{base.rstrip('/')}/{path}" for path in (f"{entry.folder}/{name}", name)]
    own = [] if order.source else list(urls)
    return [*(mirrored if base.startswith(SCHEMES) else []), *own]


def _at_hand(place: Path, entry: Entry, file: File, must: bool) -> Path | None:
    """The file below a local folder, or the file given by name; None when it is not there and need not be."""
    base = PurePosixPath(file.name).name
    if place.is_file():
        archives = [item for item in entry.files if item.unpack]
        if place.name == base or (len(archives) == 1 and file is archives[0]):
            return place
        raise DownloadError(
            f"{place} is one file, but {entry.name} also needs {file.name}; give the folder that holds both, or choose "
            "one with --only"
        )
    candidates = [place / entry.folder / file.name, place / file.name, place / base]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None and must:
        looked = "\n  ".join(str(path) for path in dict.fromkeys(candidates))
        raise DownloadError(f"{file.name} of {entry.name} is not in {place}; looked for\n  {looked}")
    return found


def _take(path: Path, file: File, target: Path, sha256: str | None) -> Fetched:
    length, digest = hash_and_size(path)
    if file.bytes not in (None, length):
        raise DownloadError(f"{path} has {length} bytes, expected {file.bytes}: it is another file, or was cut")
    if sha256 not in (None, digest):
        raise DownloadError(f"{path} is another file: its SHA-256 is {digest}, expected {sha256}")
    if file.unpack is None and path.resolve() != target.resolve():
        with open(path, "rb") as source, atomic_write(target) as out:
            shutil.copyfileobj(source, out, 1 << 20)
        path = target
    return Fetched(path=path, bytes=length, sha256=digest, url=str(path))


def _listed(entry: Entry, listing: Listing, folder: Path, order: Order) -> list[File]:
    """Files that the publisher's list, or a local folder, holds."""
    place = Path(order.source).expanduser() if order.source and not order.source.startswith(SCHEMES) else None
    name = "checksums.txt" if listing.format == "checksums" else "index.html"
    if place is not None:
        rows = _local_rows(place, entry, listing, name)
    else:
        path = f"{listing.folder}/" if listing.format == "index" else name
        addresses = _addresses(entry, path, [listing.url], order)
        page = fetch(addresses, folder / ".patchlib" / f"{entry.name}-{name}", None, None, order.patience, False)
        text = page.path.read_text(encoding="utf-8", errors="replace")
        rows = _checksums(text) if listing.format == "checksums" else _links(text, page.url)
    return [
        File(
            name=(PurePosixPath(listing.folder) / base).as_posix(),
            urls=(url,),
            sha256=sha256,
            unpack=listing.unpack,
            approximate_bytes=listing.approximate_bytes,
        )
        for base, url, sha256 in _named(rows)
        if fnmatch(base, listing.match)
    ]


def _local_rows(place: Path, entry: Entry, listing: Listing, name: str) -> list[tuple[str | None, str]]:
    folders = [place / entry.folder / listing.folder, place / listing.folder, place]
    hashes = next((path / name for path in (place / entry.folder, place) if (path / name).is_file()), None)
    if place.is_file():
        return [(None, place.name)]
    if hashes is not None and listing.format == "checksums":
        return _checksums(hashes.read_text(encoding="utf-8"))
    found = {path.name: path for base in reversed(folders) if base.is_dir() for path in base.iterdir()}
    return [(None, name) for name in sorted(found)]


def _checksums(text: str) -> list[tuple[str | None, str]]:
    """Lines "sha256 url" -> (hash, url)."""
    pairs = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    wrong = [pair for pair in pairs if len(pair) != 2 or not re.fullmatch(r"[0-9a-fA-F]{64}", pair[0])]
    if wrong:
        raise DownloadError(
            f"the list of checksums has the line {' '.join(wrong[0])[:80]!r}, expected 'sha256 address'"
        )
    return [(pair[0].lower(), pair[1].strip().lstrip("*")) for pair in pairs]


def _links(text: str, base: str) -> list[tuple[str | None, str]]:
    """Links of a web server's directory page that stay in that directory."""
    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
            found.extend(value for key, value in attributes if tag == "a" and key == "href" and value)

    Links().feed(text)
    addresses = sorted({urljoin(base, link) for link in found})
    return [(None, address) for address in addresses if address.startswith(base) and address != base]


def _named(rows: Iterable[tuple[str | None, str]]) -> list[tuple[str, str, str | None]]:
    """Last part of each address, with the address and hash; a name that is no plain file name is left out."""
    named = [(unquote(urlsplit(url).path.rsplit("/", 1)[-1]), url, sha256) for sha256, url in rows]
    return [row for row in named if row[0] not in ("", ".", "..") and "/" not in row[0] and "\\" not in row[0]]
