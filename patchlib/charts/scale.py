"""Charts against the size of the database; each point shows how it was found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from patchlib.plots import LEVELS

KINDS = {"measured": "o", "replicated": "s", "fitted": "x"}
STYLES = {"exact": "-", "PQ": "--", "fitted": ":"}


def panels(axes: NDArray[Any], points: pd.DataFrame, probes: pd.DataFrame, setting: str) -> NDArray[Any]:
    """mAP, GB and ms against the number of images, and what is found against ms; (2, 2) axes.

    Args:
        axes: where to draw.
        points: of :func:`patchlib.scale.curves.points`.
        probes: rows of ``sizes`` of one size and m, see :mod:`patchlib.scale.curves`.
        setting: what codes and lists are, e.g. ``"m = 64, nprobe = 32"``, for the axes that depend on it.
    """
    for ax, (value, label) in zip(
        axes.flat, {"mAP": "mAP@1k (%)", "GB": "GB", "ms": "ms a query"}.items(), strict=False
    ):
        curves(ax, points, value).set_ylabel(f"{label}\nPQ: {setting}")
        ax.set_yscale("linear" if value == "mAP" else "log")
    last = axes.flat[-1]
    for level, rows in probes.sort_values("nprobe").groupby("level"):
        last.plot(rows["ms"], rows["found"], "--", marker="o", ms=3, color=LEVELS[level])
    last.set(xscale="log", ylim=(0, 101), ylabel="found of exact's first 100 (%)")
    last.set_xlabel(f"ms a query ({setting.split(',')[0]}, nprobe 1 to {probes['nprobe'].max():,.0f}; log)")
    return axes


def curves(ax: Axes, points: pd.DataFrame, value: str) -> Axes:
    """A quantity against the number of images (log axis): a line per level, method and kind; fits with intervals."""
    for (level, method, kind), rows in points.dropna(subset=[value]).groupby(["level", "method", "kind"]):
        rows, colour = rows.sort_values("images"), LEVELS[level]
        face = colour if kind == "measured" and method == "exact" else "white"
        style: dict[str, Any] = {
            "marker": KINDS[kind],
            "mec": colour,
            "mfc": colour if kind == "fitted" else face,
            "ms": 4,
        }
        ax.plot(rows["images"], rows[value], STYLES.get(kind, STYLES[method]), color=colour, linewidth=1.2, **style)
        if kind == "fitted" and value == "mAP":
            ax.fill_between(rows["images"], rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
    ax.set(xscale="log", xlabel="images (log)")
    return ax


def legend(levels: Iterable[str]) -> list[Line2D]:
    """Handles that explain :func:`curves`: colours, lines, markers."""
    handles = [Line2D([], [], color=LEVELS[level], label=level) for level in levels]
    names = {"exact": ("-", "o", "black"), "PQ": ("--", "o", "white"), "PQ, codes replicated": ("", "s", "white")}
    names["fit to 20,000 images and its 95 % interval"] = (":", "x", "black")
    for label, (line, marker, face) in names.items():
        handles.append(Line2D([], [], color="black", ls=line, marker=marker, mfc=face, ms=4, label=label))
    return handles
