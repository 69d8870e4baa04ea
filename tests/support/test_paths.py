"""Where things live."""

from pathlib import Path

import pytest

from patchlib.support import paths, provenance

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


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package without a checkout around it, and a current folder; the user's own folders lie beside them."""
    package, here = tmp_path / "site-packages" / "patchlib", tmp_path / "here"
    here.mkdir()
    monkeypatch.setattr(paths, "PACKAGE", package)
    monkeypatch.chdir(here)
    for variable in (*MOVED, "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    return here


def test_outside_a_checkout_what_ships_is_read_and_what_is_made_goes_elsewhere(installed: Path) -> None:
    user, package = installed.parent / "user", installed.parent / "site-packages" / "patchlib"
    assert paths.shipped() == package / paths.LIFTED and paths.notebooks() == paths.shipped() / "notebooks"
    assert paths.root() == installed and paths.figures() == installed / "figures"
    assert user in paths.data().parents and user in paths.cache().parents and paths.data() != paths.cache()
    assert list(installed.parent.rglob("*")) == [installed]


def test_in_a_copy_of_the_notebooks_things_are_made_beside_it(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installed / "notebooks" / "course").mkdir(parents=True)
    monkeypatch.chdir(installed / "notebooks" / "course")
    assert paths.root() == Path.cwd()
    (installed / "notebooks" / paths.FIRST).touch()
    assert paths.root() == installed


def test_what_needs_a_checkout_says_so(installed: Path) -> None:
    with pytest.raises(ValueError, match="all of it needs a checkout .git clone.; .*site-packages"):
        paths.checkout("all of it")
    assert provenance.git_commit() is None
