"""Which queries a page of examples shows: by a stated rule, each example with the number of queries it stands for."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from patchlib import boxes as box_ops
from patchlib import regions
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.features import FeatureSet
from patchlib.search import Ranking

METHODS = ("global", "Patchify")
SHOWN = 10  # images of a row, as in the paper's figures
POOR_IOU = 0.3  # the lowest of the three thresholds of mLocScore
MISSED, WORSE, ELSEWHERE, FINE = "nothing right in front", "patches lose", "found, not located", "neither"
CASES = {
    MISSED: f"Patchify has no positive among the first {SHOWN}",
    WORSE: "AP of Patchify below AP of global",
    ELSEWHERE: f"AP at or above the median, mean IoU (LocScore / AP) below {POOR_IOU}",
    FINE: "all other queries",
}


def by_query(scores: Mapping[str, pd.DataFrame], rankings: Mapping[str, Ranking], benchmark: Benchmark) -> pd.DataFrame:
    """Scores of every query by both methods, "global" and "Patchify", side by side.

    Returns:
        DataFrame indexed by query_id: ``query`` (row number), ``ap_global``, ``ap``, ``gain`` = ap - ap_global,
        ``loc_global``, ``loc``, ``iou`` = loc / ap, ``hits_global``, ``hits`` (positives among the first ten). In 0..1;
        loc and iou are NaN without boxes.
    """
    whole, local = (scores[method].set_index("query_id") for method in METHODS)
    rows = pd.Index(benchmark.queries["query_id"]).get_indexer(local.index)
    table = pd.DataFrame({"query": rows}, local.index).assign(ap_global=whole["ap"], ap=local["ap"])
    table = table.assign(gain=table["ap"] - table["ap_global"], loc_global=whole["loc_score"], loc=local["loc_score"])
    # with P(k) as weights, LocScore / AP is the mean IoU of the positives that are found
    table["iou"] = (table["loc"] / table["ap"]).where(table["ap"] > 0)
    for method, column in zip(METHODS, ("hits_global", "hits"), strict=True):
        table[column] = [_hits(rankings[method].head(SHOWN), benchmark, query) for query in rows]
    return table


def _hits(ranking: Ranking, benchmark: Benchmark, query: int) -> int:
    """Number of positives in a ranking; an image without regions is not found."""
    return int(np.isin(ranking.images[query, ranking.regions[query] >= 0], benchmark.relevant(query)[0]).sum())


def by_gain(table: pd.DataFrame, count: int = 6) -> pd.DataFrame:
    """All queries of :func:`by_query`, sorted by their gain, in groups of equal size; of each group its median query.

    Returns:
        One row a group, losses first: the columns of ``table`` for its median query (the lower one of two), and
        ``label``, ``queries`` (how many it stands for), ``lowest`` and ``highest`` gain of the group.

    Raises:
        ValueError: count < 1, or no query.
    """
    if count < 1 or table.empty:
        raise ValueError(f"{count} groups of {len(table)} queries; expected at least one of each")
    parts = np.array_split(np.arange(len(table)), min(count, len(table)))
    ordered = table.sort_values("gain", kind="stable")
    return _typical({f"{number} of {len(parts)}": ordered.iloc[rows] for number, rows in enumerate(parts, 1)})


def cases(table: pd.DataFrame) -> pd.Series:
    """The case of every query: the first of :data:`CASES` that holds for it, so that each query has exactly one."""
    elsewhere = (table["ap"] >= table["ap"].median()) & (table["iou"] < POOR_IOU)
    held = np.select([table["hits"] == 0, table["gain"] < 0, elsewhere], [MISSED, WORSE, ELSEWHERE], FINE)
    return pd.Series(held, table.index, name="case")


def by_case(table: pd.DataFrame) -> pd.DataFrame:
    """Each kind of failure by the query of median gain among its queries; as :func:`by_gain`, failures that occur."""
    groups = dict(iter(table.sort_values("gain", kind="stable").groupby(cases(table))))
    return _typical({case: groups[case] for case in CASES if case != FINE and case in groups})


def at_gain(table: pd.DataFrame, quantile: float) -> int:
    """Row number of the query at a quantile of the gain, in [0, 1): that share of all queries gains less."""
    if not 0 <= quantile < 1 or table.empty:
        raise ValueError(f"quantile {quantile} of {len(table)} queries; expected one in [0, 1) and at least one query")
    return int(table.sort_values("gain", kind="stable")["query"].iloc[int(quantile * len(table))])


def listed(pages: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The queries of several pages as one table: what each stands for and how both methods do on it, in percent.

    ``pages``: rule -> result of :func:`by_gain` or :func:`by_case`; the table is indexed by rule and label.
    """
    columns = {"query_id": "query", "queries": "stands for", "ap_global": "AP global", "ap": "AP", "gain": "gain"}
    columns |= {"loc_global": "LocScore global", "loc": "LocScore"}
    columns |= {"hits_global": f"first {SHOWN} global", "hits": f"first {SHOWN}"}
    table = pd.concat({rule: page.drop(columns="query").rename_axis("query_id").reset_index().set_index("label")
                       for rule, page in pages.items()}, names=["rule"])  # fmt: skip
    scores = ["ap_global", "ap", "gain", "loc_global", "loc"]
    return table.assign(**100 * table[scores].astype(float))[list(columns)].rename(columns=columns)


