"""Where things live."""

from pathlib import Path

import pytest

from patchlib.support import paths

MOVED = {"PATCHLIB_FIGURES": paths.figures, "PATCHLIB_DATA": paths.data, "PATCHLIB_CACHE": paths.cache}


def test_root_is_the_checkout() -> None:
    assert (paths.root() / "patchlib" / "__init__.py").is_file()
    assert paths.notebooks() == paths.root() / "notebooks"


@pytest.mark.parametrize("variable", MOVED)
@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("{tmp}/elsewhere", "{tmp}/elsewhere"),
        ("here", "{tmp}/here"),  # relative to where the program runs
        ("~/there", "{tmp}/there"),
        ("", "{default}"),
        (None, "{default}"),
    ],
)
def test_environment_moves_a_place_and_nothing_is_created(
    variable: str, value: str | None, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value.format(tmp=tmp_path))
    default = paths.root() / variable.removeprefix("PATCHLIB_").lower()
    assert MOVED[variable]() == Path(place.format(tmp=tmp_path, default=default))
    assert list(tmp_path.iterdir()) == []
