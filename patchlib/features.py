"""Benchmark x regions x encoder -> descriptors on disk.

Images are taken in shards of consecutive images. A shard is decoded, cut and encoded by one thread with batches that
depend on the shard alone, and written atomically: a killed run continues with the next missing shard, and neither the
number of workers nor an interruption changes a byte. At the end the shards become one memory-mapped array.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib import images, paths, progress, provenance, regions
from patchlib.benchmarks.record import Benchmark
from patchlib.encoders import Encoder

SHARD_REGIONS = 2048
BATCH = {"cpu": 64, "cuda": 256}  # crops a forward pass; 64 small crops stay in a core's cache
FORMAT = 1  # of the files below; raise it when their content changes
RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class FeatureSet:
    """Descriptors of all regions of a benchmark, and of its queries.

    Attributes:
        descriptors: (R, D) float16 or float32 unit rows, often memory-mapped; the regions of image 0, then image 1, ...
        boxes: (R, 4) float32 xyxy, pixels of the original image.
        offsets: (N+1,) int64; image i owns rows ``offsets[i]:offsets[i+1]``.
        query_descriptors: (Q, D) float32 unit rows; a zero row is a query whose image could not be read.
        meta: name, hash, benchmark and encoder identities, region strategy, images and queries that were skipped.

    Raises:
        ValueError: shapes that do not belong together.
    """

    descriptors: NDArray[np.floating]
    boxes: NDArray[np.float32]
    offsets: NDArray[np.int64]
    query_descriptors: NDArray[np.float32]
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, columns = self.descriptors.shape
        if self.boxes.shape != (rows, 4) or self.offsets[0] != 0 or self.offsets[-1] != rows:
            raise ValueError(
                f"descriptors {self.descriptors.shape}, boxes {self.boxes.shape} and offsets ending at "
                f"{self.offsets[-1]} do not belong together"
            )
        if self.query_descriptors.ndim != 2 or self.query_descriptors.shape[1] != columns:
            raise ValueError(f"query descriptors {self.query_descriptors.shape}, expected (Q, {columns})")

    @property
    def n_images(self) -> int:
        """N."""
        return len(self.offsets) - 1

    def image_of(self) -> NDArray[np.int64]:
        """(R,) image index of every region."""
        return np.repeat(np.arange(self.n_images), np.diff(self.offsets))

    def at_level(self, level: int) -> FeatureSet:
        """The features of a coarser level, out of a finer one's: a level's patches come first in the next one's.

        Raises:
            ValueError: these are not grid features, or of a coarser level than asked for.
        """
        name = str(self.meta.get("regions"))
        if not name.startswith("L") or not name[1:].isdigit() or int(name[1:]) < level:
            raise ValueError(f"level L{level} cannot be taken out of the regions {name!r}")
        if name == f"L{level}":
            return self
        counts = np.minimum(np.diff(self.offsets), regions.PATCHES[level])
        rows = np.concatenate([np.arange(c) + o for c, o in zip(counts, self.offsets[:-1], strict=True)])
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        meta = {**self.meta, "regions": f"L{level}", "hash": provenance.config_hash([self.meta["hash"], level])}
        return FeatureSet(self.descriptors[rows], self.boxes[rows], offsets, self.query_descriptors, meta)


class BadImages(ValueError):
    """Images that cannot be read; ``.messages`` has one line each."""

    def __init__(self, messages: list[str]) -> None:
        self.messages = messages
        listed = "\n  ".join(messages[:20]) + (f"\n  and {len(messages) - 20} more" if len(messages) > 20 else "")
        super().__init__(
            f"{len(messages)} image(s) cannot be read:\n  {listed}\nEverything else is kept. Replace them and run again, "
            "or leave them out with --skip-bad (skip_bad=True)"
        )


def extract(
    benchmark: Benchmark,
    strategy: regions.Strategy,
    encoder: Encoder,
    out: str | Path | None = None,
    resume: bool = True,
    workers: int | None = None,
    *,
    dtype: str = "float32",
    batch: int | None = None,
    skip_bad: bool = False,
) -> FeatureSet:
    """Describe every region of every image, and every query by its whole image (or its box).

    Each image is decoded once; each region is cut from it and resized to the encoder's input by itself. The result
    lies in ``<out>/<benchmark>-<regions>-<encoder>-<hash>/`` and is returned at once when it is there already.

    Args:
        benchmark: what to describe.
        strategy: region strategy: ``"L3"``, ``"sliding-L3-0.5"``, or a function (width, height) -> (P, 4).
        encoder: of :func:`patchlib.encoders.create`.
        out: folder for feature sets; None = ``paths.cache() / "features"``.
        resume: keep what an earlier, interrupted run finished; False = start afresh.
        workers: threads; None = one per core.
        dtype: of the stored descriptors, ``"float32"`` or ``"float16"``.
        batch: crops per forward pass; None = 64 on a CPU, 256 on a GPU.
        skip_bad: leave unreadable images out (they get no regions, unreadable queries a zero row) instead of stopping.

    Returns:
        FeatureSet, memory-mapped.

    Raises:
        BadImages: images that cannot be read, all of them listed at the end; finished shards are kept.
        OSError: the disk is full; finished shards are kept.
        ValueError: a region outside its image, unknown dtype.
    """
    job = _plan(benchmark, strategy, encoder, out, dtype, batch)
    with _locked(job.folder):
        if not resume:
            shutil.rmtree(job.folder / "shards", ignore_errors=True)
            (job.folder / "meta.json").unlink(missing_ok=True)
        if not _complete(job, skip_bad):
            _require_space(job)
            messages = _run(job, encoder, workers or os.cpu_count() or 1, skip_bad)
            if messages and not skip_bad:
                raise BadImages(messages)
            _assemble(job)
    return load(job.folder)


def load(folder: str | Path) -> FeatureSet:
    """Open a feature set that :func:`extract` has written.

    Raises:
        FileNotFoundError: there is none, or it is unfinished.
    """
    folder = Path(folder)
    if not (folder / "meta.json").exists():
        raise FileNotFoundError(f"{folder} holds no finished feature set; run features.extract again")
    return FeatureSet(
        descriptors=np.load(folder / "descriptors.npy", mmap_mode="r"),
        boxes=np.load(folder / "boxes.npy"),
        offsets=np.load(folder / "offsets.npy"),
        query_descriptors=np.load(folder / "query_descriptors.npy"),
        meta=provenance.read_json(folder / "meta.json"),
    )


def crop(image: Image.Image, box: NDArray[np.float32], encoder: Encoder) -> NDArray[np.uint8]:
    """Cut one region and resize it to the encoder's input: (input_size, input_size, 3) uint8."""
    region = image.crop(tuple(int(v) for v in np.rint(box)))
    return np.asarray(region.resize((encoder.input_size,) * 2, RESAMPLE[encoder.interpolation]))


