"""Charts of the grid levels: what each buys beside the paper's, which queries gain, which grids win."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from patchlib import paper, plots


def beside_paper(ax: Axes, ours: pd.DataFrame, metric: str, label: str) -> Axes:
    """A metric by level, in percent: ours with its interval, in grey the paper's SigLIP at the same levels.

    ``metric``: a column of :func:`patchlib.paper.backbone_levels`, e.g. ``"mAP"``.
    """
    plots.level_curve(ax, ours, label, plots.METHODS["Patchify"], annotate=True)
    for benchmark, style in (("INSTRE", ":"), ("ILIAS", "--")):
        published = paper.backbone_levels("SigLIP", benchmark).loc[ours.index, metric].to_frame("mean")
        plots.level_curve(ax, published, f"paper: SigLIP on {benchmark}", "#888888", style)
    ax.set(ylabel=f"{metric} (%)", ylim=(0, None), xlabel="level")
    return ax


def gains(ax: Axes, differences: ArrayLike) -> Axes:
    """Per-query gains in percentage points, sorted: what improves and what it costs."""
    values = np.sort(np.asarray(differences, float))[::-1]
    colours = np.where(values >= 0, plots.METHODS["Patchify"], plots.METHODS["global"])
    ax.bar(np.arange(len(values)), values, width=1.0, color=colours, linewidth=0)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlabel="queries, sorted by gain", ylabel="AP gain (points)", xlim=(-0.5, len(values) - 0.5))
    return ax


def winning_grids(ax: Axes, share: pd.DataFrame) -> Axes:
    """From which grid the winning regions come; a line where the grid's share of all cells would put it by chance.

    ``share``: of :func:`patchlib.metrics.winning_grids`, percent.
    """
    share.plot.bar(ax=ax, rot=0, color=[plots.METHODS["Patchify"], "#999999"], ylabel="share (%)")
    used = np.flatnonzero(share.any(axis=1))[-1] + 1  # grids of the features; finer ones have no region at all
    cells = np.arange(1, used + 1) ** 2
    ax.plot(np.arange(used), 100 * cells / cells.sum(), "_", color="black", markersize=26, label="by chance")
    ax.legend()
    return ax
