"""What one machine measures: ``python -m patchlib.scale.measure``, and ``make scale``.

Real images to 100,000, an index of ten million whose codes come many times, descriptors of the paper's size, vector
databases. Each step, and each size, goes into ``figures/scale_machine.json`` as it ends; notebook 12 reads it. What a
run stopped in the middle has measured is kept, and the same command goes on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
import timeit
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchlib import benchmarks, encoders, features, metrics, regions, search
from patchlib.benchmarks import Benchmark
from patchlib.features import FeatureSet
from patchlib.pq import disk_files, file_size, training
from patchlib.pq.index import PatchIndex
from patchlib.pq.on_disk import DiskIndex
from patchlib.scale import curves, engines, replicate, scenes
from patchlib.search import Ranking
from patchlib.support import machine, paths, provenance

SIZES = (2_000, 5_000, 10_000, 20_000, 50_000)  # and the one asked for
LEVELS, DEPTH, SHORT = (0, 1, 2, 3), 1000, 100  # depth of mAP as in ILIAS, and of everything else
M, SLIM = 64, {2: (16,), 3: (8,)}  # codes a patch, and those that bring a level within 512 bytes an image
NLIST, LARGE_NLIST = 1024, 4096  # lists at most, of all sizes and of the large index
TIMED = 20  # queries that are timed one by one
POOL = 20_000  # images that are encoded for the large index
PROBES = (8, 16, 32, 64)  # lists probed there
ENGINES = {"milvus-lite": engines.load_milvus, "qdrant-client": engines.load_qdrant}  # by their package
PATCHES, GROUPS, ASKED = 20_000, 10, 100  # of the comparison of engines: rows, groups asked for, queries


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, step by step, and write the record."""
    steps = {"sizes": _sizes, "density": _density, "engines": _engines, "copies": _copies}
    parser = argparse.ArgumentParser(prog="patchlib.scale.measure", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000, help="real ones in the largest database")
    parser.add_argument("--copies", type=int, default=10_000_000, help="images of the large index")
    parser.add_argument("--seed", type=int, default=0, help="of the built-in benchmark")
    parser.add_argument("--workers", type=int, help="processes that render and describe (default: one per core)")
    parser.add_argument("--steps", nargs="+", choices=steps, default=list(steps), help="to measure; others are kept")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="patchlib-scale-") as folder:
        for step in asked.steps:
            steps[step](asked, Path(folder))


def _keep(step: str, rows: list[dict[str, Any]], **settings: Any) -> None:
    """Put a step's rows into the record, with the machine, the day, and how busy it was."""
    record = curves.recorded(paths.figures())
    short = [{key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()} for row in rows]
    about: dict[str, Any] = {"machine": machine.kind(), "date": date.today().isoformat()}
    about |= {"load": round(os.getloadavg()[0], 1), "git_commit": provenance.git_commit()}
    provenance.write_json(paths.figures() / curves.RECORD, record | {step: about | settings | {"rows": short}})


def _own(asked: argparse.Namespace) -> tuple[Benchmark, FeatureSet]:
    """The built-in benchmark and its finest grid."""
    data = benchmarks.load("procedural", seed=asked.seed, workers=asked.workers)
    return data, features.extract(data, LEVELS[-1], encoders.create("cnn-small"), workers=asked.workers)


def _sizes(asked: argparse.Namespace, folder: Path) -> None:
    """Databases of growing size, all of real images."""
    data, own = _own(asked)
    settings = {"machine": machine.kind(), "seed": asked.seed, "features": own.meta["hash"]}
    known = curves.recorded(paths.figures()).get("sizes", {})
    rows = known["rows"] if known.items() >= settings.items() else []
    done = {row["images"] for row in rows if row["method"] == "PQ"}
    rows = [row for row in rows if row["images"] in done]
    for size in sorted({*(size for size in SIZES if size < asked.images), asked.images} - done):
        grown, patches = scenes.database(data, own, size, asked.workers)
        start = time.monotonic()
        for level in LEVELS:
            rows = rows + of_level(grown, patches.at_level(level), level, own)
        _keep("sizes", rows, **settings)
        print(f"{size:,} images: measured in {time.monotonic() - start:.0f} s", flush=True)


