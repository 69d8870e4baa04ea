"""Charts of what a study bins: scores by bin, and pictures of the bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from patchlib import plots
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.studies.attributes import Bins

# what the horizontal axis says: attributes of a benchmark, series of the controlled studies
MEASURED = {"area": "box area (% of image)", "distance": "centre distance", "brightness": "factor of L*"}
CONTROLLED = {
    ("scenes", "size"): "box area (% of image)",
    ("scenes", "place"): "centre to corner",
    ("scenes", "brightness"): "exposure",
    ("collages", "size"): "side of the photo",
}


def encoder_points(ax: Axes, table: pd.DataFrame, attribute: str, metric: str) -> Axes:
    """:func:`bin_points` of one attribute and metric of two encoders: the first solid, the second dotted.

    ``table``: of :func:`patchlib.studies.attributes.compare` by encoder.
    """
    shown = table.query("factor == @attribute and metric == @metric")
    for second, (name, rows) in enumerate(shown.groupby(level="encoder", sort=False)):
        bin_points(ax, rows, f"{name}: ", ("-", ":")[second], 0.12 * second)
    ax.set_xlabel(MEASURED[attribute])
    return ax


def study_points(ax: Axes, table: pd.DataFrame, study: str, attribute: str, metric: str) -> Axes:
    """:func:`bin_points` of one series of a controlled study.

    ``table``: of :func:`patchlib.studies.attributes.compare` by study.
    """
    bin_points(ax, table.query("study == @study and factor == @attribute and metric == @metric"), counts=False)
    ax.set_xlabel(CONTROLLED[study, attribute])
    return ax


def bin_points(
    ax: Axes, table: pd.DataFrame, label: str = "", style: str = "-", dodge: float = 0.0, counts: bool = True
) -> Axes:
    """Two methods over the bins of an attribute, each bin with its interval.

    Args:
        ax: axes.
        table: rows of :func:`patchlib.studies.attributes.compare`, whose methods are keys of
            :data:`patchlib.plots.METHODS`; may be empty.
        label: put before the methods' names in the legend.
        style: of the lines, one an encoder.
        dodge: shift to the right, in bins, so that intervals do not cover each other.
        counts: write the number of positives under each bin.
    """
    if not len(table) or not table["n"].any():
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "no boxes", transform=ax.transAxes, ha="center", color="#666666")
        return ax
    methods = table[table["method"] != "gain"].groupby("method", sort=False)
    for step, (method, rows) in enumerate(methods):
        x = np.arange(len(rows)) + dodge + 0.05 * step
        spread = np.abs(rows[["low", "high"]].to_numpy().T - rows["mean"].to_numpy())
        ax.errorbar(x, rows["mean"], spread, ls=style, marker="o", ms=3.5, lw=1.4, elinewidth=0.9,
                    color=plots.METHODS[str(method)], label=f"{label}{method}")  # fmt: skip
    names = rows["bin"] + (rows["positives"].map("\nn={}".format) if counts else "")
    ax.set_xticks(np.arange(len(rows)), names, fontsize=6.5)
    ax.set_ylim(0, None)
    return ax


def headline(gains: pd.Series) -> str:
    """First sentence of a caption: what patches gain (points of mAP, by ascending size); NaN = there are no boxes."""
    if gains.isna().all():
        return "No boxes, no sizes."
    return f"Patches gain up to {gains.max():+.1f} points of mAP, {gains.iloc[-1]:+.1f} on the largest objects."


def examples(axes: Sequence[Axes], benchmark: Benchmark, groups: Bins) -> Sequence[Axes]:
    """The first positive of every bin, with its boxes; nothing where the bin is empty or does not exist."""
    first = groups.members.drop_duplicates("bin").set_index("bin")
    for number, ax in enumerate(axes):
        if number not in first.index:
            ax.set_axis_off()
            continue
        images, boxes = benchmark.relevant(benchmark.query_row(first["query_id"][number]))
        index = int(pd.Index(benchmark.images["image_id"]).get_loc(first["image_id"][number]))
        plots.contact_sheet(np.array([ax]), benchmark, [index], {index: boxes[images == index]})
        ax.set_title(groups.labels[number], fontsize=7, loc="center")
    return axes
