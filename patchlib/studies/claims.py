"""What the studies share: a small benchmark, the encoders that are there, levels, curves and verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from patchlib import encoders, metrics, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.search import Ranking
from patchlib.studies import attributes, bootstrap

if TYPE_CHECKING:
    from patchlib.features.feature_set import FeatureSet


def sample(benchmark: Benchmark, n_images: int | None) -> Benchmark:
    """A smaller database with all queries, for studies that describe each image many times.

    Four fifths of the images are positives, equally many of each query (the first ones in the benchmark's order), the
    others are spread evenly over the images that are no positive. A small benchmark is returned as it is.

    Args:
        benchmark: what to take from.
        n_images: at most so many images, unless there are more queries; None = all.
    """
    if n_images is None or n_images >= len(benchmark.images):
        return benchmark
    if n_images < 1:
        raise ValueError(f"a sample of {n_images} images, expected at least 1")
    known = [pd.unique(pd.Series(benchmark.relevant(q)[0])) for q in range(len(benchmark.queries))]
    each = max(1, n_images * 4 // 5 // len(known))
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
    boxed = attributes.attributes(benchmark)
    ranking, benchmark = attributes.restrict(ranking, benchmark, boxed)
    thresholds = np.asarray(thresholds, np.float64)
    curve = np.full((len(benchmark.queries), len(thresholds)), np.nan)
    for query in range(len(benchmark.queries)):
        count = len(np.unique(benchmark.relevant(query)[0]))
        if count:
            found = metrics.explain(ranking, benchmark, features, query)
            reached = found["iou"].to_numpy()[:, None] >= thresholds
            curve[query] = (found["precision"].to_numpy()[:, None] * reached).sum(axis=0) / count
    return curve


def claims_by_bin(
    label: str, factor: str, tables: Mapping[str, pd.DataFrame], groups: attributes.Bins
) -> dict[str, pd.Series]:
    """What the paper says about a factor, as per-query differences that are positive where it is true.

    Args:
        label: put before each claim.
        factor: ``"area"``/``"size"``, ``"distance"``/``"place"`` or ``"brightness"``.
        tables: ``"global"`` and ``"Patchify"`` -> result of ``factors.evaluate``.
        groups: the bins, ascending; of brightness the middle one is the image as it is.

    Source: supplement S3.1.
    """
    whole, local = ([attributes.at(tables[m], n) for n in range(groups.last + 1)] for m in ("global", "Patchify"))
    gain = [b - a for a, b in zip(whole, local, strict=True)]
    if factor in ("area", "size"):
        small = pd.concat(gain[:2], axis=1).mean(axis=1)
        return {f"{label}: small objects (two smallest bins), L3 wins": small,
                f"{label}: large objects (largest bin), global wins": -gain[-1]}  # fmt: skip
    if factor in ("distance", "place"):
        return {f"{label}: off-centre, L3 loses less": (whole[0] - whole[-1]) - (local[0] - local[-1])}
    middle = groups.last // 2
    worst = min(gain, key=lambda values: values.mean())
    return {f"{label}: medium brightness better than dark, L3": local[middle] - local[0],
            f"{label}: medium brightness better than bright, L3": local[middle] - local[-1],
            f"{label}: L3 wins at every brightness (least gain)": worst}  # fmt: skip


def verdicts(differences: Mapping[str, ArrayLike], resamples: int = 1000) -> pd.DataFrame:
    """Claims and what the data say.

    Args:
        differences: claim -> per-query values in points, positive where the claim is true.
        resamples: of the bootstrap.

    Returns:
        DataFrame indexed by claim: ``evidence`` (mean), ``low``, ``high`` (95 % interval), ``queries``, ``holds``:
        "yes" if the interval lies above zero, "no" if below, "open" if it holds zero, "not measured" without values.
    """
    table = bootstrap.intervals(differences, resamples)
    holds = np.select([table["n"] == 0, table["low"] > 0, table["high"] < 0], ["not measured", "yes", "no"], "open")
    table = table.assign(holds=holds).rename(columns={"mean": "evidence", "n": "queries"})
    return table[["evidence", "low", "high", "queries", "holds"]].rename_axis("claim")


def extremes(scores: pd.DataFrame, tolerance: float = 0.02) -> pd.DataFrame:
    """Two queries of like AP and very different LocScore, found by a rule.

    Of all pairs among the better half of the queries (by AP) whose APs differ by at most ``tolerance``, the one whose
    LocScores differ most; where two queries or more have AP = 1, only these are looked at.

    Args:
        scores: of ``metrics.evaluate``.
        tolerance: largest difference in AP, in 0..1.

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


def backbone_table(scores: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Summaries of every encoder and level: indexed by (encoder, level), columns of ``metrics.summarise`` in percent.

    Args:
        scores: encoder -> level -> table of ``metrics.evaluate``.
    """
    rows = {
        (name, level): metrics.summarise(table) for name, levels in scores.items() for level, table in levels.items()
    }
    return pd.DataFrame(rows).T.rename_axis(["encoder", "level"]).astype({"queries": int})


def pretraining_table(
    scores: Mapping[str, Mapping[str, pd.DataFrame]], zoo: pd.DataFrame, resamples: int = 1000
) -> pd.DataFrame:
    """mAP of L0 ("global") and of the finest level ("local") against the size of the pretraining set.

    Args:
        scores: encoder -> level -> table of ``metrics.evaluate``, levels ascending.
        zoo: indexed by encoder; columns ``family``, ``model``, ``dataset``, ``dataset_size``, ``dim``. Encoders without
            pretraining are left out.
        resamples: of the bootstrap.

    Returns:
        DataFrame indexed by encoder, by ascending size: family, model, dataset, size, dim, type, mAP, low, high.

    Source: Table 4, Figure S3.
    """
    rows = []
    for name, spec in zoo[zoo["dataset_size"] > 0].sort_values("dataset_size", kind="stable").iterrows():
        levels = list(scores[str(name)].values())
        facts = {"encoder": name, "family": spec["family"], "model": spec["model"], "dataset": spec["dataset"]}
        facts |= {"size": spec["dataset_size"], "dim": spec["dim"]}
        for kind, table in (("global", levels[0]), ("local", levels[-1])):
            mean, low, high, _, _ = bootstrap.bootstrap(100 * table["ap"], resamples)
            rows.append(facts | {"type": kind, "mAP": mean, "low": low, "high": high})
    columns = ["encoder", "family", "model", "dataset", "size", "dim", "type", "mAP", "low", "high"]
    return pd.DataFrame(rows, columns=columns).set_index("encoder")


def claims_of_encoders(scores: Mapping[str, Mapping[str, pd.DataFrame]], zoo: pd.DataFrame) -> dict[str, pd.Series]:
    """What the paper says about encoders, as per-query differences at the finest level, positive where it is true.

    Families are compared at their largest pretraining size alone, sizes within one architecture.

    Source: supplement S4.
    """
    ap = {name: 100 * list(levels.values())[-1].set_index("query_id")["ap"] for name, levels in scores.items()}
    trained = zoo[zoo["dataset_size"] > 0].sort_values("dataset_size", kind="stable")
    largest = trained.groupby("model", sort=False).tail(1)
    means = {family: pd.concat([ap[str(n)] for n in rows.index], axis=1).mean(axis=1)
             for family, rows in largest.groupby("family")}  # fmt: skip
    found = {}
    if {"CNN", "Transformer"} <= set(means):
        found["transformers above CNNs (mean of each)"] = means["Transformer"] - means["CNN"]
    for _, rows in trained.groupby("model", sort=False):
        for less, more in zip(rows.index, rows.index[1:], strict=False):
            sizes = f"{rows['dataset_size'][less]:,} to {rows['dataset_size'][more]:,}"
            found[f"more pretraining is better: {more}, {sizes}"] = ap[more] - ap[less]
    for name in zoo.index[zoo["dataset_size"] == 0].intersection(list(ap)):
        for trained_name in largest.index:
            found[f"{trained_name} above {name}"] = ap[trained_name] - ap[name]
    return found
