"""The internet, played on the loopback, on its bad days: an HTTP and an FTP server that misbehave as told."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

Behaviour = Callable[["Handler", bytes], None]


class Web:
    """Files to serve, what to do at each request of a path (in turn; then behave well), and what was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.script: dict[str, list[Behaviour]] = defaultdict(list)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()  # ends all stalls when a test ends
        self.url = ""

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of every request for a path."""
        return [headers.get("Range") for asked, headers in self.requests if asked == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        self.web.requests.append((self.path, dict(self.headers)))
        todo = self.web.script[self.path]
        body = self.web.files.get(self.path)
        self.close_connection = True
        if todo:
            todo.pop(0)(self, body or b"")
        elif body is None:
            self.head(404, 0)
        else:
            well(self, body)

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for key, value in {"Connection": "close", **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(OSError):  # the client may go away
            super().handle()


def tag_of(body: bytes) -> str:
    return f'"{hash(body) & 0xFFFFFFFF:08x}"'


def well(handler: Handler, body: bytes, *, cut: int | None = None, tag: bool = True) -> None:
    """Serve a file as a good server does, with ranges; ``cut`` ends the connection after so many bytes."""
    asked = handler.headers.get("Range", "")
    extra = {"ETag": tag_of(body)} if tag else {}
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    if handler.headers.get("If-Range", tag_of(body)) != tag_of(body):
        start = 0
    if start >= len(body) > 0:
        handler.head(416, 0, Content_Range=f"bytes */{len(body)}")
        return
    if start:
        extra["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
    handler.head(206 if start else 200, len(body) - start, **extra)
    handler.wfile.write(body[start:][:cut])


def cut(after: int, tag: bool = True) -> Behaviour:
    """Send the right headers, then only so many bytes."""
    return lambda handler, body: well(handler, body, cut=after, tag=tag)


def ignore_range(handler: Handler, body: bytes) -> None:
    handler.head(200, len(body), ETag=tag_of(body))
    handler.wfile.write(body)


def announce(length: int) -> Behaviour:
    """Send the whole file, but say another length."""

    def behave(handler: Handler, body: bytes) -> None:
        handler.head(200, length)
        handler.wfile.write(body)

    return behave


def without_length(handler: Handler, body: bytes) -> None:
    handler.head(200, None)
    handler.wfile.write(body)


def chunked(cut_after: int | None = None) -> Behaviour:
    """Send in chunks of 1000 bytes; with ``cut_after``, without the closing one."""

    def behave(handler: Handler, body: bytes) -> None:
        handler.head(200, None, Transfer_Encoding="chunked")
        for start in range(0, len(body[:cut_after]), 1000):
            part = body[:cut_after][start : start + 1000]
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        if cut_after is None:
            handler.wfile.write(b"0\r\n\r\n")

    return behave


def answer(status: int, **headers: str) -> Behaviour:
    """A status without a body, e.g. ``answer(429, Retry_After="0")`` or ``answer(302, Location="/other")``."""
    return lambda handler, body: handler.head(status, 0, **headers)


def other(content: bytes, **headers: str) -> Behaviour:
    """Another file."""

    def behave(handler: Handler, body: bytes) -> None:
        handler.head(200, len(content), **headers)
        handler.wfile.write(content)

    return behave


def drip_header(handler: Handler, body: bytes) -> None:
    """A header that comes byte by byte and has no end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.web.over.wait(0.05):
        handler.wfile.write(b".")
        handler.wfile.flush()


def stall(after: int) -> Behaviour:
    """Send so many bytes, then nothing more, and keep the connection."""

    def behave(handler: Handler, body: bytes) -> None:
        handler.head(200, len(body), ETag=tag_of(body))
        handler.wfile.write(body[:after])
        handler.wfile.flush()
        handler.web.over.wait(20)

    return behave


def drip(handler: Handler, body: bytes) -> None:
    """One byte every tenth of a second: never a time-out, never an end."""
    handler.head(200, len(body), ETag=tag_of(body))
    for value in body[:200]:
        handler.wfile.write(bytes([value]))
        handler.wfile.flush()
        if handler.web.over.wait(0.1):
            return


def wrong_range(handler: Handler, body: bytes) -> None:
    """Claim to continue, but from another place."""
    handler.head(206, len(body) - 10, Content_Range=f"bytes 10-{len(body) - 1}/{len(body)}", ETag=tag_of(body))
    handler.wfile.write(body[10:])


@contextmanager
def serve_http() -> Iterator[Web]:
    web = Web()
    handler = type("BoundHandler", (Handler,), {"web": web})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Ftp:
    """A folder served by ftp; ``cuts`` are how many bytes to give of each coming transfer before it breaks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, ""
        self.cuts: list[int] = []


class _CutFile:
    def __init__(self, file, left: int) -> None:
        self.file, self.left = file, left

    def read(self, size: int) -> bytes:
        if self.left <= 0:
            raise OSError("the line is dead")
        block = self.file.read(min(size, self.left))
        self.left -= len(block)
        return block

    def __getattr__(self, name: str):
        return getattr(self.file, name)


@contextmanager
def serve_ftp(folder: Path) -> Iterator[Ftp]:
    ftp = Ftp(folder)

    class Files(AbstractedFS):
        def open(self, filename, mode):
            file = super().open(filename, mode)
            return _CutFile(file, ftp.cuts.pop(0)) if ftp.cuts else file

    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(str(folder))
    names = {"authorizer": authorizer, "abstracted_fs": Files, "use_sendfile": False, "banner": "ready"}
    server = ThreadedFTPServer(("127.0.0.1", 0), type("BoundFtp", (FTPHandler,), names))
    ftp.url = f"ftp://127.0.0.1:{server.address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"timeout": 0.05, "handle_exit": False}, daemon=True)
    thread.start()
    try:
        yield ftp
    finally:
        server.close_all()
        thread.join(5)
