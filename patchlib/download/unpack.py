"""Unpack an archive that may be hostile: only plain files, only below one folder, only so much.

Members are read and written one by one; nothing is handed to ``extractall``. No link is ever made on disk, so none can
lead out: a link to a file of the same archive becomes a copy of it, any other is refused. Files appear in a staging
folder beside their place and are moved there when all of them are right.
"""

import errno
import hashlib
import lzma
import os
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Self

from patchlib.support.files import full_disk_explained
from patchlib.support.progress import track

BLOCK = 1 << 20
MAX_FILES = 2_000_000
MAX_RATIO = 20  # photographs hardly shrink; text does by 5 to 10
MIN_LIMIT = 64 << 20  # a small archive of text may shrink more
MAX_NAME = 1 << 20  # bytes of a header: a long name, comments
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # characters that make a name read backwards
# what the readers raise on damaged archives; an OSError with another number than of a bad name is the disk's
NAMES = (None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(NotImplementedError, RuntimeError, LookupError, ValueError),
)


class ArchiveError(ValueError):
    """An archive that is damaged, or holds what must not be unpacked; names the archive and the member."""


class Unpacked(NamedTuple):
    """A file that was unpacked: POSIX path below the folder, length, SHA-256."""

    path: str
    bytes: int
    sha256: str


def unpack(archive: Path, folder: Path, rule: str) -> list[Unpacked]:
    """Unpack into a folder that does not exist yet; if anything is wrong, the folder is gone again.

    Args:
        archive: its files may take 20 times its length together, or 64 MiB.
        folder: where to; a left-over of an interrupted call is removed first.
        rule: ``"zip"`` or ``"tar"`` (plain, gzip, bzip2, xz).

    Returns:
        What was written, in the archive's order.

    Raises:
        ArchiveError: damaged or truncated; a name that is absolute, climbs out, repeats, or cannot be read; a link out
            of the archive, a device; more bytes or files than allowed.
        OSError: the disk is full, or cannot be written; the archive is as good as before.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    limit = max(MAX_RATIO * archive.stat().st_size, MIN_LIMIT)
    try:
        with full_disk_explained(folder.parent, "PATCHLIB_DATA"):
            return _unpack(archive, folder, rule, limit)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, ArchiveError):
            raise ArchiveError(f"{archive} {error}; nothing was unpacked") from error
        if isinstance(error, DAMAGE) and getattr(error, "errno", None) in NAMES:
            raise ArchiveError(f"{archive} cannot be unpacked: {error or type(error).__name__}") from error
        raise


def move_in(staging: Path, folder: Path) -> None:
    """Move what was unpacked into its folder, over what has the same name there."""
    for path in sorted(staging.iterdir()):
        place = folder / path.name
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        os.replace(path, place)
    staging.rmdir()


def _unpack(archive: Path, folder: Path, rule: str, limit: int) -> list[Unpacked]:
    written: list[Unpacked] = []
    seen: dict[str, str] = {}
    members = {"zip": _zip_members, "tar": _tar_members}[rule]
    with track(f"unpack {archive.name}", None, "B") as bar:
        for raw, content in members(archive):
            name = _safe_name(raw)
            if (key := unicodedata.normalize("NFC", name)) in seen:
                raise ArchiveError(f"holds the name {raw!r} twice (first as {seen[key]!r})")
            seen[key] = raw
            if len(written) >= MAX_FILES:
                raise ArchiveError(f"holds more than {MAX_FILES} files")
            written.append(_write(content, folder, name, limit))
            limit -= written[-1].bytes
            bar.update(written[-1].bytes)
    if not written:
        raise ArchiveError("holds no file")
    return written


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Names as they stand in the archive, and contents; folders are only looked at."""
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveError(f"holds {info.filename!r}, a link or a device; only plain files are unpacked")
            if info.is_dir():
                _safe_name(info.filename)
                continue
            # orig_filename: zipfile cuts names at a NUL and turns the system's separators, which would hide them
            with file.open(info) as opened:
                yield info.orig_filename, opened


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """As :func:`_zip_members`."""
    with tarfile.open(archive, "r:*", tarinfo=_Header) as file:
        for member in file:
            member.pax_headers = {}  # comments, which tarfile would keep to the end
            if member.isdir():
                _safe_name(member.name)
                continue
            if not (member.isfile() or member.issym() or member.islnk()):
                raise ArchiveError(f"holds {member.name!r}, a device or a pipe; only plain files are unpacked")
            try:
                opened = file.extractfile(member)  # of a link: the file it means, looked up inside the archive alone
            except KeyError:
                opened = None
            if opened is None:
                raise ArchiveError(f"holds {member.name!r}, a link to {member.linkname!r}, which is not in the archive")
            with opened:
                yield member.name, opened
        left = MIN_LIMIT  # read on to the end of the file, where gzip keeps its checksum
        while file.fileobj is not None and (block := file.fileobj.read(BLOCK)):
            left -= len(block)
            if left < 0:
                raise ArchiveError(f"goes on for more than {MIN_LIMIT} bytes behind its end")


class _Header(tarfile.TarInfo):
    """A header that is damaged or missing is an error: tarfile itself takes it for the end, and loses the rest."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
            if header.size < 0 or not header.isreg() and header.size > MAX_NAME:  # and tarfile would read all of it
                raise tarfile.ReadError(f"it holds a name of {header.size} bytes")
            return header
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the block of zeros that closes an archive
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"it was cut, or is damaged ({error})") from error


def _safe_name(name: str) -> str:
    """The member's name without "./", or a refusal."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    reasons = {
        "is not valid Unicode": any(unicodedata.category(character) == "Cs" for character in name),
        "is an absolute path": name.startswith("/") or name[1:2] == ":",
        "holds a backslash, which is a separator elsewhere": "\\" in name,
        "climbs out of its folder": ".." in parts,
        "holds control characters": any(
            unicodedata.category(character) == "Cc" or character in BIDI for character in name
        ),
        "is empty": not parts and name not in (".", "./"),
        "is too long": any(len(part.encode("utf-8", "replace")) > 255 for part in parts),
    }
    for reason, holds in reasons.items():
        if holds:
            raise ArchiveError(f"holds the name {name[:200]!r}, which {reason}")
    return "/".join(parts)


def _write(source: IO[bytes], folder: Path, name: str, limit: int) -> Unpacked:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, length = hashlib.sha256(), 0
    with open(target, "xb") as file:
        while block := source.read(BLOCK):
            length += len(block)
            if length > limit:
                raise ArchiveError(f"unpacks to more than it may ({name!r} goes beyond)")
            digest.update(block)
            file.write(block)
    return Unpacked(name, length, digest.hexdigest())
