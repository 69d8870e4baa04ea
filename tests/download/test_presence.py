"""A benchmark that is not there is fetched, said aloud, and continued; or it is refused with the line that says yes."""

import hashlib
import io
import tarfile
from pathlib import Path

import layouts
import pytest
from servers import Web, answer, cut

from patchlib import profiles
from patchlib.benchmarks.image_files import NotFetched
from patchlib.download import presence
from patchlib.download.fetch import DownloadError
from patchlib.run import runner

MORE = 44  # about fifty images in all


@pytest.fixture
def published(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """INSTRE and ILIAS as their publishers pack them, on a mirror; nothing in the data folder."""
    instre = layouts.write_instre(tmp_path / "instre", more=MORE)
    web.files["/instre/gnd_instre.mat"] = (instre / "gnd_instre.mat").read_bytes()
    (instre / "gnd_instre.mat").unlink()
    web.files["/instre/instre.tar.gz"] = packed(instre, "gz")
    monkeypatch.setenv("PATCHLIB_MIRROR", web.url)
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path / "data"))
    return web


def packed(folder: Path, kind: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as archive:
        archive.add(folder, ".")
    return buffer.getvalue()


def test_a_small_one_is_fetched_and_a_large_one_asks(published: Web, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"INSTRE.*about 2\.30GB.*free in .*\n.*download=True.*data get instre"):
        assert profiles.open("builtin", benchmark="instre").data
    with pytest.raises(NotFetched, match="data get instre"):
        assert profiles.open("builtin", benchmark="instre", download=False).data
    assert not published.requests
    data = profiles.open("builtin", benchmark="instre", download=True).data
    assert len(data.images) == len(layouts.INSTRE_DATABASE) + MORE and Path(data.image_path(0)).is_file()
    asked = len(published.requests)
    assert presence.load("instre", {}).hash == data.hash and len(published.requests) == asked


def test_a_list_of_the_publisher_is_followed(published: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ilias = layouts.write_ilias(tmp_path / "ilias", lists=False, more=MORE)
    archive = published.files["/ilias/ilias_core.tar"] = packed(ilias, "")
    line = f"{hashlib.sha256(archive).hexdigest()} https://vrg.fel.cvut.cz/ilias_data/ilias_core.tar\n"
    published.files["/ilias/checksums.txt"] = published.files["/checksums.txt"] = line.encode()
    with pytest.raises(FileNotFoundError, match="of unknown size"):
        presence.load("ilias", {})
    data = presence.load("ilias", {}, download=True)
    assert len(data.queries) == 3 and len(data.images) == 3 + MORE


def test_a_folder_of_ones_own_is_never_filled(published: Web, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(NotFetched):
        presence.load("instre", {"root": tmp_path / "mine"}, download=True)
    assert not published.requests


def batch(tmp_path: Path, *only: str, **overrides: object) -> runner.Run:
    (tmp_path / "instre.yaml").write_text("extends: builtin\nbenchmarks: {instre: {}}\nworlds: 0\n")
    return runner.Run(profile=str(tmp_path / "instre.yaml"), overrides=overrides, only=only, out=tmp_path / "out")


def test_a_page_fetches_stops_and_continues(published: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = "/instre/instre.tar.gz"
    published.script[archive] = [cut(1000), answer(404)]
    run = profiles.open("builtin", benchmark="instre", download=True)
    with pytest.raises(DownloadError, match=r"instre\.tar\.gz"):
        assert run.data
    assert len(run.data.images) > MORE and published.ranges(archive)[-1] == "bytes=1000-"
    told = capsys.readouterr().out
    assert "INSTRE: instance-level object retrieval" in told and "No licence is stated" in told


def test_a_batch_lists_fetches_stops_and_continues(
    published: Web, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert runner.reproduce(batch(tmp_path, "03"), dry_run=True) == 0
    assert "would fetch INSTRE" in capfd.readouterr().out and not published.requests
    with pytest.raises(FileNotFoundError, match="download=true"):
        runner.reproduce(batch(tmp_path, "03"))
    archive = "/instre/instre.tar.gz"
    published.script[archive] = [cut(1000), answer(404)]
    run = batch(tmp_path, "01", download=True)
    with pytest.raises(DownloadError, match=r"instre\.tar\.gz"):
        runner.reproduce(run)
    assert runner.reproduce(run) == 0
    assert published.ranges(archive)[-1] == "bytes=1000-"
    told = capfd.readouterr().out
    assert told.index("INSTRE: instance-level object retrieval") < told.index("[1/1] 01_benchmarks")
    assert runner.reproduce(batch(tmp_path, "03", download=True), dry_run=True) == 0
    assert "would fetch" not in capfd.readouterr().out
