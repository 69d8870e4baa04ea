"""Cutouts: what local descriptors are taken of. A query, a whole database image, or the region that won a place.

A table of cutouts is a DataFrame[cutout_id, benchmark, path, x0, y0, x1, y1]: an id, the hash of its benchmark,
the full path, and a box in pixels of the original image; a NaN box is the whole image.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.features import FeatureSet
from patchlib.search import Ranking


def whole_images(benchmark: Benchmark) -> pd.DataFrame:
    """One cutout per database image, in order."""
    paths = [benchmark.image_path(i) for i in range(len(benchmark.images))]
    return _cutouts(benchmark, benchmark.images["image_id"], paths, np.full((len(paths), 4), np.nan))


def queries(benchmark: Benchmark) -> pd.DataFrame:
    """One cutout per query, in order: its image and its box."""
    paths = [benchmark.query_path(i) for i in range(len(benchmark.queries))]
    return _cutouts(benchmark, benchmark.queries["query_id"], paths, benchmark.queries[BOX].to_numpy(np.float32))


def shortlist(ranking: Ranking, m: int) -> Ranking:
    """The first m places; their ``images`` are rows of :func:`whole_images`.

    Raises:
        ValueError: m is longer than the ranking, or than the database it is of.
    """
    depth = ranking.images.shape[1]
    if not 0 < m <= depth:
        raise ValueError(f"a shortlist of {m} images, but the ranking holds {depth}; expected 1 <= m <= {depth}")
    return ranking.head(m)


def winning_regions(
    ranking: Ranking, features: FeatureSet, benchmark: Benchmark, m: int
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Cutouts of the regions that won the first m places, each region once, and which cutout each place has.

    Args:
        ranking: (Q, K) of the first stage.
        features: owner of the regions.
        benchmark: owner of the images.
        m: shortlist length.

    Returns:
        The cutouts, grouped by image, and (Q, m) rows of them, for ``rerank.score_shortlist``.

    Raises:
        ValueError: m is longer than the ranking, or reaches images without regions.
    """
    regions = shortlist(ranking, m).regions
    if (regions < 0).any():
        raise ValueError(f"the first {m} places hold images without regions; shorten the shortlist")
    distinct, rows = np.unique(regions, return_inverse=True)
    owners = np.searchsorted(features.offsets, distinct, side="right") - 1
    ids = [f"{benchmark.images['image_id'].iloc[i]}#{region}" for i, region in zip(owners, distinct, strict=True)]
    cutouts = _cutouts(benchmark, ids, [benchmark.image_path(i) for i in owners], np.asarray(features.boxes[distinct]))
    return cutouts, rows.reshape(regions.shape)


def _cutouts(benchmark: Benchmark, ids: Iterable[str], paths: list[str], boxes: NDArray[np.floating]) -> pd.DataFrame:
    columns = {"cutout_id": list(ids), "benchmark": benchmark.hash, "path": paths}
    return pd.DataFrame(columns | dict(zip(BOX, boxes.T, strict=True)))
