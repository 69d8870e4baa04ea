"""One connection to a server: a stream of bytes from an offset, over http(s) or ftp.

Whatever goes wrong becomes one of three things: :class:`Transient` (ask again), :class:`CannotContinue` (ask again from
the start) or :class:`Refused` (this address will not give the file).
"""

from __future__ import annotations

import ftplib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

BLOCK = 1 << 20


class Transient(Exception):
    """Worth another try at the same address, after ``wait`` seconds if the server asked for it."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class CannotContinue(Transient):
    """The server will not, or cannot rightly, continue where the transfer was cut."""


class Refused(Exception):
    """This address will not give the right file however often it is asked."""


@dataclass(frozen=True)
class Stream:
    """An open transfer.

    Attributes:
        start: offset of the first byte that will come: the one asked for, or 0.
        total: length of the whole file, None where the server does not say.
        framed: whether the protocol itself shows a cut (a length, chunks, ftp's closing reply).
        tag: what tells this version of the file from another, None where the server gives nothing of the kind.
        read: the next bytes, empty at the end.
    """

    start: int
    total: int | None
    framed: bool
    tag: str | None
    read: Callable[[], bytes]


def open_stream(url: str, offset: int, tag: str | None, timeout: float) -> AbstractContextManager[Stream]:
    """Connect and ask for the bytes from ``offset`` on.

    Args:
        url: http, https or ftp.
        offset: first byte wanted.
        tag: what the server called this version when the bytes before ``offset`` came; another version starts at 0.
        timeout: seconds to wait for the connection and for each answer.

    Raises:
        Transient, CannotContinue, Refused: on opening, and from ``read``.
    """
    return (_ftp if urlsplit(url).scheme == "ftp" else _http)(url, offset, tag, timeout)


@contextmanager
def _http(url: str, offset: int, tag: str | None, timeout: float) -> Iterator[Stream]:
    import requests

    headers = {"Accept-Encoding": "identity", "User-Agent": "patchlib"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if tag:
            headers["If-Range"] = tag
    with requests.Session() as session:
        with _http_errors():
            response = session.get(url, headers=headers, stream=True, timeout=timeout)

        def read() -> bytes:
            with _http_errors():
                return response.raw.read1(BLOCK, decode_content=False)

        _check_status(url, response, offset)
        chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
        start, total = _extent(response, offset)
        yield Stream(start, None if chunked else total, chunked or total is not None, _tag(response), read)


@contextmanager
def _http_errors() -> Iterator[None]:
    import requests
    import urllib3

    try:
        yield
    except (requests.TooManyRedirects, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise Refused(str(error)) from error
    except requests.exceptions.SSLError as error:
        raise Refused(f"its certificate does not hold: {error}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise Transient(_brief(error)) from error


def _check_status(url: str, response: Any, offset: int) -> None:
    code = response.status_code
    if urlsplit(url).scheme == "https" and urlsplit(response.url).scheme == "http":
        raise Refused(f"redirects to an address without encryption, {response.url}")
    if code == 416 and offset:
        raise CannotContinue("answers 416: there is nothing after what has arrived")
    if code in (408, 425, 429) or code >= 500:
        wait = response.headers.get("Retry-After", "")
        raise Transient(f"answers {code} {response.reason}", float(wait) if wait.isdigit() else 0.0)
    if code not in (200, 206):
        raise Refused(f"answers {code} {response.reason}")
    path = urlsplit(url).path
    if response.headers.get("Content-Type", "").startswith("text/html") and not path.endswith((".html", ".htm", "/")):
        raise Refused("sends a web page in the place of the file")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not path.endswith((".gz", ".tgz")):
        raise Refused(f"sends the file compressed ({encoding}) though it was asked not to")


def _extent(response: Any, offset: int) -> tuple[int, int | None]:
    """Offset of the first byte that will come, and the length of the whole file, from the headers."""
    length = response.headers.get("Content-Length", "")
    if response.status_code == 200:
        return 0, int(length) if length.isdigit() else None
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    span, _, whole = rest.partition("/")
    if unit != "bytes" or span.partition("-")[0] != str(offset):
        raise CannotContinue(f"asked from byte {offset}, got {response.headers.get('Content-Range')!r}")
    if whole.isdigit():
        return offset, int(whole)
    return offset, offset + int(length) if length.isdigit() else None


def _tag(response: Any) -> str | None:
    etag = response.headers.get("ETag", "")
    # a weak ETag ("W/...") does not promise equal bytes
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


@contextmanager
def _ftp(url: str, offset: int, tag: str | None, timeout: float) -> Iterator[Stream]:
    parts = urlsplit(url)
    path = unquote(parts.path)
    with ftplib.FTP(timeout=timeout) as ftp:
        with _ftp_errors():
            ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
            ftp.login(unquote(parts.username or ""), unquote(parts.password or ""))
            ftp.voidcmd("TYPE I")
            total, current = _fact(ftp, f"SIZE {path}"), _fact(ftp, f"MDTM {path}")
            start = offset if tag is None or tag == current else 0
            connection = ftp.transfercmd(f"RETR {path}", start or None)

        def read() -> bytes:
            with _ftp_errors():
                block = connection.recv(BLOCK)
                if not block:
                    connection.close()
                    ftp.voidresp()  # 226 = all sent; a cut transfer answers 4xx or not at all
                return block

        with connection:
            yield Stream(start, int(total) if total else None, True, current, read)


@contextmanager
def _ftp_errors() -> Iterator[None]:
    try:
        yield
    except ftplib.error_perm as error:
        raise Refused(f"answers {error}") from error
    except (ftplib.Error, EOFError, OSError) as error:
        raise Transient(_brief(error)) from error


def _fact(ftp: ftplib.FTP, command: str) -> str | None:
    """Reply to SIZE or MDTM, None where the server does not know the command."""
    try:
        return ftp.sendcmd(command).removeprefix("213 ").strip()
    except ftplib.error_perm as error:
        if str(error).startswith("550"):  # no such file
            raise
        return None


def _brief(error: BaseException) -> str:
    text = str(error)
    return (
        "no answer in time" if isinstance(error, TimeoutError) or "timed out" in text else text or type(error).__name__
    )
