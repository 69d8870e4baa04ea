"""Accuracy, memory and latency against the size of the database, each number with how it was found.

``measured``: real images. ``simulated``: real images, and negatives drawn from :mod:`patchlib.scale.distractors`.
``extrapolated``: simulated ones beyond the number drawn, in proportion.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import metrics
from patchlib.pq import file_size
from patchlib.scale.distractors import Distractors, Task, fit, real_and_simulated, share_above, share_of
from patchlib.search import Ranking
from patchlib.support import paths, provenance

DEPTH = 1000  # of AP, as in ILIAS
RECORD = "scale_machine.json"  # in figures/: what one machine measured at full size


def accuracy(
    task: Task, model: Distractors, sizes: Sequence[int], depth: int, drawn: int, workers: int | None = None
) -> pd.DataFrame:
    """mAP@depth of exact search in databases of different sizes.

    Up to the number N of real images, a database is a random part of them with all positives of the query in it;
    beyond, it is all of them and simulated ones.

    Args:
        task: the real images.
        model: of the simulated ones.
        sizes: images in the database, ascending.
        depth: of AP.
        drawn: simulated images to draw at most; larger sizes are extrapolated.
        workers: threads.

    Returns:
        One row per size and level: ``images``, ``level`` (e.g. ``"L0"``), ``mAP`` (percent), ``kind``.
    """
    n_images = len(task.images)
    order = np.random.default_rng(0).permutation(n_images)
    more = sorted({min(size - n_images, drawn) for size in sizes if size > n_images})
    shares = dict(zip(more, share_above(model, task, more, workers), strict=True)) if more else {}
    rows = []
    for size in sizes:
        real, simulated = min(size, n_images), max(size - n_images, 0)
        above, kind = share_of(task, order[:real]) * (real - task.n_positives[:, None]), "measured"
        if simulated:
            above = above + shares[min(simulated, drawn)] * simulated
            kind = "simulated" if simulated <= drawn else "extrapolated"
        means = zip(task.levels, task.mean_average_precision(above, depth), strict=True)
        rows += [{"images": size, "level": level, "mAP": ap, "kind": kind} for level, ap in means]
    return pd.DataFrame(rows)


def held_out(task: Task, depth: int, seed: int = 0) -> tuple[Distractors, pd.DataFrame]:
    """Half of the negatives fits a model, the other half says what is true.

    Args:
        task: one with at least some negatives.
        depth: of AP.
        seed: of the halves.

    Returns:
        The model of one half; mAP@depth among growing parts of the other half and among as many simulated images: a row
        per number of negatives and level, columns ``negatives``, ``level``, ``measured``, ``simulated`` (percent).
    """
    known, others = np.array_split(np.random.default_rng(seed).permutation(task.negatives), 2)
    model, _ = fit(task, known, depth, seed)
    sizes = [len(others) // part for part in (8, 4, 2, 1)]
    means = real_and_simulated(task, model, others, sizes, depth)
    rows = pd.MultiIndex.from_product([sizes, task.levels], names=["negatives", "level"])
    columns = {name: values.ravel() for name, values in zip(("measured", "simulated"), means, strict=True)}
    return model, pd.DataFrame(columns, rows).reset_index()


def agreement(task: Task, model: Distractors, others: NDArray[np.float32], depth: int) -> pd.DataFrame:
    """mAP@depth when real images that nobody has seen join the database, and when as many simulated ones do.

    Args:
        task: the real images that the model was fitted to.
        model: of the simulated ones.
        others: (M, P, D) images that are negatives of every query.
        depth: of AP.

    Returns:
        One row per level: ``images`` (all), ``level``, ``measured``, ``simulated`` (percent).
    """
    relevant = np.pad(task.relevant, ((0, 0), (0, len(others))))
    joined = Task(np.concatenate([task.images, others]), task.queries, relevant, task.levels)
    sizes = [len(joined.images)]
    measured, simulated = (accuracy(one, model, sizes, depth, len(others)) for one in (joined, task))
    return measured[["images", "level"]].assign(measured=measured["mAP"], simulated=simulated["mAP"])


def mean_average_precision(ranking: Ranking, relevant: NDArray[np.bool_], depth: int) -> float:
    """mAP@depth in percent of rankings in which the real images come first by number; ``relevant``: (Q, N) of these."""
    shown = ranking.images[:, :depth]
    real = shown < relevant.shape[1]
    positive = real & np.take_along_axis(relevant, np.where(real, shown, 0), axis=1)
    return 100 * float(np.nanmean(metrics.average_precision(positive, relevant.sum(axis=1), k=depth)))


def latency(search: Callable[[NDArray[np.float32]], Any], queries: NDArray[np.float32]) -> dict[str, float]:
    """Milliseconds per query, all in the cache: one at a time (median, 95th percentile), and together."""
    search(queries)
    start = time.perf_counter()
    search(queries)
    together = 1000 * (time.perf_counter() - start) / len(queries)
    times = []
    for query in queries:
        start = time.perf_counter()
        search(query[None])
        times.append(1000 * (time.perf_counter() - start))
    return {"ms": float(np.median(times)), "ms_95": float(np.quantile(times, 0.95)), "ms_together": together}


def sizes_table(images: Sequence[int], patches: dict[str, int], dim: int, m: int, nlist: int) -> pd.DataFrame:
    """GB (10^9 bytes) of float32 descriptors and of IVFPQ indexes, by formula; columns level and method."""
    columns = {
        (level, method): [size(count * number) / 1e9 for count in images]
        for level, number in patches.items()
        for method, size in (
            ("exact", lambda vectors: file_size.raw_bytes(vectors, dim)),
            ("PQ", lambda vectors: file_size.index_bytes(vectors, dim, m, nlist)),
        )
    }
    table = pd.DataFrame(columns, index=pd.Index(images, name="images"))
    return table.rename_axis(columns=["level", "method"])


def recorded() -> dict[str, Any]:
    """What one machine has measured at full size, of the checkout."""
    return provenance.read_json(paths.root() / "figures" / RECORD)


def machine_table(record: dict[str, Any]) -> pd.DataFrame:
    """What ``python -m patchlib.scale.measure`` has measured: a row per level and number of probed lists.

    Returns:
        Indexed by (level, nprobe): images, codes, ``GB`` on disk, ``peak GB`` resident while searching, ``ms`` of one
        query alone with lists in the cache, ``ms together`` of a query among many, ``ms cold`` without, ``found
        codes``: share of the first 100 images of an exhaustive search through the same codes, ``found exact``: of the
        first 100 of exact search among the images that were encoded, ``mAP``; percent.
    """
    exact = {(row["level"], row["nprobe"]): row["recall"] for row in record["prepared"]["recall"]}
    rows = {}
    for level, index in sorted(record["levels"].items()):
        for probe in index["probes"]:
            rows[level, probe["nprobe"]] = {
                "images": index["images"],
                "codes": index["codes"],
                "GB": index["bytes"] / 1e9,
                "peak GB": index["search_peak_gb"],
                "ms": probe["ms"],
                "ms together": probe["ms_together"],
                "ms cold": probe["cold_ms"],
                "found codes": 100 * probe["recall"],
                "found exact": 100 * exact[level, probe["nprobe"]],
                "mAP": probe["mAP"],
            }
    return pd.DataFrame(rows).T.rename_axis(["level", "nprobe"]).astype({"images": int, "codes": int})


def points(
    exact: pd.DataFrame,
    coded: pd.DataFrame,
    memory: pd.DataFrame,
    machine: dict[str, Any],
    levels: dict[str, int],
    nprobe: int,
) -> pd.DataFrame:
    """Everything against the number of images, in one table.

    Args:
        exact: columns images, level, mAP, kind, ms of exact search here; ms at two levels or more.
        coded: columns images, level, mAP, ms of compressed indexes here.
        memory: of :func:`sizes_table`.
        machine: of :func:`recorded`.
        levels: patches of every level.
        nprobe: lists that the machine probed.

    Returns:
        images, level, method ("exact", "PQ"), source (what belongs on one line), kind; ``mAP`` (percent), ``GB``,
        ``ms`` a query, ``hours`` of encoding; NaN where there is none. Times of exact search are extrapolated on
        a line through those measured, against the number of patches; those of encoding in proportion to it. The mAP
        of recombined codes is left out: many copies make it pessimistic.

    Raises:
        ValueError: the machine has not measured with so many lists.
    """
    measured = machine_table(machine)
    known = measured.index.get_level_values("nprobe").unique().tolist()
    if nprobe not in known:
        raise ValueError(f"nprobe is {nprobe}, but the machine has probed {known} lists; take one of these")
    there = measured.xs(nprobe, level="nprobe").reset_index()
    simulated = pd.DataFrame(machine["prepared"]["accuracy"])
    ahead = pd.MultiIndex.from_product([memory.index, levels], names=["images", "level"]).to_frame(index=False)
    patches = ahead["images"] * ahead["level"].map(levels)
    timed = exact.dropna(subset="ms")
    slope, start = np.polyfit(timed["images"] * timed["level"].map(levels), timed["ms"], 1)
    hours = patches / machine["prepared"]["encoded_per_second"] / 3600
    tables = [
        exact.assign(method="exact", source="here"),
        coded.assign(method="PQ", source="here", kind="simulated"),
        simulated[simulated["images"] > exact["images"].max()].assign(method="exact", source="here"),
        there[["images", "level", "ms", "GB"]].assign(method="PQ", source="machine", kind="simulated"),
        memory.stack(["level", "method"], future_stack=True)
        .rename("GB")
        .reset_index()
        .assign(source="formula", kind="computed"),
        ahead.assign(method="exact", source="here", kind="extrapolated", ms=start + slope * patches),
        ahead.assign(method="PQ", source="machine", kind="extrapolated", hours=hours),
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[table["level"].isin(list(levels))]
