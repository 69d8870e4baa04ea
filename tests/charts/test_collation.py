"""The chart of published effects and ours shows what it is given, top to bottom."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from patchlib import charts


def _rows() -> pd.DataFrame:
    rows = [
        ("Table 2", "a above b", 2.0, 1.0, 4.0, "trend", pd.Series([5.0, 7.0], ["ILIAS", "INSTRE"])),
        ("Table 6", "c above d", -1.0, -3.0, 0.5, "open", pd.Series([4.0], ["not stated"])),
    ]
    return pd.DataFrame(rows, columns=["item", "our row", "ours", "low", "high", "state", "effects"])


def test_first_row_is_on_top_with_published_and_measured_effects() -> None:
    ax = charts.collation.effect_chart(plt.subplots()[1], _rows())
    assert dict(zip(ax.get_yticks(), (t.get_text() for t in ax.get_yticklabels()), strict=True)) == {
        1: "Table 2: a above b",
        0: "Table 6: c above d",
    }
    assert ax.get_legend_handles_labels()[1] == ["paper: ILIAS", "paper: INSTRE", "paper: not stated", "trend", "open"]
    points = [container.lines[0].get_xdata().item() for container in ax.containers]
    spans = [container.lines[2][0].get_segments()[0][:, 0].tolist() for container in ax.containers]
    assert (points, spans) == ([2.0, -1.0], [[1.0, 4.0], [-3.0, 0.5]])
    published = [line.get_xdata() for line in ax.lines if str(line.get_label()).startswith("paper: ")]
    assert np.concatenate(published).tolist() == [5.0, 7.0, 4.0]


def test_nothing_to_show_is_an_empty_chart() -> None:
    ax = charts.collation.effect_chart(plt.subplots()[1], _rows().head(0))
    assert not ax.containers and ax.get_yticklabels() == []
