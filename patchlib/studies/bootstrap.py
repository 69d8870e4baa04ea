"""Intervals for means over queries, by resampling the queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
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
    sample = np.asarray(values, np.float64)
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return Interval(np.nan, np.nan, np.nan, np.nan, 0)
    rng = np.random.default_rng(seed)
    # how often each query is drawn: a resample's mean is one row of a product
    counts = rng.multinomial(len(sample), np.full(len(sample), 1 / len(sample)), size=resamples)
    means = counts @ sample / len(sample)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sample.mean()), float(low), float(high), float(means.std(ddof=1)), len(sample))


def intervals(values: Mapping[str, ArrayLike], resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Bootstrap intervals by name: one row each, columns mean, low, high, standard_error, n."""
    rows = [bootstrap(sample, resamples, seed) for sample in values.values()]
    return pd.DataFrame(rows, index=list(values), columns=Interval._fields)


def over_runs(values: ArrayLike, level: float = 0.95) -> Interval:
    """Interval of the mean of repeated runs, e.g. of one training with several seeds, by Student's t.

    Args:
        values: (S,) one value per run.
        level: coverage of the interval, in (0, 1).

    Returns:
        Interval in the unit of the values; NaN for what one run alone cannot tell.
    """
    from scipy import stats

    sample = np.asarray(values, np.float64)
    if len(sample) < 2:
        return Interval(float(sample.mean()) if len(sample) else np.nan, np.nan, np.nan, np.nan, len(sample))
    error = float(sample.std(ddof=1) / np.sqrt(len(sample)))
    reach = float(stats.t.ppf((1 + level) / 2, len(sample) - 1)) * error
    return Interval(
        float(sample.mean()), float(sample.mean()) - reach, float(sample.mean()) + reach, error, len(sample)
    )
