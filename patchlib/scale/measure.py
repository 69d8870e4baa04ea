"""What one machine measures at full size: ``python -m patchlib.scale.measure``, and ``make scale``.

Needs 4 GB of memory, 25 GB of disk for ten million images, and ten minutes to half an hour of two cores. Writes
``figures/scale_machine.json``, which notebook 12 reads. Each index is built and searched in processes of their own, so
that their peaks of memory are theirs alone; it is removed as soon as it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from patchlib import benchmarks, encoders, features, regions
from patchlib.pq import disk_files, on_disk
from patchlib.pq.index import PatchIndex
from patchlib.pq.on_disk import DiskIndex
from patchlib.scale import curves, distractors, replicate
from patchlib.scale.distractors import Task
from patchlib.search import rank
from patchlib.support import machine as hardware
from patchlib.support import paths, provenance

LEVELS, POOL, CODES = (0, 1, 2, 3), 20_000, 64
UNSEEN = (1, 2, 3)  # seeds of further benchmarks, whose images the model has not seen
PROBES = (8, 16, 32, 64)
DRAWN = 1_000_000  # wrong images whose scores are looked at one by one
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
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.step:
        print(json.dumps(STEPS[asked.step[0]](asked, *asked.step[1:])))
        return
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="patchlib-scale-"))
    own, asked.folder = asked.folder is None, folder
    folder.mkdir(parents=True, exist_ok=True)
    target = paths.figures() / curves.RECORD
    _keep(target, machine=machine(), date=date.today().isoformat(), images=asked.images, pool=asked.pool)
    if not (folder / "pool.index").exists():
        _keep(target, prepared=_step(asked, "prepare"))
    prepared = provenance.read_json(target)["prepared"]
    for name, step in (("encoded_per_second", "encode"), ("recall", "recall"), ("recombined", "recombined")):
        if name not in prepared:
            prepared |= _step(asked, step)
            _keep(target, prepared=prepared)
    for level in asked.levels:
        measured = _step(asked, "build", str(level)) | _step(asked, "search", str(level))
        shutil.rmtree(folder / f"L{level}")
        _keep(target, levels=provenance.read_json(target).get("levels", {}) | {f"L{level}": measured})
    if own:
        shutil.rmtree(folder)


def _keep(target: Path, **facts: Any) -> None:
    """Put facts into the record, beside what other runs have measured."""
    record = provenance.read_json(target) if target.exists() else {}
    provenance.write_json(target, record | facts)


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages = provenance.record({}, {}, "", "")["packages"]
    return {
        "processor": hardware.processor(),
        "cores": hardware.cores(),
        "memory_gb": round(memory / 1e9, 1),
        "system": platform.system(),
        "packages": packages,
        "git_commit": provenance.git_commit(),
    }


def _step(asked: argparse.Namespace, *step: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "patchlib.scale.measure", "--images", str(asked.images), "--pool", str(asked.pool)]
    command += ["--nlist", str(asked.nlist), "--folder", str(asked.folder), "--step", *step]
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(f"{' '.join(step)}: {time.perf_counter() - start:.0f} s", flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def _given() -> tuple[Task, np.ndarray]:
    """The built-in benchmark, and (M, P, D) images of further ones that the model will not see."""
    data, *further = (benchmarks.load("procedural", seed=seed) for seed in (0, *UNSEEN))
    encoder = encoders.create("cnn-small")
    found, *unseen = (features.extract(one, f"L{LEVELS[-1]}", encoder) for one in (data, *further))
    given = distractors.task(found, data, LEVELS)
    return given, np.concatenate([np.asarray(one.descriptors).reshape(-1, *given.images.shape[1:]) for one in unseen])


def _prepare(asked: argparse.Namespace) -> dict[str, Any]:
    """Fit the model, draw the pool, index it at L3; how good the codes are where everything can be compared."""
    given, others = _given()
    model, _ = distractors.fit(given, given.wrong, curves.DEPTH)
    sizes = [len(given.images), 10_000, 100_000, 1_000_000, asked.images]
    start = time.perf_counter()
    accuracy = curves.accuracy(given, model, sorted({s for s in sizes if s <= asked.images}), curves.DEPTH, DRAWN)
    simulated = time.perf_counter() - start
    pool = replicate.pool(given, model, asked.pool)
    index = PatchIndex.build(pool, nlist=asked.nlist, m=CODES)
    index.save(asked.folder / "pool.index")
    np.savez(asked.folder / "task.npz", queries=given.queries, relevant=given.relevant)
    return {
        "width": model.width,
        "agreement": curves.agreement(given, model, others, curves.DEPTH).to_dict("records"),
        "accuracy": accuracy.to_dict("records"),
        "accuracy_seconds": simulated,
        "patches": list(given.patches),
        "peak_gb": _peak(),
    }


def _recall(asked: argparse.Namespace) -> dict[str, Any]:
    """Recall where exact search can be compared, in the pool; by level and number of lists."""
    given, _ = _given()
    model, _ = distractors.fit(given, given.wrong, curves.DEPTH)
    pool = replicate.pool(given, model, asked.pool)
    source, rows = _pool_index(asked), []
    for level, patches in zip(LEVELS, given.patches, strict=True):
        part = pool.descriptors.reshape(-1, given.patches[-1], source.index.d)[:, :patches]
        exact = rank(given.queries, replicate.feature_set(part, given.queries), 100)
        with replicate.multiplied(source, patches, len(given.images), 1, asked.folder / "recall") as index:
            for nprobe in (*PROBES, source.ivf.nlist):
                found = index.search(given.queries, 100, nprobe)
                rows.append({"level": level, "nprobe": nprobe, "recall": curves.recall(found, exact, 100)})
    return {"recall": rows}


def _recombined(asked: argparse.Namespace) -> dict[str, Any]:
    """mAP in the pool as it was encoded, and with nine tenths of it recombined from the first tenth, by level."""
    saved, source, rows = np.load(asked.folder / "task.npz"), _pool_index(asked), []
    queries, relevant = saved["queries"], saved["relevant"]
    for level in LEVELS:
        row: dict[str, Any] = {"images": len(source.offsets) - 1, "level": level}
        for name, copies in (("encoded", 1), ("recombined", 10)):
            part = asked.pool // copies
            with replicate.multiplied(
                source, regions.patch_count(level), relevant.shape[1], copies, asked.folder / "recombined", part
            ) as index:
                found = index.search(queries, curves.DEPTH, PROBES[-1])
                row[name] = 100 * float(np.nanmean(curves.average_precision_of(found, relevant, curves.DEPTH)))
        rows.append(row)
    return {"recombined": rows}


def _encode(asked: argparse.Namespace) -> dict[str, Any]:
    """How many patches a second are coded, once the index is trained."""
    source = _pool_index(asked)
    source.index.reset()
    vectors = np.random.default_rng(0).standard_normal((200_000, source.index.d), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    start = time.perf_counter()
    source.index.add(vectors)
    return {"encoded_per_second": len(vectors) / (time.perf_counter() - start)}


def _pool_index(asked: argparse.Namespace) -> PatchIndex:
    import faiss

    path = asked.folder / "pool.index"
    return replace(PatchIndex.load(path), index=faiss.read_index(str(path)), path=None)  # in memory: not that large


def _build(asked: argparse.Namespace, level: str) -> dict[str, Any]:
    """Fill the lists of an index of that size."""
    source = _pool_index(asked)
    n_real = np.load(asked.folder / "task.npz")["relevant"].shape[1]
    start = time.perf_counter()
    copies = -(-(asked.images - n_real) // asked.pool)
    index = replicate.multiply(source, regions.patch_count(int(level)), n_real, copies, asked.folder / f"L{level}")
    return {
        "codes": int(index.ivf.ntotal),
        "images": len(index.offsets) - 1,
        "bytes": index.nbytes,
        "fill_seconds": time.perf_counter() - start,
        "build_peak_gb": _peak(),
    }


def _search(asked: argparse.Namespace, level: str) -> dict[str, Any]:
    """Latency with a cold and a warm cache, recall of the codes' own exhaustive ranking, mAP, peak of memory."""
    index = on_disk.load(asked.folder / f"L{level}")
    saved = np.load(asked.folder / "task.npz")
    queries, relevant = saved["queries"], saved["relevant"]
    memory = None if index.nbytes < FITS else MEMORY
    probes = [_at(index, queries, relevant, nprobe, memory) for nprobe in PROBES]
    peak = _peak()
    start = time.perf_counter()
    truth = index.search(queries[:EXHAUSTIVE], 100, memory=MEMORY)
    seconds = time.perf_counter() - start
    for probe in probes:
        found = index.search(queries[:EXHAUSTIVE], 100, probe["nprobe"], memory=MEMORY)
        probe["recall"] = curves.recall(found, truth, 100)
    limit = None if memory is None else memory / 1e9
    return {"probes": probes, "search_peak_gb": peak, "memory_gb": limit, "exhaustive_seconds": seconds} | {
        "exhaustive_peak_gb": _peak()
    }


def _at(index: DiskIndex, queries: np.ndarray, relevant: np.ndarray, nprobe: int, memory: int | None) -> dict[str, Any]:
    cold = [_cold(index, query[None], nprobe, memory) for query in queries[:EXHAUSTIVE]]
    found = index.search(queries, curves.DEPTH, nprobe, memory=memory)
    ap = curves.average_precision_of(found, relevant, curves.DEPTH)
    warm = curves.latency(lambda rows: index.search(rows, 100, nprobe, memory=memory), queries[:TIMED])
    return warm | {"nprobe": nprobe, "mAP": 100 * float(np.nanmean(ap)), "cold_ms": 1000 * float(np.median(cold))}


def _cold(index: DiskIndex, query: np.ndarray, nprobe: int, memory: int | None) -> float:
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


STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "prepare": _prepare,
    "encode": _encode,
    "recall": _recall,
    "recombined": _recombined,
    "build": _build,
    "search": _search,
}

if __name__ == "__main__":
    main()
