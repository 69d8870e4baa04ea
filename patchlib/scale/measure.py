"""What one machine measures at full size: ``python -m patchlib.scale.measure``, and ``make scale``.

Needs 4 GB of memory, 25 GB of disk for ten million images, and ten minutes to half an hour of two cores. Writes
``figures/scale_machine.json``, which notebook 12 reads. Each index is built and searched in processes of their own, so
that their peaks of memory are theirs alone; it is removed as soon as it is measured.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchlib import benchmarks, encoders, features, regions, search
from patchlib.features import FeatureSet
from patchlib.pq import disk_files, on_disk
from patchlib.pq.index import PatchIndex
from patchlib.pq.on_disk import DiskIndex
from patchlib.scale import curves, distractors, replicate
from patchlib.scale.distractors import Task
from patchlib.support import machine as hardware
from patchlib.support import paths, provenance

LEVELS, POOL, CODES = (0, 1, 2, 3), 20_000, 64
UNSEEN = (1, 2, 3)  # seeds of further benchmarks, whose images the model has not seen
PROBES = (8, 16, 32, 64)
DRAWN = 1_000_000  # negatives whose scores are looked at one by one
SPEED = 200_000  # vectors whose encoding is timed
EXHAUSTIVE, TIMED = 8, 40  # queries whose codes are all looked at, and that are timed one by one
FITS = 4_000_000_000  # bytes of an index that is searched without a limit; larger ones get one
MEMORY = 3 << 30  # of lists then, which leaves a GB to the rest of the process


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, level by level, and write the record."""
    parser = argparse.ArgumentParser(prog="patchlib.scale.measure", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000_000, help="in the largest database")
    parser.add_argument("--pool", type=int, default=POOL, help="simulated images that are really encoded")
    parser.add_argument("--nlist", type=int, default=4096, help="lists of the index")
    parser.add_argument("--levels", type=int, nargs="+", default=list(LEVELS), help="to measure now; others are kept")
    parser.add_argument("--folder", type=Path, help="for the indexes (default: a new one for temporary files)")
    asked = parser.parse_args(arguments)
    own = nullcontext(asked.folder) if asked.folder else tempfile.TemporaryDirectory(prefix="patchlib-scale-")
    with own as folder:
        _measure(asked, Path(folder))


def _measure(asked: argparse.Namespace, folder: Path) -> None:
    target = paths.figures() / curves.RECORD
    folder.mkdir(parents=True, exist_ok=True)
    _keep(target, machine=_machine(), date=date.today().isoformat(), images=asked.images, pool=asked.pool)
    if not (folder / "pool.index").exists():
        _keep(target, prepared=_apart(_prepare, folder, asked.images, asked.pool, asked.nlist))
    for level in asked.levels:
        measured = _apart(_build, folder, level, asked.images) | _apart(_search, folder, level)
        shutil.rmtree(folder / f"L{level}")
        _keep(target, levels=provenance.read_json(target).get("levels", {}) | {f"L{level}": measured})


def _keep(target: Path, **facts: Any) -> None:
    """Put facts into the record, beside what other runs have measured."""
    record = provenance.read_json(target) if target.exists() else {}
    provenance.write_json(target, record | facts)


def _machine() -> dict[str, Any]:
    """What the numbers depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": hardware.processor(),
        "cores": hardware.cores(),
        "memory_gb": round(memory / 1e9, 1),
        "system": platform.system(),
        "packages": provenance.record({}, {}, "", "")["packages"],
        "git_commit": provenance.git_commit(),
    }


def _apart(step: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What a step measures in a new process."""
    start = time.perf_counter()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        measured = process.submit(step, *arguments).result()
    print(f"{step.__name__} {arguments[1:]}: {time.perf_counter() - start:.0f} s", flush=True)
    return measured


def _prepare(folder: Path, images: int, n_simulated: int, nlist: int) -> dict[str, Any]:
    """Fit the model, draw the pool, index it at L3; how good the codes are where everything can be compared."""
    task, others = _task()
    model, _ = distractors.fit(task, task.negatives, curves.DEPTH)
    sizes = [size for size in (len(task.images), 10_000, 100_000, 1_000_000) if size < images]
    accuracy = curves.accuracy(task, model, [*sizes, images], curves.DEPTH, DRAWN)
    pool = replicate.pool(task, model, n_simulated)
    source = PatchIndex.build(pool, nlist=nlist, m=CODES)
    measured = {
        "width": model.width,
        "agreement": curves.agreement(task, model, others, curves.DEPTH).to_dict("records"),
        "accuracy": accuracy.to_dict("records"),
        "recall": _recall(source, task, pool, folder),
        "recombined": _recombined(source, task, n_simulated, folder),
        "encoded_per_second": _encoding_speed(source),
    }
    np.savez(folder / "task.npz", queries=task.queries, relevant=task.relevant)
    source.save(folder / "pool.index")
    return measured


