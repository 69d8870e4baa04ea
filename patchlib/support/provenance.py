"""Canonical configurations and their hashes, sidecar records, atomic writes.

An artefact's name is a readable stem and eight hex digits of its canonical configuration; the whole configuration
lies beside it and is compared when the artefact is read, so two settings can never share a file unnoticed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from patchlib.support import paths

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGES = ("numpy", "pandas", "pillow", "torch", "timm", "open_clip_torch", "faiss-cpu")


def canonical_json(obj: Any) -> str:
    """JSON of ``obj`` with sorted keys and no white space: equal settings give equal text.

    ``obj``: mappings, sequences, scalars, paths, numpy scalars and arrays, dataclasses.

    Raises:
        TypeError: ``obj`` holds something without a canonical form.
        ValueError: ``obj`` holds NaN or infinity, which JSON cannot say.
    """
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), default=_plain, allow_nan=False)


def plain(obj: Any) -> Any:
    """``obj`` as it comes back from JSON: tuples become lists, paths text, numpy scalars numbers."""
    return json.loads(canonical_json(obj))


def config_hash(obj: Any) -> str:
    """Eight hex digits of the SHA-256 of ``canonical_json(obj)``."""
    return hashlib.sha256(canonical_json(obj).encode()).hexdigest()[:8]


@cache
def library() -> str:
    """Hash of the package's files and of the names and versions of all packages: same library, same numbers."""
    files = sorted(path for path in paths.PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    contents = {path.relative_to(paths.PACKAGE).as_posix(): sha256_file(path) for path in files}
    installed = sorted({path.name for folder in sys.path for path in Path(folder).glob("*.dist-info")})
    return hashlib.sha256(canonical_json([contents, installed]).encode()).hexdigest()


def sha256_array(array: NDArray[Any]) -> str:
    """SHA-256 of an array's bytes in C order, as 64 hex digits; neither its shape nor its type is in it."""
    import numpy as np

    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Write a file wholly or not at all: a temporary neighbour takes its place once it is complete and on disk.

    Args:
        path: the file; its folder is made if absent.
        mode: ``"wb"`` or ``"w"`` (UTF-8).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # not a tempfile: that would be private, and readers of a shared cache need the usual rights
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with open(temporary, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_changed(path: str | Path, content: bytes | str) -> bool:
    """Write a file, unless it holds that content already; whether it was written."""
    path, content = Path(path), content.encode() if isinstance(content, str) else content
    if path.exists() and path.read_bytes() == content:
        return False
    with atomic_write(path) as file:
        file.write(content)
    return True


def write_item(folder: Path, item: str, contents: Mapping[str, bytes | str], record: Mapping[str, Any]) -> None:
    """Write the files of a figure or table, and its record beside them, as far as they are not there already.

    A record that differs in its commit alone stays: then the commit it names made the same files from the same inputs.
    ``contents`` by suffix; ``record`` of :func:`record`, and what else there is to keep.
    """
    written = [write_changed(folder / f"{item}.{suffix}", content) for suffix, content in contents.items()]
    path, content = folder / f"{item}.json", plain({"item": item, **record})
    before = read_json(path) if path.exists() else {}
    if any(written) or {**before, "git_commit": None} != {**content, "git_commit": None}:
        write_json(path, content)


def write_json(path: str | Path, obj: Any) -> Path:
    """Write ``obj`` as readable JSON with sorted keys, atomically; returns the path."""
    with atomic_write(path, "w") as file:
        json.dump(obj, file, sort_keys=True, indent=1, default=_plain, allow_nan=False)
        file.write("\n")
    return Path(path)


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: the file is not JSON; names it and says to remove it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); remove it and run again") from error


def record(config: Mapping[str, Any], inputs: Mapping[str, str], profile: str, label: str) -> dict[str, Any]:
    """The record that stands beside a figure or table: what it was made from and with.

    Args:
        config: the settings that decide the content.
        inputs: name -> hash of every input (benchmark, features, weights).
        profile: name of the profile.
        label: what the data are, e.g. ``"built-in benchmark"``.

    Returns:
        A mapping without any time stamp: the same inputs give the same bytes.
    """
    return {
        "config": dict(config),
        "config_hash": config_hash(config),
        "inputs": dict(inputs),
        "profile": profile,
        "label": label,
        "packages": {name: _version(name) for name in PACKAGES},
        "patchlib": _version("patchlib"),
        "git_commit": git_commit(),
    }


def git_commit() -> str | None:
    """The checkout's commit, with ``+`` behind it when tracked sources differ from it; None outside git."""
    if not paths.is_checkout():
        return None  # a repository around it is somebody else's
    git = ["git", "-C", str(paths.root())]
    try:
        head = subprocess.check_output([*git, "rev-parse", "HEAD"], stderr=subprocess.DEVNULL, text=True).strip()
        asked = [*git, "status", "--porcelain", "--untracked-files=no", "--", ":/*.py"]
        changed = subprocess.check_output(asked, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"no canonical form for {type(value).__name__}: {value!r}")
