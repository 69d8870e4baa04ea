"""The chart of notebook 14: published effects beside ours."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container

from patchlib.plots import METHODS

MARKERS = {"INSTRE": "s", "ILIAS": "^", "mini-ILIAS": "v"}  # others: a diamond
COLOURS = {"trend": METHODS["Patchify"], "open": "#777777", "differs": METHODS["global"]}


def effect_chart(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Published effects and ours, a line a statement: direction is what can be compared, magnitude is not.

    Args:
        ax: axes.
        rows: of :func:`patchlib.paper.compare.measured`.
    """
    hollow: dict[str, Any] = {"mfc": "none", "color": "#777777", "ms": 4, "mew": 0.8}
    heights = range(len(rows))[::-1]
    legend: dict[str, Artist | Container] = {}  # one entry a label
    ax.axvline(0, color="black", lw=0.8)
    for y, row in zip(heights, rows.to_dict("records"), strict=True):
        for name, values in row["effects"].groupby(level=0):
            (points,) = ax.plot(values, [y + 0.2] * len(values), MARKERS.get(name, "D"), **hollow)
            legend.setdefault(f"paper: {name}", points)
        spread = [[row["ours"] - row["low"]], [row["high"] - row["ours"]]]
        bar = ax.errorbar(row["ours"], y - 0.15, xerr=spread, fmt="o", ms=4, color=COLOURS[row["state"]])
        legend.setdefault(row["state"], bar)
    for label, drawn in legend.items():
        drawn.set_label(label)
    ax.set_yticks(heights, rows["item"] + ": " + rows["our row"], fontsize=7)
    ax.set(xlabel="effect in points, positive as the paper states", ylim=(-0.7, len(rows) - 0.3))
    return ax
