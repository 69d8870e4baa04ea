"""Fetch one file from the first mirror that gives the right bytes, or say why none does.

pooch, the usual choice, starts anew after each cut, which a 2 GB file over a slow line does not forgive. Here a
transfer continues where it was cut, if what came before provably belongs to the same file, and is never taken for whole
unless its length, its hash or the protocol says so. What has arrived lies in ``.NAME.part``, and ``.NAME.part.json``
says where it came from.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchlib.download.transport import BLOCK, CannotContinue, Refused, Stream, Transient, open_stream
from patchlib.support.provenance import read_json, write_json


class DownloadError(OSError):
    """A file could not be fetched; the message says what each mirror did, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to insist at one mirror.

    Attributes:
        attempts: tries, >= 1; one that got further into the file than any before does not count ...
        resumptions: ... but there are at most so many of those.
        timeout: seconds to wait for a connection, and for the next bytes.
        slowest: bytes per second below which a transfer counts as stalled (over ``timeout`` seconds).
        backoff: seconds before the second try; doubled for each further one, at most 60.
    """

    attempts: int = 4
    resumptions: int = 100
    timeout: float = 30.0
    slowest: float = 64.0
    backoff: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A whole file: where it lies, its length and SHA-256, and the address that gave it."""

    path: Path
    bytes: int
    sha256: str
    url: str


@dataclass(frozen=True, kw_only=True)
class _Job:
    label: str
    part: Path
    size: int | None
    sha256: str | None
    patience: Patience
    progress: bool

    @property
    def source(self) -> Path:
        return self.part.with_name(f"{self.part.name}.json")


def fetch(
    urls: Sequence[str],
    target: Path,
    size: int | None = None,
    sha256: str | None = None,
    patience: Patience | None = None,
    progress: bool = True,
) -> Fetched:
    """Download a file, continuing what an earlier call left unfinished.

    Args:
        urls: mirrors (http, https, ftp) of the same bytes, asked in this order.
        target: where the file goes; it appears there only once it is whole.
        size: its exact length, if known.
        sha256: its hash, if known. Without hash and length, a server that does not show the end of the file is refused.
        patience: attempts, time-outs, waits.
        progress: show a bar.

    Raises:
        DownloadError: no mirror gave the file; what lay at ``target`` before is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    job = _Job(
        label=target.name, part=part, size=size, sha256=sha256, patience=patience or Patience(), progress=progress
    )
    reasons = []
    with _locked(part):
        for url in urls:
            try:
                length, digest = _from_mirror(url, job)
            except Refused as error:
                reasons.append(f"\n  {url}: {error}")
                continue
            os.replace(part, target)
            job.source.unlink(missing_ok=True)
            return Fetched(path=target, bytes=length, sha256=digest, url=url)
    raise DownloadError(
        f"could not fetch {target.name}; asked {len(urls)} address(es):{''.join(reasons)}\n"
        "Try again later (what has arrived is kept), or give a copy: --from FILE, FOLDER or URL, or PATCHLIB_MIRROR"
    )


def hash_and_size(path: Path) -> tuple[int, str]:
    """Length in bytes and SHA-256 of a file."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _from_mirror(url: str, job: _Job) -> tuple[int, str]:
    """Insist at one mirror until the file is whole and right: its length and hash."""
    reason, failures, furthest = "", 0, 0
    for _ in range(job.patience.attempts + job.patience.resumptions):
        offset = _kept(url, job)
        furthest = max(furthest, offset)
        wait = 0.0
        try:
            length, digest = _transfer(url, job, offset)
            if job.sha256 in (None, digest):
                return length, digest
            _forget(job)
            if not offset:
                raise Refused(f"sends another file: its SHA-256 is {digest}, expected {job.sha256}")
            reason = "the continued file had a wrong hash, so it was fetched anew"
        except CannotContinue as error:
            reason = str(error)
            _forget(job)
        except Transient as error:
            reason, wait = str(error), error.wait
        if (reached := job.part.stat().st_size) > furthest:
            furthest = reached
            continue
        failures += 1
        if failures == job.patience.attempts:
            break
        time.sleep(min(60.0, max(wait, job.patience.backoff * 2 ** (failures - 1))))
    raise Refused(f"gave up after {failures} tries that got no further; the last: {reason}")


def _kept(url: str, job: _Job) -> int:
    """How many of the bytes on disk may be continued: none that could belong to another file."""
    length = job.part.stat().st_size
    source = _source(job)
    same_version = source.get("url") == url and source.get("tag") is not None
    same_file = job.sha256 is not None and source.get("sha256") == job.sha256
    if not (same_version or same_file) or (job.size is not None and length >= job.size):
        return 0
    return length


def _source(job: _Job) -> dict[str, Any]:
    return read_json(job.source) if job.source.exists() else {}


def _forget(job: _Job) -> None:
    os.truncate(job.part, 0)
    job.source.unlink(missing_ok=True)


def _transfer(url: str, job: _Job, offset: int) -> tuple[int, str]:
    """One connection, to the end of the file: its length and hash."""
    from tqdm import tqdm

    source = _source(job)
    tag = source.get("tag") if offset and source.get("url") == url else None
    with open_stream(url, offset, tag, job.patience.timeout) as stream, open(job.part, "r+b") as file:
        _check_length(stream, job)
        total = job.size if job.size is not None else stream.total
        write_json(job.source, {"url": url, "tag": stream.tag, "sha256": job.sha256})
        file.truncate(stream.start)
        digest = hashlib.sha256()
        while block := file.read(BLOCK):
            digest.update(block)
        with tqdm(
            desc=job.label, total=total, initial=stream.start, unit="B", unit_scale=True, disable=not job.progress
        ) as bar:
            for block in _paced(stream.read, job.patience):
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


def _check_length(stream: Stream, job: _Job) -> None:
    if stream.total is not None and job.size is not None and stream.total != job.size:
        raise Refused(f"announces {stream.total} bytes, expected {job.size}")
    if not stream.framed and job.size is None and job.sha256 is None:
        raise Refused("does not say how long the file is, and the manifest does not know: a cut would go unseen")


def _paced(read: Callable[[], bytes], patience: Patience) -> Iterator[bytes]:
    """Blocks until the end; a transfer that all but stands still is a stalled one."""
    since, received = time.monotonic(), 0
    while block := read():
        yield block
        received += len(block)
        elapsed = time.monotonic() - since
        if elapsed > patience.timeout:
            if received < patience.slowest * elapsed:
                raise Transient(f"stalled: {received} bytes in {elapsed:.0f} s")
            since, received = time.monotonic(), 0


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Keep a second process from writing into the same part file (where the system has flock)."""
    with open(part, "ab") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except OSError:
            raise DownloadError(f"another process is fetching {part}; wait for it") from None
        try:
            yield
        finally:
            if part.exists() and not part.stat().st_size:
                part.unlink()
                part.with_name(f"{part.name}.json").unlink(missing_ok=True)
