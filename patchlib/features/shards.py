"""Shards of an extraction: which there are, how one is made, and by whom: this process's threads, or a cluster.

A shard's batches depend on the shard alone, so neither the number of workers nor an interruption changes a byte. Its
file name holds a fingerprint of its image files: where one of them was replaced, that shard alone is made again.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib import images
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.encoders import Encoder
from patchlib.features import cluster
from patchlib.features.feature_set import consecutive_runs
from patchlib.support import progress, provenance

if TYPE_CHECKING:
    from dask.distributed import Client

SHARD_REGIONS = 2048  # at most
SHARDS = 32  # at least, where that leaves a batch for each: else workers would wait for the last one
TASKS = 4  # on a cluster: tasks per thread at least, for the same reason
TASK_SHARDS = 64  # and shards of one tar file in a task at most: megabytes of boxes
MALLOC = {-1: 1 << 30, -3: 32 << 20}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD (its maximum) in bytes
Known = Mapping[str, NDArray[np.floating]]  # key of an image, see image_keys -> (P, D) descriptors of its P regions
VISIBLE = 60.0  # seconds until a file that one machine wrote shows on another


@dataclass(frozen=True)
class Shard:
    """n consecutive images or queries and all that is needed to describe them but the encoder."""

    kind: str  # ``"image"`` or ``"query"``
    rows: slice  # of its regions among all of its kind
    path: Path  # file of its descriptors; rows of unreadable images hold NaN
    files: list[str]  # its n images
    # (n, 2) width and height that the benchmark says; None for queries, of which it says none
    sizes: NDArray[np.int64] | None
    boxes: NDArray[np.float32]  # (P, 4) regions, NaN = whole image
    offsets: NDArray[np.int64]  # (n+1,) image i owns ``boxes[offsets[i]:offsets[i+1]]``
    dtype: str  # of the stored descriptors
    batch: int  # crops per forward pass
    skip_bad: bool  # write the shard even if an image of it cannot be used

    @property
    def done(self) -> bool:
        """Whether its file is there, and (unless ``skip_bad``) lacks no image."""
        there = self.path.exists()
        return there and (self.skip_bad or not np.isnan(np.load(self.path, mmap_mode="r")[:, 0]).any())


@dataclass(frozen=True)
class Job:
    """Everything one extraction needs; full paths, ``boxes`` (NaN = whole image) and ``offsets`` by kind."""

    folder: Path
    benchmark: Benchmark
    encoder: Encoder
    files: dict[str, list[str]]
    boxes: dict[str, NDArray[np.float32]]
    offsets: dict[str, NDArray[np.int64]]
    dtype: str
    batch: int
    skip_bad: bool
    meta: dict[str, Any]

    def shards(self) -> Iterator[Shard]:
        """All shards in a fixed order, queries first."""
        for kind, offsets in self.offsets.items():
            size = max(self.batch, min(SHARD_REGIONS, int(offsets[-1]) // SHARDS))
            for first, last in consecutive_runs(offsets, size):
                yield self._shard(kind, first, last)

    def _shard(self, kind: str, first: int, last: int) -> Shard:
        files, offsets = self.files[kind][first:last], self.offsets[kind][first : last + 1]
        rows = slice(int(offsets[0]), int(offsets[-1]))
        sizes = self.benchmark.images[["width", "height"]].iloc[first:last].to_numpy(np.int64)
        return Shard(
            kind=kind,
            rows=rows,
            path=self.folder / "shards" / f"{kind}-{first:08d}-{last:08d}-{fingerprint(files)}.npy",
            files=files,
            sizes=sizes if kind == "image" else None,
            boxes=self.boxes[kind][rows],
            offsets=offsets - offsets[0],
            dtype=self.dtype if kind == "image" else "float32",
            batch=self.batch,
            skip_bad=self.skip_bad,
        )


def fingerprint(files: Iterable[str]) -> str:
    """Hash of the files' sizes and times: features of a photo that was replaced must not be used again."""
    digest = hashlib.sha256()
    for name in dict.fromkeys(map(images.file_of, files)):
        try:
            status = os.stat(name)
        except OSError:
            digest.update(b"missing\n")
            continue  # reading it will fail with a better message
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def image_keys(files: Iterable[str], boxes: NDArray[np.float32], offsets: NDArray[np.int64]) -> list[str]:
    """A hash for each image: of its path, its file as it is now, and its regions."""
    keys = []
    for name, first, last in zip(files, offsets[:-1], offsets[1:], strict=True):
        digest = hashlib.sha256(f"{name} {fingerprint([name])}".encode())
        digest.update(boxes[first:last].tobytes())
        keys.append(digest.hexdigest()[:32])
    return keys


