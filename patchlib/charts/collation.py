"""The chart of notebook 14: published effects beside ours."""

import pandas as pd
from matplotlib.axes import Axes

from patchlib.plots import METHODS

MARKERS = {"INSTRE": "s", "ILIAS": "^", "mini-ILIAS": "v"}  # others: a diamond
COLOURS = {"trend": METHODS["Patchify"], "open": "#777777", "differs": METHODS["global"]}


def effect_chart(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Published effects and ours, a line a statement: direction is what can be compared, magnitude is not.

    ``rows``: of :func:`patchlib.paper.compare.measured`.
    """
    rows = rows.assign(y=range(len(rows))[::-1])
    pairs = zip(rows["y"], rows["effects"], strict=True)
    points = [(benchmark, effect, y + 0.2) for y, effects in pairs for benchmark, effect in effects.items()]
    ax.axvline(0, color="black", lw=0.8)
    for benchmark, printed in pd.DataFrame(points, columns=["benchmark", "effect", "y"]).groupby("benchmark"):
        ax.plot(printed["effect"], printed["y"], MARKERS.get(str(benchmark), "D"), mfc="none", color="#777777", ms=4,
                mew=0.8, label=f"paper: {benchmark}")  # fmt: skip
    for state, ours in rows.groupby("state", sort=False):
        spread = [ours["ours"] - ours["low"], ours["high"] - ours["ours"]]
        ax.errorbar(ours["ours"], ours["y"] - 0.15, xerr=spread, fmt="o", ms=4, color=COLOURS[state], label=state)
    ax.set_yticks(rows["y"], rows["item"] + ": " + rows["our row"], fontsize=7)
    ax.set(xlabel="effect in points, positive as the paper states", ylim=(-0.7, len(rows) - 0.3))
    return ax
