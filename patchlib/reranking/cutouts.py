"""Cutouts: what local descriptors are taken of. A query, a whole database image, or the region that won a rank.

A table of cutouts is a DataFrame[cutout_id, benchmark, path, x0, y0, x1, y1]: an id, the hash of its benchmark, the
full path, and a box in pixels of the original image; a NaN box is the whole image.
"""

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
    return _table(benchmark, benchmark.images["image_id"], paths, np.full((len(paths), 4), np.nan))


def queries(benchmark: Benchmark) -> pd.DataFrame:
    """One cutout per query, in order: its image and its box."""
    paths = [benchmark.query_path(i) for i in range(len(benchmark.queries))]
    return _table(benchmark, benchmark.queries["query_id"], paths, benchmark.queries[BOX].to_numpy(np.float32))


def winning_regions(
    ranking: Ranking, features: FeatureSet, benchmark: Benchmark, m: int
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The regions that won the first m ranks, each region once; ``features`` own them.

    Returns:
        The cutouts, grouped by image, and (Q, m) the row of each rank's cutout, for ``rerank.score_shortlist``.

    Raises:
        ValueError: m is longer than the ranking, or reaches images without regions.
    """
    depth = ranking.images.shape[1]
    if not 0 < m <= depth:
        raise ValueError(f"a shortlist of {m} images, but the ranking holds {depth}; expected 1 <= m <= {depth}")
    regions = ranking.regions[:, :m]
    if (regions < 0).any():
        raise ValueError(f"the first {m} ranks hold images without regions; shorten the shortlist")
    distinct, rows = np.unique(regions, return_inverse=True)
    owners = np.searchsorted(features.offsets, distinct, side="right") - 1
    ids = [f"{benchmark.images['image_id'].iloc[i]}#{region}" for i, region in zip(owners, distinct, strict=True)]
    table = _table(benchmark, ids, [benchmark.image_path(i) for i in owners], np.asarray(features.boxes[distinct]))
    return table, rows.reshape(regions.shape)


def _table(benchmark: Benchmark, ids: Iterable[str], paths: list[str], boxes: NDArray[np.floating]) -> pd.DataFrame:
    columns = {"cutout_id": list(ids), "benchmark": benchmark.hash, "path": paths}
    return pd.DataFrame(columns | dict(zip(BOX, boxes.T, strict=True)))
