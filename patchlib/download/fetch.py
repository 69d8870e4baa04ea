"""Fetch one file from the first mirror that gives the right bytes, or say why none does.

pooch, the usual choice, starts anew after each cut, which a 2 GB file over a slow line does not forgive; urllib3's
retries end where the body begins. Here a transfer continues where it was cut, if what came before provably belongs to
the same file, and is whole only if length, hash or protocol says so. ``.NAME.part.json`` says whence ``.NAME.part`` is.
"""

import ftplib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from patchlib.support import machine
from patchlib.support.progress import track
from patchlib.support.provenance import read_json, sha256_file, write_json

BLOCK = 1 << 20
LONGEST_WAIT = 60.0  # seconds between two tries
LARGEST = 1 << 40  # bytes of a file of which nobody says how long it is


class DownloadError(OSError):
    """A file could not be fetched; says what each mirror did, and what to do."""


class _Refused(Exception):
    """This address will not give the right file however often it is asked."""


class _Transient(Exception):
    """Worth another try at the same address, after ``wait`` seconds."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long to insist at one mirror."""

    attempts: int = 4  # tries that get no further into the file than any before, >= 1
    timeout: float = 30.0  # seconds to wait for a connection, and for the next bytes
    slowest: float = 64.0  # bytes per second below which a transfer counts as stalled (over a time-out)
    backoff: float = 1.0  # seconds before the second try; doubled for each further one, at most a minute


class Fetched(NamedTuple):
    """A whole file: its length and SHA-256, and the address that gave it."""

    bytes: int
    sha256: str
    source: str


class _Stream(NamedTuple):
    """An open transfer."""

    start: int  # offset of the first byte that will come: the one asked for, or 0
    total: int | None  # length of the whole file, None where the server does not say
    framed: bool  # whether the protocol itself shows a cut (a length, chunks, ftp's closing reply)
    tag: str | None  # tells this version of the file from another, None where the server gives nothing of the kind
    read: Callable[[], bytes]  # the next bytes, empty at the end


