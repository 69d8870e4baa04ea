"""Bootstrap intervals against the textbook and against a slow loop."""

import numpy as np
import pandas as pd
import pytest

from patchlib.studies import bootstrap


def test_standard_error_is_the_textbook_one() -> None:
    values = np.random.default_rng(3).normal(size=400)
    interval = bootstrap.bootstrap(values, resamples=4000)
    assert interval.standard_error == pytest.approx(values.std() / np.sqrt(400), rel=0.05)
    assert interval.low == pytest.approx(interval.mean - 1.96 * interval.standard_error, abs=0.01)
    assert interval.high == pytest.approx(interval.mean + 1.96 * interval.standard_error, abs=0.01)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.25] * 7, (0.25, 0.25, 0.25, 0.0, 7)),
        ([0.5, np.nan, 0.5], (0.5, 0.5, 0.5, 0.0, 2)),
        ([np.nan], (np.nan,) * 4 + (0,)),
    ],
)
def test_constant_values_have_no_spread_and_nan_takes_no_part(values: list[float], expected: tuple[float, ...]) -> None:
    assert bootstrap.bootstrap(values, resamples=100) == pytest.approx(expected, nan_ok=True)


def test_the_seed_decides_the_interval() -> None:
    values = np.random.default_rng(0).random(30)
    assert bootstrap.bootstrap(values, seed=1) == bootstrap.bootstrap(values, seed=1)
    assert bootstrap.bootstrap(values, seed=1) != bootstrap.bootstrap(values, seed=2)


def test_a_paired_interval_is_tighter_than_two_separate_ones() -> None:
    rng = np.random.default_rng(0)
    a = pd.DataFrame({"query_id": np.arange(100), "ap": rng.random(100)})
    b = a.assign(ap=a["ap"] + 0.1 + 0.01 * rng.normal(size=100))
    gain = bootstrap.paired(a, b.sample(frac=1, random_state=0))  # by query, whatever the order
    table = bootstrap.intervals({"a": 100 * a["ap"], "b": 100 * b["ap"], "b - a": gain})
    width = table["high"] - table["low"]
    assert table.index.tolist() == ["a", "b", "b - a"]
    assert table["mean"]["b - a"] == pytest.approx(table["mean"]["b"] - table["mean"]["a"])
    assert width["b - a"] < 0.2 * width["a"]


def test_runs_have_student_s_interval_and_one_run_has_none() -> None:
    # t of 2 degrees of freedom at 97.5 % is 4.303
    assert bootstrap.over_runs([1, 2, 3]) == pytest.approx(
        (2, 2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5, 1 / 3**0.5, 3), abs=1e-3
    )
    assert bootstrap.over_runs([5.0]) == pytest.approx((5, np.nan, np.nan, np.nan, 1), nan_ok=True)


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(ValueError, match="resamples is 10"):
        bootstrap.bootstrap([1.0, 2.0], resamples=10)
