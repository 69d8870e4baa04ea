"""Charts of the grid levels."""

import matplotlib
import pandas as pd
import pytest
from matplotlib.figure import Figure

from patchlib import charts, paper, plots


def test_gains_are_sorted_and_coloured_by_sign() -> None:
    ax = charts.levels.gains(Figure().add_subplot(), [-1.0, 3.0, 0.5])
    assert [bar.get_height() for bar in ax.patches] == [3.0, 0.5, -1.0]
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in ax.patches]
    assert colours == [plots.METHODS["Patchify"]] * 2 + [plots.METHODS["global"]]


@pytest.mark.parametrize("levels", [["L0", "L1", "L2", "L3"], ["L0", "L3"]])
def test_published_points_stand_above_the_levels_in_use(levels: list[str]) -> None:
    ours = pd.DataFrame({"mean": 1.0, "low": 0.5, "high": 2.0}, levels)
    ax = charts.levels.beside_paper(Figure().add_subplot(), ours, "mAP", "ours")
    expected = paper.backbone_levels("SigLIP", "INSTRE").loc[levels, "mAP"].tolist()
    assert ax.lines[1].get_ydata().tolist() == expected
    assert [tick.get_text() for tick in ax.get_xticklabels()] == levels


def test_chance_goes_by_cells_and_stops_at_the_finest_grid_that_was_used() -> None:
    share = pd.DataFrame({"positives": [50.0, 30, 20, 0], "other images": [10.0, 30, 60, 0]}, list("1234"))
    ax = charts.levels.winning_grids(Figure().add_subplot(), share)
    (chance,) = ax.get_lines()
    assert chance.get_ydata() == pytest.approx([100 / 14, 400 / 14, 900 / 14])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["by chance", "positives", "other images"]
