"""Charts of what a study bins: scores by bin, and pictures of the bins."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from patchlib import plots
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.studies.attributes import SCORES, Bins

# what the horizontal axis says: attributes of a benchmark, series of the controlled studies
MEASURED = {"area": "box area (% of image)", "distance": "centre distance", "brightness": "factor of L*"}
CONTROLLED = {
    ("scenes", "size"): "box area (% of image)",
    ("scenes", "place"): "centre (0) to border (1)",
    ("scenes", "brightness"): "exposure",
    ("collages", "size"): "side of the photo",
}
SERIES = {"size": "#E69F00", "place": "#0072B2", "alignment": "#009E73"}


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


def encoder_panels(axes: NDArray[Any], table: pd.DataFrame, attributes: Sequence[str]) -> None:
    """:func:`encoder_points`: a row of axes for each metric, a column for each attribute."""
    for row, metric in zip(axes, SCORES, strict=True):
        for ax, attribute in zip(row, attributes, strict=True):
            encoder_points(ax, table, attribute, metric)
        row[0].set_ylabel(metric)


def study_panels(axes: NDArray[Any], table: pd.DataFrame, series: Sequence[tuple[str, str]]) -> None:
    """:func:`study_points`: a row of axes for each metric, a column for each study and attribute."""
    for row, metric in zip(axes, SCORES, strict=True):
        for ax, (study, attribute) in zip(row, series, strict=True):
            study_points(ax, table, study, attribute, metric)
        row[0].set_ylabel(metric)
    for ax, names in zip(axes[0], series, strict=True):
        ax.set_title(": ".join(names), fontsize=9)


def fit_points(ax: Axes, table: pd.DataFrame) -> Axes:
    """Gain of patches against how well they fit the boxes: a point with its interval for each level of a series.

    ``table``: indexed by factor, some of :data:`SERIES`, and bin; columns ``best IoU`` in percent, ``mean``, ``low``,
    ``high`` of the gain in points.
    """
    for factor, colour in SERIES.items():
        rows = table.xs(factor, level="factor")
        plots.points(ax, rows["best IoU"], rows, color=colour, label=factor, ms=3.5, elinewidth=0.9)
        for label, row in rows.iterrows() if factor != "alignment" else ():
            ax.annotate(
                label, row[["best IoU", "mean"]], (3, 3), textcoords="offset points", fontsize=6.5, color=colour
            )
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlabel="best IoU of a patch with the box (%)", ylabel="gain of patches in mAP (points)")
    ax.legend(title="series", fontsize=7, title_fontsize=7)
    return ax


def bin_points(ax: Axes, table: pd.DataFrame) -> Axes:
    """Two methods over the bins of an attribute, each bin with its interval; every third and fourth series dotted.

    ``table``: rows of :func:`patchlib.studies.attributes.compare`, whose methods are keys of
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
    most, last = gains.max(), gains.iloc[-1]
    return f"Patches change mAP by {most:+.1f} points where most is gained, by {last:+.1f} on the largest objects."


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