@dataclass(frozen=True)
class _Job:
    """Everything one extraction needs; ``*_paths`` and ``*_boxes`` are per image, ``kind`` is "image" or "query"."""

    folder: Path
    paths: dict[str, list[str]]
    boxes: dict[str, NDArray[np.float32]]  # NaN = whole image
    offsets: dict[str, NDArray[np.int64]]
    dim: int
    dtype: str
    batch: int
    meta: dict[str, Any]

    def shards(self) -> Iterator[tuple[str, int, int]]:
        """(kind, first image, last image) in a fixed order."""
        for kind, offsets in self.offsets.items():
            first = 0
            while first < len(offsets) - 1:
                last = int(np.searchsorted(offsets, offsets[first] + SHARD_REGIONS, side="right")) - 1
                last = min(max(last, first + 1), len(offsets) - 1)
                yield kind, first, last
                first = last

    def shard_path(self, shard: tuple[str, int, int]) -> Path:
        kind, first, last = shard
        return self.folder / "shards" / f"{kind}-{first:08d}-{last:08d}.npy"


def _plan(
    benchmark: Benchmark,
    strategy: regions.Strategy,
    encoder: Encoder,
    out: str | Path | None,
    dtype: str,
    batch: int | None,
) -> _Job:
    if dtype not in ("float16", "float32"):
        raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'float16'")
    boxes, offsets = regions.of_benchmark(benchmark, strategy)
    batch = batch or BATCH[encoder.device.split(":")[0]]
    name = "custom" if callable(strategy) else f"L{strategy}" if isinstance(strategy, int) else strategy
    config = {
        "benchmark": benchmark.hash,
        "regions": hashlib.sha256(boxes.tobytes() + offsets.tobytes()).hexdigest(),
        "encoder": encoder.config,
        "dtype": dtype,
        "batch": batch,
        "format": FORMAT,
    }
    meta = {
        "name": f"{benchmark.name}-{name}-{encoder.name}-{provenance.config_hash(config)}",
        "hash": provenance.config_hash(config),
        "config": config,
        "benchmark": benchmark.name,
        "benchmark_hash": benchmark.hash,
        "regions": name,
        "encoder": encoder.name,
        "image_ids": provenance.config_hash(benchmark.images["image_id"].tolist()),
    }
    paths_of = {
        "query": [benchmark.query_path(i) for i in range(len(benchmark.queries))],
        "image": [benchmark.image_path(i) for i in range(len(benchmark.images))],
    }
    query_boxes = benchmark.queries[["x0", "y0", "x1", "y1"]].to_numpy(np.float32)
    return _Job(
        folder=Path(out or paths.cache() / "features") / meta["name"],
        paths=paths_of,
        boxes={"query": query_boxes, "image": boxes},
        offsets={"query": np.arange(len(query_boxes) + 1), "image": offsets},
        dim=encoder.dim,
        dtype=dtype,
        batch=batch,
        meta=meta | {"files": _fingerprint([*paths_of["query"], *paths_of["image"]])},
    )


