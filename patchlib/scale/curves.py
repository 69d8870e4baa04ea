"""Accuracy, memory and latency against the size of the database, each number with how it was found.

``measured``: real images. ``simulated``: real images, and wrong ones drawn from :mod:`patchlib.scale.distractors`.
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
from patchlib.scale.distractors import (
    BLOCK,
    Distractors,
    Task,
    average_precision,
    count_above,
    fit,
    level_scores,
    share_above,
    share_of,
)
from patchlib.search import Ranking
from patchlib.search import recall as recall_of_all
from patchlib.support import paths, provenance

DEPTH = 1000  # of AP, as in ILIAS
RECORD = "scale_machine.json"  # in figures/: what one machine measured at full size


def accuracy(
    given: Task, found: Distractors, sizes: Sequence[int], depth: int, drawn: int, workers: int | None = None
) -> pd.DataFrame:
    """mAP@depth of exact search in databases of different sizes.

    Up to the number N of real images, a database is a random part of them with all right images of the query in it;
    beyond, it is all of them and simulated ones.

    Args:
        given: the real images.
        found: the model.
        sizes: images in the database, ascending.
        depth: of AP.
        drawn: simulated images to draw at most; larger sizes are extrapolated.
        workers: threads.

    Returns:
        One row per size and level: ``images``, ``level`` (place in ``given.patches``), ``mAP`` (percent), ``kind``.
    """
    n_images = len(given.images)
    order = np.random.default_rng(0).permutation(n_images)
    more = sorted({min(size - n_images, drawn) for size in sizes if size > n_images})
    shares = dict(zip(more, share_above(found, given, more, workers), strict=True)) if more else {}
    base = share_of(given, order) * (n_images - given.n_right[:, None])
    rows = []
    for size in sizes:
        if size <= n_images:
            above, kind = share_of(given, order[:size]) * (size - given.n_right[:, None]), "measured"
        else:
            simulated = min(size - n_images, drawn)
            above = base + shares[simulated] * (size - n_images)
            kind = "simulated" if size - n_images <= drawn else "extrapolated"
        means = 100 * np.nanmean(average_precision(above, given.n_right, depth), axis=1)
        rows += [{"images": size, "level": place, "mAP": ap, "kind": kind} for place, ap in enumerate(means)]
    return pd.DataFrame(rows)


def held_out(given: Task, depth: int, seed: int = 0) -> tuple[Distractors, pd.DataFrame]:
    """Half of the wrong images fits a model, the other half says what is true.

    Args:
        given: a task with at least some wrong images.
        depth: of AP.
        seed: of the halves.

    Returns:
        The model of one half; mAP@depth among growing parts of the other half and among as many simulated images: a row
        per number of wrong images and level, columns ``wrong``, ``level``, ``measured``, ``simulated`` (percent).
    """
    known, others = np.array_split(np.random.default_rng(seed).permutation(given.wrong), 2)
    found, _ = fit(given, known, depth, seed)
    sizes = [len(others) // part for part in (8, 4, 2, 1)]
    drawn = share_above(found, given, sizes)
    rows = []
    for size, simulated in zip(sizes, drawn, strict=True):
        shares = (share_of(given, others[:size]), simulated)
        real, model = (100 * np.nanmean(average_precision(s * size, given.n_right, depth), axis=1) for s in shares)
        rows += [
            {"wrong": size, "level": level, "measured": a, "simulated": b}
            for level, (a, b) in enumerate(zip(real, model, strict=True))
        ]
    return found, pd.DataFrame(rows)


def agreement(given: Task, found: Distractors, others: NDArray[np.float32], depth: int) -> pd.DataFrame:
    """mAP@depth when real images that nobody has seen join the database, and when as many simulated ones do.

    Args:
        given: the real images that the model was fitted to.
        found: the model.
        others: (M, P, D) images that are wrong for every query.
        depth: of AP.

    Returns:
        One row per level: ``images`` (all), ``level``, ``measured``, ``simulated`` (percent).
    """
    base = share_of(given, np.arange(len(given.images))) * (len(given.images) - given.n_right[:, None])
    blocks = [others[start : start + BLOCK] for start in range(0, len(others), BLOCK)]
    real = np.sum([count_above(level_scores(b, given.queries, given.patches), given.limits) for b in blocks], axis=0)
    drawn = share_above(found, given, [len(others)])[0] * len(others)
    means = [100 * np.nanmean(average_precision(base + more, given.n_right, depth), axis=1) for more in (real, drawn)]
    table = pd.DataFrame(dict(zip(("measured", "simulated"), means, strict=True)))
    table.insert(0, "images", len(given.images) + len(others))
    return table.rename_axis("level").reset_index()


def average_precision_of(ranking: Ranking, relevant: NDArray[np.bool_], depth: int) -> NDArray[np.float64]:
    """(Q,) AP@depth of rankings in which the real images come first by number; ``relevant`` is (Q, N) of these."""
    shown = ranking.images[:, :depth]
    known = shown < relevant.shape[1]
    right = known & np.take_along_axis(relevant, np.where(known, shown, 0), axis=1)
    found = metrics.average_precision(right, relevant.sum(axis=1), k=depth)
    return found


def recall(found: Ranking, truth: Ranking, k: int) -> float:
    """:func:`patchlib.search.recall` over the queries that ``truth`` has, the first ones of ``found``."""
    asked = len(truth.images)
    return recall_of_all(Ranking(found.images[:asked], found.scores[:asked], found.regions[:asked]), truth, k)


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
        query alone with lists in the cache, ``ms cold`` without, ``ms together`` of a query among many, ``found
        codes``: share of the first 100 images of an exhaustive search through the same codes, ``found exact``: of the
        first 100 of exact search among the images that were encoded, ``mAP``; percent.
    """
    rows = {}
    known = {(f"L{row['level']}", row["nprobe"]): row["recall"] for row in record["prepared"]["recall"]}
    for level, found in sorted(record["levels"].items()):
        shared = {"images": found["images"], "codes": found["codes"], "GB": found["bytes"] / 1e9}
        for probe in found["probes"]:
            rows[level, probe["nprobe"]] = shared | {
                "peak GB": found["search_peak_gb"],
                "ms": probe["ms"],
                "ms together": probe["ms_together"],
                "ms cold": probe["cold_ms"],
                "found codes": 100 * probe["recall"],
                "found exact": 100 * known[level, probe["nprobe"]],
                "mAP": probe["mAP"],
            }
    return pd.DataFrame(rows).T.rename_axis(["level", "nprobe"]).astype({"images": int, "codes": int})


