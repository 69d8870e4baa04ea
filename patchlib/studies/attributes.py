"""Attributes that may decide whether retrieval succeeds: size and place of the instance, brightness of the image.

A :class:`Bins` says which positives belong to which bin of an attribute. :func:`evaluate` measures each bin by itself:
positives outside the bin are taken out of the ranking, they do not count as negatives.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from patchlib import boxes as box_ops
from patchlib import metrics, search
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.features import FeatureSet
from patchlib.search import Ranking
from patchlib.studies import bootstrap
from patchlib.support.suggest import unknown_name

PAIR = ["query_id", "image_id"]
SCORES = {"mAP (%)": "ap", "LocScore (%)": "loc_score"}


@dataclass(frozen=True)
class Bins:
    """Which positives belong to which bin."""

    labels: tuple[str, ...]  # of the bins, in order; a bin may be empty
    members: pd.DataFrame  # DataFrame[query_id, image_id, value, bin], one row per positive; ``bin`` counts from 0

    @property
    def sizes(self) -> list[int]:
        """Positives in each bin."""
        return np.bincount(self.members["bin"], minlength=len(self.labels)).tolist()

    def positives(self, number: int) -> pd.DataFrame:
        """Members of one bin."""
        return self.members[self.members["bin"] == number]


class Binned(NamedTuple):
    """Bins of an attribute, and method -> scores per bin and query: DataFrame[bin, query_id, ap, loc_score, ...]."""

    groups: Bins
    tables: dict[str, pd.DataFrame]


def pair(patches: FeatureSet) -> dict[str, FeatureSet]:
    """The two methods that a study of attributes compares: the whole image, and all patches."""
    return {"global": patches.at_level(0), "Patchify": patches}


def attributes(benchmark: Benchmark) -> pd.DataFrame:
    """Size and place of every positive box, one row per known box.

    Returns:
        DataFrame[query_id, image_id, area, distance]: box area / image area in (0, 1], distance of the centres / half
        the diagonal in [0, 1].

    Source: supplement S3.2.
    """
    known = benchmark.positives.dropna(subset=BOX)
    sizes = benchmark.images.set_index("image_id").loc[known["image_id"], ["width", "height"]].to_numpy(np.float32)
    boxes, (width, height) = known[BOX].to_numpy(np.float32), sizes.T
    area, distance = box_ops.area(boxes) / (width * height), box_ops.centre_distance(boxes, width, height)
    return known[PAIR].reset_index(drop=True).assign(area=area, distance=distance)


def median_positive(benchmark: Benchmark) -> tuple[int, int]:
    """Row of the query and of the image of the positive of median size; without boxes, of the one in the middle."""
    by_size = attributes(benchmark).sort_values("area", kind="stable")
    pairs = by_size if len(by_size) else benchmark.positives
    query_id, image_id = pairs[PAIR].iloc[len(pairs) // 2]
    return benchmark.query_row(query_id), int(pd.Index(benchmark.images["image_id"]).get_loc(image_id))


def edges(values: ArrayLike, count: int = 5, by: str = "count") -> NDArray[np.float64]:
    """(count + 1,) ascending borders of bins of the values; the last bin includes its upper one. NaN without values.

    Bins hold equally many values, equal ones together (``by="count"``), or are equally wide (``by="width"``).

    Raises:
        ValueError: another ``by``, or no bins.

    Source: supplement S3.2, whose wording admits both.
    """
    if by not in ("count", "width"):
        raise ValueError(unknown_name("way to bin", by, ("count", "width")))
    if count < 1:
        raise ValueError(f"{count} bins, expected at least 1")
    ascending = np.sort(np.asarray(values, np.float64))
    if not len(ascending):
        return np.full(count + 1, np.nan)
    if by == "width":
        return np.linspace(ascending[0], ascending[-1], count + 1)
    return np.append(ascending[np.arange(count) * len(ascending) // count], ascending[-1])


def bins(benchmark: Benchmark, attribute: str, count: int = 5, by: str = "count") -> Bins:
    """Positives by their ``"area"`` or ``"distance"`` of :func:`attributes`, cut as :func:`edges` says.

    Of several boxes of an instance the largest counts; positives without a box belong to no bin.
    """
    if attribute not in ("area", "distance"):
        raise ValueError(unknown_name("attribute", attribute, ("area", "distance")))
    largest = attributes(benchmark).sort_values("area", ascending=False, kind="stable").drop_duplicates(PAIR)
    values = largest[PAIR].assign(value=largest[attribute].to_numpy(np.float64)).sort_index()
    return cut(values, count, by, lambda v: f"{100 * v:.2g}") if attribute == "area" else cut(values, count, by)


def cut(
    values: pd.DataFrame, count: int, by: str = "count", show: Callable[[float], str] = lambda v: f"{v:.2f}".lstrip("0")
) -> Bins:
    """Bins of positives by a value: DataFrame[query_id, image_id, value]; ``show`` writes the borders in the labels."""
    borders = edges(values["value"], count, by)
    shown = [show(border) for border in borders]
    labels = [f"{low}–{high}" if len(values) else "no boxes" for low, high in zip(shown, shown[1:], strict=False)]
    return Bins(tuple(labels), values.assign(bin=np.searchsorted(borders[1:-1], values["value"], side="right")))


def restrict(ranking: Ranking, benchmark: Benchmark, kept: pd.DataFrame) -> tuple[Ranking, Benchmark]:
    """A benchmark with some of its positives, and the ranking without the others.

    What is not among the pairs ``kept`` (DataFrame[query_id, image_id, ...]) moves to the end of its query's ranking,
    as an image without a winning region; images behind it move up. So it is neither a positive nor a negative.
    """
    pairs = pd.MultiIndex.from_frame(kept[PAIR])
    stays = pd.MultiIndex.from_frame(benchmark.positives[PAIR]).isin(pairs)
    smaller = dataclasses.replace(benchmark, positives=benchmark.positives[stays])
    gone = [np.setdiff1d(benchmark.relevant(q)[0], smaller.relevant(q)[0]) for q in range(len(benchmark.queries))]
    removed = np.stack([np.isin(row, rows) for row, rows in zip(ranking.images, gone, strict=True)])
    order = np.argsort(removed, axis=1, kind="stable")
    parts = ranking.images, np.where(removed, -np.inf, ranking.scores), np.where(removed, -1, ranking.regions)
    return Ranking(*(np.take_along_axis(part, order, axis=1) for part in parts)), smaller


def evaluate(
    sets: Mapping[str, FeatureSet], benchmark: Benchmark, series: Mapping[str, Bins], k: int | None = None
) -> dict[str, Binned]:
    """Rank the whole database by each feature set, and score the bins of every attribute, each bin by itself.

    Queries without a positive in a bin are left out of it.

    Args:
        sets: feature sets by method, e.g. ``{"global": whole, "Patchify": patches}``.
        series: attribute -> its bins.
        k: depth of AP, as in :func:`patchlib.metrics.evaluate`.

    Source: supplement S3.2.
    """
    binned = {name: Binned(groups, {}) for name, groups in series.items()}
    for method, features in sets.items():
        # the whole ranking: images behind the first k move up where a bin takes positives out
        ranking = search.rank(features.query_descriptors, features)
        for groups, tables in binned.values():
            parts = [restrict(ranking, benchmark, groups.positives(n)) for n in range(len(groups.labels))]
            tables[method] = _stack([metrics.evaluate(*part, features, k=k) for part in parts])
    return binned


def changed(benchmark: Benchmark, scores: Mapping[str, Mapping[str, pd.DataFrame]]) -> Binned:
    """Bins of an attribute that is set for all images at once, such as brightness: each holds every positive.

    ``scores``: label of the bin -> method -> table of :func:`patchlib.metrics.evaluate`.
    """
    pairs = benchmark.positives[PAIR].drop_duplicates()
    members = [pairs.assign(value=number, bin=number) for number in range(len(scores))]
    groups = Bins(tuple(scores), pd.concat(members, ignore_index=True))
    methods = next(iter(scores.values()))
    return Binned(groups, {method: _stack([tables[method] for tables in scores.values()]) for method in methods})


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([table.assign(bin=number) for number, table in enumerate(tables)], ignore_index=True)


def at(table: pd.DataFrame, number: int, score: str = "ap") -> pd.Series:
    """One score of one bin in percent, by query, so that differences of two align on the queries they share."""
    return 100 * table[table["bin"] == number].set_index("query_id")[score]


def compare(binned: Mapping[tuple[str, str], Binned], owner: str, resamples: int = 1000) -> pd.DataFrame:
    """Means per bin of two methods, and of their difference, with bootstrap intervals over queries.

    Args:
        binned: (owner, attribute) -> scores of two methods.
        owner: what the first part of a key names, e.g. ``"encoder"``.

    Returns:
        DataFrame[bin, positives, method, mean, low, high, n] in percent, indexed by owner, attribute and metric (of
        :data:`SCORES`); three rows per bin: the two methods and ``gain``, the second minus the first. A bin without
        queries has n = 0 and NaN.
    """
    keys, parts = [], []
    for key, (groups, tables) in binned.items():
        for (metric, score), number in itertools.product(SCORES.items(), range(len(groups.labels))):
            less, more = (at(table, number, score) for table in tables.values())
            values = dict(zip([*tables, "gain"], [less, more, more - less], strict=True))
            keys.append((*key, metric, groups.labels[number], groups.sizes[number]))
            parts.append(bootstrap.intervals(values, resamples))
    names = [owner, "factor", "metric", "bin", "positives", "method"]
    return pd.concat(parts, keys=keys, names=names).reset_index(names[3:]).drop(columns="standard_error")


def reachable(benchmark: Benchmark, features: FeatureSet) -> pd.DataFrame:
    """The ceiling that geometry sets: the best IoU that any region of an image has with the instance's box.

    Returns:
        DataFrame[query_id, image_id, area, reachable], one row per positive with a box; ``area`` of its largest box as
        a share of the image, ``reachable`` in [0, 1], 0 for an image without regions.
    """
    areas = attributes(benchmark).groupby(PAIR, sort=False)["area"].max()
    known = benchmark.positives.dropna(subset=BOX).groupby(PAIR, sort=False)[BOX]
    index = pd.Index(benchmark.images["image_id"])
    best = [
        box_ops.iou(features.boxes[features.rows(index.get_loc(image))], truth.to_numpy(np.float32)).max(initial=0)
        for (_, image), truth in known
    ]
    return areas.reset_index().assign(reachable=np.asarray(best, np.float64))
