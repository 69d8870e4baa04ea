"""The curve of LocScore, and queries of like AP."""

import numpy as np
import pandas as pd
import pytest
from builders import benchmark_of, feature_set

from patchlib import metrics, search, studies


def _case() -> tuple:
    """Two queries, six images of one or two regions; one positive has no box."""
    data = benchmark_of(6, 2, [(0, 0, (0, 0, 50, 50)), (0, 1, (0, 0, 100, 50)), (0, 2, None), (1, 3, (0, 0, 80, 80))])
    rng = np.random.default_rng(1)
    boxes = np.concatenate([np.zeros((12, 2)), rng.integers(30, 100, (12, 2))], axis=1)
    found = feature_set(rng.normal(size=(12, 3)), [2] * 6, rng.normal(size=(2, 3)), boxes)
    return search.rank(found.query_descriptors, found), data, found


def test_the_curve_agrees_with_the_metric_and_its_area_is_the_score() -> None:
    ranking, data, found = _case()
    scores = metrics.evaluate(ranking, data, found)
    curve = studies.loc_score_curve(ranking, data, found, metrics.THRESHOLDS)
    for column, t in enumerate(metrics.THRESHOLDS):
        assert curve[:, column] == pytest.approx(scores[f"loc_score_{t}"])
    fine = np.linspace(0, 1, 20001)[1:]
    area = studies.loc_score_curve(ranking, data, found, fine).mean(axis=1)
    assert area == pytest.approx(scores["loc_score"], abs=1e-3)
    empty = benchmark_of(6, 2, [(0, 0, None), (1, 3, None)])
    assert np.isnan(studies.loc_score_curve(ranking, empty, found, [0.3])).all()


def test_extremes_of_like_ap() -> None:
    table = pd.DataFrame({"query_id": list("abcd"), "ap": [1.0, 1.0, 1.0, 0.2], "loc_score": [0.3, 0.7, 0.1, 0.05]})
    assert studies.extremes(table)["query_id"].tolist() == ["b", "c"]
    # the median AP is 0.895: a and b are the better half
    table = table.assign(ap=[0.99, 0.9, 0.89, 0.2], loc_score=[0.3, 0.2, 0.1, 0.9])
    assert studies.extremes(table, tolerance=0.05).empty
    assert studies.extremes(table, tolerance=0.1)["query_id"].tolist() == ["a", "b"]
    assert studies.extremes(table.assign(loc_score=np.nan)).empty


def test_growth_is_the_ratio_of_the_means_at_every_threshold() -> None:
    columns = [f"loc_score_{threshold}" for threshold in metrics.THRESHOLDS]
    low, high = (pd.DataFrame([rows, rows], columns=columns) for rows in ([0.1, 0.2, 0.4], [0.3, 0.3, 0.1]))
    said = studies.growth({"L0": low, "L3": high}, "L0", "L3")
    assert said == "LocScore(δ) of L3 is 3.00, 1.50, 0.25 times that of L0 at δ = 0.3, 0.4, 0.5"
