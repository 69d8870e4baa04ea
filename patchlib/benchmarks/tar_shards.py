"""Photographs in tar shards, read in place.

ILIAS publishes its 100 million distractors as 1,000 tar files of 100,000 photographs. Nothing is unpacked: a path
``shard.tar::member`` points into a shard. What a shard holds is read once and kept as a table in the cache.
"""

import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib.benchmarks.image_files import SUFFIXES, find_images, image_table, size_or_zero
from patchlib.images import MEMBER
from patchlib.support import paths
from patchlib.support.progress import track
from patchlib.support.provenance import atomic_write, config_hash


def read_distractors(folder: Path, root: Path, keys: NDArray[np.bytes_] | None = None) -> Iterator[pd.DataFrame]:
    """Tables of :func:`read_shard`: one a tar shard of a folder, in alphabetical order, or one of all its loose images.

    ``folder`` may be one shard, too; nothing comes where it holds neither.
    """
    shards = [folder] if folder.suffix == ".tar" and folder.is_file() else sorted(folder.glob("*.tar"))
    for shard in shards:
        yield read_shard(shard, root, keys)
    loose = [] if shards else find_images(folder)[0]
    if loose:
        place = Path(os.path.relpath(folder, root)).as_posix()
        yield image_table(root, [f"{place}/{path}" for path in loose])


def key_of(member: str) -> str:
    """A member's key: its name without what follows the first dot, as webdataset and ILIAS' id lists have it."""
    path = PurePosixPath(member)
    return (path.parent / path.name.split(".", 1)[0]).as_posix()


def read_shard(shard: Path, root: Path, keys: NDArray[np.bytes_] | None = None) -> pd.DataFrame:
    """Photographs of a shard as rows of a benchmark's ``images``, in the shard's order.

    Args:
        root: folder that paths are to be relative to.
        keys: sorted keys of the photographs wanted, see :func:`read_keys`; None = all.

    Returns:
        DataFrame[image_id, path, width, height]; ``image_id`` is ``shard.tar/key``. Width and height are 0 where a
        photograph's header cannot be read.

    Raises:
        ValueError: the shard is damaged; names it.
    """
    table = _table(shard)
    member_keys = table["member"].map(key_of)
    if keys is not None:
        wanted = _contained(np.array(member_keys.str.rsplit("/").str[-1], np.bytes_), keys)
        table, member_keys = table[wanted], member_keys[wanted]
    place = Path(os.path.relpath(shard, root)).as_posix()
    return pd.DataFrame(
        {
            "image_id": f"{shard.name}/" + member_keys.astype(str),
            "path": f"{place}{MEMBER}" + table["member"].astype(str),
            "width": table["width"],
            "height": table["height"],
        }
    ).reset_index(drop=True)


def read_keys(path: Path) -> NDArray[np.bytes_]:
    """Keys of an id list, one a line (with or without a shard before the slash), sorted.

    Fixed-width bytes: the 5 million keys of mini-ILIAS take 160 MB, where as many Python strings would take 450.
    """
    lines = np.array(path.read_bytes().split(), np.bytes_)
    if lines.size == 0:
        raise ValueError(f"{path} holds no id; fetch it again")
    if (np.strings.find(lines, b"/") >= 0).any():
        lines = np.array([line.rsplit(b"/", 1)[-1] for line in lines], np.bytes_)
    return np.unique(lines)


def count_missing(keys: NDArray[np.bytes_], image_ids: Sequence[str]) -> int:
    """How many of the keys no image has."""
    there = np.array([image_id.rsplit("/", 1)[1] for image_id in image_ids], np.bytes_)
    return int((~_contained(keys, np.unique(there))).sum())


def _contained(values: NDArray[np.bytes_], keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Which of ``values`` are among the sorted ``keys``."""
    if keys.size == 0 or values.size == 0:
        return np.zeros(values.shape, bool)
    return keys[np.minimum(np.searchsorted(keys, values), keys.size - 1)] == values


def _table(shard: Path) -> pd.DataFrame:
    """DataFrame[member, width, height], from the cache while the shard's length and time are what they were."""
    status = shard.stat()
    tag = config_hash([shard.resolve(), status.st_size, status.st_mtime_ns])
    cached = paths.cache() / "shards" / f"{shard.stem}-{tag}.csv"
    if not cached.exists():
        try:
            with tarfile.open(shard, "r:") as archive:
                members = [item.name for item in archive if item.isfile()]
        except (tarfile.TarError, OSError) as error:
            raise ValueError(f"{shard} is no tar file, or is damaged ({error}); fetch it again") from error
        members = [name for name in members if PurePosixPath(name).suffix.lower() in SUFFIXES]
        sizes = []
        with track(f"sizes in {shard.name}", len(members), "image") as bar:
            for name in members:
                sizes.append(size_or_zero(f"{shard}{MEMBER}{name}"))
                bar.update()
        table = pd.DataFrame(sizes, columns=["width", "height"])
        table.insert(0, "member", members)
        with atomic_write(cached, "w") as file:
            table.to_csv(file, index=False)
    return pd.read_csv(cached, dtype={"member": str, "width": np.int32, "height": np.int32}, keep_default_na=False)
