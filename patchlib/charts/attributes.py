"""Charts of what a study bins: size, place, brightness; ours by bin, and one picture of a bin."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from patchlib import plots
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.studies.attributes import Bins


def bin_points(
    ax: Axes, table: pd.DataFrame, label: str = "", style: str = "-", dodge: float = 0.0, counts: bool = True
) -> Axes:
    """Two methods over the bins of a factor, each bin with its interval.

    Args:
        ax: axes.
        table: of :func:`patchlib.studies.attributes.paired`, whose methods are keys of
            :data:`patchlib.plots.METHODS`; may be empty.
        label: put before the methods' names in the legend.
        style: of the lines, one an encoder.
        dodge: shift to the right, in bins, so that intervals do not cover each other.
        counts: write the number of positives under each bin.
    """
    shown = table[table["method"] != "gain"] if len(table) else table
    if not len(shown) or not shown["n"].any():
        ax.set(xticks=[], yticks=[])
        ax.text(0.5, 0.5, "no boxes", transform=ax.transAxes, ha="center", color="#666666")
        return ax
    for step, (method, rows) in enumerate(shown.groupby("method", sort=False)):
        x = np.arange(len(rows)) + dodge + 0.05 * step
        spread = np.abs(rows[["low", "high"]].to_numpy().T - rows["mean"].to_numpy())
        ax.errorbar(x, rows["mean"], spread, ls=style, marker="o", ms=3.5, lw=1.4, elinewidth=0.9,
                    color=plots.METHODS[str(method)], label=f"{label}{method}")  # fmt: skip
    names = rows["bin"] + (rows["positives"].map("\nn={}".format) if counts else "")
    ax.set_xticks(np.arange(len(rows)), names, fontsize=6.5)
    ax.set_ylim(0, None)
    return ax


def example(ax: Axes, benchmark: Benchmark, groups: Bins, number: int) -> Axes:
    """The first positive of a bin, with its boxes; nothing where the bin is empty or does not exist."""
    members = groups.members[groups.members["bin"] == number]
    if not len(members):
        ax.set_axis_off()
        return ax
    query, image = members[["query_id", "image_id"]].iloc[0]
    index = int(np.flatnonzero(benchmark.images["image_id"] == image)[0])
    rows = (benchmark.positives["query_id"] == query) & (benchmark.positives["image_id"] == image)
    truth = benchmark.positives.loc[rows, BOX].to_numpy(np.float32)
    plots.contact_sheet(np.array([ax]), benchmark, [index], {index: truth})
    ax.set_title(groups.labels[number], fontsize=7, loc="center")
    return ax
