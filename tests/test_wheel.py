"""The wheel works outside a checkout: what ships is found in it, what is made goes to the current folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from patchlib.support import paths


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to import from that holds the installed wheel alone; all else is imported as ever."""
    folder = tmp_path_factory.mktemp("wheel")
    _python(folder, "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=paths.root())
    (wheel,) = folder.glob("patchlib-*.whl")
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-compile")
    _python(folder, "pip", "install", *quiet, "--target", str(folder / "site-packages"), str(wheel))
    return folder / "site-packages"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """The folder in which a command runs; the user's own folders lie beside it."""
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def _python(folder: Path, module: str, *arguments: str, cwd: Path | None = None, **moved: str) -> str:
    """What a program prints, started where nothing says where a checkout's things are."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PATCHLIB_", "XDG_"))}
    home = {"HOME": str(folder.parent / "home"), "PYTHONDONTWRITEBYTECODE": "1", "PATCHLIB_PROGRESS": "off"}
    line, environment = [sys.executable, "-m", module, *arguments], {**inherited, **home, **moved}
    done = subprocess.run(line, cwd=cwd or folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_page_is_run_in_an_empty_folder(installed: Path, empty: Path) -> None:
    before = _files(installed)
    computed = {"PATCHLIB_DATA": str(paths.data()), "PATCHLIB_CACHE": str(paths.cache())}  # of this machine: warm
    told = _python(empty, "patchlib", "reproduce", "--only", "00", PYTHONPATH=str(installed), **computed)
    assert "wrote 1 notebook in build/builtin/notebooks, figures and tables in figures" in told
    made = ["build/builtin/notebooks/00_start_here.ipynb", *(f"figures/fig_1_teaser.{end}" for end in ("json", "pdf"))]
    assert set(made) < set(_files(empty))
    assert _files(installed) == before


def test_what_can_be_had_again_goes_to_the_users_own_folders(installed: Path, empty: Path) -> None:
    before, photographs = _files(installed), empty.parent / "photographs"
    photographs.mkdir()
    for picture, colour in ((photographs / "a.png", "red"), (photographs / "b.png", "blue"), (empty / "q.png", "red")):
        Image.new("RGB", (64, 64), colour).save(picture)
    asked = ("search", "q.png", str(photographs), "--encoder", "colour-histogram", "--html", "found.html")
    assert "a.png" in _python(empty, "patchlib", *asked, PYTHONPATH=str(installed)).splitlines()[2]
    assert any("patchlib/features" in name.lower() for name in _files(empty.parent / "home"))
    assert _files(empty) == ["found.html", "q.png"] and _files(installed) == before


def test_what_ships_is_found(installed: Path, empty: Path) -> None:
    assert "instre" in _python(empty, "patchlib", "data", "list", PYTHONPATH=str(installed))
    packed = installed / "patchlib" / paths.LIFTED
    assert (packed / paths.MANIFEST).read_bytes() == (paths.root() / paths.MANIFEST).read_bytes()
    for folder, kind in (("notebooks", "*.ipynb"), ("figures", "*.json"), ("site", "[!_.]*.*")):
        expected = {path.relative_to(paths.root()) for path in (paths.root() / folder).rglob(kind)}
        assert {path.relative_to(packed) for path in (packed / folder).rglob(kind)} == expected
