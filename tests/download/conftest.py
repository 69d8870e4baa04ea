"""The internet on the loopback, for all tests of downloads."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers

logging.getLogger("pyftpdlib").setLevel(logging.CRITICAL)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATCHLIB_PROGRESS", "off")
    monkeypatch.delenv("PATCHLIB_MIRROR", raising=False)


@pytest.fixture
def web() -> Iterator[servers.Web]:
    with servers.serve_http() as running:
        yield running


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[servers.Ftp]:
    (tmp_path / "ftp").mkdir()
    with servers.serve_ftp(tmp_path / "ftp") as running:
        yield running
