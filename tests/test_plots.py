"""Figures: files, records, and panels that draw what they are told."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from patchlib import charts, plots

RECORD = {"label": "built-in benchmark", "profile": "builtin"}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def _save(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    monkeypatch.setenv("PATCHLIB_FIGURES", str(folder))
    fig, ax = plt.subplots(layout="constrained")
    ax.plot([0, 1], [0, 1])
    plots.save(fig, "fig_x", RECORD, "A line rises.")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_figure_is_three_files_and_says_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = _save(tmp_path, monkeypatch)
    assert sorted(files) == ["fig_x.json", "fig_x.pdf", "fig_x.png"]
    assert json.loads(files["fig_x.json"]) == {"item": "fig_x", "caption": "A line rises.", **RECORD}
    assert plt.gcf()._supxlabel.get_text() == "built-in benchmark"


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _save(tmp_path / "a", monkeypatch) == _save(tmp_path / "b", monkeypatch)


def test_level_curve_has_a_band_only_where_there_is_an_interval() -> None:
    table = pd.DataFrame({"mean": [1.0, 2.0]}, index=["L0", "L1"])
    assert not plots.level_curve(plt.figure().add_subplot(), table, "a", "black").collections
    table = table.assign(low=[0.5, 1.5], high=[1.5, 2.5])
    ax = plots.level_curve(plt.figure().add_subplot(), table, "a", "black", annotate=True)
    assert len(ax.collections) == 1
    assert [text.get_text() for text in ax.texts] == ["1.0", "2.0"]


def test_box_is_drawn_where_it_is() -> None:
    ax = plots.box(plt.figure().add_subplot(), np.array([1, 2, 5, 8]))
    assert [patch.get_bbox().bounds for patch in ax.patches] == [(1, 2, 4, 6)] * 2


def _bins(n: int) -> pd.DataFrame:
    rows = [("small", "global"), ("small", "Patchify"), ("small", "gain"), ("large", "global"), ("large", "Patchify")]
    table = pd.DataFrame(rows, columns=["bin", "method"])
    return table.assign(positives=3, mean=[1.0, 2, 1, 4, 5], low=0.5, high=6.0, n=n)


def test_bins_show_methods_with_intervals_and_counts() -> None:
    ax = charts.attributes.bin_points(plt.subplots()[1], _bins(2), "CNN: ")
    assert ax.get_legend_handles_labels()[1] == ["CNN: global", "CNN: Patchify"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["small\nn=3", "large\nn=3"]
    assert [container.lines[0].get_ydata().tolist() for container in ax.containers] == [[1, 4], [2, 5]]


@pytest.mark.parametrize("table", [_bins(0), pd.DataFrame()])
def test_bins_without_boxes_say_so(table: pd.DataFrame) -> None:
    ax = charts.attributes.bin_points(plt.subplots()[1], table)
    assert [text.get_text() for text in ax.texts] == ["no boxes"]


def test_families_have_their_own_colours() -> None:
    colours = plots.family_colours({"a": "CNN", "b": "Transformer", "c": "CNN", "d": "Baseline"})
    assert len({tuple(colour) for colour in colours.values()}) == 4
    assert colours["a"][0] > colours["a"][2] and colours["b"][2] > colours["b"][0]  # orange has more red than blue


def test_points_carry_their_names_and_regions() -> None:
    table = pd.DataFrame({"mean": [5.0, 9], "low": [4.0, 8], "high": [6.0, 10]}, ["one", "two"])
    ax = plots.cost_points(plt.subplots()[1], [1, 30], table, ["red", "blue"])
    assert ax.get_legend_handles_labels()[1] == ["one", "two"]
    assert [container.lines[0].get_xydata().tolist() for container in ax.containers] == [[[1, 5]], [[30, 9]]]
