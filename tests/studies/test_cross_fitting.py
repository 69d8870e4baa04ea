"""Fair choices: no query takes part in its own, queries of one instance stay together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchlib.studies.cross_fitting import cross_fitted, halves

INSTANCES = ["a", "a", "b", "b", "c", "c", "d", "d"]


@pytest.mark.parametrize("seed", range(4))
def test_no_query_takes_part_in_its_own_choice(seed: int) -> None:
    first = halves(INSTANCES, seed)
    options = pd.DataFrame([np.where(first, 0.9, 0.1), np.where(first, 0.2, 0.8)], index=["x", "y"])
    ap, chosen = cross_fitted(options, INSTANCES, seed)
    # the first half likes x, which suits the second badly, and the other way round
    assert chosen == ("x", "y")
    assert ap.tolist() == np.where(first, 0.2, 0.1).tolist()


def test_cells_of_a_grid_are_options_and_of_equal_ones_the_first_is_chosen() -> None:
    index = pd.MultiIndex.from_product([(0, 100, 200), (0.0,), (1.0,)], names=["m", "lambda", "gamma"])
    options = pd.DataFrame([[0.1] * 8, [0.5] * 8, [0.5] * 8], index=index)
    assert cross_fitted(options, INSTANCES).chosen == ((100, 0.0, 1.0), (100, 0.0, 1.0))


@pytest.mark.parametrize("best", range(4))
def test_the_last_option_is_not_the_best_by_default(best: int) -> None:
    """The published code's fault: it kept the last cell it looked at."""
    options = pd.DataFrame(0.2, index=list("wxyz"), columns=range(8))
    options.iloc[best] = 0.9
    assert cross_fitted(options, INSTANCES).chosen == ("wxyz"[best],) * 2


def test_queries_without_positives_choose_nothing_and_stay_unmeasured() -> None:
    options = pd.DataFrame([[0.5] * 8, [0.6] * 8], index=["x", "y"])
    options[0] = np.nan
    ap, chosen = cross_fitted(options, INSTANCES)
    assert chosen == ("y", "y") and np.isnan(ap[0]) and (ap[1:] == 0.6).all()
    options.loc[:, halves(INSTANCES)] = np.nan
    with pytest.raises(ValueError, match="no query of one half has positives"):
        cross_fitted(options, INSTANCES)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), st.integers(0, 99))
def test_halves_keep_instances_together_and_none_is_empty(names: list[str], seed: int) -> None:
    if len(set(names)) < 2:
        with pytest.raises(ValueError, match="1 instance, expected 2 or more"):
            halves(names, seed)
        return
    sides = [{name for name, side in zip(names, halves(names, seed), strict=True) if side is which}
             for which in (np.True_, np.False_)]  # fmt: skip
    assert all(sides) and not sides[0] & sides[1] and abs(len(sides[0]) - len(sides[1])) <= 1