def of_level(data: Benchmark, part: FeatureSet, level: int, train_on: FeatureSet) -> list[dict[str, Any]]:
    """Rows of :mod:`patchlib.scale.curves` of one level: exact search, and PQ, trained elsewhere, by probed lists."""
    queries, dim = part.query_descriptors, part.descriptors.shape[1]
    each = regions.patch_count(level)
    common = {"images": part.n_images, "level": f"L{level}", "D": dim}
    exact = search.rank(queries, part, DEPTH)
    ms = curves.latency(partial(search.rank, features=part, k=SHORT, workers=1), queries[:TIMED])
    size = {"method": "exact", "bits": 16.0, "bytes": 2 * dim * each, "ms": ms}
    rows = [common | size | _quality(exact, exact, data, part)]
    nlist = min(NLIST, training.default_spec(len(train_on.descriptors), dim).nlist)
    for m in (M, *SLIM.get(level, ())):
        start = time.perf_counter()
        index = PatchIndex.build(part, train_on, nlist=nlist, m=m)
        size = {"method": "PQ", "m": m, "nlist": nlist, "bits": 8 * m / dim, "bytes": (m + 8) * each}
        size["build"] = time.perf_counter() - start
        for nprobe in (1 << power for power in range(nlist.bit_length())):
            ranking = index.search(queries, DEPTH, nprobe)
            ms = curves.latency(partial(index.search, k=SHORT, nprobe=nprobe, threads=1), queries[:TIMED])
            rows.append(common | size | {"nprobe": nprobe, "ms": ms} | _quality(ranking, exact, data, part))
    return rows


def _quality(ranking: Ranking, exact: Ranking, data: Benchmark, part: FeatureSet) -> dict[str, float]:
    scores = 100 * metrics.evaluate(ranking, data, part, k=DEPTH)[["ap", "mloc_score"]].mean()
    reached = np.where(ranking.regions >= 0, ranking.images, -1)[:, :SHORT]  # the others stand in no order
    right = [np.isin(np.unique(data.relevant(query)[0]), row).mean() for query, row in enumerate(reached)]
    same = search.recall(replace(ranking, images=reached), exact, SHORT)
    shares = {"positives": 100 * float(np.mean(right)), "found": 100 * same}
    return {"mAP": scores["ap"], "mLocScore": scores["mloc_score"], **shares}


def _density(asked: argparse.Namespace, folder: Path) -> None:
    """Time and bytes at the paper's size, D = 1024 and m = 64, beside ours: as many patches, as many lists."""
    data, own = _own(asked)
    _, patches = scenes.database(data, own, SIZES[0], asked.workers)
    rows, each = [], len(patches.descriptors) // patches.n_images
    for dim, m in ((1024, 64), (own.descriptors.shape[1], M), (own.descriptors.shape[1], SLIM[3][0])):
        part = patches if dim == own.descriptors.shape[1] else like(patches, dim)
        start = time.perf_counter()
        index = PatchIndex.build(part, nlist=NLIST, m=m, threads=1)
        row = {"D": dim, "m": m, "nlist": NLIST, "nprobe": PROBES[2], "bits": 8 * m / dim, "images": part.n_images}
        row |= {"build": time.perf_counter() - start, "bytes": (m + 8) * each, "bytes exact": 4 * dim * each}
        row["GB large"] = file_size.index_bytes(each * asked.copies, dim, m, LARGE_NLIST) / 1e9
        find = partial(index.search, k=SHORT, nprobe=PROBES[2], threads=1)
        rows.append(row | {"ms": curves.latency(find, part.query_descriptors[:TIMED])})
    _keep("density", rows, large=asked.copies)


def like(patches: FeatureSet, dim: int) -> FeatureSet:
    """Random unit rows of ``dim`` dimensions, as many as there are patches, with the spectrum of real descriptors."""
    rng = np.random.default_rng(0)
    spectrum = np.linalg.eigvalsh(np.cov(np.asarray(patches.descriptors, np.float32).T)).clip(0)
    scale = np.sqrt(np.interp(np.linspace(0, 1, dim), np.linspace(0, 1, len(spectrum)), spectrum)).astype(np.float32)
    rows = rng.standard_normal((len(patches.descriptors), dim), np.float32) * scale
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return FeatureSet(rows, patches.boxes, patches.offsets, rng.choice(rows, TIMED, replace=False))


def _engines(asked: argparse.Namespace, folder: Path) -> None:
    """Engines beside exact search on the same patches."""
    whole = _own(asked)[1]
    some = whole.keep(np.arange(PATCHES - PATCHES % regions.patch_count(LEVELS[-1])), "some")
    _keep("engines", compare(replace(some, query_descriptors=some.query_descriptors[:ASKED]), folder / "engines"))


