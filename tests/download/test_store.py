"""From a manifest to verified files: mirrors, copies at hand, pins, interrupted calls, full disks."""

import hashlib
import io
import os
import shutil
import zipfile
from collections import namedtuple
from dataclasses import replace

import pytest
import servers
from filelock import FileLock

from patchlib.download import store
from patchlib.download.fetch import DownloadError, RetryPolicy
from patchlib.download.manifest import Entry, File, Listing
from patchlib.download.unpack import ArchiveError

QUICK = RetryPolicy(attempts=2, timeout=0.4, backoff=0.01)
TABLE = b"0 1 2\n"
WHOLE = ["readme", "set/a.txt", "set/b.txt", "table.txt"]
FACTS = {"kind": "benchmark", "title": "T", "home": "h", "licence": "MIT", "citation": "@misc{t}", "verified": "-"}
OFFLINE = Entry(
    name="thing",
    folder="things",
    files=(
        File(name="x.zip", urls=("http://127.0.0.1:9/x.zip",), unpack="zip"),
        File(name="table.txt", urls=("http://127.0.0.1:9/table.txt",)),
    ),
    **FACTS,
)


def sha(content):
    return hashlib.sha256(content).hexdigest()


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


ARCHIVE = zipped(**{"set/a.txt": b"aaa", "set/b.txt": b"bbbb", "readme": b"r"})


@pytest.fixture
def thing(web):
    """An archive and a table that a server has."""
    web.files |= {"/x.zip": ARCHIVE, "/table.txt": TABLE}
    return replace(OFFLINE, files=tuple(replace(file, urls=(f"{web.url}/{file.name}",)) for file in OFFLINE.files))


def only(entry, **changes):
    """The entry with its first file alone, changed."""
    return replace(entry, files=(replace(entry.files[0], **changes),))


def get(entry, data, **options):
    return store.get(entry, data, store.FetchOptions(retry=QUICK, **options))


def visible(folder):
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in names if not name.startswith(".patchlib"))


def asked(web):
    return [path for path, _ in web.requests]


def check_whole(entry, data):
    assert visible(data / "things") == WHOLE
    assert store.Shelf(entry, data).state == "complete"
    assert store.verify(entry, data) == {}


def test_get_unpacks_pins_and_marks(web, tmp_path, thing, capsys):
    assert store.Shelf(thing, tmp_path).state == "-"
    assert get(thing, tmp_path) == len(store.Shelf(thing, tmp_path).whole) == 2
    check_whole(thing, tmp_path)
    pins = {key: pin["sha256"] for key, pin in store.read_pins(tmp_path).items()}
    assert pins == {"thing/x.zip": sha(ARCHIVE), "thing/table.txt": sha(TABLE)}
    assert get(thing, tmp_path) == 2
    assert "--force" in capsys.readouterr().out.splitlines()[-1]
    assert asked(web) == ["/x.zip", "/table.txt"]


def test_a_hash_of_the_manifest_is_not_pinned(tmp_path, thing):
    get(only(thing, sha256=sha(ARCHIVE)), tmp_path)
    assert store.read_pins(tmp_path) == {}


def test_verify_names_what_misses_and_differs(tmp_path, thing):
    with pytest.raises(FileNotFoundError, match="data get thing"):
        store.verify(thing, tmp_path)
    get(thing, tmp_path)
    (tmp_path / "things/set/a.txt").unlink()
    (tmp_path / "things/set/b.txt").write_bytes(b"BBBB")
    (tmp_path / "things/table.txt").write_bytes(b"longer than before")
    problems = {
        "set/a.txt": "is missing",
        "set/b.txt": "has other content than when it was fetched",
        "table.txt": "has 18 bytes, expected 6",
    }
    assert store.verify(thing, tmp_path) == problems
    assert store.verify(thing, tmp_path, quick=True).keys() == problems.keys() - {"set/b.txt"}


def test_another_file_than_the_pinned_one(web, tmp_path, thing):
    get(thing, tmp_path)
    web.files["/table.txt"] = b"changed"
    shutil.rmtree(tmp_path / "things")
    with pytest.raises(DownloadError, match="pinned in .*data_manifest.lock.*\n?.*--force"):
        get(thing, tmp_path)
    assert "table.txt" not in visible(tmp_path / "things")
    get(thing, tmp_path, force=True)
    assert (tmp_path / "things/table.txt").read_bytes() == b"changed"
    assert store.read_pins(tmp_path)["thing/table.txt"]["bytes"] == 7


@pytest.mark.parametrize("text", ["a: [", "a: 3", "a: {sha256: short}", "- a"])
def test_a_damaged_lock(tmp_path, text):
    (tmp_path / "data_manifest.lock").write_text(text)
    with pytest.raises(ValueError, match="data_manifest.lock is damaged"):
        store.read_pins(tmp_path)


