"""Hostile and damaged archives: nothing outside the folder, nothing half."""

import errno
import gzip
import hashlib
import io
import os
import tarfile
import tracemalloc
import zipfile
from itertools import product
from random import Random

import pytest

from patchlib.download import unpack as module
from patchlib.download.unpack import ArchiveError, unpack

FILES = {"a/one.txt": b"one", "a/b/two.bin": bytes(range(256)) * 10, "three": b""}
KINDS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]


def make(path, members):
    """An archive of the kind its name says; ``members``: (name, TarInfo or ZipInfo; content or None)."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return path
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return path


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, None


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture
def place(tmp_path):
    """The folder to unpack into; its surroundings must stay as they are."""
    (tmp_path / "around").mkdir()
    (tmp_path / "around" / "secret.txt").write_text("untouched")
    return tmp_path / "around" / "inside"


def refuse(archive, place, match):
    with pytest.raises(ArchiveError, match=match) as caught:
        unpack(archive, place, archive.suffixes[0][1:])
    assert archive.name in str(caught.value)
    assert everything(place.parent) == ["secret.txt"]
    assert (place.parent / "secret.txt").read_text() == "untouched"


@pytest.mark.parametrize("kind", KINDS)
def test_plain_archives(tmp_path, place, kind):
    place.mkdir()
    (place / "rest").write_text("of an interrupted call")
    written = unpack(make(tmp_path / f"x.{kind}", FILES.items()), place, kind[:3])
    assert written == [(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()]
    assert everything(place) == ["a", "a/b", "a/b/two.bin", "a/one.txt", "three"]
    assert {name: (place / name).read_bytes() for name in FILES} == FILES


def test_odd_but_honest_names(tmp_path, place):
    names = ["\u043a\u043e\u0448\u043a\u0430.txt", "\u5bff\u53f8/\u00e9t\u00e9.txt", "a b'c\"d.txt", "#U00e9.txt"]
    written = unpack(make(tmp_path / "x.tar", [(name, b"1") for name in names]), place, "tar")
    assert [item.path for item in written] == names


def test_a_link_to_a_file_of_the_archive_becomes_a_copy(tmp_path, place):
    links = [special("hard", tarfile.LNKTYPE, "a/one.txt"), special("a/soft", tarfile.SYMTYPE, "one.txt")]
    written = unpack(make(tmp_path / "x.tar", [("a/one.txt", b"one"), *links]), place, "tar")
    assert [item.path for item in written] == ["a/one.txt", "hard", "a/soft"]
    assert (place / "hard").read_bytes() == (place / "a/soft").read_bytes() == b"one"
    assert not (place / "a/soft").is_symlink()
    assert os.stat(place / "a/one.txt").st_nlink == 1


NAMES = {
    "/etc/evil": "absolute",
    "../evil": "climbs out",
    "a/../../evil": "climbs out",
    "C:/evil": "absolute",
    "..\\evil": "backslash",
    "a\nb": "control",
    "photo\u202egpj.exe": "control",
    "x" * 300: "too long",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bad_names(tmp_path, place, name, kind):
    refuse(make(tmp_path / f"x.{kind}", [("good.txt", b"1"), (name, b"2")]), place, NAMES[name])


ZIP_LINK = zipfile.ZipInfo("link")
ZIP_LINK.external_attr = 0o120777 << 16
TARS = [
    ([("good.txt", b"1"), ("bad\udcff.txt", b"2")], "not valid Unicode"),
    ([special("../out", tarfile.DIRTYPE)], "climbs out"),
    ([special("dir", tarfile.SYMTYPE, ".."), ("dir/secret.txt", b"overwritten")], "link to"),
    ([("a", b"1"), ("a/b", b"2")], "cannot be unpacked"),
    *(
        ([special("link", kind, target)], "link to")
        for kind, target in product([tarfile.SYMTYPE, tarfile.LNKTYPE], ["../secret.txt", "/etc/passwd", "nowhere"])
    ),
    *(
        ([("a", b"1"), special("dev", kind)], "device or a pipe")
        for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    ),
    *(([(name, b"1") for name in names], "twice") for names in (("a", "a"), ("a/b", "./a//b"), ("\u00e9", "e\u0301"))),
]
ZIPS = [([("../out/", b"")], "climbs out"), ([(ZIP_LINK, b"../secret.txt")], "link or a device"), ([], "no file")]


@pytest.mark.parametrize(
    ("kind", "members", "reason"), [*(("tar", *case) for case in TARS), *(("zip", *case) for case in ZIPS)]
)
def test_hostile_members(tmp_path, place, kind, members, reason):
    refuse(make(tmp_path / f"x.{kind}", members), place, reason)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_bomb(tmp_path, place, kind, monkeypatch):
    monkeypatch.setattr(module, "MIN_LIMIT", 1 << 20)
    bomb = make(tmp_path / f"x.{kind}", [("zeros", bytes(8 << 20))])  # 8 MiB in 8 kB
    assert bomb.stat().st_size * module.MAX_RATIO < 1 << 20
    refuse(bomb, place, "more than it may")


def test_a_name_of_gigabytes(tmp_path, place):
    info, _ = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = 10 << 30
    (tmp_path / "x.tar").write_bytes(tarfile.TarInfo("a").tobuf() + info.tobuf(tarfile.GNU_FORMAT) + b"x" * 4096)
    refuse(tmp_path / "x.tar", place, "a name of 10737418240 bytes")


def test_zeros_behind_the_end(tmp_path, place, monkeypatch):
    plain = make(tmp_path / "x.tar", [("a", b"1")]).read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(plain + bytes(4 << 20)))
    monkeypatch.setattr(module, "MIN_LIMIT", 1 << 20)
    refuse(tmp_path / "x.tar.gz", place, "behind its end")


def test_the_number_of_files_is_a_limit(tmp_path, place, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 2)
    refuse(make(tmp_path / "x.zip", FILES.items()), place, "more than 2 files")


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_cut_anywhere(tmp_path, place, kind):
    content = make(tmp_path / f"whole.{kind}", FILES.items()).read_bytes()
    # a tar file is closed by a block of zeros; a cut in the filling behind it loses nothing
    last = 3 * 512 + 512 + 2560 + 512 if kind == "tar" else len(content)
    for length in sorted({0, 1, 511, 512, 513, 1024, 1536, last // 2, last - 1, *range(0, last, max(1, last // 40))}):
        if length < len(content):
            (tmp_path / f"cut.{kind}").write_bytes(content[:length])
            refuse(tmp_path / f"cut.{kind}", place, "cannot be unpacked")


def flipped(content, *places, mask=0xFF):
    return bytes(value ^ mask if where in places else value for where, value in enumerate(content))


@pytest.mark.parametrize(
    ("kind", "damage", "reason"),
    [
        # the checksum of the second header, which must not be taken for the end
        ("tar", lambda content: flipped(content, 2 * 512 + 148), "cannot be unpacked.*damaged"),
        ("tar.gz", lambda content: flipped(content, len(content) // 2), "cannot be unpacked"),
        ("zip", lambda content: flipped(content, 6, content.index(b"PK\x01\x02") + 8, mask=1), "password"),
        ("zip", lambda content: b"<html>not found</html>", "cannot be unpacked"),
    ],
    ids=["a header", "a byte", "a password", "no archive"],
)
def test_damage(tmp_path, place, kind, damage, reason):
    path = make(tmp_path / f"x.{kind}", [("a", b"1"), ("noise", Random(0).randbytes(5000))])
    path.write_bytes(damage(path.read_bytes()))
    refuse(path, place, reason)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_not_the_archives_fault(kind, tmp_path, place, monkeypatch):
    archive = make(tmp_path / f"x.{kind}", FILES.items())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write", full)
    with pytest.raises(OSError, match="the disk of .*around is full.*PATCHLIB_DATA"):
        unpack(archive, place, kind.split(".")[0])
    assert archive.exists() and not place.exists()


def test_headers_that_count_backwards_or_name_nothing(tmp_path, place):
    archive = make(tmp_path / "x.tar", [special("n" * 200, tarfile.REGTYPE)])
    content = bytearray(archive.read_bytes())
    content[124:136] = tarfile.itn(-5, 12, tarfile.GNU_FORMAT)  # length of the long name
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    archive.write_bytes(content)
    refuse(archive, place, "cannot be unpacked")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as empty:
        info = zipfile.ZipInfo("x")
        info.filename = info.orig_filename = ""
        empty.writestr(info, b"content")
    refuse(tmp_path / "y.zip", place, "y.zip")


def test_comments_of_many_members_take_no_memory(tmp_path, place):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for number in range(60):
            info = tarfile.TarInfo(str(number))
            info.pax_headers = {"comment": "c" * 1_000_000}
            archive.addfile(info)
    tracemalloc.start()
    assert len(unpack(tmp_path / "x.tar.gz", place, "tar")) == 60
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
