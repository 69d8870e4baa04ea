"""Charts against the size of the database."""

import matplotlib.pyplot as plt
import pandas as pd

from patchlib.charts import scale


def test_panels_show_each_quantity_where_it_was_measured() -> None:
    points = pd.DataFrame(
        {
            "images": [1000, 10_000, 1000],
            "level": ["L0", "L0", "L3"],
            "method": "exact",
            "source": "here",
            "kind": ["measured", "extrapolated", "measured"],
            "mAP": [30.0, None, 50.0],
            "ms": [1.0, 10.0, None],
            "GB": 1.0,
            "hours": None,
        }
    ).astype({"hours": float})
    _, axes = plt.subplots(2, 2)
    scale.panels(axes, points)
    accuracy, memory, times, encoding = axes.flat
    assert [ax.get_ylabel() for ax in axes.flat] == list(scale.QUANTITIES.values())
    assert [ax.get_yscale() for ax in axes.flat] == ["linear", "log", "log", "log"]
    lines = [line.get_xdata().tolist() for line in times.lines if line.get_linestyle() == "-"]
    assert lines == [[1000, 10_000]] and not encoding.lines
    assert [text.get_text() for text in times.texts] == ["100 ms"] and not accuracy.texts + memory.texts
    plt.close("all")


def test_agreement_draws_real_and_simulated_negatives_level_by_level() -> None:
    rows = [(size, level, 50.0, 51.0) for size in (100, 200) for level in ("L0", "L3")]
    table = pd.DataFrame(rows, columns=["negatives", "level", "measured", "simulated"])
    _, ax = plt.subplots()
    scale.agreement(ax, table)
    assert ax.get_legend_handles_labels()[1] == ["L0", "L3"]
    assert [line.get_linestyle() for line in ax.lines] == ["-", ":"] * 2
    assert [label.get_text() for label in ax.get_xticklabels()] == ["100", "200"]
    plt.close("all")
