"""Hostile and damaged archives: nothing outside the folder, nothing half."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zipfile

import pytest

from patchlib.download import unpack as module
from patchlib.download.unpack import ArchiveError, unpack

FILES = {"a/one.txt": b"one", "a/b/two.bin": bytes(range(256)) * 10, "three": b""}


def make_tar(path, members, mode="w:gz"):
    """``members``: (name or TarInfo, content or None)."""
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if content is not None:
                info.size = len(content)
            archive.addfile(info, None if content is None else io.BytesIO(content))
    return path


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def place(tmp_path):
    """The folder to unpack into; its surroundings must stay as they are."""
    (tmp_path / "around").mkdir()
    (tmp_path / "around" / "secret.txt").write_text("untouched")
    return tmp_path / "around" / "inside"


def refuse(archive, place, rule, match, **options):
    with pytest.raises(ArchiveError, match=match) as caught:
        unpack(archive, place, rule, **options)
    assert archive.name in str(caught.value)
    assert everything(place.parent) == ["secret.txt"]
    assert (place.parent / "secret.txt").read_text() == "untouched"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_plain_archives(tmp_path, place, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        make_zip(path, FILES.items())
    else:
        make_tar(path, FILES.items(), f"w:{kind[4:]}" if kind != "tar" else "w")
    written = unpack(path, place, kind[:3])
    assert {item.path: (item.bytes, item.sha256) for item in written} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()
    }
    assert {name: (place / name).read_bytes() for name in FILES} == FILES


def test_what_an_interrupted_call_left_is_removed(tmp_path, place):
    place.mkdir()
    (place / "rest").write_text("of before")
    unpack(make_zip(tmp_path / "x.zip", FILES.items()), place, "zip")
    assert everything(place) == ["a", "a/b", "a/b/two.bin", "a/one.txt", "three"]


NAMES = [
    ("/etc/evil", "absolute"),
    ("../evil", "climbs out"),
    ("a/../../evil", "climbs out"),
    ("C:/evil", "absolute"),
    ("..\\evil", "backslash"),
    ("a\nb", "control"),
    ("photo\u202egpj.exe", "control"),
    ("x" * 300, "too long"),
]


@pytest.mark.parametrize(("name", "reason"), NAMES)
@pytest.mark.parametrize("rule", ["zip", "tar"])
def test_bad_names(tmp_path, place, name, reason, rule):
    make = make_zip if rule == "zip" else make_tar
    refuse(make(tmp_path / "x", [("good.txt", b"1"), (name, b"2")]), place, rule, reason)


def test_a_name_that_is_no_text(tmp_path, place):
    path = make_tar(tmp_path / "x.tar", [("good.txt", b"1"), ("bad\udcff.txt", b"2")])
    refuse(path, place, "tar", "not valid Unicode")


def test_folders_are_looked_at_too(tmp_path, place):
    refuse(make_tar(tmp_path / "x.tar", [(special("../out", tarfile.DIRTYPE), None)]), place, "tar", "climbs out")
    refuse(make_zip(tmp_path / "x.zip", [("../out/", b"")]), place, "zip", "climbs out")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["../secret.txt", "/etc/passwd", "nowhere"])
def test_links_out(tmp_path, place, kind, target):
    refuse(make_tar(tmp_path / "x.tar", [(special("link", kind, target), None)]), place, "tar", "link to")


def test_a_file_behind_a_link_stays_inside(tmp_path, place):
    members = [(special("dir", tarfile.SYMTYPE, ".."), None), ("dir/secret.txt", b"overwritten")]
    refuse(make_tar(tmp_path / "x.tar", members), place, "tar", "link to")


def test_a_link_to_a_file_of_the_archive_becomes_a_copy(tmp_path, place):
    members = [
        ("a/one.txt", b"one"),
        (special("hard", tarfile.LNKTYPE, "a/one.txt"), None),
        (special("a/soft", tarfile.SYMTYPE, "one.txt"), None),
    ]
    written = unpack(make_tar(tmp_path / "x.tar", members), place, "tar")
    assert [item.path for item in written] == ["a/one.txt", "hard", "a/soft"]
    assert (place / "hard").read_bytes() == (place / "a/soft").read_bytes() == b"one"
    assert not (place / "a/soft").is_symlink()
    assert os.stat(place / "a/one.txt").st_nlink == 1


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices(tmp_path, place, kind):
    refuse(make_tar(tmp_path / "x.tar", [("a", b"1"), (special("dev", kind), None)]), place, "tar", "device or a pipe")


def test_links_in_a_zip(tmp_path, place):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    refuse(make_zip(tmp_path / "x.zip", [(info, b"../secret.txt")]), place, "zip", "link or a device")


@pytest.mark.parametrize("names", [("a", "a"), ("a/b", "./a//b"), ("\u00e9", "e\u0301")])
def test_names_that_mean_the_same_file(tmp_path, place, names):
    refuse(make_tar(tmp_path / "x.tar", [(name, b"1") for name in names]), place, "tar", "twice")


def test_a_file_where_a_folder_should_be(tmp_path, place):
    refuse(make_tar(tmp_path / "x.tar", [("a", b"1"), ("a/b", b"2")]), place, "tar", "cannot be unpacked")


def test_odd_but_honest_names(tmp_path, place):
    names = ["\u043a\u043e\u0448\u043a\u0430.txt", "\u5bff\u53f8/\u00e9t\u00e9.txt", "a b'c\"d.txt", "#U00e9.txt"]
    written = unpack(make_tar(tmp_path / "x.tar", [(name, b"1") for name in names]), place, "tar")
    assert [item.path for item in written] == names


@pytest.mark.parametrize("rule", ["zip", "tar"])
def test_a_bomb(tmp_path, place, rule, monkeypatch):
    monkeypatch.setattr(module, "MIN_LIMIT", 1 << 20)
    make = make_zip if rule == "zip" else make_tar
    bomb = make(tmp_path / "bomb", [("zeros", bytes(8 << 20))])  # 8 MiB in 8 kB
    assert bomb.stat().st_size * module.MAX_RATIO < 1 << 20
    refuse(bomb, place, rule, "more than it may")


def test_a_name_of_gigabytes(tmp_path, place):
    info = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = 10 << 30
    (tmp_path / "x.tar").write_bytes(tarfile.TarInfo("a").tobuf() + info.tobuf(tarfile.GNU_FORMAT) + b"x" * 4096)
    refuse(tmp_path / "x.tar", place, "tar", "a name of 10737418240 bytes")


def test_zeros_behind_the_end(tmp_path, place, monkeypatch):
    make_tar(tmp_path / "x.tar", [("a", b"1")], "w")
    with gzip.open(tmp_path / "x.tar.gz", "wb") as file:
        file.write((tmp_path / "x.tar").read_bytes() + bytes(4 << 20))
    monkeypatch.setattr(module, "MIN_LIMIT", 1 << 20)
    refuse(tmp_path / "x.tar.gz", place, "tar", "behind its end")


def test_the_stated_length_is_a_limit(tmp_path, place):
    total = sum(map(len, FILES.values()))
    path = make_zip(tmp_path / "x.zip", FILES.items())
    refuse(path, place, "zip", "more than it may", max_bytes=total - 1)
    assert len(unpack(path, place, "zip", max_bytes=total)) == len(FILES)


def test_too_many_files(tmp_path, place, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 5)
    refuse(make_tar(tmp_path / "x.tar", [(str(i), b"") for i in range(6)]), place, "tar", "more than 5 files")


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_cut_anywhere(tmp_path, place, kind):
    whole = tmp_path / f"whole.{kind}"
    if kind == "zip":
        make_zip(whole, FILES.items())
    else:
        make_tar(whole, FILES.items(), "w" if kind == "tar" else "w:gz")
    content = whole.read_bytes()
    # a tar file is closed by a block of zeros; a cut in the filling behind it loses nothing
    last = 3 * 512 + 512 + 2560 + 512 if kind == "tar" else len(content)
    for length in sorted({0, 1, 511, 512, 513, 1024, 1536, last // 2, last - 1, *range(0, last, max(1, last // 40))}):
        cut = tmp_path / f"cut.{kind}"
        cut.write_bytes(content[:length])
        if length < len(content):
            refuse(cut, place, kind[:3], "cannot be unpacked")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path, place):
    path = make_tar(tmp_path / "x.tar", FILES.items(), "w")
    content = bytearray(path.read_bytes())
    content[2 * 512 + 148] ^= 0xFF  # checksum of the second header
    path.write_bytes(content)
    refuse(path, place, "tar", "cannot be unpacked.*damaged")


def test_a_changed_byte(tmp_path, place):
    path = make_tar(tmp_path / "x.tar.gz", [("noise", os.urandom(5000))])
    content = bytearray(path.read_bytes())
    content[2500] ^= 0xFF
    path.write_bytes(content)
    refuse(path, place, "tar", "cannot be unpacked")


def test_no_archive_and_an_empty_one(tmp_path, place):
    (tmp_path / "x.zip").write_bytes(b"<html>not found</html>")
    refuse(tmp_path / "x.zip", place, "zip", "cannot be unpacked")
    refuse(make_zip(tmp_path / "empty.zip", []), place, "zip", "no file")


def test_a_zip_that_needs_a_password(tmp_path, place):
    path = make_zip(tmp_path / "x.zip", [("a", b"1" * 100)])
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refuse(path, place, "zip", "cannot be unpacked")
