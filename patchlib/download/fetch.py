"""Fetch one file from the first mirror that gives the right bytes, or say why none does.

pooch, the usual choice, starts anew after each cut, which a 2 GB file over a slow line does not forgive; urllib3's
retries end where the body begins. Here a transfer continues where it was cut, if what came before provably belongs to
the same file, and is never taken for whole unless its length, its hash or the protocol says so. What has arrived lies
in ``.NAME.part``, and ``.NAME.part.json`` says where it came from.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from patchlib.download.transport import BLOCK, Refused, Transient, connect
from patchlib.support.provenance import read_json, write_json

LONGEST_WAIT = 60.0  # seconds between two tries


class DownloadError(OSError):
    """A file could not be fetched; the message says what each mirror did, and what to do."""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long to insist at one mirror."""

    attempts: int = 4  # tries that get no further into the file than any before, >= 1
    timeout: float = 30.0  # seconds to wait for a connection, and for the next bytes
    slowest: float = 64.0  # bytes per second below which a transfer counts as stalled (over a time-out)
    backoff: float = 1.0  # seconds before the second try; doubled for each further one, at most a minute


class Fetched(NamedTuple):
    """A whole file: where it lies, its length and SHA-256, and the address that gave it."""

    path: Path
    bytes: int
    sha256: str
    url: str


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What has arrived of a file, and what it is to become."""

    path: Path
    size: int | None
    sha256: str | None

    @property
    def origin(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def kept(self, url: str) -> tuple[int, str | None]:
        """How many bytes may be continued, none that could belong to another file; their tag, if from this address."""
        length = self.path.stat().st_size
        origin = read_json(self.origin) if self.origin.exists() else {}
        tag = origin.get("tag") if origin.get("url") == url else None
        same_file = self.sha256 is not None and origin.get("sha256") == self.sha256
        whole = self.size is not None and length >= self.size
        return (length, tag) if length and not whole and (tag or same_file) else (0, None)

    def start_anew(self) -> None:
        os.truncate(self.path, 0)
        self.origin.unlink(missing_ok=True)


def fetch(
    urls: Sequence[str],
    target: Path,
    size: int | None = None,
    sha256: str | None = None,
    retry: RetryPolicy | None = None,
    progress: bool = True,
) -> Fetched:
    """Download a file, continuing what an earlier call left unfinished. One call at a time, please.

    Args:
        urls: mirrors (http, https, ftp, or paths) of the same bytes, asked in this order.
        target: where the file goes; it appears there only once it is whole.
        size: its exact length, if known.
        sha256: its hash, if known. Without hash and length, a server that does not show the end of the file is refused.
        retry: attempts, time-outs, waits.
        progress: show a bar.

    Raises:
        DownloadError: no mirror gave the file; what lay at ``target`` before is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path=target.with_name(f".{target.name}.part"), size=size, sha256=sha256)
    part.path.touch()
    reasons = ""
    try:
        for url in urls:
            try:
                length, digest = _from_mirror(url, part, retry or RetryPolicy(), progress)
            except Refused as error:
                reasons += f"\n  {url}: {error}"
                continue
            os.replace(part.path, target)
            part.origin.unlink(missing_ok=True)
            return Fetched(target, length, digest, url)
    finally:
        if part.path.exists() and not part.path.stat().st_size:
            part.path.unlink()
            part.origin.unlink(missing_ok=True)
    raise DownloadError(
        f"could not fetch {target.name}; asked {len(urls)} address(es):{reasons}\n"
        "Try again later (what has arrived is kept), or give a copy: --from FILE, FOLDER or URL, or PATCHLIB_MIRROR"
    )


def _from_mirror(url: str, part: _Part, retry: RetryPolicy, progress: bool) -> tuple[int, str]:
    """Insist at one mirror until the file is whole and right: its length and hash."""
    failures = furthest = 0
    while True:
        offset, tag = part.kept(url)
        furthest = max(furthest, offset)
        try:
            length, digest = _transfer(url, part, offset, tag, retry, progress)
            if part.sha256 in (None, digest):
                return length, digest
            part.start_anew()
            if not offset:
                raise Refused(f"sends another file: its SHA-256 is {digest}, expected {part.sha256}")
            reason, wait = "the continued file had a wrong hash, so it was fetched anew", 0.0
        except Transient as error:
            reason, wait = str(error), error.wait
            if error.anew:
                part.start_anew()
        if (reached := part.path.stat().st_size) > furthest:
            furthest = reached
            continue
        failures += 1
        if failures == retry.attempts:
            raise Refused(f"gave up after {failures} tries that got no further; the last: {reason}")
        time.sleep(min(LONGEST_WAIT, max(wait, retry.backoff * 2 ** (failures - 1))))


def _transfer(
    url: str, part: _Part, offset: int, tag: str | None, retry: RetryPolicy, progress: bool
) -> tuple[int, str]:
    """One connection, to the end of the file: its length and hash."""
    from tqdm import tqdm

    with connect(url, offset, tag, retry.timeout) as stream, open(part.path, "r+b") as file:
        total = part.size if part.size is not None else stream.total
        if stream.total not in (None, total):
            raise Refused(f"announces {stream.total} bytes, expected {total}")
        if total is None and part.sha256 is None and not stream.framed:
            raise Refused("does not say how long the file is, and the manifest does not know: a cut would go unseen")
        write_json(part.origin, {"url": url, "tag": stream.tag, "sha256": part.sha256})
        file.truncate(stream.start)
        digest = hashlib.sha256()
        while block := file.read(BLOCK):
            digest.update(block)
        label = part.path.name.removeprefix(".").removesuffix(".part")
        with tqdm(
            desc=label, total=total, initial=stream.start, unit="B", unit_scale=True, disable=not progress
        ) as bar:
            for block in _paced(stream.read, retry):
                if total is not None and file.tell() + len(block) > total:
                    raise Refused(f"sends more than the {total} bytes the file has")
                file.write(block)
                digest.update(block)
                bar.update(len(block))
        length = file.tell()
        if total is not None and length < total:
            raise Transient(f"the connection ended after {length} of {total} bytes")
        file.flush()
        os.fsync(file.fileno())
        return length, digest.hexdigest()


def _paced(read: Callable[[], bytes], retry: RetryPolicy) -> Iterator[bytes]:
    """Blocks until the end; a transfer that all but stands still is a stalled one."""
    since, received = time.monotonic(), 0
    while block := read():
        yield block
        received += len(block)
        elapsed = time.monotonic() - since
        if elapsed > retry.timeout:
            if received < retry.slowest * elapsed:
                raise Transient(f"stalled: {received} bytes in {elapsed:.0f} s")
            since, received = time.monotonic(), 0
