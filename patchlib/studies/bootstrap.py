"""Intervals for means over queries, by resampling the queries."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

LEVEL = 0.95  # coverage of the intervals


class Interval(NamedTuple):
    """A mean over queries and how sure it is; ``n`` is the number of values it rests on."""

    mean: float
    low: float
    high: float
    standard_error: float
    n: int


def bootstrap(values: ArrayLike, resamples: int = 1000, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of the mean; for a paired comparison pass the differences of :func:`paired`.

    Args:
        values: (Q,) one value per query; NaN values take no part.
        resamples: number of resamples, >= 100, else a ValueError.

    Returns:
        Interval in the unit of the values; NaN throughout when no value is left.

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
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(sample.mean()), float(low), float(high), float(means.std(ddof=1)), len(sample))


def intervals(values: Mapping[Any, ArrayLike], resamples: int = 1000) -> pd.DataFrame:
    """Bootstrap intervals by name: one row each, columns mean, low, high, standard_error, n."""
    rows = [bootstrap(sample, resamples) for sample in values.values()]
    return pd.DataFrame(rows, index=list(values), columns=Interval._fields)


def paired(less: pd.DataFrame, more: pd.DataFrame, score: str = "ap") -> pd.Series:
    """Differences per query of two tables of ``metrics.evaluate``, ``more`` minus ``less``, in points."""
    return 100 * (more.set_index("query_id")[score] - less.set_index("query_id")[score])


def over_runs(values: ArrayLike) -> Interval:
    """Interval of the mean of repeated runs, e.g. of one training with several seeds, by Student's t.

    In the unit of the values; NaN for what one run alone cannot tell.
    """
    from scipy import stats

    sample = np.asarray(values, np.float64)
    mean, error, reach = float(sample.mean()) if len(sample) else np.nan, np.nan, np.nan
    if len(sample) > 1:
        error = float(sample.std(ddof=1) / np.sqrt(len(sample)))
        reach = float(stats.t.ppf((1 + LEVEL) / 2, len(sample) - 1)) * error
    return Interval(mean, mean - reach, mean + reach, error, len(sample))