def make(encoder: Encoder, shard: Shard, known: Known | None = None) -> list[str]:
    """Describe a shard's images and write its file; returns a message for every image that cannot be used.

    ``known``: images that need not be described again.
    """
    descriptors = np.full((len(shard.boxes), encoder.dim), np.nan, shard.dtype)
    messages: list[str] = []
    filled: list[int] = []
    batch = np.empty((shard.batch, encoder.input_size, encoder.input_size, 3), np.uint8)
    taken: list[NDArray[np.floating] | None] = [None] * len(shard.files)
    if known and shard.kind == "image":
        taken = [known.get(key) for key in image_keys(shard.files, shard.boxes, shard.offsets)]
    for start, rows in zip(shard.offsets, taken, strict=False):
        if rows is not None:
            descriptors[start : start + len(rows)] = rows
    for row, pixels in _crops(encoder, shard, messages.append, [rows is None for rows in taken]):
        batch[len(filled)] = pixels
        filled.append(row)
        if len(filled) == shard.batch:
            descriptors[filled] = _encode(encoder, batch)
            filled.clear()
    if filled:
        descriptors[filled] = _encode(encoder, batch[: len(filled)])
    if shard.skip_bad or not messages:
        with provenance.atomic_write(shard.path) as file:
            np.save(file, descriptors)
    return messages


