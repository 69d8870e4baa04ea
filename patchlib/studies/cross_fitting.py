"""Fair choices: an option is chosen on one half of the instances and reported on the other."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


class CrossFit(NamedTuple):
    """Scores that no query chose for itself."""

    ap: pd.Series  # of every query, in the option that the *other* half chose; NaN without positives
    chosen: tuple[Any, Any]  # the options that the first and the second half chose


def cross_fitted(options: pd.DataFrame, instances: ArrayLike, seed: int = 0) -> CrossFit:
    """Split the instances in two halves, and score each half's queries in the option that is best on the other half.

    Args:
        options: (options, Q) AP, e.g. of :func:`patchlib.reranking.fusion.grid_search`; of equally good options the
            first is chosen.
        instances: (Q,) instance of each query; queries of one instance share their positives and stay together.
        seed: of the split.

    Raises:
        ValueError: fewer than two instances, or a half without a query that has positives.
    """
    first = halves(instances, seed)
    chosen = (_best(options.loc[:, first]), _best(options.loc[:, ~first]))
    return CrossFit(options.loc[chosen[1]].where(first, options.loc[chosen[0]]), chosen)


def halves(instances: ArrayLike, seed: int = 0) -> NDArray[np.bool_]:
    """Random split that keeps the queries of one instance together: (Q,) bool, True = first half.

    Raises:
        ValueError: fewer than two instances.
    """
    names, of_query = np.unique(np.asarray(instances), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"{len(names)} instance, expected 2 or more, so that one half can choose for the other")
    first = np.zeros(len(names), bool)
    first[np.random.default_rng(seed).permutation(len(names))[: round(len(names) / 2)]] = True
    return first[of_query]


def _best(options: pd.DataFrame) -> Any:
    measured = options.dropna(axis=1)
    if measured.empty:
        raise ValueError("no query of one half has positives, so that half cannot choose; take another seed")
    return measured.mean(axis=1).idxmax()
