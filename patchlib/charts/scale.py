"""Charts against the size of the database; each point shows how it was found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from patchlib.plots import LEVELS

LINES = {  # method and kind -> label, line, marker, whether it is filled
    ("exact", "measured"): ("exact", "-", "o", True),
    ("PQ", "measured"): ("PQ", "--", "o", False),
    ("PQ", "replicated"): ("PQ, codes replicated", "", "s", False),
    ("exact", "fitted"): ("fit to at most 20,000 images, with 95 % interval", ":", "x", True),
}


def panels(axes: NDArray[Any], points: pd.DataFrame, probes: pd.DataFrame, setting: str) -> NDArray[Any]:
    """mAP, GB and ms against the number of images, and what is found against ms; (2, 2) axes.

    Args:
        axes: where to draw.
        points: of :func:`patchlib.scale.curves.points`.
        probes: rows of ``sizes`` of one size and m, see :mod:`patchlib.scale.curves`.
        setting: what codes are, e.g. ``"m = 64, nprobe = 32"``, for the axes that depend on it.
    """
    for ax, value, label in zip(axes.flat, ("mAP", "GB", "ms"), ("mAP@1k (%)", "GB", "ms a query"), strict=False):
        curves(ax, points, value).set_ylabel(f"{label}\nPQ: {setting}", fontsize=8)
        ax.set_yscale("linear" if value == "mAP" else "log")
    last = axes.flat[-1]
    for level, rows in probes.sort_values("nprobe").groupby("level"):
        last.plot(rows["ms"], rows["found"], **_look(("PQ", "measured"), LEVELS[level]))
    last.set(xscale="log", ylim=(0, 103), ylabel="found of exact's first 100 (%)")
    last.set_xlabel(f"ms a query, {setting.rpartition(',')[0]},\nnprobe 1 to {probes['nprobe'].max():.0f} (log)")
    return axes


def curves(ax: Axes, points: pd.DataFrame, value: str) -> Axes:
    """A quantity against the number of images (log axis): a line per level, method and kind; fits with intervals."""
    for (level, *name), rows in points.dropna(subset=[value]).groupby(["level", "method", "kind"]):
        rows, colour = rows.sort_values("images"), LEVELS[level]
        ax.plot(rows["images"], rows[value], **_look(tuple(name), colour))
        if value == "mAP":  # of what is no fit, the ends are NaN
            ax.fill_between(rows["images"], rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
    ax.set(xscale="log", xlabel="images (log)")
    return ax


def legend(levels: Iterable[str]) -> list[Line2D]:
    """Handles that explain :func:`curves`: colours, lines, markers."""
    handles = [Line2D([], [], color=LEVELS[level], label=level) for level in levels]
    return handles + [Line2D([], [], label=LINES[name][0], **_look(name, "black")) for name in LINES]


def _look(name: Any, colour: str) -> dict[str, Any]:
    _, line, marker, filled = LINES[name]
    face = colour if filled else "white"
    return {"color": colour, "linestyle": line, "marker": marker, "mfc": face, "markersize": 4, "linewidth": 1.2}
