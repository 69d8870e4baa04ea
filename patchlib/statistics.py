"""Intervals for means over queries, by resampling the queries."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """A mean over queries and how sure it is; ``n`` is the number of values it rests on."""

    mean: float
    low: float
    high: float
    standard_error: float
    n: int


def bootstrap(values: ArrayLike, resamples: int = 1000, seed: int = 0, level: float = 0.95) -> Interval:
    """Percentile bootstrap interval of the mean.

    For a paired comparison pass the differences per query: both methods are then resampled together.

    Args:
        values: (Q,) one value per query; NaN values take no part.
        resamples: number of resamples, >= 100.
        seed: of the resampling.
        level: coverage of the interval, in (0, 1).

    Returns:
        Interval in the unit of the values; NaN throughout when no value is left.

    Raises:
        ValueError: fewer than 100 resamples.

    Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if resamples < 100:
        raise ValueError(f"resamples is {resamples}, expected at least 100 for a percentile interval")
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(np.nan, np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng(seed)
    # how often each query is drawn: a resample's mean is one row of a product
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=resamples)
    means = counts @ values / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high), float(means.std(ddof=1)), len(values))