def _task() -> tuple[Task, NDArray[np.float32]]:
    """The built-in benchmark, and (M, P, D) images of further ones that the model will not see."""
    data, *further = (benchmarks.load("procedural", seed=seed) for seed in (0, *UNSEEN))
    encoder = encoders.create("cnn-small")
    own, *unseen = (features.extract(one, f"L{LEVELS[-1]}", encoder) for one in (data, *further))
    task = distractors.task_of(own, data, LEVELS)
    return task, np.concatenate([np.asarray(one.descriptors).reshape(-1, *task.images.shape[1:]) for one in unseen])


def _recall(source: PatchIndex, task: Task, pool: FeatureSet, folder: Path) -> list[dict[str, Any]]:
    """Recall where exact search can be compared, in the pool; by level and number of lists."""
    rows = []
    images = pool.descriptors.reshape(pool.n_images, -1, source.index.d)
    for level, patches in task.levels.items():
        exact = search.rank(task.queries, replicate.feature_set(images[:, :patches], task.queries), 100)
        with replicate.temporary_copies(source, patches, len(task.images), 1, folder / "recall") as index:
            for nprobe in (*PROBES, source.ivf.nlist):
                recall = search.recall(index.search(task.queries, 100, nprobe), exact, 100)
                rows.append({"level": level, "nprobe": nprobe, "recall": recall})
    return rows


def _recombined(source: PatchIndex, task: Task, n_simulated: int, folder: Path) -> list[dict[str, Any]]:
    """mAP in the pool as it was encoded, and with nine tenths of it recombined from the first tenth, by level."""
    rows = []
    for level, patches in task.levels.items():
        row: dict[str, Any] = {"images": len(source.offsets) - 1, "level": level}
        for name, copies in (("encoded", 1), ("recombined", 10)):
            size = (patches, len(task.images), copies)
            with replicate.temporary_copies(source, *size, folder / name, n_simulated // copies) as index:
                ranking = index.search(task.queries, curves.DEPTH, PROBES[-1])
                row[name] = curves.mean_average_precision(ranking, task.relevant, curves.DEPTH)
        rows.append(row)
    return rows


def _encoding_speed(source: PatchIndex) -> float:
    """How many patches a second are coded, once the index is trained."""
    import faiss

    empty = faiss.clone_index(source.index)
    empty.reset()
    vectors = np.random.default_rng(0).standard_normal((SPEED, empty.d), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    start = time.perf_counter()
    empty.add(vectors)
    return len(vectors) / (time.perf_counter() - start)


def _build(folder: Path, level: int, images: int) -> dict[str, Any]:
    """Fill the lists of an index of that size."""
    import faiss

    path = folder / "pool.index"
    source = replace(PatchIndex.load(path), index=faiss.read_index(str(path)), path=None)  # in memory: not that large
    n_real = np.load(folder / "task.npz")["relevant"].shape[1]
    start = time.perf_counter()
    copies = -(-(images - n_real) // (len(source.offsets) - 1 - n_real))
    index = replicate.replicate_codes(source, regions.patch_count(level), n_real, copies, folder / f"L{level}")
    return {
        "codes": int(index.ivf.ntotal),
        "images": len(index.offsets) - 1,
        "bytes": index.nbytes,
        "fill_seconds": time.perf_counter() - start,
        "build_peak_gb": _peak(),
    }


def _search(folder: Path, level: int) -> dict[str, Any]:
    """Latency with a cold and a warm cache, recall of the codes' own exhaustive ranking, mAP, peak of memory."""
    index = on_disk.load(folder / f"L{level}")
    saved = np.load(folder / "task.npz")
    queries, relevant = saved["queries"], saved["relevant"]
    memory = None if index.nbytes < FITS else MEMORY
    probes = [_probe(index, queries, relevant, nprobe, memory) for nprobe in PROBES]
    measured = {"probes": probes, "search_peak_gb": _peak(), "memory_gb": memory and memory / 1e9}
    exhaustive = index.search(queries[:EXHAUSTIVE], 100, memory=MEMORY)
    for probe in probes:
        ranking = index.search(queries[:EXHAUSTIVE], 100, probe["nprobe"], memory=MEMORY)
        probe["recall"] = search.recall(ranking, exhaustive, 100)
    return measured


def _probe(
    index: DiskIndex, queries: NDArray[np.float32], relevant: NDArray[np.bool_], nprobe: int, memory: int | None
) -> dict[str, Any]:
    cold = [_cold(index, query[None], nprobe, memory) for query in queries[:EXHAUSTIVE]]
    ranking = index.search(queries, curves.DEPTH, nprobe, memory=memory)
    warm = curves.latency(lambda rows: index.search(rows, 100, nprobe, memory=memory), queries[:TIMED])
    mean = curves.mean_average_precision(ranking, relevant, curves.DEPTH)
    return warm | {"nprobe": nprobe, "mAP": mean, "cold_ms": 1000 * float(np.median(cold))}


def _cold(index: DiskIndex, query: NDArray[np.float32], nprobe: int, memory: int | None) -> float:
    """Seconds of a query none of whose lists is in memory: neither mapped nor in the system's cache."""
    disk_files.drop_pages(index.ivf)
    with open(index.folder / disk_files.DATA, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.perf_counter()
    index.search(query, 100, nprobe, memory=memory)
    return time.perf_counter() - start


def _peak() -> float:
    """Largest resident memory of this process so far, in GB; pages of memory-mapped files count."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    main()
