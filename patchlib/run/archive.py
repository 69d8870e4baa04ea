"""One file for a DOI archive: the checkout as committed, and a hash of every file in it."""

import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

from patchlib import __version__
from patchlib.support import paths, provenance

SUMS = "SHA256SUMS"
DATE = (1980, 1, 1, 0, 0, 0)  # of every member, so that one commit gives one archive


def build(out: Path, features: bool = False) -> Path:
    """Write source, weights, notebooks, figures and records as a zip file; the same commit gives the same bytes.

    Args:
        out: folder of the archive, which is named after version and commit.
        features: whether the cache's descriptors come along, below ``cache/features/``, where a checkout finds them.

    Raises:
        ValueError: no git checkout, or a tracked file differs from its commit.
        FileNotFoundError: ``features`` of a run that was not made.
    """
    root, commit = paths.checkout("archive"), _commit()
    members = {Path(name): root / name for name in _git("ls-files", "-z").split("\0") if name}
    if features:
        members |= dict(_features())
    top = f"patchlib-{__version__}-{commit[:9]}"
    sums = "".join(f"{provenance.sha256_file(file)}  {name.as_posix()}\n" for name, file in sorted(members.items()))
    with (
        provenance.atomic_write(out / f"{top}.zip") as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
    ):
        for name, file in sorted(members.items()):
            member = _member(f"{top}/{name.as_posix()}", file.stat().st_mode)
            with open(file, "rb") as content, archive.open(member, "w", force_zip64=True) as target:
                shutil.copyfileobj(content, target)
        archive.writestr(_member(f"{top}/{SUMS}", 0o100644), sums)
    return out / f"{top}.zip"


def _member(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, DATE)
    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, mode << 16
    return info


def _features() -> Iterator[tuple[Path, Path]]:
    folder = paths.cache() / "features"
    files = [
        file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.endswith((".lock", ".part"))
    ]
    if not files:
        raise FileNotFoundError(f"{folder} holds no features; make them first: make reproduce")
    return ((Path("cache", "features") / file.relative_to(folder), file) for file in files)


def _commit() -> str:
    changed = _git("status", "--porcelain", "--untracked-files=no")
    if changed:
        raise ValueError(f"tracked files differ from their commit, {changed.split()[1]} first; commit or stash them")
    return _git("rev-parse", "HEAD").strip()


def _git(*command: str) -> str:
    root = paths.checkout("archive")
    try:
        return subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(f"{root} is no git checkout with a commit; an archive holds what is committed") from error