def case_table(table: pd.DataFrame) -> pd.DataFrame:
    """How many queries each case holds: indexed by case; queries, share, mean gain, AP, LocScore (all in percent)."""
    groups = (100 * table[["gain", "ap", "loc"]]).groupby(cases(table))
    counts = groups.size().reindex(list(CASES), fill_value=0).rename("queries")
    means = groups.mean().set_axis(["gain", "AP", "LocScore"], axis=1)
    return counts.to_frame().assign(share=100 * counts / len(table)).join(means).rename_axis("case")


def best_of_each_kind(ranking: Ranking, benchmark: Benchmark, query: int) -> dict[str, int]:
    """The image that ranks first among the positives, "positive", and the one among the others, "negative"."""
    positive = np.isin(ranking.images[query], benchmark.relevant(query)[0])
    kinds = {"positive": positive, "negative": ~positive}
    return {kind: int(ranking.images[query, np.argmax(of)]) for kind, of in kinds.items() if of.any()}


def patch_scores(
    features: FeatureSet, descriptor: ArrayLike, image: int, truth: ArrayLike | None = None
) -> pd.DataFrame:
    """The score of every region of one image with the descriptor (D,) of a query.

    ``truth``: (B, 4) boxes of the object in it, NaN = unknown; None = not known.

    Returns:
        DataFrame[grid, patch, score, iou, x0, y0, x1, y1] in the order of the regions; ``grid`` is g for the patches of
        a g x g grid and 0 for other regions, ``patch`` a name such as "3×3 row 1 column 2", ``iou`` that with the best
        of the boxes (NaN without).
    """
    rows = features.rows(image)
    boxes = np.asarray(features.boxes[rows], np.float32)
    scores = np.asarray(features.descriptors[rows], np.float32) @ np.asarray(descriptor, np.float32)
    known = np.empty((0, 4), np.float32) if truth is None else np.asarray(truth, np.float32)
    known = known[~np.isnan(known).any(axis=1)]
    iou = box_ops.iou(boxes, known).max(axis=1) if len(known) else np.full(len(boxes), np.nan)
    grid, names = _patches(features, len(boxes))
    return pd.DataFrame(boxes, columns=BOX).assign(grid=grid, patch=names, score=scores, iou=iou)[
        ["grid", "patch", "score", "iou", *BOX]
    ]


def _patches(features: FeatureSet, count: int) -> tuple[list[int], list[str]]:
    """Grid and name of the regions of one image."""
    if count not in regions.PATCHES or not str(features.meta.get("regions")).startswith("L"):
        return [0] * count, [f"region {number}" for number in range(1, count + 1)]
    sides = range(1, regions.PATCHES.index(count) + 2)
    cells = [(g, row, column) for g in sides for row in range(1, g + 1) for column in range(1, g + 1)]
    names = [f"{g}×{g} row {row} column {column}" if g > 1 else "whole image" for g, row, column in cells]
    return [g for g, _, _ in cells], names


def _typical(groups: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The middle row of every group, each of which is sorted by gain."""
    rows = []
    for name, group in groups.items():
        facts = {"label": name, "queries": len(group), "lowest": group["gain"].min(), "highest": group["gain"].max()}
        rows.append(group.iloc[[(len(group) - 1) // 2]].assign(**facts))
    return pd.concat(rows) if rows else pd.DataFrame(columns=["label", "queries", "lowest", "highest"])
