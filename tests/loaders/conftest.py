"""Tests of loaders never touch the cache of the person who runs them."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