def compare(part: FeatureSet, folder: Path, k: int = GROUPS) -> list[dict[str, Any]]:
    """A row for :func:`patchlib.search.rank` and for each embedded engine.

    ``asked`` (k), ``groups`` returned (mean) and ``fewest``, ``overlap`` of the first k images and ``winners`` that are
    equal among those (percent), ``ms`` a query, ``MB`` on disk, ``build`` seconds.
    """
    queries, n = part.query_descriptors, len(part.descriptors)
    exact = search.rank(queries, part, k)
    plain = {"ms": curves.latency(partial(search.rank, features=part, k=k, workers=1), queries[:TIMED])}
    same = {"asked": k, "groups": float(k), "fewest": k, "overlap": 100.0, "winners": 100.0}
    rows = [{"engine": "search.rank", "patches": n, "MB": part.descriptors.nbytes / 1e6, "build": 0.0, **same, **plain}]
    source = engines.export(part, folder / "patches.parquet")
    for name, load in ENGINES.items():
        place = folder / name / "patches.db"
        place.parent.mkdir()
        start = time.perf_counter()
        engine = load(str(place), source)
        build = time.perf_counter() - start
        found, ms = engine.rank(queries, k), curves.latency(partial(engine.rank, k=k), queries[:TIMED])
        engine.close()
        size = sum(path.stat().st_size for path in place.parent.rglob("*") if path.is_file()) / 1e6
        hit = found.images[:, :, None] == exact.images[:, None]
        won = hit & (found.regions[:, :, None] == exact.regions[:, None])
        groups = (found.regions >= 0).sum(axis=1)
        agree = {"overlap": 100 * hit.any(axis=1).mean(), "winners": 100 * won.sum() / max(hit.sum(), 1)}
        told = {"groups": groups.mean(), "fewest": int(groups.min()), **agree, "ms": ms, "MB": size, "build": build}
        rows.append({"engine": name, "version": metadata.version(name), "patches": n, "asked": k, **told})
    return rows


def _copies(asked: argparse.Namespace, folder: Path) -> None:
    """An index of ten million images, level by level, and what multiplying codes does to mAP where it can be seen."""
    data, own = _own(asked)
    patches = scenes.database(data, own, POOL, asked.workers)[1]
    source = PatchIndex.build(patches, nlist=LARGE_NLIST, m=M)
    relevant = np.zeros((len(data.queries), own.n_images), bool)
    for query, row in enumerate(relevant):
        row[data.relevant(query)[0]] = True
    others, queries = POOL - own.n_images, own.query_descriptors
    most = -(-(asked.copies - own.n_images) // others)
    rows: list[dict[str, Any]] = []
    for level in LEVELS:
        common = {"level": f"L{level}", "D": source.index.d, "m": M, "nlist": LARGE_NLIST}
        for name, copies, chosen in (("encoded", 1, others), ("copied", 10, others // 10), ("large", most, others)):
            place = folder / f"L{level}-{name}"
            index = replicate.replicate_codes(source, regions.patch_count(level), own.n_images, copies, place, chosen)
            rows += [common | {"codes": name} | _probed(index, queries, relevant, nprobe) for nprobe in PROBES]
            shutil.rmtree(place)
        _keep("copies", rows, pool=POOL)


def _probed(index: DiskIndex, queries: NDArray[np.float32], relevant: NDArray[np.bool_], nprobe: int) -> dict[str, Any]:
    """ms of a query with its lists in the system's cache, and with none of them in memory; mAP; GB."""
    find, cold = partial(index.search, k=SHORT, nprobe=nprobe, threads=1), []
    for query in queries[:TIMED]:
        disk_files.drop_pages(index.ivf)
        with open(index.folder / disk_files.DATA, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        cold.append(1000 * timeit.timeit(partial(find, query[None]), number=1))
    mean = _mean(index.search(queries, DEPTH, nprobe), relevant)
    times = {"ms": curves.latency(find, queries[:TIMED]), "ms cold": float(np.median(cold))}
    return {"images": len(index.offsets) - 1, "nprobe": nprobe, **times, "mAP": mean, "GB": index.nbytes / 1e9}


def _mean(ranking: Ranking, relevant: NDArray[np.bool_]) -> float:
    """mAP in percent of rankings whose images with positives come first by number; ``relevant``: (Q, n) of these."""
    known = (ranking.images < relevant.shape[1]) & (ranking.regions >= 0)
    positive = known & np.take_along_axis(relevant, np.where(known, ranking.images, 0), axis=1)
    return 100 * float(np.nanmean(metrics.average_precision(positive, relevant.sum(axis=1), k=DEPTH)))


if __name__ == "__main__":
    main()
