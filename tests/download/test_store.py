"""From a manifest to verified files: mirrors, copies at hand, pins, interrupted calls, full disks."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import zipfile
from collections import namedtuple

import pytest
import servers
from filelock import FileLock

from patchlib.download import store
from patchlib.download.fetch import DownloadError, RetryPolicy
from patchlib.download.manifest import Entry, File, Listing
from patchlib.download.store import FetchOptions
from patchlib.download.unpack import ArchiveError

QUICK = RetryPolicy(attempts=2, timeout=0.4, backoff=0.01)
FILES = {"set/a.txt": b"aaa", "set/b.txt": b"bbbb", "readme": b"r"}


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


ARCHIVE = zipped(FILES)
TABLE = b"0 1 2\n"


@pytest.fixture
def web(web):
    web.files |= {"/x.zip": ARCHIVE, "/table.txt": TABLE}
    return web


def entry(web=None, **changes):
    base = web.url if web else "http://127.0.0.1:9"
    facts = {
        "name": "thing",
        "kind": "benchmark",
        "title": "T",
        "home": base,
        "licence": "MIT",
        "citation": "@misc{t}",
        "folder": "things",
        "verified": "-",
        "files": (
            File(name="x.zip", urls=(f"{base}/x.zip",), unpack="zip"),
            File(name="table.txt", urls=(f"{base}/table.txt",)),
        ),
    }
    return Entry(**{**facts, **changes})


def get(thing, data, **options):
    store.get(thing, data, FetchOptions(retry=QUICK, **options))


def visible(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in found)
    return sorted(name for name in names if not name.startswith(".patchlib"))


def test_get_unpacks_pins_and_marks(web, tmp_path, capsys):
    thing = entry(web)
    assert store.state(thing, tmp_path) == "-"
    get(thing, tmp_path)
    assert visible(tmp_path / "things") == ["readme", "set/a.txt", "set/b.txt", "table.txt"]
    assert store.state(thing, tmp_path) == "complete"
    assert store.verify(thing, tmp_path) == {}
    pins = store.read_pins(tmp_path)
    assert {key: pins[key]["sha256"] for key in pins} == {
        "thing/x.zip": hashlib.sha256(ARCHIVE).hexdigest(),
        "thing/table.txt": hashlib.sha256(TABLE).hexdigest(),
    }
    asked = len(web.requests)
    get(thing, tmp_path)
    assert "--force" in capsys.readouterr().out.splitlines()[-1]
    assert len(web.requests) == asked


def test_a_hash_of_the_manifest_is_not_pinned(web, tmp_path):
    file = File(name="table.txt", urls=(f"{web.url}/table.txt",), sha256=hashlib.sha256(TABLE).hexdigest())
    get(entry(web, files=(file,)), tmp_path)
    assert store.read_pins(tmp_path) == {}


def test_verify_names_what_misses_and_differs(web, tmp_path):
    thing = entry(web)
    get(thing, tmp_path)
    (tmp_path / "things/set/a.txt").unlink()
    (tmp_path / "things/set/b.txt").write_bytes(b"BBBB")
    (tmp_path / "things/table.txt").write_bytes(b"longer than before")
    assert store.verify(thing, tmp_path) == {
        "set/a.txt": "is missing",
        "set/b.txt": "has other content than when it was fetched",
        "table.txt": "has 18 bytes, expected 6",
    }
    assert set(store.verify(thing, tmp_path, quick=True)) == {"set/a.txt", "table.txt"}


def test_verify_of_what_was_never_fetched(tmp_path):
    with pytest.raises(FileNotFoundError, match="data get thing"):
        store.verify(entry(), tmp_path)


def test_another_file_than_the_pinned_one(web, tmp_path):
    thing = entry(web)
    get(thing, tmp_path)
    web.files["/table.txt"] = b"changed"
    shutil.rmtree(tmp_path / "things")
    with pytest.raises(DownloadError, match="pinned in .*data_manifest.lock.*\n?.*--force"):
        get(thing, tmp_path)
    assert "table.txt" not in visible(tmp_path / "things")
    get(thing, tmp_path, force=True)
    assert (tmp_path / "things/table.txt").read_bytes() == b"changed"
    assert store.read_pins(tmp_path)["thing/table.txt"]["bytes"] == 7


def test_force_replaces_what_an_archive_held(web, tmp_path):
    thing = entry(web)
    get(thing, tmp_path)
    web.files["/x.zip"] = zipped({"set/new.txt": b"n", "readme": b"r2"})
    get(thing, tmp_path, force=True)
    assert visible(tmp_path / "things") == ["readme", "set/new.txt", "table.txt"]
    assert store.verify(thing, tmp_path) == {}


def test_a_damaged_archive_is_neither_kept_nor_pinned(web, tmp_path):
    # the server cuts the archive and lies about its length; nothing published tells
    web.script["/x.zip"] = [servers.other(ARCHIVE[:-30])]
    with pytest.raises(ArchiveError, match=r"x\.zip cannot be unpacked"):
        get(entry(web), tmp_path)
    assert visible(tmp_path / "things") == []
    assert store.read_pins(tmp_path) == {}
    get(entry(web), tmp_path)
    assert store.state(entry(web), tmp_path) == "complete"


def test_a_call_killed_while_unpacking_does_not_download_again(web, tmp_path, monkeypatch):
    thing = entry(web)

    def killed(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        get(thing, tmp_path)
    monkeypatch.undo()
    assert store.state(thing, tmp_path) == "-"
    get(thing, tmp_path)
    assert [path for path, _ in web.requests] == ["/x.zip", "/table.txt"]
    assert visible(tmp_path / "things") == ["readme", "set/a.txt", "set/b.txt", "table.txt"]


def test_a_call_killed_while_moving_is_finished_by_the_next(web, tmp_path, monkeypatch):
    thing = entry(web)
    moves = []

    def killed_at_the_second(source, target):
        if "unpacking" in str(source):
            moves.append(target)
            if len(moves) == 2:
                raise KeyboardInterrupt
        replace(source, target)

    replace = os.replace
    monkeypatch.setattr(store.os, "replace", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        get(thing, tmp_path)
    monkeypatch.undo()
    assert store.state(thing, tmp_path) == "-"
    assert (tmp_path / "things/readme").exists() and not (tmp_path / "things/set").exists()
    get(thing, tmp_path)
    assert visible(tmp_path / "things") == ["readme", "set/a.txt", "set/b.txt", "table.txt"]
    assert store.verify(thing, tmp_path) == {}


def test_files_of_someone_else_are_not_overwritten(web, tmp_path):
    (tmp_path / "things/set").mkdir(parents=True)
    (tmp_path / "things/set/mine.txt").write_text("mine")
    with pytest.raises(DownloadError, match="did not put it there; move it away"):
        get(entry(web), tmp_path)
    assert (tmp_path / "things/set/mine.txt").read_text() == "mine"


def test_keep_makes_a_mirror_for_others(web, tmp_path):
    get(entry(web), tmp_path / "teacher", keep=True)
    assert "x.zip" in visible(tmp_path / "teacher/things")
    offline = entry()
    get(offline, tmp_path / "pupil", source=str(tmp_path / "teacher"))
    assert visible(tmp_path / "pupil/things") == ["readme", "set/a.txt", "set/b.txt", "table.txt"]
    assert store.verify(offline, tmp_path / "pupil") == {}


@pytest.mark.parametrize("under", ["things/", ""])
def test_a_mirror_by_address(tmp_path, under):
    with servers.serve_http() as mirror:
        mirror.files |= {f"/m/{under}x.zip": ARCHIVE, f"/m/{under}table.txt": TABLE}
        get(entry(), tmp_path / "a", source=f"{mirror.url}/m/")
        get(entry(), tmp_path / "b", mirror=f"{mirror.url}/m")
    assert store.state(entry(), tmp_path / "a") == store.state(entry(), tmp_path / "b") == "complete"


@pytest.mark.parametrize("place", ["address", "folder"])
def test_a_mirror_without_the_file_is_passed_over(web, tmp_path, place):
    (tmp_path / "empty").mkdir()
    mirror = f"{web.url}/nothing" if place == "address" else str(tmp_path / "empty")
    get(entry(web), tmp_path / "data", mirror=mirror)
    assert store.state(entry(web), tmp_path / "data") == "complete"


def test_from_a_folder_that_lacks_a_file_says_where_it_looked(tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/x.zip").write_bytes(ARCHIVE)
    with pytest.raises(DownloadError, match="(?s)could not fetch table.txt; .*copy/things/table.txt: is not there"):
        get(entry(), tmp_path / "data", source=str(tmp_path / "copy"))


def test_from_one_file(tmp_path):
    path = tmp_path / "renamed-by-the-browser (1).zip"
    path.write_bytes(ARCHIVE)
    get(entry(files=entry().files[:1]), tmp_path / "data", source=str(path))
    assert visible(tmp_path / "data/things") == ["readme", "set/a.txt", "set/b.txt"]
    assert path.exists()
    with pytest.raises(DownloadError, match="also needs table.txt"):
        get(entry(), tmp_path / "other", source=str(path))


def test_from_a_wrong_file(tmp_path):
    (tmp_path / "x.zip").write_bytes(ARCHIVE)
    for facts, message in (({"sha256": "0" * 64}, "sends another file"), ({"bytes": 5}, "expected 5")):
        file = File(name="x.zip", urls=("http://127.0.0.1:9/x.zip",), unpack="zip", **facts)
        with pytest.raises(DownloadError, match=message):
            get(entry(files=(file,)), tmp_path / "data", source=str(tmp_path / "x.zip"))


def test_a_full_disk_is_noticed_before(web, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage)
    file = File(name="x.zip", urls=(f"{web.url}/x.zip",), unpack="zip", bytes=600, unpacked_bytes=500)
    with pytest.raises(DownloadError, match="needs 1.10kB while it unpacks, but .* has 1.00kB free"):
        get(entry(web, files=(file,)), tmp_path)
    assert web.requests == []


SHARDS = {f"yfcc100m_{i:05d}.tar": bytes([i]) * 50 for i in range(4)}


@pytest.fixture
def listed(web):
    lines = []
    for name, content in SHARDS.items():
        web.files[f"/data/yfcc100m/{name}"] = content
        lines.append(f"{hashlib.sha256(content).hexdigest()}  {web.url}/data/yfcc100m/{name}\n")
    lines.append(f"{'0' * 64}  {web.url}/data/core.tar\n")
    web.files["/data/checksums.txt"] = "".join(lines).encode()
    listing = Listing(format="checksums", url=f"{web.url}/data/checksums.txt", match="*yfcc*.tar", folder="yfcc100m")
    return entry(web, files=(), listing=listing)


def test_shards_by_the_publishers_checksums(web, tmp_path, listed):
    get(listed, tmp_path, limit=1)
    assert visible(tmp_path / "things") == ["yfcc100m/yfcc100m_00000.tar"]
    assert store.state(listed, tmp_path) == "1 of ? files"
    get(listed, tmp_path, only="*_00002*")
    get(listed, tmp_path)
    assert store.state(listed, tmp_path) == "complete"
    assert [path for path, _ in web.requests if path.endswith(".tar")].count("/data/yfcc100m/yfcc100m_00000.tar") == 1
    assert store.read_pins(tmp_path) == {}


def test_a_shard_that_is_not_what_the_checksums_say(web, tmp_path, listed):
    web.files["/data/yfcc100m/yfcc100m_00001.tar"] = b"?" * 50
    with pytest.raises(DownloadError, match="another file"):
        get(listed, tmp_path)
    assert store.state(listed, tmp_path) == "1 of 4 files"


def test_two_at_once(web, tmp_path):
    lock = tmp_path / "things/.patchlib/thing.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(DownloadError, match="another process"):
        get(entry(web), tmp_path)
    get(entry(web), tmp_path)


def test_shards_from_a_copy(tmp_path, listed, web):
    (tmp_path / "copy/yfcc100m").mkdir(parents=True)
    for name, content in SHARDS.items():
        (tmp_path / "copy/yfcc100m" / name).write_bytes(content)
    get(listed, tmp_path / "data", source=str(tmp_path / "copy"))
    assert store.state(listed, tmp_path / "data") == "complete"
    assert web.requests == []


def test_a_list_leads_to_its_server_and_never_to_our_own_files(web, tmp_path, listed):
    secret = tmp_path / "yfcc_secret.tar"
    secret.write_bytes(b"s")
    digest = hashlib.sha256(b"s").hexdigest()
    web.files["/data/yfcc1.tar"] = b"s"
    web.files["/data/checksums.txt"] = f"{digest} yfcc1.tar\n{digest} {secret}\n".encode()
    with pytest.raises(DownloadError, match="(?s)could not fetch yfcc_secret.tar; .*/yfcc_secret.tar: answers 404"):
        get(listed, tmp_path / "out")
    assert visible(tmp_path / "out/things") == ["yfcc100m/yfcc1.tar"]


def test_a_damaged_list_of_checksums(web, tmp_path, listed):
    web.files["/data/checksums.txt"] = b"not a hash http://x/yfcc100m_1.tar\n"
    with pytest.raises(ValueError, match="expected 'sha256 address'"):
        get(listed, tmp_path)


def test_files_of_a_directory_page(web, tmp_path):
    page = '<a href="../">up</a><a href="b%20b.hdf5">b</a><a href="a.hdf5">a</a><a href="http://else.org/c.hdf5">c</a>'
    page += '<a href="sub/">s</a><a href="?C=N">sort</a><a href="readme.txt">r</a>'
    web.script["/f/"] = [servers.other(page.encode(), Content_Type="text/html")] * 2
    web.files |= {"/f/a.hdf5": b"a", "/f/b%20b.hdf5": b"b"}
    listing = Listing(format="index", url=f"{web.url}/f/", match="*.hdf5", folder="features")
    get(entry(web, files=(), listing=listing), tmp_path)
    assert visible(tmp_path / "things") == ["features/a.hdf5", "features/b b.hdf5"]


def test_a_pattern_that_fits_nothing(web, tmp_path):
    with pytest.raises(ValueError, match="no file of thing matches '.*siglip.*'; the files there: x.zip, table.txt"):
        get(entry(web), tmp_path, only="*siglip*")


@pytest.mark.parametrize("text", ["a: [", "a: 3", "a: {sha256: short}", "- a"])
def test_a_damaged_lock(tmp_path, text):
    (tmp_path / "data_manifest.lock").write_text(text)
    with pytest.raises(ValueError, match="data_manifest.lock is damaged"):
        store.read_pins(tmp_path)
