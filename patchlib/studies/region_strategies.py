"""Strategies of describing an image by regions: one taken out of another, and two compared at equal numbers."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import regions
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet


def within(features: FeatureSet, benchmark: Benchmark, strategy: regions.Strategy) -> FeatureSet:
    """The features of a strategy whose regions are all among those of ``features``, e.g. windows of twice the stride.

    Raises:
        ValueError: they are not.
    """
    (boxes, offsets), name = regions.of_benchmark(benchmark, strategy), regions.name_of(strategy)
    wanted = _keys(boxes, np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)))
    rows = np.flatnonzero(_keys(features.boxes, features.image_of()).isin(wanted))
    if len(rows) != len(boxes):
        raise ValueError(f"{len(rows)} of the {len(boxes)} regions of {name!r} are among those given; expected all")
    return features.keep(rows, name)


def at_equal_numbers(a: FeatureSet, b: FeatureSet, seed: int = 0) -> tuple[FeatureSet, FeatureSet]:
    """Two strategies with equally many regions in each image: of the one that has more, so many are drawn at random."""
    counts = np.minimum(np.diff(a.offsets), np.diff(b.offsets))
    return drawn(a, counts, seed), drawn(b, counts, seed)


def drawn(features: FeatureSet, counts: NDArray[np.int64], seed: int = 0) -> FeatureSet:
    """So many regions of each image, drawn at random: ``counts`` (N,), none above what the image has."""
    rng = np.random.default_rng(seed)
    owned = zip(features.offsets, features.offsets[1:], counts, strict=False)
    rows = [np.sort(rng.choice(np.arange(start, stop), count, replace=False)) for start, stop, count in owned]
    return features.keep(np.concatenate(rows), f"{features.meta.get('regions')}-drawn-{seed}")


def _keys(boxes: NDArray[np.float32], images: NDArray[np.int64]) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([images, *np.asarray(boxes).T])
