"""Charts of re-ranking say what the numbers say."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from patchlib import charts
from patchlib.reranking.fusion import Choice


@pytest.fixture
def cells() -> pd.DataFrame:
    index = pd.MultiIndex.from_product([(0, 10), (0.0, 0.5, 1.0), (0.1, 1.0)], names=["m", "lambda", "gamma"])
    rows = np.arange(12.0)[:, None] / 20
    return pd.DataFrame(rows + np.array([[0.0, 0.1]]), index=index)


def test_the_grid_shows_the_best_gamma_of_every_cell_and_frames_what_was_chosen(cells: pd.DataFrame) -> None:
    _, ax = plt.subplots()
    choice = Choice(m=10, lambda_=0.5, gamma=1.0, tuned=0.5, reported=0.5, n_tuned=1, n_reported=1)
    image = charts.reranking.grid_map(ax, cells, [choice], (0, 60))
    # rows lambda, columns m; of two gammas the second is better by 0.05, the mean over queries adds 0.05
    expected = 100 * np.array([[0.10, 0.40], [0.20, 0.50], [0.30, 0.60]])
    np.testing.assert_allclose(image.get_array(), expected)
    assert [text.get_text() for text in ax.texts] == ["10.0", "20.0", "30.0", "40.0", "50.0", "60.0"]
    assert [patch.get_xy() for patch in ax.patches] == [(0.5, 0.5)]  # column 1, row 1
    plt.close("all")


def test_the_curve_has_a_tick_for_every_length() -> None:
    _, ax = plt.subplots()
    table = pd.DataFrame({"mean": [0.0, 2.0], "low": [0.0, 1.0], "high": [0.0, 3.0]}, index=[0, 25])
    charts.reranking.gain_curve(ax, table, "AMES", "black")
    assert list(ax.get_xticks()) == [0, 25] and list(ax.lines[0].get_ydata()) == [0, 2]
    plt.close("all")


def test_every_method_has_its_point_and_colour() -> None:
    _, ax = plt.subplots()
    columns = {"first stage": ["L3", "L3"], "re-ranker": ["none", "AMES"], "mAP": [44.0, 47.0], "bytes": [10.0, 20.0]}
    charts.reranking.cost_points(ax, pd.DataFrame(columns, index=["L3", "L3 + AMES"]), "bytes", "bytes")
    points = [(line.get_label(), line.get_color(), *line.get_xydata()[0]) for line in ax.lines]
    assert points == [("L3", "#666666", 10, 44), ("L3 + AMES", charts.reranking.RERANKERS["AMES"], 20, 47)]
    assert ax.get_xscale() == "log"
    plt.close("all")
