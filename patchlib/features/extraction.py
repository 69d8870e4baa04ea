"""Benchmark x regions x encoder -> descriptors on disk.

Images are taken in shards of consecutive images, which several threads, or the workers of a cluster, write atomically;
a killed run continues with the next missing shard. At the end the shards become one memory-mapped array.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib import images, regions
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.encoders import Encoder
from patchlib.features import cluster
from patchlib.features.feature_set import FeatureSet, load, set_name
from patchlib.features.shards import Job, Known, Shard, fingerprint, image_keys, write_missing
from patchlib.support import machine, paths, provenance
from patchlib.support.files import full_disk_explained, locked
from patchlib.support.wording import counted

if TYPE_CHECKING:
    from dask.distributed import Client

BATCH_CPU, BATCH_GPU = 64, 256  # crops a forward pass; 64 small crops stay in a core's cache
KEYS = "image_keys.npy"
SHARED = 100_000  # images of a set that others may take from it: of more the keys would cost more than they spare
FORMAT = 3  # of the files below; raise it when their content changes


class BadImages(ValueError):
    """Images that cannot be used; ``.messages`` has one line each."""

    def __init__(self, messages: list[str]) -> None:
        self.messages = messages
        listed = "\n  ".join(messages[:20]) + (f"\n  and {len(messages) - 20} more" if len(messages) > 20 else "")
        super().__init__(
            f"{counted(len(messages), 'image')} cannot be read:\n  {listed}\nEverything else is kept. Replace them and "
            "run again, or leave them out with --skip-bad (skip_bad=True)"
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
    executor: Client | None = None,
) -> FeatureSet:
    """Describe every region of every image, and every query by its whole image (or its box).

    Each image is decoded once; each region is cut from it and resized to the encoder's input by itself. The result
    lies in ``<out>/<benchmark>-<regions>-<encoder>-<hash>/`` and is returned at once when it is there already. Images
    that another set there describes by the same regions and encoder are taken from it.

    Args:
        benchmark: what to describe.
        strategy: which regions, see :func:`patchlib.regions.of_benchmark`.
        encoder: of :func:`patchlib.encoders.create`.
        out: folder for feature sets; None = ``paths.cache() / "features"``.
        resume: keep what an earlier, interrupted run finished; False = start afresh.
        workers: threads; None = one per core. Of no meaning with an executor.
        dtype: of the stored descriptors, ``"float32"`` or ``"float16"``.
        batch: crops per forward pass; None = 64 on a CPU, 256 on a GPU.
        skip_bad: leave unreadable images out (they get no regions, unreadable queries a zero row) instead of stopping.
        executor: client of a Dask cluster whose workers describe the images, see :mod:`patchlib.features.cluster`;
            images and ``out`` lie on a drive they share. The bytes are those of a run without, on such processors.
            None = that of ``PATCHLIB_SCHEDULER``, where it is set.

    Returns:
        FeatureSet, memory-mapped.

    Raises:
        BadImages: images that cannot be read, all of them listed at the end; finished shards are kept.
        OSError: the disk is full; finished shards are kept.
        ClusterError: the executor's workers or scheduler are gone; finished shards are kept.
        ValueError: a region or query box outside its image, unknown dtype, batch or workers < 1.
    """
    job = _plan(benchmark, strategy, encoder, out, dtype, batch, skip_bad)
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}, expected a number of threads >= 1")
    files = fingerprint(chain(*job.files.values()))
    if resume and _complete(job, files):  # of which nothing is written: its drive may be read-only
        return load(job.folder)
    executor = cluster.chosen(executor)
    with locked(job.folder):
        if not resume:
            shutil.rmtree(job.folder / "shards", ignore_errors=True)
            (job.folder / "meta.json").unlink(missing_ok=True)
        if not _complete(job, files):
            shards = list(job.shards())
            _require_space(job, shards)
            with full_disk_explained(job.folder, "PATCHLIB_CACHE"):
                known = _known(job) if executor is None else None
                messages = write_missing(job, shards, workers or machine.cores(), executor, known)
                if messages and not skip_bad:
                    raise BadImages(messages)
                _assemble(job, shards, files)
        return load(job.folder)


def cut(image: Image.Image, boxes: NDArray[np.float32], encoder: Encoder) -> Iterator[NDArray[np.uint8]]:
    """Crops (input_size, input_size, 3) uint8 of (P, 4) boxes, as :func:`patchlib.images.cut` makes them."""
    return images.cut(image, boxes, encoder.input_size, encoder.interpolation)


def _plan(
    benchmark: Benchmark,
    strategy: regions.Strategy,
    encoder: Encoder,
    out: str | Path | None,
    dtype: str,
    batch: int | None,
    skip_bad: bool = False,
) -> Job:
    if dtype not in ("float16", "float32"):
        raise ValueError(f"dtype is {dtype!r}, expected 'float32' or 'float16'")
    if batch is not None and batch < 1:
        raise ValueError(f"batch is {batch}, expected a number of crops >= 1")
    boxes, offsets = regions.of_benchmark(benchmark, strategy)
    batch = batch or (BATCH_CPU if encoder.device == "cpu" else BATCH_GPU)
    config = {
        "benchmark": benchmark.hash,
        "regions": hashlib.sha256(boxes.tobytes() + offsets.tobytes()).hexdigest(),
        "encoder": encoder.config,
        "dtype": dtype,
        "batch": batch,
        "format": FORMAT,
    }
    meta: dict[str, Any] = {
        "hash": provenance.config_hash(config),
        "config": config,
        "benchmark": benchmark.name,
        "benchmark_hash": benchmark.hash,
        "regions": regions.name_of(strategy),
        "encoder": encoder.name,
        "image_ids": provenance.config_hash(benchmark.images["image_id"].tolist()),
    }
    meta["name"] = set_name(meta)
    query_boxes = benchmark.queries[BOX].to_numpy(np.float32)
    return Job(
        folder=Path(out or paths.cache() / "features") / meta["name"],
        benchmark=benchmark,
        encoder=encoder,
        files={
            "query": [benchmark.query_path(row) for row in range(len(benchmark.queries))],
            "image": [benchmark.image_path(row) for row in range(len(benchmark.images))],
        },
        boxes={"query": query_boxes, "image": boxes},
        offsets={"query": np.arange(len(query_boxes) + 1), "image": offsets},
        dtype=dtype,
        batch=batch,
        skip_bad=skip_bad,
        meta=meta,
    )


def _complete(job: Job, files: str) -> bool:
    """Whether a finished set is there and can be used: of these settings, and of the image files as they are now."""
    if not (job.folder / "meta.json").exists():
        return False
    meta = provenance.read_json(job.folder / "meta.json")
    if meta["config"] != provenance.plain(job.meta["config"]):
        raise ValueError(f"{job.folder} belongs to other settings (its meta.json differs); remove it and run again")
    return meta["files"] == files and (job.skip_bad or not (meta["bad_images"] or meta["bad_queries"]))


def _known(job: Job) -> Known:
    """Images that finished sets beside this one describe, where their bytes do not depend on the rest of a batch."""
    known: dict[str, NDArray[np.floating]] = {}
    if not job.encoder.rows_alone:
        return known
    asked = provenance.plain({name: job.meta["config"][name] for name in ("encoder", "dtype", "format")})
    for meta in job.folder.parent.glob("*/meta.json"):
        keys = meta.with_name(KEYS)
        if keys.exists() and asked.items() <= provenance.read_json(meta)["config"].items():
            found = load(keys.parent)
            rows = (found.descriptors[found.rows(image)] for image in range(found.n_images))
            known |= {key: part for key, part in zip(np.load(keys).tolist(), rows, strict=True) if len(part)}
    return known


def _require_space(job: Job, shards: list[Shard]) -> None:
    # shards and the array made of them exist side by side for a moment
    total = 2 * int(job.offsets["image"][-1]) * job.encoder.dim * np.dtype(job.dtype).itemsize
    needed = total - sum(shard.path.stat().st_size for shard in shards if shard.path.exists())
    free = shutil.disk_usage(job.folder).free
    if free < needed:
        from tqdm import tqdm

        wanted, there = (tqdm.format_sizeof(size, "B") for size in (needed, free))
        text = f"{job.folder} needs {wanted}, {there} are free"
        raise OSError(errno.ENOSPC, f"{text}; set PATCHLIB_CACHE to another disk")


def _assemble(job: Job, shards: list[Shard], files: str) -> None:
    """Turn the shards into the final files; rows of unreadable images (NaN) are dropped, those of queries are zeros."""
    (job.folder / "meta.json").unlink(missing_ok=True)  # written last: without it the folder is unfinished
    of_kind = {kind: [shard for shard in shards if shard.kind == kind] for kind in job.offsets}
    keep, bad = {}, {}
    for kind, table in (("image", job.benchmark.images), ("query", job.benchmark.queries)):
        columns = [np.load(shard.path, mmap_mode="r")[:, 0] for shard in of_kind[kind]]
        keep[kind] = ~np.isnan(np.concatenate(columns))
        bad[kind] = table["path"].to_numpy()[~keep[kind][job.offsets[kind][:-1]]].tolist()
    kept = np.concatenate([[0], np.cumsum(keep["image"])])  # rows before each row
    blocks = (np.load(shard.path)[keep["image"][shard.rows]] for shard in of_kind["image"])
    _concatenate(job.folder / "descriptors.npy", blocks, (int(kept[-1]), job.encoder.dim), job.dtype)
    blocks = (np.nan_to_num(np.load(shard.path)) for shard in of_kind["query"])
    _concatenate(job.folder / "query_descriptors.npy", blocks, (len(keep["query"]), job.encoder.dim), "float32")
    for name, array in {"boxes": job.boxes["image"][keep["image"]], "offsets": kept[job.offsets["image"]]}.items():
        with provenance.atomic_write(job.folder / f"{name}.npy") as file:
            np.save(file, array)
    if job.encoder.rows_alone and len(job.files["image"]) <= SHARED:
        with provenance.atomic_write(job.folder / KEYS) as file:
            np.save(file, np.array(image_keys(job.files["image"], job.boxes["image"], job.offsets["image"])))
    meta = job.meta | {"bad_images": bad["image"], "bad_queries": bad["query"], "files": files}
    provenance.write_json(job.folder / "meta.json", meta)
    shutil.rmtree(job.folder / "shards")


def _concatenate(path: Path, blocks: Iterable[NDArray[np.floating]], shape: tuple[int, int], dtype: str) -> None:
    """Stream blocks of rows into one array on disk."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with provenance.atomic_write(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(block.astype(dtype, copy=False).tobytes())