def _fingerprint(files: list[str]) -> str:
    """Hash of the files' sizes and times: features of a photo that was replaced must not be used again."""
    digest = hashlib.sha256()
    for name in dict.fromkeys(file.split(images.MEMBER)[0] for file in files):
        try:
            status = os.stat(name)
        except OSError:
            continue  # reading it will fail with a better message
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer per feature set; the operating system frees the lock of a killed run."""
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


def _complete(job: _Job, skip_bad: bool) -> bool:
    """Whether the finished set can be used; shards of files that have changed since are dropped."""
    stamp = job.folder / "files"
    if stamp.exists() and stamp.read_text() != job.meta["files"]:
        shutil.rmtree(job.folder / "shards", ignore_errors=True)
        (job.folder / "meta.json").unlink(missing_ok=True)
    with provenance.atomic_write(stamp, "w") as file:
        file.write(job.meta["files"])
    if not (job.folder / "meta.json").exists():
        return False
    found = provenance.read_json(job.folder / "meta.json")
    if found["config"] != provenance.plain(job.meta["config"]):
        raise ValueError(f"{job.folder} belongs to other settings (its meta.json differs); remove it and run again")
    return skip_bad or not (found["bad_images"] or found["bad_queries"])


def _require_space(job: _Job) -> None:
    # shards and the array made of them exist side by side for a moment
    needed = 2 * int(job.offsets["image"][-1]) * job.dim * np.dtype(job.dtype).itemsize
    free = shutil.disk_usage(job.folder).free
    if free < needed:
        text = f"{job.folder} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; set PATCHLIB_CACHE to another disk"
        raise OSError(errno.ENOSPC, text)


def _run(job: _Job, encoder: Encoder, workers: int, skip_bad: bool) -> list[str]:
    """Write all missing shards; returns a message for every image that cannot be read."""
    messages: list[str] = []
    todo = [shard for shard in job.shards() if not _done(job.shard_path(shard), skip_bad)]
    label = f"{job.meta['regions']} of {job.meta['benchmark']} with {job.meta['encoder']}"
    total = sum(last - first for _, first, last in job.shards())
    pool = ThreadPoolExecutor(workers, initializer=_one_torch_thread)
    with progress.track(label, total, "image") as bar, _torch_threads_restored():
        bar.update(total - sum(last - first for _, first, last in todo))
        try:
            futures = {pool.submit(_write_shard, job, encoder, shard, skip_bad): shard for shard in todo}
            for future in as_completed(futures):
                messages += future.result()
                bar.update(futures[future][2] - futures[future][1])
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return sorted(messages)


def _write_shard(job: _Job, encoder: Encoder, shard: tuple[str, int, int], skip_bad: bool) -> list[str]:
    kind, first, last = shard
    rows = np.full((int(job.offsets[kind][last] - job.offsets[kind][first]), job.dim), np.nan, job.dtype)
    messages: list[str] = []
    crops = _crops(job, encoder, shard, messages.append)
    filled: list[int] = []
    batch = np.empty((job.batch, encoder.input_size, encoder.input_size, 3), np.uint8)
    for row, pixels in crops:
        batch[len(filled)] = pixels
        filled.append(row)
        if len(filled) == job.batch:
            rows[filled] = encoder.encode(batch)
            filled.clear()
    if filled:
        rows[filled] = encoder.encode(batch[: len(filled)])
    if skip_bad or not messages:
        with provenance.atomic_write(job.shard_path(shard)) as file:
            np.save(file, rows)
    return messages


def _crops(
    job: _Job, encoder: Encoder, shard: tuple[str, int, int], report: Callable[[str], None]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(row within the shard, pixels) of every region; images that cannot be read are reported and left out."""
    kind, first, last = shard
    offsets = job.offsets[kind]
    for index in range(first, last):
        try:
            image = images.read(job.paths[kind][index])
        except images.ImageError as error:
            report(str(error))
            continue
        for row in range(offsets[index], offsets[index + 1]):
            box = job.boxes[kind][row]
            whole = np.array([0, 0, *image.size], np.float32)
            yield row - offsets[first], crop(image, whole if np.isnan(box).any() else box, encoder)


