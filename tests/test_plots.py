"""Figures: files, records, and panels that draw what they are told."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from patchlib import plots

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
