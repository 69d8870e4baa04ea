"""Charts of re-ranking say what the numbers say."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from patchlib import charts
from patchlib.charts.reranking import RERANKERS


@pytest.fixture
def ax() -> Iterator[Axes]:
    yield plt.subplots()[1]
    plt.close("all")


def test_the_grid_shows_the_best_gamma_of_every_cell_and_frames_what_was_chosen(ax: Axes) -> None:
    index = pd.MultiIndex.from_product([(0, 10), (0.0, 0.5, 1.0), (0.1, 1.0)], names=["m", "lambda", "gamma"])
    cells = pd.DataFrame(np.arange(12.0)[:, None] / 20 + np.array([[0.0, 0.1]]), index=index)
    charts.reranking.grid_map(ax, cells, [(10, 0.5, 1.0)])
    # rows lambda, columns m; of two gammas the second is better by 0.05, the mean over queries adds 0.05
    shown = [(*text.get_position(), text.get_text()) for text in ax.texts]
    assert shown[:3] == [(0.5, 0.5, "30.0"), (1.5, 0.5, "60.0"), (0.5, 1.5, "20.0")] and len(shown) == 6
    assert [patch.get_xy() for patch in ax.patches] == [(1, 1)]  # column 1, row 1
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1.0", "0.5", "0.0"]  # from the top


def test_the_curves_have_a_tick_for_every_length() -> None:
    table = pd.DataFrame({"mean": [0.0, 2.0], "low": [0.0, 1.0], "high": [0.0, 3.0]}, index=[0, 25])
    fig, axes = plt.subplots(1, 2)
    charts.reranking.gain_curves(axes, {(stage, name): table for stage in ("global", "L3") for name in RERANKERS})
    assert list(axes[1].get_xticks()) == [0, 25] and list(axes[1].lines[0].get_ydata()) == [0, 2]
    plt.close(fig)


def test_every_method_has_its_point_and_colour() -> None:
    table = pd.DataFrame({"first stage": ["L3", "L3"], "re-ranker": ["none", "AMES"], "mAP": [44.0, 47.0]})
    table[["bytes per image", "ms per query"]] = [[10.0, 1.0], [20.0, 3.0]]
    fig, axes = plt.subplots(1, 2)
    charts.reranking.costs(axes, table)
    for ax, expected in zip(axes, ([[10, 44], [20, 47]], [[1, 44], [3, 47]]), strict=True):
        (points,) = ax.collections
        assert points.get_offsets().tolist() == expected and ax.get_xscale() == "log"
        np.testing.assert_allclose(points.get_facecolor(), [to_rgba("#666666"), to_rgba("#0072B2")])
    assert {"none", "AMES", "L3"} <= {text.get_text() for text in fig.legends[0].texts}
    plt.close(fig)
