"""The chart of notebook 14: published effects beside ours."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from patchlib.plots import METHODS

MARKERS = {"INSTRE": "s", "ILIAS": "^", "mini-ILIAS": "v"}  # others: a diamond
COLOURS = {"trend": METHODS["Patchify"], "open": "#777777", "differs": METHODS["global"]}


def effect_chart(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Published effects and ours, a line a statement: direction is what can be compared, magnitude is not.

    Args:
        ax: axes.
        rows: of :func:`effects`.
    """
    place = list(range(len(rows)))[::-1]
    ax.axvline(0, color="black", lw=0.8)
    for y, (_, row) in zip(place, rows.iterrows(), strict=True):
        for name, values in row["effects"].groupby(level=0):
            marker = MARKERS.get(name, "D")
            ax.plot(
                values,
                [y + 0.2] * len(values),
                marker,
                mfc="none",
                color="#777777",
                ms=4,
                mew=0.8,
                label=f"paper: {name}",
            )
        spread = [[row["ours"] - row["low"]], [row["high"] - row["ours"]]]
        ax.errorbar(row["ours"], y - 0.15, xerr=spread, fmt="o", ms=4, color=COLOURS[row["state"]], label=row["state"])
    ax.set_yticks(place, rows["item"] + ": " + rows["our row"], fontsize=7)
    ax.set(xlabel="effect in points, positive as the paper states", ylim=(-0.7, len(rows) - 0.3))
    return ax