def _done(path: Path, skip_bad: bool) -> bool:
    if not path.exists():
        return False
    return skip_bad or not np.isnan(np.load(path, mmap_mode="r")[:, 0]).any()


def _assemble(job: _Job) -> None:
    """Turn the shards into the final files; rows of unreadable images (NaN) are dropped."""
    keep, bad = {}, {}
    for kind, offsets in job.offsets.items():
        first_columns = [np.load(job.shard_path(s), mmap_mode="r")[:, 0] for s in job.shards() if s[0] == kind]
        keep[kind] = ~np.isnan(np.concatenate(first_columns)) if first_columns else np.empty(0, bool)
        good = np.add.reduceat(keep[kind], offsets[:-1]) > 0
        bad[kind] = [job.paths[kind][i] for i in np.flatnonzero(~good)]
    counts = np.add.reduceat(keep["image"], job.offsets["image"][:-1], dtype=np.int64)
    _concatenate(job, "image", job.folder / "descriptors.npy", keep["image"], job.dtype)
    _concatenate(job, "query", job.folder / "query_descriptors.npy", None, "float32")
    arrays = {"boxes": job.boxes["image"][keep["image"]], "offsets": np.concatenate([[0], np.cumsum(counts)])}
    for name, array in arrays.items():
        with provenance.atomic_write(job.folder / f"{name}.npy") as file:
            np.save(file, array)
    meta = job.meta | {"bad_images": _names(bad["image"]), "bad_queries": _names(bad["query"])}
    provenance.write_json(job.folder / "meta.json", meta)
    shutil.rmtree(job.folder / "shards")


def _concatenate(job: _Job, kind: str, path: Path, keep: NDArray[np.bool_] | None, dtype: str) -> None:
    """Stream the shards of one kind into one array; ``keep=None`` keeps all rows and turns NaN into zeros."""
    rows = int(job.offsets[kind][-1] if keep is None else keep.sum())
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (rows, job.dim)}
    with provenance.atomic_write(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for shard in job.shards():
            if shard[0] == kind:
                block = np.load(job.shard_path(shard))
                start = job.offsets[kind][shard[1]]
                block = np.nan_to_num(block) if keep is None else block[keep[start : start + len(block)]]
                file.write(block.astype(dtype, copy=False).tobytes())


def _names(files: list[str]) -> list[str]:
    return [Path(file).name for file in files]


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