def test_force_replaces_what_an_archive_held(web, tmp_path, thing):
    get(thing, tmp_path)
    web.files["/x.zip"] = zipped(**{"set/new.txt": b"n", "readme": b"r2"})
    get(thing, tmp_path, force=True)
    assert visible(tmp_path / "things") == ["readme", "set/new.txt", "table.txt"]
    assert store.verify(thing, tmp_path) == {}


@pytest.mark.parametrize("before", [False, True], ids=["at first", "by force, over a whole one"])
def test_a_damaged_archive_is_neither_kept_nor_pinned(web, tmp_path, thing, before):
    if before:
        get(thing, tmp_path)
    # the server cuts the archive and lies about its length; nothing published tells
    web.script["/x.zip"] = [servers.other(ARCHIVE[:-30])]
    with pytest.raises(ArchiveError, match=r"x\.zip cannot be unpacked"):
        get(thing, tmp_path, force=before)
    assert visible(tmp_path / "things") == (WHOLE if before else [])
    assert store.read_pins(tmp_path).get("thing/x.zip", {}).get("sha256") == (sha(ARCHIVE) if before else None)
    get(thing, tmp_path)
    check_whole(thing, tmp_path)


def killed(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("before", [False, True], ids=["at first", "by force, over a whole one"])
@pytest.mark.parametrize("step", ["unpacking", "moving"])
def test_a_killed_call_is_finished_by_the_next_without_another_download(
    web, tmp_path, thing, monkeypatch, step, before
):
    if before:
        get(thing, tmp_path)
    moves = []

    def killed_at_the_second(source, target, move=os.replace):
        if "unpacking" in str(source):
            moves.append(target)
        return killed() if len(moves) == 2 else move(source, target)

    web.requests.clear()
    with monkeypatch.context() as patched:
        if step == "unpacking":
            patched.setattr(store, "unpack", killed)
        else:
            patched.setattr(os, "replace", killed_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            get(thing, tmp_path, force=before)
    assert store.Shelf(thing, tmp_path).state == ("1 of 2 files" if before else "-")
    if step == "moving":
        assert (tmp_path / "things/readme").exists() and not (tmp_path / "things/set").exists()
    get(thing, tmp_path)
    check_whole(thing, tmp_path)
    assert asked(web).count("/x.zip") == 1


def test_files_of_someone_else_are_not_overwritten(tmp_path, thing):
    (tmp_path / "things/set").mkdir(parents=True)
    (tmp_path / "things/set/mine.txt").write_text("mine")
    with pytest.raises(DownloadError, match="did not put it there; move it away"):
        get(thing, tmp_path)
    assert (tmp_path / "things/set/mine.txt").read_text() == "mine"


def test_keep_makes_a_mirror_for_others(tmp_path, thing):
    get(thing, tmp_path / "teacher", keep=True)
    assert "x.zip" in visible(tmp_path / "teacher/things")
    get(OFFLINE, tmp_path / "pupil", source=str(tmp_path / "teacher"))
    check_whole(OFFLINE, tmp_path / "pupil")


@pytest.mark.parametrize("under", ["things/", ""])
@pytest.mark.parametrize("option", ["source", "mirror"])
def test_a_mirror_by_address(web, tmp_path, under, option):
    web.files |= {f"/m/{under}x.zip": ARCHIVE, f"/m/{under}table.txt": TABLE}
    get(OFFLINE, tmp_path, **{option: f"{web.url}/m/"})
    check_whole(OFFLINE, tmp_path)


@pytest.mark.parametrize("place", ["address", "folder"])
def test_a_mirror_without_the_file_is_passed_over(web, tmp_path, thing, place):
    (tmp_path / "empty").mkdir()
    get(thing, tmp_path / "data", mirror=f"{web.url}/nothing" if place == "address" else str(tmp_path / "empty"))
    check_whole(thing, tmp_path / "data")


def test_from_a_folder_that_lacks_a_file_says_where_it_looked(tmp_path):
    (tmp_path / "x.zip").write_bytes(ARCHIVE)
    with pytest.raises(DownloadError, match="(?s)could not fetch table.txt; .*things/table.txt: is not there"):
        get(OFFLINE, tmp_path / "data", source=str(tmp_path))


def test_from_one_file(tmp_path):
    path = tmp_path / "renamed-by-the-browser (1).zip"
    path.write_bytes(ARCHIVE)
    get(only(OFFLINE), tmp_path / "data", source=str(path))
    assert visible(tmp_path / "data/things") == WHOLE[:3]
    assert path.exists()
    with pytest.raises(DownloadError, match="also needs table.txt"):
        get(OFFLINE, tmp_path / "other", source=str(path))


@pytest.mark.parametrize(("facts", "message"), [({"sha256": "0" * 64}, "sends another file"), ({"bytes": 5}, "ed 5")])
def test_from_a_wrong_file(tmp_path, facts, message):
    (tmp_path / "x.zip").write_bytes(ARCHIVE)
    with pytest.raises(DownloadError, match=message):
        get(only(OFFLINE, **facts), tmp_path / "data", source=str(tmp_path / "x.zip"))


def test_a_full_disk_is_noticed_before(web, tmp_path, thing, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match="needs 1.20kB while it unpacks, but .* has 1.00kB free; make room"):
        get(only(thing, bytes=600), tmp_path)
    assert web.requests == []


def test_two_at_once(tmp_path, thing):
    lock = tmp_path / "things/.patchlib/thing.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock), pytest.raises(DownloadError, match="another process"):
        get(thing, tmp_path)
    get(thing, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": "*siglip*"}, "no file of thing matches '.*siglip.*'; the files there: x.zip, table.txt"),
        ({"limit": 0}, "limit is 0, expected at least 1"),
    ],
)
def test_nothing_is_asked_for(tmp_path, thing, options, message):
    with pytest.raises(ValueError, match=message):
        get(thing, tmp_path, **options)


SHARDS = {f"yfcc100m_{i:05d}.tar": bytes([i]) * 50 for i in range(4)}


@pytest.fixture
def listed(web):
    """Four shards that a list of checksums names."""
    web.files |= {f"/data/yfcc100m/{name}": content for name, content in SHARDS.items()}
    lines = [f"{sha(content)}  {web.url}/data/yfcc100m/{name}\n" for name, content in SHARDS.items()]
    web.files["/data/checksums.txt"] = "".join([*lines, f"{'0' * 64}  {web.url}/data/core.tar\n"]).encode()
    listing = Listing(format="checksums", url=f"{web.url}/data/checksums.txt", match="*yfcc*.tar", folder="yfcc100m")
    return replace(OFFLINE, files=(), listing=listing)


def test_shards_by_the_publishers_checksums(web, tmp_path, listed):
    get(listed, tmp_path, limit=1)
    assert visible(tmp_path / "things") == ["yfcc100m/yfcc100m_00000.tar"]
    assert store.Shelf(listed, tmp_path).state == "1 of ? files"
    get(listed, tmp_path, only="*_00002*")
    get(listed, tmp_path)
    assert store.Shelf(listed, tmp_path).state == "complete"
    assert asked(web).count("/data/yfcc100m/yfcc100m_00000.tar") == 1
    assert store.read_pins(tmp_path) == {}


def test_a_shard_that_is_not_what_the_checksums_say(web, tmp_path, listed):
    web.files["/data/yfcc100m/yfcc100m_00001.tar"] = b"?" * 50
    with pytest.raises(DownloadError, match="another file"):
        get(listed, tmp_path)
    assert store.Shelf(listed, tmp_path).state == "1 of 4 files"


@pytest.mark.parametrize("place", ["folder", "file"])
def test_shards_from_a_copy(tmp_path, listed, web, place):
    copy = tmp_path / "copy/yfcc100m"
    copy.mkdir(parents=True)
    for name, content in SHARDS.items():
        (copy / name).write_bytes(content)
    get(listed, tmp_path / "data", source=str(tmp_path / "copy" if place == "folder" else copy / min(SHARDS)))
    assert len(store.Shelf(listed, tmp_path / "data").whole) == (len(SHARDS) if place == "folder" else 1)
    assert web.requests == []


def test_a_list_leads_to_its_server_and_never_to_our_own_files(web, tmp_path, listed):
    secret = tmp_path / "yfcc_secret.tar"
    secret.write_bytes(b"s")
    web.files["/data/yfcc1.tar"] = b"s"
    web.files["/data/checksums.txt"] = f"{sha(b's')} yfcc1.tar\n{sha(b's')} {secret}\n".encode()
    with pytest.raises(DownloadError, match="(?s)could not fetch yfcc_secret.tar; .*/yfcc_secret.tar: answers 404"):
        get(listed, tmp_path / "out")
    assert visible(tmp_path / "out/things") == ["yfcc100m/yfcc1.tar"]


def test_a_damaged_list_of_checksums(web, tmp_path, listed):
    web.files["/data/checksums.txt"] = b"not a hash http://x/yfcc100m_1.tar\n"
    with pytest.raises(ValueError, match="expected 'sha256 address'"):
        get(listed, tmp_path)


def test_files_of_a_directory_page(web, tmp_path):
    page = '<a href="../">up</a><a href="b%20b.hdf5">b</a><a href="a.hdf5">a</a><a href="http://else.org/c.hdf5">c</a>'
    page += '<a href="a.hdf5?x=1">a, too</a><a href="nul%00.hdf5">no name</a>'
    page += '<a href="sub/">s</a><a href="?C=N">sort</a><a href="readme.txt">r</a>'
    web.script["/f/"] = [servers.other(page.encode(), Content_Type="text/html")] * 2
    web.files |= {"/f/a.hdf5": b"a", "/f/b%20b.hdf5": b"b"}
    listing = Listing(format="index", url=f"{web.url}/f/", match="*.hdf5", folder="features")
    get(replace(OFFLINE, files=(), listing=listing), tmp_path)
    assert visible(tmp_path / "things") == ["features/a.hdf5", "features/b b.hdf5"]
