"""Charts of bins say what the table says, and nothing where there is nothing."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from builders import benchmark_on_disk

from patchlib import charts
from patchlib.studies import attributes


def _bins(n: int) -> pd.DataFrame:
    rows = [("small", "global"), ("small", "Patchify"), ("small", "gain"), ("large", "global"), ("large", "Patchify")]
    table = pd.DataFrame(rows, columns=["bin", "method"])
    return table.assign(positives=3, mean=[1.0, 2, 1, 4, 5], low=0.5, high=6.0, n=n)


def _table(n: int, owner: str, *keys: tuple[str, str, str]) -> pd.DataFrame:
    return pd.concat([_bins(n)] * len(keys), keys=keys, names=[owner, "factor", "metric"]).droplevel(-1)


@pytest.mark.parametrize(
    "table", [_table(0, "encoder", ("a", "area", "mAP (%)")), _table(2, "encoder", ("a", "x", ""))]
)
def test_bins_without_boxes_say_so(table: pd.DataFrame) -> None:
    ax = charts.attributes.encoder_points(plt.subplots()[1], table, "area", "mAP (%)")
    assert [text.get_text() for text in ax.texts] == ["no boxes"]


def test_a_panel_shows_its_rows_of_the_table_with_intervals_and_counts() -> None:
    table = _table(2, "encoder", ("a", "area", "mAP (%)"), ("b", "area", "mAP (%)"), ("a", "distance", "mAP (%)"))
    ax = charts.attributes.encoder_points(plt.subplots()[1], table, "area", "mAP (%)")
    assert ax.get_legend_handles_labels()[1] == ["a: global", "a: Patchify", "b: global", "b: Patchify"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["small\nn=3", "large\nn=3"]
    curves = [line for line in ax.lines if len(line.get_ydata()) == 2 and line.get_marker() == "o"]
    assert [line.get_ydata().tolist() for line in curves] == [[1, 4], [2, 5]] * 2
    assert [line.get_linestyle() for line in curves] == ["-", "-", ":", ":"]
    assert [list(line.get_ydata()) for line in ax.lines].count([0.5, 6]) == 4 * 2
    rounded = charts.attributes.encoder_points(plt.subplots()[1], table.assign(bin="25–25"), "area", "mAP (%)")
    assert [list(line.get_ydata()) for line in rounded.lines] == [list(line.get_ydata()) for line in ax.lines]
    ax = charts.attributes.study_points(
        plt.subplots()[1], _table(2, "study", ("scenes", "size", "mAP (%)")), "scenes", "size", "mAP (%)"
    )
    assert ax.get_legend_handles_labels()[1] == ["global", "Patchify"]
    assert ax.get_xlabel() == "box area (% of image)"


def test_headline_speaks_of_the_best_and_the_largest() -> None:
    said = charts.attributes.headline(pd.Series([3.0, 7.0, -2.0]))
    assert said == "Patches change mAP by +7.0 points where most is gained, by -2.0 on the largest objects."
    assert charts.attributes.headline(pd.Series([np.nan] * 2)) == "No boxes, no sizes."


def test_gains_stand_above_the_fit_of_their_level() -> None:
    keys = pd.MultiIndex.from_product([["size", "place", "alignment"], ["a", "b"]], names=["factor", "bin"])
    values = {"best IoU": range(10, 70, 10), "mean": range(6), "low": -1.0, "high": 9.0}
    ax = charts.attributes.fit_points(plt.subplots()[1], pd.DataFrame(values, index=keys))
    drawn = {bars.get_label(): bars[0].get_xydata().tolist() for bars in ax.containers}
    assert drawn == {"size": [[10, 0], [20, 1]], "place": [[30, 2], [40, 3]], "alignment": [[50, 4], [60, 5]]}
    assert [text.get_text() for text in ax.texts] == ["a", "b", "a", "b"]  # fifths of the fit stand where they are


def test_examples_are_the_first_of_each_bin_and_empty_bins_stay_empty(tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path)
    members = data.positives[["query_id", "image_id"]].assign(bin=[0, 0, 2, 2, 2, 2])
    axes = charts.attributes.examples(plt.subplots(1, 4)[1], data, attributes.Bins(("a", "b", "c"), members))
    assert [ax.get_title() for ax in axes] == ["a", "", "c", ""]
    assert [len(ax.images) for ax in axes] == [1, 0, 1, 0]
    # image 2 is 64 x 20 pixels, its box the left half
    assert axes[2].images[0].get_size() == (20, 64) and axes[2].patches[0].get_width() == 32
