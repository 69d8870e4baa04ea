"""Average precision and LocScore: one value per query, means are taken elsewhere.

Symbols: a ranking lists images, best first. R is the number of positives of the query, the positives found stand at
ranks k_1 < k_2 < ..., and P(k) is the share of positives among the first k images, so P(k_i) = i / k_i.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from patchlib import boxes as box_ops
from patchlib import regions
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.search import Ranking

THRESHOLDS = (0.3, 0.4, 0.5)
SCORES = ["ap", "loc_score", *(f"loc_score_{t}" for t in THRESHOLDS), "mloc_score"]


def average_precision(relevant: ArrayLike, n_positives: ArrayLike, k: int | None = None) -> NDArray[np.float64]:
    """Step average precision, AP = (1/R) * sum over the positives found of P(k_i).

    Args:
        relevant: (..., K) booleans in ranking order, True = positive.
        n_positives: (...) R, also those that the ranking misses.
        k: AP@k: only the first k ranks count and the divisor is min(k, R) (the ILIAS protocol, mAP@1k).

    Returns:
        (...) float64 in [0, 1]; NaN where R is 0.

    Raises:
        ValueError: more positives found than there are, or k < 1.

    Source: step AP as in scikit-learn's ``average_precision_score``; AP@k of ILIAS (arXiv 2502.11748).
    """
    hits, n_positives = _hits(relevant, n_positives, k)
    divisor = n_positives if k is None else np.minimum(n_positives, k)
    return _divide((_precision(hits) * hits).sum(axis=-1), divisor)


def average_precision_of_ranks(
    ranks: ArrayLike, n_positives: ArrayLike, k: int | None = None, weight: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """The same from the ranks of the positives: (1/R) * sum over i of i / k_i, of those with k_i <= k.

    Args:
        ranks: (..., P) k_i, from 1, ascending; may be fractions; NaN where there is none, with k alone.
        n_positives, k: as in :func:`average_precision`, and so is the result.
        weight: of each summand, e.g. its IoU for LocScore.
    """
    ranks, n_positives = np.asarray(ranks), np.asarray(n_positives)
    summands = np.arange(1, ranks.shape[-1] + 1) / ranks * weight
    if k is not None:
        summands = np.where(ranks <= k, summands, 0)
    return _divide(summands.sum(axis=-1), n_positives if k is None else np.minimum(n_positives, k))


def average_precision_trapezoidal(relevant: ArrayLike, n_positives: ArrayLike) -> NDArray[np.float64]:
    """Area under the precision-recall curve by the trapezoidal rule: a different measure than step AP.

    AP = (1/R) * sum over positives found of (P(k_i) + P'(k_i)) / 2, P'(k_i) = (i - 1) / (k_i - 1), and 1 at k_i = 1.
    Arguments and result as of :func:`average_precision`.

    Source: the protocol of the revisited Oxford and Paris benchmarks (Radenovic et al., CVPR 2018).
    """
    hits, n_positives = _hits(relevant, n_positives, None)
    found, ranks = np.cumsum(hits, axis=-1), np.arange(1, hits.shape[-1] + 1)
    before = np.where(ranks > 1, (found - hits) / np.maximum(ranks - 1, 1), 1.0)
    return _divide(((before + found / ranks) / 2 * hits).sum(axis=-1), n_positives)


def loc_score(
    relevant: ArrayLike, iou: ArrayLike, n_positives: ArrayLike, threshold: float | None = None
) -> NDArray[np.float64]:
    """LocScore = (1/R) * sum over the positives found of P(k_i) * IoU(k_i).

    With a threshold d the weight is 1 where IoU >= d and 0 elsewhere: LocScore(d). LocScore <= AP always.

    Args:
        relevant, n_positives: as of :func:`average_precision`, and so is the result.
        iou: (..., K) IoU of each image's winning region with its ground-truth box, in [0, 1]; read at positives only.
        threshold: d in [0, 1], or None for the continuous score.

    Source: section 3.2 (LocScore), supplement S9 (thresholds, "IoU >= delta").
    """
    hits, n_positives = _hits(relevant, n_positives, None)
    iou = np.where(hits, iou, 0)  # at its own precision: a float32 IoU of 0.7 must reach the threshold 0.7
    if np.isnan(iou).any():
        raise ValueError("iou is NaN at a positive; leave positives without a box out of the ranking first")
    weight = iou if threshold is None else (iou >= threshold) & hits
    return _divide((_precision(hits) * weight).sum(axis=-1), n_positives)


def evaluate(ranking: Ranking, benchmark: Benchmark, features: FeatureSet, k: int | None = None) -> pd.DataFrame:
    """All metrics of a ranking, one row per query.

    Args:
        ranking: (Q, K) images and winning regions.
        benchmark: its queries and positives.
        features: owner of the region boxes.
        k: depth of AP (AP@k) and of the localisation metrics; None = the whole database, which the ranking must hold.

    Returns:
        DataFrame[query_id, n_positives, ap, loc_score, loc_score_0.3, loc_score_0.4, loc_score_0.5, mloc_score],
        values in [0, 1]. An image without a winning region counts as not found, junk takes no rank. Localisation is
        NaN where no positive of the query has a box; positives without a box are taken out of its ranking. ``attrs``
        counts what was left out: ``queries_without_positives``, ``unreadable_queries``, ``queries_without_boxes``,
        ``positives_without_box``.

    Raises:
        ValueError: ranking or features are of another benchmark, k < 1, or the ranking is shorter than k asks for.
    """
    n_images, n_queries = len(benchmark.images), len(benchmark.queries)
    depth = _depth(ranking, features, n_images, n_queries, k)
    ranking = ranking.without(benchmark.junk)
    unreadable = ~np.any(features.query_descriptors, axis=1)
    left_out = {"queries_without_positives": 0, "unreadable_queries": int(unreadable.sum())}
    left_out |= {"queries_without_boxes": 0, "positives_without_box": 0}
    rows = []
    rank_of = np.empty(n_images, np.int64)
    for query in range(n_queries):
        images, boxes = benchmark.relevant(query)
        if unreadable[query]:
            continue
        if not len(images):
            left_out["queries_without_positives"] += 1
            continue
        listed = np.flatnonzero(ranking.regions[query, :depth] >= 0)
        rank_of.fill(n_images)
        rank_of[ranking.images[query, listed]] = listed
        row, boxless = _evaluate_query(images, boxes, rank_of, ranking.regions[query], features.boxes, depth, k)
        left_out["positives_without_box"] += boxless
        left_out["queries_without_boxes"] += int(np.isnan(row["loc_score"]))
        rows.append({"query_id": benchmark.queries["query_id"].iloc[query]} | row)
    table = pd.DataFrame(rows, columns=["query_id", "n_positives", *SCORES])
    table.attrs = left_out
    return table


def explain(ranking: Ranking, benchmark: Benchmark, features: FeatureSet, query: int) -> pd.DataFrame:
    """The positives of one query as AP and LocScore see them, for working a score by hand.

    Returns:
        DataFrame[rank, image_id, precision, iou], one row per positive found, best first: rank k from 1, P(k), IoU of
        the winning region with the best of the image's boxes (NaN without a box).
    """
    positives, truth = benchmark.relevant(query)
    columns = np.flatnonzero(np.isin(ranking.images[query], positives) & (ranking.regions[query] >= 0))
    images, winners = ranking.images[query, columns], features.boxes[ranking.regions[query, columns]]
    iou = [
        np.fmax.reduce(box_ops.paired_iou(winner, truth[positives == image]))
        for image, winner in zip(images, winners, strict=True)
    ]
    table = pd.DataFrame({"rank": columns + 1, "image_id": benchmark.images["image_id"].to_numpy()[images]})
    return table.assign(precision=np.arange(1, len(columns) + 1) / table["rank"], iou=np.asarray(iou, float))


def winning_grids(ranking: Ranking, benchmark: Benchmark, features: FeatureSet) -> pd.DataFrame:
    """From which grid the winning regions come, for L0..L3 features.

    Returns:
        DataFrame indexed by grid ("1x1", "2x2", ...) with the columns ``positives`` and ``other images``: shares of all
        (query, image) pairs of that kind, each column sums to 1.
    """
    counts = np.zeros((2, len(regions.LEVELS)))
    for query, (images, winners) in enumerate(zip(ranking.images, ranking.regions, strict=True)):
        known = winners >= 0
        grid = np.searchsorted(regions.PATCHES, (winners - features.offsets[images])[known], side="right")
        positive = np.isin(images[known], benchmark.relevant(query)[0])
        counts += [np.bincount(grid[chosen], minlength=len(regions.LEVELS)) for chosen in (positive, ~positive)]
    index = pd.Index([f"{level + 1}x{level + 1}" for level in regions.LEVELS], name="grid of the winning region")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return pd.DataFrame(shares.T, index, ["positives", "other images"])


def summarise(per_query: pd.DataFrame) -> pd.Series:
    """Means over queries in percent (two decimals are the published precision), NaN where nothing was measured.

    Returns:
        Series[queries, mAP, LocScore, LocScore@0.3, LocScore@0.4, LocScore@0.5, mLocScore].
    """
    names = ["mAP", "LocScore", *(f"LocScore@{t}" for t in THRESHOLDS), "mLocScore"]
    means = (100 * per_query[SCORES].mean()).set_axis(names)
    return pd.concat([pd.Series({"queries": len(per_query)}), means])


def _evaluate_query(
    images: NDArray[np.int64],
    boxes: NDArray[np.float32],
    rank_of: NDArray[np.int64],
    regions: NDArray[np.int32],
    region_boxes: NDArray[np.float32],
    depth: int,
    k: int | None,
) -> tuple[dict[str, float], int]:
    """Scores of one query, from the ranks of its positives alone; and its number of positives without a box."""
    distinct, first = np.unique(images, return_index=True)
    ranks = rank_of[distinct]
    boxed = np.logical_or.reduceat(~np.isnan(boxes[:, 0]), first)
    winner = np.full(boxes.shape, np.nan, np.float32)
    region = np.where(rank_of[images] < depth, regions[np.minimum(rank_of[images], depth - 1)], -1)
    winner[region >= 0] = region_boxes[region[region >= 0]]
    # an image may hold the instance several times: the best of its boxes counts; NaN = not retrieved
    iou = np.fmax.reduceat(box_ops.paired_iou(winner, boxes), first)
    row: dict[str, float] = {"n_positives": len(distinct)}
    row["ap"] = _sparse(ranks, np.ones(len(distinct)), len(distinct), depth, k)
    if not boxed.any():
        return row | dict.fromkeys(SCORES[1:], np.nan), len(distinct)
    # positives without a box are taken out: the ranks behind them move up
    removed = np.sort(ranks[~boxed])
    kept = ranks[boxed] - np.searchsorted(removed, ranks[boxed])
    cut = depth - int((removed < depth).sum())
    weight = np.nan_to_num(iou[boxed])
    row["loc_score"] = _sparse(kept, weight, int(boxed.sum()), cut, k)
    for t in THRESHOLDS:
        row[f"loc_score_{t}"] = _sparse(kept, (weight >= t) * 1.0, int(boxed.sum()), cut, k)
    row["mloc_score"] = float(np.mean([row[f"loc_score_{t}"] for t in THRESHOLDS]))
    return row, int((~boxed).sum())


def _sparse(
    ranks: NDArray[np.int64], weight: NDArray[np.floating], n_positives: int, depth: int, k: int | None
) -> float:
    """From the 0-based ranks of the positives within a depth: AP for weight 1, LocScore for IoU."""
    order = np.argsort(ranks, kind="stable")
    order = order[ranks[order] < depth]
    return float(average_precision_of_ranks(ranks[order] + 1, n_positives, k, weight[order]))


def _depth(ranking: Ranking, features: FeatureSet, n_images: int, n_queries: int, k: int | None) -> int:
    """How deep to look; refuses rankings and features of another benchmark."""
    _check_depth(k)
    queries, depth = ranking.images.shape
    if queries != n_queries:
        raise ValueError(f"the ranking has {queries} queries, the benchmark {n_queries}")
    wanted = n_images if k is None else min(k, n_images)
    if depth < wanted:
        raise ValueError(
            f"the ranking holds {depth} of {n_images} images, {wanted} are needed; rank deeper or pass k={depth}"
        )
    owner = (features.n_images, len(features.query_descriptors))
    if owner != (n_images, n_queries):
        raise ValueError(
            f"the features are of {owner[0]} images and {owner[1]} queries, the benchmark has {n_images} images and "
            f"{n_queries} queries; extract the features of this benchmark"
        )
    return wanted


def _check_depth(k: int | None) -> None:
    if k is not None and k < 1:
        raise ValueError(f"k is {k}, expected a depth >= 1")


def _hits(relevant: ArrayLike, n_positives: ArrayLike, k: int | None) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    _check_depth(k)
    hits, n_positives = np.asarray(relevant, bool), np.asarray(n_positives, np.int64)
    if (hits.sum(axis=-1) > n_positives).any():
        raise ValueError("a ranking holds more positives than n_positives says there are")
    return hits[..., :k], n_positives


def _precision(hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.cumsum(hits, axis=-1) / np.arange(1, hits.shape[-1] + 1)


def _divide(total: NDArray[np.float64], divisor: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(divisor > 0, total / np.maximum(divisor, 1), np.nan)
