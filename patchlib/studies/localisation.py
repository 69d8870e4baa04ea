"""How well are positives located, whatever their rank? Scores to choose from, and what changes each of them.

LocScore weighs AP by IoU, so it moves with the ranking. The other scores here are made of the same two numbers a
positive, its rank k_i and the IoU of its winning region, and of a third, the best IoU that any of its regions has.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from patchlib import metrics
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.search import Ranking
from patchlib.studies import attributes, locscore

RATIO = "LocScore / AP"
SHARE = "share of the reachable IoU"


def located(ranking: Ranking, benchmark: Benchmark, features: FeatureSet) -> pd.DataFrame:
    """Every positive with a box that a ranking lists.

    Returns:
        DataFrame[query_id, image_id, rank, iou, reachable]: rank from 1, IoU of the winning region, IoU of the best
        region, sorted by rank within a query.
    """
    found = locscore.positives_found(ranking, benchmark, features)[[*attributes.PAIR, "rank", "iou"]]
    best = attributes.reachable(benchmark, features)[[*attributes.PAIR, "reachable"]]
    return found.dropna(subset="iou").merge(best, on=attributes.PAIR)


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """Five scores a query, and AP, of :func:`located`; in 0..1.

    - ``LocScore``: (1/R) sum of P(k_i) IoU_i.
    - ``LocScore / AP``: the mean IoU, weighted by precision.
    - ``first R``: the mean IoU of the positives among the first R images; NaN where there is none.
    - ``mean IoU``: of all positives, at whatever rank.
    - ``share of the reachable IoU``: sum of IoU_i / sum of the best that the regions allow.

    Returns:
        DataFrame indexed by query_id.
    """
    by_query = table.sort_values(["query_id", "rank"]).groupby("query_id")
    return by_query[["rank", "iou", "reachable"]].apply(_of_query)


def _of_query(found: pd.DataFrame) -> pd.Series:
    ranks, iou = found["rank"].to_numpy(float), found["iou"].to_numpy(float)
    ap = float(metrics.average_precision_of_ranks(ranks, len(ranks)))
    score = float(metrics.average_precision_of_ranks(ranks, len(ranks), weight=iou))
    first = iou[ranks <= len(ranks)]
    values = {"LocScore": score, RATIO: score / ap, "first R": first.mean() if len(first) else np.nan}
    return pd.Series(values | {"mean IoU": iou.mean(), SHARE: iou.sum() / found["reachable"].sum(), "AP": ap})


def random_ranks(table: pd.DataFrame, images: int, seed: int = 0) -> pd.DataFrame:
    """The same boxes at random ranks among so many images."""
    rng, changed = np.random.default_rng(seed), table.copy()
    ranks = changed.groupby("query_id")["rank"]
    changed["rank"] = ranks.transform(lambda of: rng.choice(images, len(of), replace=False) + 1)
    return changed


def more_wrong_images(table: pd.DataFrame, times: int = 10) -> pd.DataFrame:
    """The same database with so many times the wrong images, spread evenly over the ranks."""
    before = table["rank"] - 1 - table.groupby("query_id").cumcount()  # wrong images that stand before it
    return table.assign(rank=table["rank"] + (times - 1) * before)


def worse_boxes(table: pd.DataFrame, factor: float = 0.5) -> pd.DataFrame:
    """The same ranks with every IoU a share of what it was."""
    return table.assign(iou=factor * table["iou"])


def sensitivity(fine: pd.DataFrame, coarse: pd.DataFrame, images: int) -> pd.DataFrame:
    """By how much each score changes, in percent of itself, when one thing alone does.

    Args:
        fine, coarse: of :func:`located`, sorted by rank; of a fine and of a coarser set of regions.
        images: N.

    Returns:
        DataFrame indexed by score: ``value`` (percent); the changes with ``random ranks``, ``10x wrong images``,
        ``IoU halved`` and ``coarser regions``; ``shared with AP``, the squared correlation over queries in percent.
    """
    plain = scores(fine)
    changes: dict[str, pd.DataFrame] = {
        "random ranks": scores(random_ranks(fine, images)),
        "10x wrong images": scores(more_wrong_images(fine)),
        "IoU halved": scores(worse_boxes(fine)),
        "coarser regions": scores(coarse),
    }
    means = plain.mean()
    table = pd.DataFrame({"value": 100 * means})
    for name, changed in changes.items():
        table[name] = 100 * (changed.mean() / means - 1)
    table["shared with AP"] = 100 * plain.corrwith(plain["AP"]) ** 2
    return table.drop(index="AP").rename_axis("score")


def order_kept(by_encoder: Mapping[str, pd.DataFrame], resamples: int = 1000, seed: int = 0) -> pd.Series:
    """Percent of the pairs of encoders that stand in the same order when the queries are drawn anew; a score each.

    ``by_encoder``: encoder -> :func:`scores` of the same queries.
    """
    names, rng = list(by_encoder), np.random.default_rng(seed)
    values = np.stack([by_encoder[name].to_numpy() for name in names])  # (encoders, Q, scores)
    draws = rng.integers(0, values.shape[1], (resamples, values.shape[1]))
    means = np.nanmean(values[:, draws], axis=2)  # (encoders, resamples, scores)
    first, second = np.triu_indices(len(names), 1)
    apart = np.sign(np.nanmean(values, axis=1)[first] - np.nanmean(values, axis=1)[second])
    same = np.sign(means[first] - means[second]) == apart[:, None]
    return pd.Series(100 * same.mean(axis=(0, 1)), by_encoder[names[0]].columns).drop("AP")