@dataclass(frozen=True)
class _Part:
    """What has arrived of a file, and what it is to become."""

    path: Path
    size: int | None
    sha256: str | None

    @property
    def origin(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def length(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def kept(self, url: str) -> tuple[int, str | None]:
        """How many bytes may be continued, none that could belong to another file; their tag, if from this address."""
        origin = read_json(self.origin) if self.origin.exists() else {}
        tag = origin.get("tag") if origin.get("url") == url else None
        same_file = self.sha256 is not None and origin.get("sha256") == self.sha256
        whole = self.size is not None and self.length >= self.size
        return (self.length, tag) if not whole and (tag or same_file) else (0, None)

    def remove(self) -> None:
        for path in (self.path, self.origin):
            path.unlink(missing_ok=True)


def fetch(urls: Sequence[str], target: Path, size: int | None, sha256: str | None, retry: RetryPolicy) -> Fetched:
    """Download a file, continuing what an earlier call left unfinished. One call at a time, please.

    Args:
        urls: mirrors (http, https, ftp, or paths) of the same bytes, asked in this order.
        target: where the file goes; it appears there only once it is whole.
        size: its exact length, if known.
        sha256: its hash, if known. Without hash and length, a server that does not show the end of the file is refused.
        retry: attempts, time-outs, waits.

    Raises:
        DownloadError: no mirror gave the file; what lay at ``target`` before is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target.with_name(f".{target.name}.part"), size, sha256)
    reasons = ""
    for url in urls:
        try:
            digest = _from_mirror(url, part, retry)
        except _Refused as error:
            reasons += f"\n  {url}: {error}"
        else:
            os.replace(part.path, target)
            part.remove()
            return Fetched(target.stat().st_size, digest, url)
    raise DownloadError(
        f"could not fetch {target.name}; asked:{reasons}\n"
        "Try again later (what has arrived is kept), or give a copy: --from FILE, FOLDER or URL, or PATCHLIB_MIRROR"
    )


def _from_mirror(url: str, part: _Part, retry: RetryPolicy) -> str:
    """Insist at one mirror until the file is whole and right: its hash."""
    failures = furthest = 0
    while True:
        offset, tag = part.kept(url)
        furthest = max(furthest, offset)
        try:
            _transfer(url, part, offset, tag, retry)
            digest = sha256_file(part.path)
            if part.sha256 in (None, digest):
                return digest
            part.remove()
            problem = _Transient if offset else _Refused  # a wrong beginning continued: the whole is worth a try
            raise problem(f"sends another file: its SHA-256 is {digest}, expected {part.sha256}")
        except _Transient as error:
            reason, wait = str(error), error.wait
        if (reached := part.length) > furthest:
            furthest = reached
            continue
        failures += 1
        if failures == retry.attempts:
            raise _Refused(f"gave up after {failures} tries that got no further; the last: {reason}")
        time.sleep(min(LONGEST_WAIT, max(wait, retry.backoff * 2 ** (failures - 1))))


def _transfer(url: str, part: _Part, offset: int, tag: str | None, retry: RetryPolicy) -> None:
    """One connection, to the end of the file."""
    connect = {"http": _http, "https": _http, "ftp": _ftp}.get(urlsplit(url).scheme, _local)
    if connect is not _local and os.environ.get("PATCHLIB_OFFLINE"):
        raise _Refused("is not asked: PATCHLIB_OFFLINE is set")
    with ExitStack() as stack:
        with _told_apart():
            stream = stack.enter_context(connect(url, offset, tag, retry.timeout))
        total = part.size if part.size is not None else stream.total
        if stream.total not in (None, total):
            raise _Refused(f"announces {stream.total} bytes, expected {total}")
        if total is None and part.sha256 is None and not stream.framed:
            raise _Refused("does not say how long the file is, and the manifest does not know: a cut would go unseen")
        known = read_json(part.origin) if stream.start and part.sha256 is None else {}  # where nothing else would tell
        told = {"url": url, "tag": stream.tag, "total": stream.total, "sha256": part.sha256}
        if any(told[key] and known.get(key) not in (None, told[key]) for key in ("tag", "total")):
            part.remove()
            raise _Transient("has another version of the file meanwhile")
        write_json(part.origin, told)
        with open(part.path, "ab") as file, track(part.path.name[1:-5], total, "B") as bar:
            bar.update(file.seek(file.truncate(stream.start)))
            for block in _paced(stream.read, retry):
                if file.tell() + len(block) > (LARGEST if total is None else total):
                    raise _Refused(f"sends more than the {total or LARGEST} bytes the file has, or may have")
                bar.update(file.write(block))
            if not file.tell() and part.size is part.sha256 is None:
                raise _Refused("sends an empty file")
            if total is not None and file.tell() < total:
                raise _Transient(f"the connection ended after {file.tell()} of {total} bytes")
            file.flush()
            os.fsync(file.fileno())


def _paced(read: Callable[[], bytes], retry: RetryPolicy) -> Iterator[bytes]:
    """Blocks until the end; a transfer that all but stands still is a stalled one."""
    since, received = time.monotonic(), 0
    while True:
        with _told_apart():
            block = read()
        if not block:
            return
        yield block
        received += len(block)
        if (elapsed := time.monotonic() - since) > retry.timeout:
            if received < retry.slowest * elapsed:
                raise _Transient(f"stalled: {received} bytes in {elapsed:.0f} s")
            since, received = time.monotonic(), 0


@contextmanager
def _local(path: str, offset: int, tag: str | None, timeout: float) -> Iterator[_Stream]:
    if not os.path.isfile(path):
        raise _Refused("is not there")
    with open(path, "rb") as file:
        file.seek(offset)
        yield _Stream(offset, os.path.getsize(path), True, None, lambda: file.read(BLOCK))


@contextmanager
def _http(url: str, offset: int, tag: str | None, timeout: float) -> Iterator[_Stream]:
    import requests  # doubles the start of the command line

    headers = {"Accept-Encoding": "identity", "User-Agent": "patchlib"}
    if offset:
        headers |= {"Range": f"bytes={offset}-"} | ({"If-Range": tag} if tag else {})
    asked = partial(requests.get, url, headers=headers, stream=True, timeout=timeout)
    with machine.within(2 * timeout, asked) as response:  # to connect, and to answer
        told = re.match(rf"bytes {offset}-[0-9]+/([0-9]+|\*)", response.headers.get("Content-Range", ""))
        if offset and (response.status_code == 416 or response.status_code == 206 and told is None):
            with _http(url, 0, None, timeout) as anew:  # what has arrived cannot be continued
                yield anew
            return
        _check_answer(url, response, offset)
        start, total = 0, response.raw.length_remaining
        if response.status_code == 206 and told is not None:
            start, total = offset, None if told[1] == "*" else int(told[1])
        etag = response.headers.get("ETag", "")
        # a weak ETag ("W/...") does not promise equal bytes
        current = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        framed = total is not None or response.raw.chunked
        yield _Stream(start, total, framed, current, lambda: response.raw.read1(BLOCK, decode_content=False))


def _check_answer(url: str, response: Any, offset: int) -> None:
    from urllib3 import Retry

    code, headers, path = response.status_code, response.headers, urlsplit(url).path
    if url.startswith("https:") and response.url.startswith("http:"):
        raise _Refused(f"redirects to an address without encryption, {response.url}")
    if code in (408, 425, 429) or code >= 500:
        raise _Transient(f"answers {code} {response.reason}", Retry().get_retry_after(response.raw) or 0.0)
    if code not in ((200, 206) if offset else (200,)):
        raise _Refused(f"answers {code} {response.reason}")
    if headers.get("Content-Type", "").lower().startswith("text/html") and not path.endswith((".html", ".htm", "/")):
        raise _Refused("sends a web page in the place of the file")
    encoding = headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not path.endswith((".gz", ".tgz")):
        raise _Refused(f"sends the file compressed ({encoding}) though it was asked not to")


@contextmanager
def _ftp(url: str, offset: int, tag: str | None, timeout: float) -> Iterator[_Stream]:
    parts, path = urlsplit(url), unquote(urlsplit(url).path)
    with ftplib.FTP(timeout=timeout) as ftp:
        ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
        ftp.login(unquote(parts.username or ""), unquote(parts.password or ""))
        ftp.voidcmd("TYPE I")
        total, current = _fact(ftp, f"SIZE {path}"), _fact(ftp, f"MDTM {path}")
        start = offset if tag is None or tag == current else 0
        connection = ftp.transfercmd(f"RETR {path}", start or None)

        def read() -> bytes:
            block = connection.recv(BLOCK)
            if not block:
                connection.close()
                ftp.voidresp()  # 226 = all sent; a cut transfer answers 4xx or not at all
            return block

        with connection:
            yield _Stream(start, int(total) if total else None, True, current, read)


def _fact(ftp: ftplib.FTP, command: str) -> str | None:
    """Reply to SIZE or MDTM, None where the server does not know the command (or the file, as RETR will tell)."""
    with suppress(ftplib.error_perm):
        return ftp.sendcmd(command).removeprefix("213 ").strip()
    return None


@contextmanager
def _told_apart() -> Iterator[None]:
    """What goes wrong on the line is worth another try, or final."""
    from requests.exceptions import InvalidSchema, InvalidURL, SSLError, TooManyRedirects
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (InvalidSchema, InvalidURL, SSLError, TooManyRedirects, ValueError) as error:  # an address that is none
        raise _Refused(str(error)) from error
    except ftplib.error_perm as error:
        raise _Refused(f"answers {error}") from error
    except (HTTPError, ftplib.Error, EOFError, OSError) as error:  # those of requests are OSErrors
        raise _Transient(str(error) or type(error).__name__) from error
