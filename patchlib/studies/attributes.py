"""Properties that may decide whether retrieval succeeds: size and place of the instance, brightness of the image.

A :class:`Bins` says which positives belong to which bin of a property. :func:`evaluate` measures each bin by itself:
positives outside the bin are taken out of the ranking, they do not count as wrong images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from patchlib import boxes as box_ops
from patchlib import metrics
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.search import Ranking
from patchlib.studies import bootstrap
from patchlib.studies.brightness import lightness, scale_lightness
from patchlib.support.suggest import unknown

if TYPE_CHECKING:
    from patchlib.features.feature_set import FeatureSet

__all__ = ["BRIGHTNESS", "Bins", "at", "attributes", "bins", "each", "edges", "evaluate", "lightness", "paired"]
__all__ += ["reachable", "restrict", "scale_lightness"]
PAIR = ["query_id", "image_id"]
BRIGHTNESS = (0.2, 0.6, 1.0, 1.4, 1.8)  # factors of L*; supplement S3.2


@dataclass(frozen=True)
class Bins:
    """Which positives belong to which bin.

    Attributes:
        labels: of the bins, in order; a bin may be empty.
        members: DataFrame[query_id, image_id, value, bin], one row per positive; ``bin`` counts from 0.
    """

    labels: tuple[str, ...]
    members: pd.DataFrame

    @property
    def last(self) -> int:
        """Number of the last bin."""
        return len(self.labels) - 1

    @property
    def sizes(self) -> list[int]:
        """Positives in each bin."""
        return np.bincount(self.members["bin"], minlength=len(self.labels)).tolist()


def attributes(benchmark: Benchmark) -> pd.DataFrame:
    """Size and place of every positive box.

    Returns:
        DataFrame[query_id, image_id, area, distance], one row per known box: box area / image area in (0, 1], distance
        of the centres / half the diagonal in [0, 1].

    Source: supplement S3.2.
    """
    known = benchmark.positives.dropna(subset=BOX)
    sizes = benchmark.images.set_index("image_id").loc[known["image_id"], ["width", "height"]].to_numpy(np.float32)
    boxes, (width, height) = known[BOX].to_numpy(np.float32), sizes.T
    area, distance = box_ops.area(boxes) / (width * height), box_ops.centre_distance(boxes, width, height)
    return known[PAIR].reset_index(drop=True).assign(area=area, distance=distance)


def edges(values: ArrayLike, count: int = 5, by: str = "count") -> NDArray[np.float64]:
    """Borders of bins.

    Args:
        values: (n,) numbers to be binned.
        count: number of bins, >= 1.
        by: ``"count"`` = equally many values a bin (equal values stay together), ``"width"`` = equally wide
            bins between the smallest and the largest value.

    Returns:
        (count + 1,) ascending borders; the last bin includes its upper one. NaN without values.

    Raises:
        ValueError: another ``by``, or no bins.

    Source: supplement S3.2, whose wording admits both.
    """
    if by not in ("count", "width"):
        raise ValueError(unknown("way to bin", by, ("count", "width")))
    if count < 1:
        raise ValueError(f"{count} bins, expected at least 1")
    sample = np.sort(np.asarray(values, np.float64))
    if not len(sample):
        return np.full(count + 1, np.nan)
    if by == "width":
        return np.linspace(sample[0], sample[-1], count + 1)
    return np.append(sample[np.arange(count) * len(sample) // count], sample[-1])


def bins(benchmark: Benchmark, factor: str, count: int = 5, by: str = "count") -> Bins:
    """Positives by the size or the place of their box; of several boxes of an instance the largest counts.

    Args:
        benchmark: its boxes; positives without a box belong to no bin.
        factor: ``"area"`` or ``"distance"`` of :func:`attributes`.
        count: number of bins.
        by: as in :func:`edges`.
    """
    if factor not in ("area", "distance"):
        raise ValueError(unknown("factor", factor, ("area", "distance")))
    largest = attributes(benchmark).sort_values("area", ascending=False, kind="stable").drop_duplicates(PAIR)
    value = largest[factor].to_numpy(np.float64)
    borders = edges(value, count, by)
    members = largest[PAIR].assign(value=value, bin=np.searchsorted(borders[1:-1], value, side="right"))
    shown = [f"{100 * v:.2g}" if factor == "area" else f"{v:.2f}".lstrip("0") for v in borders]
    labels = [f"{low}–{high}" if len(value) else "no boxes" for low, high in zip(shown, shown[1:], strict=False)]
    return Bins(tuple(labels), members.sort_index())


def each(benchmark: Benchmark, labels: Sequence[str]) -> Bins:
    """Every positive in every bin, for a factor that is set for the whole benchmark, such as brightness."""
    pairs = benchmark.positives[PAIR].drop_duplicates()
    parts = [pairs.assign(value=float(number), bin=number) for number in range(len(labels))]
    return Bins(tuple(labels), pd.concat(parts, ignore_index=True))


def restrict(ranking: Ranking, benchmark: Benchmark, kept: pd.DataFrame) -> tuple[Ranking, Benchmark]:
    """A benchmark with some of its positives, and the ranking without the others.

    What is taken out moves to the end of its query's ranking, as an image without a winning region; all images behind
    it move up. So it is neither right nor wrong.

    Args:
        ranking: (Q, K), not changed.
        benchmark: owner of the positives.
        kept: DataFrame[query_id, image_id, ...] of the positives that stay.
    """
    pairs = pd.MultiIndex.from_frame(kept[PAIR])
    stays = pd.MultiIndex.from_frame(benchmark.positives[PAIR]).isin(pairs)
    smaller = dataclasses.replace(benchmark, positives=benchmark.positives[stays])
    result = Ranking(ranking.images.copy(), ranking.scores.copy(), ranking.regions.copy())
    for query in range(len(benchmark.queries)):
        gone = np.setdiff1d(benchmark.relevant(query)[0], smaller.relevant(query)[0])
        removed = np.isin(ranking.images[query], gone)
        order = np.argsort(removed, kind="stable")
        for part in (result.images, result.scores, result.regions):
            part[query] = part[query, order]
        last = len(order) - int(removed.sum())
        result.scores[query, last:], result.regions[query, last:] = -np.inf, -1
    return result, smaller


def evaluate(
    ranking: Ranking, benchmark: Benchmark, features: FeatureSet, groups: Bins, k: int | None = None
) -> pd.DataFrame:
    """:func:`patchlib.metrics.evaluate` for each bin by itself; queries without a positive in a bin are left out of it.

    Returns:
        DataFrame[bin, query_id, n_positives, ap, loc_score, ...], values in [0, 1].

    Source: supplement S3.2.
    """
    parts = []
    for number in range(len(groups.labels)):
        members = groups.members[groups.members["bin"] == number]
        scores = metrics.evaluate(*restrict(ranking, benchmark, members), features, k=k)
        parts.append(scores.assign(bin=number))
    table = pd.concat(parts, ignore_index=True)
    return table[["bin", *table.columns.drop("bin")]]


def at(table: pd.DataFrame, number: int, score: str = "ap") -> pd.Series:
    """One score of one bin in percent, by query, so that differences of two align on the queries they share."""
    return 100 * table[table["bin"] == number].set_index("query_id")[score]


def paired(tables: Mapping[str, pd.DataFrame], groups: Bins, score: str, resamples: int = 1000) -> pd.DataFrame:
    """Means per bin of two methods, and of their difference, with bootstrap intervals over queries.

    Args:
        tables: two methods -> result of :func:`evaluate`.
        groups: the bins.
        score: column to average, e.g. ``"ap"``.
        resamples: of the bootstrap.

    Returns:
        DataFrame[bin, positives, method, mean, low, high, standard_error, n] in percent, three rows per bin: the two
        methods and ``gain``, the second minus the first. A bin without queries has n = 0 and NaN.
    """
    (_, first), (_, second) = tables.items()
    rows = []
    for number, (label, size) in enumerate(zip(groups.labels, groups.sizes, strict=True)):
        a, b = at(first, number, score), at(second, number, score)
        for method, values in {**dict(zip(tables, (a, b), strict=True)), "gain": b - a}.items():
            found = bootstrap.bootstrap(values, resamples)._asdict()
            rows.append({"bin": label, "positives": size, "method": method} | found)
    return pd.DataFrame(rows)


def reachable(benchmark: Benchmark, features: FeatureSet) -> pd.DataFrame:
    """The ceiling that geometry sets: the best IoU that any region of an image has with the instance's box.

    Returns:
        DataFrame[query_id, image_id, area, reachable], one row per positive with a box; ``area`` of its largest box as
        a share of the image, ``reachable`` in [0, 1], 0 for an image without regions.
    """
    rows = attributes(benchmark).groupby(PAIR, sort=False, as_index=False)["area"].max()
    index = pd.Index(benchmark.images["image_id"]).get_indexer(rows["image_id"])
    known = benchmark.positives.dropna(subset=BOX).groupby(PAIR)[BOX]
    truth = {pair: group.to_numpy(np.float32) for pair, group in known}
    best = []
    for pair, image in zip(rows[PAIR].itertuples(index=False, name=None), index, strict=True):
        owned = features.boxes[features.offsets[image] : features.offsets[image + 1]]
        best.append(float(box_ops.iou(owned, truth[pair]).max(initial=0)))
    return rows.assign(reachable=np.asarray(best, np.float64))
