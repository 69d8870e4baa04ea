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
    rows = table.query("factor == @attribute and metric == @metric").reset_index("encoder")
    ticks = rows["bin"] + "\nn=" + rows["positives"].astype(str)
    bin_points(ax, rows.assign(bin=ticks, series=rows["encoder"] + ": " + rows["method"]))
    ax.set_xlabel(MEASURED[attribute])
    return ax


def study_points(ax: Axes, table: pd.DataFrame, study: str, attribute: str, metric: str) -> Axes:
    """:func:`bin_points` of one series of a controlled study.

    ``table``: of :func:`patchlib.studies.attributes.compare` by study.
    """
    rows = table.query("study == @study and factor == @attribute and metric == @metric")
    bin_points(ax, rows.assign(series=rows["method"]))
    ax.set_xlabel(CONTROLLED[study, attribute])
    return ax


def bin_points(ax: Axes, table: pd.DataFrame) -> Axes:
    """Two methods over the bins of an attribute, each bin with its interval; every third and fourth series dotted.

    Args:
        ax: axes.
        table: rows of :func:`patchlib.studies.attributes.compare`, whose methods are keys of
            :data:`patchlib.plots.METHODS`, with a column ``series``, the name in the legend; may be empty.
    """
    import seaborn as sns  # which loads scipy.stats: a page without it starts sooner

    rows = table[table["method"] != "gain"]
    if not rows["n"].any():
        return plots.no_boxes(ax)
    rows = rows.assign(number=rows.groupby("series").cumcount())  # labels of two bins may be equal
    series, bins = rows.drop_duplicates("series"), rows.drop_duplicates("number")
    colours = [plots.METHODS[method] for method in series["method"]]
    sns.pointplot(plots.spread(rows), x="number", y="value", hue="series", palette=colours, dodge=0.05 * len(series),
                  linestyles=["-", "-", ":", ":"][: len(series)], markersize=3.5, linewidth=1.4,
                  err_kws={"linewidth": 0.9}, **plots.INTERVAL, ax=ax)  # fmt: skip
    ax.legend().remove()
    ax.set_xticks(bins["number"], bins["bin"], fontsize=6.5)
    ax.set(ylabel="", ylim=(0, None))
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
