"""Where things live."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchlib.support import paths

MOVED = {"PATCHLIB_FIGURES": paths.figures, "PATCHLIB_DATA": paths.data, "PATCHLIB_CACHE": paths.cache}


def test_root_is_the_checkout() -> None:
    assert (paths.root() / "patchlib" / "__init__.py").is_file()
    assert paths.notebooks() == paths.root() / "notebooks"


@pytest.mark.parametrize("variable", MOVED)
def test_environment_moves_a_place_and_nothing_is_created(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert MOVED[variable]() == tmp_path / "elsewhere"
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("variable", MOVED)
@pytest.mark.parametrize("value", [None, ""])
def test_default_places_lie_in_the_checkout(variable: str, value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)
    assert MOVED[variable]() == paths.root() / variable.removeprefix("PATCHLIB_").lower()


def test_a_relative_place_becomes_absolute_and_a_tilde_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATCHLIB_CACHE", "here")
    assert paths.cache() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATCHLIB_CACHE", "~/there")
    assert paths.cache() == tmp_path / "there"
