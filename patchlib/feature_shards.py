"""Shards of an extraction: runs of consecutive images, each decoded, cut, encoded and written by one thread.

A shard's batches depend on the shard alone, so neither the number of workers nor an interruption changes a byte. Its
file name holds a fingerprint of its image files: where one of them was replaced, that shard alone is made again.
"""

from __future__ import annotations

import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib import images, progress, provenance, regions
from patchlib.benchmarks.record import Benchmark
from patchlib.encoders import Encoder

SHARD_REGIONS = 2048  # at most
SHARDS = 32  # at least, where that leaves a batch for each: else workers would wait for the last one
RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Shard:
    """Images (``kind`` "image") or queries ("query") ``first:last``, and the file of their descriptors.

    An unreadable image's rows hold NaN.
    """

    kind: str
    first: int
    last: int
    path: Path


@dataclass(frozen=True)
class Job:
    """Everything one extraction needs; ``boxes`` (NaN = whole image) and ``offsets`` by kind."""

    folder: Path
    benchmark: Benchmark
    encoder: Encoder
    boxes: dict[str, NDArray[np.float32]]
    offsets: dict[str, NDArray[np.int64]]
    dtype: str
    batch: int
    meta: dict[str, Any]

    def shards(self) -> Iterator[Shard]:
        """All shards in a fixed order, queries first."""
        for kind, offsets in self.offsets.items():
            size = max(self.batch, min(SHARD_REGIONS, int(offsets[-1]) // SHARDS))
            first = 0
            while first < len(offsets) - 1:
                last = int(np.searchsorted(offsets, offsets[first] + size, side="right")) - 1
                last = min(max(last, first + 1), len(offsets) - 1)
                files = fingerprint(self.file(kind, index) for index in range(first, last))
                yield Shard(kind, first, last, self.folder / "shards" / f"{kind}-{first:08d}-{last:08d}-{files}.npy")
                first = last

    def file(self, kind: str, index: int) -> str:
        """Full path of an image or query."""
        return self.benchmark.image_path(index) if kind == "image" else self.benchmark.query_path(index)

    def rows(self, shard: Shard) -> slice:
        """Rows of the shard within all regions of its kind."""
        return slice(int(self.offsets[shard.kind][shard.first]), int(self.offsets[shard.kind][shard.last]))


def fingerprint(files: Iterable[str]) -> str:
    """Hash of the files' sizes and times: features of a photo that was replaced must not be used again."""
    digest = hashlib.sha256()
    for name in dict.fromkeys(file.split(images.MEMBER)[0] for file in files):
        try:
            status = os.stat(name)
        except OSError:
            digest.update(b"missing\n")
            continue  # reading it will fail with a better message
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer per folder, which is made if absent; the operating system frees the lock of a killed run."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another run that is writing {folder.name}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_missing(job: Job, shards: list[Shard], workers: int, skip_bad: bool) -> list[str]:
    """Write all missing shards on ``workers`` threads; returns a message for every image that cannot be used."""
    messages: set[str] = set()
    todo = [shard for shard in shards if not _done(shard, skip_bad)]
    total = sum(shard.last - shard.first for shard in shards)
    label = f"{job.meta['regions']} of {job.meta['benchmark']} with {job.meta['encoder']}"
    pool = ThreadPoolExecutor(workers, initializer=_one_torch_thread)
    with progress.track(label, total, "image") as bar, _torch_threads_restored():
        bar.update(total - sum(shard.last - shard.first for shard in todo))
        try:
            futures = {pool.submit(_write, job, shard, skip_bad): shard for shard in todo}
            for future in as_completed(futures):
                messages.update(future.result())
                bar.update(futures[future].last - futures[future].first)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return sorted(messages)


def cut(image: Image.Image, boxes: NDArray[np.float32], encoder: Encoder) -> Iterator[NDArray[np.uint8]]:
    """Cut regions (P, 4) and resize each by itself to the encoder's input: (input_size, input_size, 3) uint8."""
    for x0, y0, x1, y1 in regions.whole_pixels(boxes, *image.size).astype(int).tolist():
        region = image.crop((x0, y0, x1, y1))
        yield np.asarray(region.resize((encoder.input_size,) * 2, RESAMPLE[encoder.interpolation]))


def _write(job: Job, shard: Shard, skip_bad: bool) -> list[str]:
    rows = job.rows(shard)
    dtype = job.dtype if shard.kind == "image" else np.float32
    descriptors = np.full((rows.stop - rows.start, job.encoder.dim), np.nan, dtype)
    messages: list[str] = []
    filled: list[int] = []
    batch = np.empty((job.batch, job.encoder.input_size, job.encoder.input_size, 3), np.uint8)
    for row, pixels in _crops(job, shard, messages.append):
        batch[len(filled)] = pixels
        filled.append(row)
        if len(filled) == job.batch:
            descriptors[filled] = _encode(job.encoder, batch)
            filled.clear()
    if filled:
        descriptors[filled] = _encode(job.encoder, batch[: len(filled)])
    if skip_bad or not messages:
        with provenance.atomic_write(shard.path) as file:
            np.save(file, descriptors)
    return messages


def _encode(encoder: Encoder, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    descriptors = encoder.encode(crops)
    if not np.isfinite(descriptors).all():
        raise ValueError(f"encoder {encoder.name} gave NaN or infinity; check its weights, or create it with float32")
    return descriptors


def _crops(job: Job, shard: Shard, report: Callable[[str], None]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(row within the shard, pixels) of every region; images that cannot be used are reported and left out."""
    offsets = job.offsets[shard.kind]
    for index in range(shard.first, shard.last):
        try:
            image = images.read(job.file(shard.kind, index))
            if shard.kind == "image":
                _check_size(job, index, image)
        except images.ImageError as error:
            report(str(error))
            continue
        boxes = job.boxes[shard.kind][offsets[index] : offsets[index + 1]]
        if shard.kind == "query":
            boxes = _query_box(job, index, boxes, image)
        yield from enumerate(cut(image, boxes, job.encoder), int(offsets[index] - offsets[shard.first]))


def _check_size(job: Job, index: int, image: Image.Image) -> None:
    expected = tuple(int(side) for side in job.benchmark.images[["width", "height"]].iloc[index])
    if image.size != expected:
        raise images.ImageError(
            f"image {job.file('image', index)} has {image.size[0]}x{image.size[1]} pixels, the benchmark says "
            f"{expected[0]}x{expected[1]}; load the benchmark again"
        )


def _query_box(job: Job, index: int, box: NDArray[np.float32], image: Image.Image) -> NDArray[np.float32]:
    """The (1, 4) region of a query; only here its image's size is known."""
    if np.isnan(box).any():
        return np.array([[0, 0, *image.size]], np.float32)
    inside = np.clip(box, 0, np.array([*image.size, *image.size], np.float32))
    name = f"box {box[0].tolist()} of query {job.file('query', index)}"
    if (inside[:, 2:] <= inside[:, :2]).any():
        raise ValueError(f"{name} lies wholly outside its image of {image.size[0]}x{image.size[1]} pixels")
    if (inside != box).any():
        warnings.warn(f"{name} reaches beyond its image and was clipped", stacklevel=2)
    return inside


def _done(shard: Shard, skip_bad: bool) -> bool:
    if not shard.path.exists():
        return False
    return skip_bad or not np.isnan(np.load(shard.path, mmap_mode="r")[:, 0]).any()


def _one_torch_thread() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@contextmanager
def _torch_threads_restored() -> Iterator[None]:
    """The workers set torch to one thread each; part of that setting is shared with the caller."""
    if "torch" not in sys.modules:
        yield
        return
    torch = sys.modules["torch"]
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
