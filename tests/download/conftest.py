"""A web server on the loopback, for all tests of downloads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import servers


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_PROGRESS", "off")


@pytest.fixture
def web() -> Iterator[servers.Web]:
    with servers.serve_http() as running:
        yield running
