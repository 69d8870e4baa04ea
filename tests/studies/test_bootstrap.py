"""Bootstrap intervals against the textbook and against a slow loop."""

from __future__ import annotations

import numpy as np
import pytest

from patchlib.studies import bootstrap


def test_mean_error_and_count_ignore_nan() -> None:
    found = bootstrap.bootstrap([1.0, np.nan, 3.0], resamples=200)
    assert found.mean == (1 + 3) / 2
    assert found.n == 2


def test_standard_error_is_the_textbook_one() -> None:
    values = np.random.default_rng(3).normal(size=400)
    found = bootstrap.bootstrap(values, resamples=4000)
    assert found.standard_error == pytest.approx(values.std() / np.sqrt(400), rel=0.05)
    assert found.low == pytest.approx(found.mean - 1.96 * found.standard_error, abs=0.01)
    assert found.high == pytest.approx(found.mean + 1.96 * found.standard_error, abs=0.01)


def test_constant_values_have_no_spread() -> None:
    assert bootstrap.bootstrap([0.25] * 7, resamples=100) == (0.25, 0.25, 0.25, 0.0, 7)


def test_without_values_all_is_nan() -> None:
    found = bootstrap.bootstrap([np.nan], resamples=100)
    assert found.n == 0
    assert np.isnan(found[:4]).all()


def test_the_seed_decides_the_interval() -> None:
    values = np.random.default_rng(0).random(30)
    assert bootstrap.bootstrap(values, seed=1) == bootstrap.bootstrap(values, seed=1)
    assert bootstrap.bootstrap(values, seed=1) != bootstrap.bootstrap(values, seed=2)


def test_a_paired_interval_is_tighter_than_two_separate_ones() -> None:
    rng = np.random.default_rng(0)
    hardness = rng.random(100)
    a, b = hardness, hardness + 0.1 + 0.01 * rng.normal(size=100)
    table = bootstrap.intervals({"a": a, "b": b, "b - a": b - a})
    width = table["high"] - table["low"]
    assert table.index.tolist() == ["a", "b", "b - a"]
    assert width["b - a"] < 0.2 * width["a"]


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(ValueError, match="resamples is 10"):
        bootstrap.bootstrap([1.0, 2.0], resamples=10)
