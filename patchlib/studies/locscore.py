"""LocScore looked into: its whole curve, and queries that AP cannot tell apart."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from patchlib import metrics
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.search import Ranking
from patchlib.studies import attributes


def loc_score_curve(
    ranking: Ranking, benchmark: Benchmark, features: FeatureSet, thresholds: ArrayLike
) -> NDArray[np.float64]:
    """LocScore(d) of every query for many thresholds d (T,) at once: (Q, T) in [0, 1], NaN for a query without boxes.

    The area under the curve is the continuous LocScore, for the integral of 1[IoU >= d] over d in 0..1 is the IoU.
    Positives without a box take no part.

    Source: supplement S9.
    """
    ranking, benchmark = attributes.restrict(ranking, benchmark, attributes.attributes(benchmark))
    thresholds = np.asarray(thresholds, np.float64)
    curve = np.full((len(benchmark.queries), len(thresholds)), np.nan)
    for query in range(len(curve)):
        count = len(np.unique(benchmark.relevant(query)[0]))
        if count:
            parts = metrics.explain(ranking, benchmark, features, query)
            reached = parts["iou"].to_numpy()[:, None] >= thresholds
            curve[query] = (parts["precision"].to_numpy()[:, None] * reached).sum(axis=0) / count
    return curve


def positives_found(ranking: Ranking, benchmark: Benchmark, features: FeatureSet) -> pd.DataFrame:
    """:func:`patchlib.metrics.explain` of all queries: DataFrame[rank, image_id, precision, iou, query_id]."""
    ids = benchmark.queries["query_id"]
    parts = [metrics.explain(ranking, benchmark, features, q).assign(query_id=name) for q, name in enumerate(ids)]
    return pd.concat(parts)


def extremes(scores: pd.DataFrame, tolerance: float = 0.02) -> pd.DataFrame:
    """Two queries of like AP and very different LocScore, found by a rule.

    Of all pairs among the better half of the queries (by AP) whose APs differ by at most ``tolerance``, the one whose
    LocScores differ most; where two queries or more have AP = 1, only these are looked at.

    Returns:
        The two rows of ``scores``, the better localised first; none without boxes or without such a pair.
    """
    known = scores.dropna(subset="loc_score")
    perfect = known[known["ap"] == 1]
    group = perfect if len(perfect) > 1 else known[known["ap"] >= known["ap"].median()]
    ap, loc = group["ap"].to_numpy(), group["loc_score"].to_numpy()
    apart = np.where(np.abs(ap[:, None] - ap) <= tolerance, loc[:, None] - loc, -np.inf)
    if apart.max(initial=-np.inf) <= 0:
        return group.head(0)
    return group.iloc[list(np.unravel_index(apart.argmax(), apart.shape))]


def growth(scores: Mapping[str, pd.DataFrame], low: str, high: str) -> str:
    """How many times the LocScore(δ) of one level another reaches, at every δ; ``scores`` of ``metrics.evaluate``."""
    columns = [f"loc_score_{threshold}" for threshold in metrics.THRESHOLDS]
    ratios = scores[high][columns].mean() / scores[low][columns].mean()
    times, at = (", ".join(map(str, values)) for values in (ratios.map("{:.2f}".format), metrics.THRESHOLDS))
    return f"LocScore(δ) of {high} is {times} times that of {low} at δ = {at}"
