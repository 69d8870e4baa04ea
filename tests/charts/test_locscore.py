"""Charts of LocScore."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from patchlib import charts


def test_parts_of_a_score_are_bars_of_the_stated_height() -> None:
    ax = charts.locscore.parts(Figure().add_subplot(), [1, 4], [1.0, 0.5], [0.2, 0.4])
    assert [bar.get_height() for bar in ax.patches] == [1.0, 0.5, 1.0 * 0.2, 0.5 * 0.4]


def test_the_area_below_the_curve_is_written_beside_it() -> None:
    # ranks 1 and 3 of 2 positives: (1 * 0.5 + 2/3 * 0.25) / 2 = 1/3
    ax = charts.locscore.area(Figure().add_subplot(), [True, False, True], [0.5, 0, 0.25], 2)
    assert float(ax.texts[0].get_text().split("= ")[-1]) == pytest.approx(1 / 3, abs=2e-3)


def test_ceilings_without_boxes_are_empty_and_with_them_a_point_for_each_patch() -> None:
    empty = pd.DataFrame({"area": [], "reachable": [], "iou": []}, dtype=float)
    assert charts.locscore.ceiling(Figure().add_subplot(), empty).get_xlabel() == "box area (% of image)"
    ax = charts.locscore.ceiling(
        Figure().add_subplot(), pd.DataFrame({"area": [0.5], "reachable": [0.9], "iou": [0.4]})
    )
    assert [dots.get_offsets().tolist() for dots in ax.collections] == [[[50, 0.9]], [[50, 0.4]]]
    assert not charts.locscore.reach(Figure().add_subplot(), {"L0": empty}, [0, 1]).lines[0].get_ydata().any()
