"""What the studies share: a small benchmark, the encoders that are there, levels, curves and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from patchlib import encoders, factors, metrics, search, statistics
from patchlib.benchmarks.record import Benchmark
from patchlib.search import Ranking

if TYPE_CHECKING:
    from patchlib.feature_set import FeatureSet


def sample(benchmark: Benchmark, n_images: int | None) -> Benchmark:
    """A smaller database with all queries, for studies that describe each image many times.

    Two thirds of the images are positives, equally many of each query (the first ones in the benchmark's order), the
    others are spread evenly over the rest of the database. A benchmark that is small enough is returned as it is.

    Args:
        benchmark: what to take from.
        n_images: at most so many images, unless there are more queries; None = all.
    """
    if n_images is None or n_images >= len(benchmark.images):
        return benchmark
    if n_images < 1:
        raise ValueError(f"a sample of {n_images} images, expected at least 1")
    known = [pd.unique(pd.Series(benchmark.relevant(q)[0])) for q in range(len(benchmark.queries))]
    each = max(1, n_images * 2 // 3 // len(known))
    chosen = np.unique(np.concatenate([rows[:each] for rows in known]).astype(np.int64))
    # positives that were not chosen would be missing ones: only images that are no positive may fill up
    rest = np.setdiff1d(np.arange(len(benchmark.images)), np.concatenate(known))
    spread = np.linspace(0, len(rest) - 1, min(max(n_images - len(chosen), 0), len(rest))).astype(int)
    return benchmark.subset(images=np.sort(np.concatenate([chosen, rest[spread]])).tolist())


def available(names: Iterable[str], device: str = "cpu") -> tuple[dict[str, encoders.Encoder], dict[str, str]]:
    """The encoders that can be created, and why the others cannot: one whose weights are missing stops no comparison.

    Returns:
        name -> Encoder, and name -> reason.
    """
    found, missing = {}, {}
    for name in names:
        try:
            found[name] = encoders.create(name, device=device)
        except (ValueError, FileNotFoundError) as error:
            missing[name] = str(error).split("; ")[0]
    return found, missing


def by_level(
    features: FeatureSet, benchmark: Benchmark, levels: Sequence[int], k: int | None = None
) -> dict[str, pd.DataFrame]:
    """Scores per query of every level, out of the features of the finest one: "L0" -> table of ``metrics.evaluate``."""
    sets = {f"L{level}": features.at_level(level) for level in levels}
    return {
        name: metrics.evaluate(search.rank(found.query_descriptors, found), benchmark, found, k=k)
        for name, found in sets.items()
    }


def loc_score_curve(
    ranking: Ranking, benchmark: Benchmark, features: FeatureSet, thresholds: ArrayLike
) -> NDArray[np.float64]:
    """LocScore(d) of every query for many thresholds at once.

    The area under the curve is the continuous LocScore, for the integral of 1[IoU >= d] over d in 0..1 is the IoU.

    Args:
        ranking: of the whole database.
        benchmark: its positives; those without a box take no part.
        features: owner of the region boxes.
        thresholds: (T,) values of d.

    Returns:
        (Q, T) in [0, 1]; NaN for a query without boxes.

    Source: supplement S9.
    """
    boxed = factors.attributes(benchmark)
    ranking, benchmark = factors.restrict(ranking, benchmark, boxed)
    thresholds = np.asarray(thresholds, np.float64)
    curve = np.full((len(benchmark.queries), len(thresholds)), np.nan)
    for query in range(len(benchmark.queries)):
        count = len(np.unique(benchmark.relevant(query)[0]))
        if count:
            found = metrics.explain(ranking, benchmark, features, query)
            reached = found["iou"].to_numpy()[:, None] >= thresholds
            curve[query] = (found["precision"].to_numpy()[:, None] * reached).sum(axis=0) / count
    return curve


def verdicts(differences: Mapping[str, ArrayLike], resamples: int = 1000) -> pd.DataFrame:
    """Claims and what the data say.

    Args:
        differences: claim -> per-query values in points, positive where the claim is true.
        resamples: of the bootstrap.

    Returns:
        DataFrame indexed by claim: ``evidence`` (mean), ``low``, ``high`` (95 % interval), ``queries``, ``holds``:
        "yes" if the interval lies above zero, "no" if below, "open" if it holds zero, "not measured" without values.
    """
    table = statistics.intervals(differences, resamples)
    holds = np.select([table["n"] == 0, table["low"] > 0, table["high"] < 0], ["not measured", "yes", "no"], "open")
    table = table.assign(holds=holds).rename(columns={"mean": "evidence", "n": "queries"})
    return table[["evidence", "low", "high", "queries", "holds"]].rename_axis("claim")
