"""One connection to a server, or to a file at hand: a stream of bytes from an offset.

Whatever goes wrong on the line becomes one of two things: :class:`Transient` (ask again) or :class:`Refused`.
"""

from __future__ import annotations

import ftplib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import requests

BLOCK = 1 << 20


class Refused(Exception):
    """This address will not give the right file however often it is asked."""


class Transient(Exception):
    """Worth another try at the same address: after ``wait`` seconds, and from the start if ``anew``."""

    def __init__(self, reason: str, wait: float = 0.0, anew: bool = False):
        super().__init__(reason)
        self.wait, self.anew = wait, anew


class Stream(NamedTuple):
    """An open transfer."""

    start: int  # offset of the first byte that will come: the one asked for, or 0
    total: int | None  # length of the whole file, None where the server does not say
    framed: bool  # whether the protocol itself shows a cut (a length, chunks, ftp's closing reply)
    tag: str | None  # tells this version of the file from another, None where the server gives nothing of the kind
    read: Callable[[], bytes]  # the next bytes, empty at the end


def connect(url: str, offset: int, tag: str | None, timeout: float) -> AbstractContextManager[Stream]:
    """Ask for the bytes from ``offset`` on.

    Args:
        url: http, https or ftp; or the path of a file.
        offset: first byte wanted.
        tag: of the version that the bytes before ``offset`` belong to; another version starts at 0.
        timeout: seconds to wait for the connection and for each answer.

    Raises:
        Transient, Refused: on opening, and from ``read``.
    """
    kinds = {"http": _http, "https": _http, "ftp": _ftp}
    return kinds.get(urlsplit(url).scheme, _file)(url, offset, tag, timeout)


@contextmanager
def _file(path: str, offset: int, tag: str | None, timeout: float) -> Iterator[Stream]:
    if not os.path.isfile(path):
        raise Refused("is not there")
    with open(path, "rb") as file:
        file.seek(offset)
        yield Stream(offset, os.fstat(file.fileno()).st_size, True, None, lambda: file.read(BLOCK))


@contextmanager
def _http(url: str, offset: int, tag: str | None, timeout: float) -> Iterator[Stream]:
    import requests

    headers = {"Accept-Encoding": "identity", "User-Agent": "patchlib"}
    if offset:
        headers |= {"Range": f"bytes={offset}-"} | ({"If-Range": tag} if tag else {})
    with requests.Session() as session:
        with _told_apart():
            response = session.get(url, headers=headers, stream=True, timeout=timeout)

        def read() -> bytes:
            with _told_apart():
                return response.raw.read1(BLOCK, decode_content=False)

        _check_status(url, response, offset)
        start, total = _extent(response, offset)
        chunked = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
        etag = response.headers.get("ETag", "")
        # a weak ETag ("W/...") does not promise equal bytes
        current = etag if etag.startswith('"') else response.headers.get("Last-Modified")
        yield Stream(start, None if chunked else total, chunked or total is not None, current, read)


def _check_status(url: str, response: requests.Response, offset: int) -> None:
    code, headers, path = response.status_code, response.headers, urlsplit(url).path
    if urlsplit(url).scheme == "https" and urlsplit(response.url).scheme == "http":
        raise Refused(f"redirects to an address without encryption, {response.url}")
    if code == 416 and offset:
        raise Transient("answers 416: there is nothing after what has arrived", anew=True)
    if code in (408, 425, 429) or code >= 500:
        wait = headers.get("Retry-After", "")
        raise Transient(f"answers {code} {response.reason}", float(wait) if wait.isdecimal() else 0.0)
    if code not in (200, 206):
        raise Refused(f"answers {code} {response.reason}")
    if headers.get("Content-Type", "").startswith("text/html") and not path.endswith((".html", ".htm", "/")):
        raise Refused("sends a web page in the place of the file")
    encoding = headers.get("Content-Encoding", "identity")
    if encoding != "identity" and not path.endswith((".gz", ".tgz")):
        raise Refused(f"sends the file compressed ({encoding}) though it was asked not to")


def _extent(response: requests.Response, offset: int) -> tuple[int, int | None]:
    """Offset of the first byte that will come, and the length of the whole file, from the headers."""
    length = response.headers.get("Content-Length", "")
    coming = int(length) if length.isdecimal() else None
    if response.status_code == 200:
        return 0, coming
    told = response.headers.get("Content-Range", "")
    span = re.match(rf"bytes {offset}-[^/]*(?:/([0-9]+))?", told)
    if span is None:
        raise Transient(f"asked from byte {offset}, got {told!r}", anew=True)
    if span[1]:
        return offset, int(span[1])
    return offset, None if coming is None else offset + coming


@contextmanager
def _ftp(url: str, offset: int, tag: str | None, timeout: float) -> Iterator[Stream]:
    parts = urlsplit(url)
    path = unquote(parts.path)
    with ftplib.FTP(timeout=timeout) as ftp:
        with _told_apart():
            ftp.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
            ftp.login(unquote(parts.username or ""), unquote(parts.password or ""))
            ftp.voidcmd("TYPE I")
            total, current = _fact(ftp, f"SIZE {path}"), _fact(ftp, f"MDTM {path}")
            start = offset if tag is None or tag == current else 0
            connection = ftp.transfercmd(f"RETR {path}", start or None)

        def read() -> bytes:
            with _told_apart():
                block = connection.recv(BLOCK)
                if not block:
                    connection.close()
                    ftp.voidresp()  # 226 = all sent; a cut transfer answers 4xx or not at all
                return block

        with connection:
            yield Stream(start, int(total) if total else None, True, current, read)


def _fact(ftp: ftplib.FTP, command: str) -> str | None:
    """Reply to SIZE or MDTM, None where the server does not know the command (or the file, as RETR will tell)."""
    try:
        return ftp.sendcmd(command).removeprefix("213 ").strip()
    except ftplib.error_perm:
        return None


@contextmanager
def _told_apart() -> Iterator[None]:
    """What goes wrong on the line is worth another try, or final."""
    import requests
    import urllib3
    from requests import exceptions as final

    try:
        yield
    except (final.TooManyRedirects, final.InvalidURL, final.InvalidSchema, final.SSLError) as error:
        raise Refused(str(error)) from error
    except ftplib.error_perm as error:
        raise Refused(f"answers {error}") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ftplib.Error, EOFError, OSError) as error:
        late = isinstance(error, TimeoutError) or "timed out" in str(error)
        raise Transient("no answer in time" if late else str(error) or type(error).__name__) from error