def points(
    exact: pd.DataFrame, coded: pd.DataFrame, machine: dict[str, Any], patches: dict[str, int], nprobe: int, dim: int
) -> pd.DataFrame:
    """Everything against the number of images, in one table.

    Args:
        exact: columns images, level, mAP, kind, ms of exact search here; ms at two levels or more.
        coded: columns images, level, mAP, ms of compressed indexes here.
        machine: of :func:`recorded`.
        patches: of every level.
        nprobe: lists that the machine probed.
        dim: D of the sizes.

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
    found = measured.xs(nprobe, level="nprobe").reset_index()
    theirs = pd.DataFrame(machine["prepared"]["accuracy"])
    theirs["level"] = "L" + theirs["level"].astype(str)
    grid = [10**power for power in range(4, 8)]
    memory = sizes_table(grid, patches, dim, 64, 4096).stack(["level", "method"], future_stack=True).rename("GB")
    rows = [(n, level) for n in grid for level in patches]
    timed = exact.dropna(subset="ms")
    slope, start = np.polyfit(timed["images"] * timed["level"].map(patches), timed["ms"], 1)
    slow = [start + slope * n * patches[level] for n, level in rows]
    hours = [n * patches[level] / machine["prepared"]["encoded_per_second"] / 3600 for n, level in rows]
    ahead = pd.DataFrame(rows, columns=["images", "level"]).assign(kind="extrapolated", source="here")
    tables = [
        exact.assign(method="exact", source="here"),
        coded.assign(method="PQ", source="here", kind="simulated"),
        theirs[theirs["images"] > exact["images"].max()].assign(method="exact", source="here"),
        found[["images", "level", "ms", "GB"]].assign(method="PQ", source="machine", kind="simulated"),
        memory.reset_index().assign(source="formula", kind="computed"),
        ahead.assign(method="exact", ms=slow),
        ahead.assign(method="PQ", source="machine", hours=hours),
    ]
    table = pd.concat(tables, ignore_index=True)
    return table[table["level"].isin(list(patches))]
