"""The archive of a checkout: everything that is committed, its hashes, and the same bytes again."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from patchlib.run import archive
from patchlib.support import paths


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    (root / "figures").mkdir(parents=True)
    (root / "figures" / "fig_x.json").write_text("{}")
    (root / ".gitignore").write_text("cache\n")
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "All of it"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    monkeypatch.setattr(paths, "checkout", lambda what: root)
    monkeypatch.setenv("PATCHLIB_CACHE", str(root / "cache"))
    return root


def test_everything_committed_is_in_it_with_its_hash(checkout: Path, tmp_path: Path) -> None:
    (checkout / "thesis.txt").write_text("not committed")
    made = archive.build(tmp_path / "a")
    with zipfile.ZipFile(made) as file:
        content = {name.removeprefix(f"{made.stem}/"): file.read(name) for name in file.namelist()}
    assert set(content) == {".gitignore", "figures/fig_x.json", "SHA256SUMS"}
    sums = dict(line.split("  ")[::-1] for line in content.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    assert archive.build(tmp_path / "b").read_bytes() == made.read_bytes()


def test_features_come_along_where_a_checkout_looks_for_them(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make reproduce"):
        archive.build(tmp_path, features=True)
    (checkout / "cache" / "features").mkdir(parents=True)
    (checkout / "cache" / "features" / "rows.npy").write_bytes(b"rows")
    made = archive.build(tmp_path, features=True)
    assert f"{made.stem}/cache/features/rows.npy" in zipfile.ZipFile(made).namelist()


def test_what_is_not_committed_is_no_archive(checkout: Path, tmp_path: Path) -> None:
    (checkout / "figures" / "fig_x.json").write_text("[]")
    with pytest.raises(ValueError, match=r"figures/fig_x\.json first; commit"):
        archive.build(tmp_path)