def _encode(encoder: Encoder, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    descriptors = encoder.encode(batch)
    if not np.isfinite(descriptors).all():
        raise ValueError(f"encoder {encoder.name} gave NaN or infinity; check its weights, or create it with float32")
    return descriptors


def _crops(
    encoder: Encoder, shard: Shard, report: Callable[[str], None], wanted: list[bool]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(row within the shard, pixels) of every region wanted; images that cannot be used are reported and left out."""
    for index, file in enumerate(shard.files):
        if not wanted[index]:
            continue
        boxes = shard.boxes[shard.offsets[index] : shard.offsets[index + 1]]
        try:
            image = images.read(file)
            if shard.sizes is not None and image.size != tuple(shard.sizes[index]):
                raise images.ImageError(
                    f"image {file} has {image.width}x{image.height} pixels, the benchmark says "
                    f"{'x'.join(map(str, shard.sizes[index]))}; load the benchmark again"
                )
        except images.ImageError as error:
            report(str(error))
            continue
        if shard.sizes is None:
            boxes = _query_box(file, boxes, image)
        crops = images.cut(image, boxes, encoder.input_size, encoder.interpolation)
        yield from enumerate(crops, int(shard.offsets[index]))


def _query_box(file: str, box: NDArray[np.float32], image: Image.Image) -> NDArray[np.float32]:
    """The (1, 4) region of a query; only here its image's size is known."""
    if np.isnan(box).any():
        return np.array([[0, 0, *image.size]], np.float32)
    inside = np.clip(box, 0, np.array([*image.size, *image.size], np.float32))
    name = f"box {[round(float(value), 2) for value in box[0]]} of query {file}"
    if (inside[:, 2:] <= inside[:, :2]).any():
        raise ValueError(f"{name} lies wholly outside its image of {image.width}x{image.height} pixels")
    if (inside != box).any():
        warnings.warn(f"{name} reaches beyond its image and was clipped", stacklevel=2)
    return inside


def write_missing(
    job: Job, shards: list[Shard], workers: int, executor: Client | None = None, known: Known | None = None
) -> list[str]:
    """Write all missing shards on ``workers`` threads, or on a cluster; returns a message for every unusable image."""
    messages: set[str] = set()
    todo = [shard for shard in shards if not shard.done]
    total = sum(len(shard.files) for shard in shards)
    label = f"{job.meta['regions']} of {job.meta['benchmark']} with {job.meta['encoder']}"
    with progress.track(label, total, "image") as bar:
        bar.update(total - sum(len(shard.files) for shard in todo))
        made = _on_threads(job.encoder, todo, workers, known) if executor is None else _on_cluster(job, todo, executor)
        with closing(made):
            for images_done, complaints in made:
                messages.update(complaints)
                bar.update(images_done)
    if job.skip_bad or not messages:
        _require(shards, patience=0 if executor is None else VISIBLE)
    return sorted(messages)


def _on_threads(
    encoder: Encoder, todo: list[Shard], workers: int, known: Known | None
) -> Generator[tuple[int, list[str]]]:
    import torch

    before = torch.get_num_threads()  # part of that setting is shared with the workers, who want one
    pool = ThreadPoolExecutor(workers, initializer=_prepare_thread)
    try:
        futures = {pool.submit(make, encoder, shard, known): shard for shard in todo}
        for future in as_completed(futures):
            yield len(futures[future].files), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)
        _glibc("malloc_trim", 0)


def _on_cluster(job: Job, todo: list[Shard], client: Client) -> Generator[tuple[int, list[str]]]:
    most = min(TASK_SHARDS, math.ceil(len(todo) / (TASKS * cluster.threads(client))))
    (job.folder / "shards").mkdir(exist_ok=True)
    tasks = list(_tasks(todo, most))
    for task, complaints in cluster.run(client, _write_there, job.encoder, tasks, f"shard of {job.folder.name}"):
        yield sum(len(shard.files) for shard in task), complaints


def _tasks(todo: list[Shard], most: int) -> Iterator[list[Shard]]:
    """Loose images: a shard each. Images of a tar file: up to ``most`` shards, as its headers must be read first."""
    for _, alike in groupby(todo, key=lambda shard: images.file_of(shard.files[0])):
        together = list(alike)
        yield from (together[first : first + most] for first in range(0, len(together), most))


def _write_there(encoder: Encoder, task: list[Shard]) -> list[str]:
    """What a worker of a cluster does; shards that are there come from one that died."""
    _prepare_thread()
    messages = []
    for shard in task:
        folder = shard.path.parent
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{socket.gethostname()} sees no folder {folder}; the workers need the output folder under the path "
                "it has here: set PATCHLIB_CACHE (or out) to a drive that all machines share"
            )
        if not shard.done:
            messages += make(encoder, shard)
    return messages


def _require(shards: list[Shard], patience: float) -> None:
    """Check that all shards are there; a network drive may show other machines' files with a delay."""
    start = time.monotonic()
    for shard in shards:
        while not shard.path.exists():
            if time.monotonic() - start >= patience:
                raise FileNotFoundError(f"shard {shard.path} was written but has disappeared; run again to make it")
            time.sleep(0.5)


def _prepare_thread() -> None:
    """One torch thread for each of ours, and freed memory kept for the next batch.

    glibc hands large blocks back at once, Dask's workers still sooner; mapping and clearing them anew takes a quarter
    to half of a small network's time.
    """
    import torch

    torch.set_num_threads(1)
    for parameter, size in MALLOC.items():
        _glibc("mallopt", parameter, size)


def _glibc(name: str, *arguments: int) -> None:
    """Call a function of glibc where that is what we run on."""
    if sys.platform == "linux" and (function := getattr(ctypes.CDLL(None), name, None)):
        function(*arguments)
