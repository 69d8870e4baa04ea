"""Charts of re-ranking: the grid as a heat map, gains by shortlist length, what they cost, what moves."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from patchlib import plots
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.search import Ranking
from patchlib.studies.cross_fitting import CrossFit
from patchlib.studies.reranking_costs import COST

STAGES = ("global", "L3")  # the first stages that are drawn in detail
RERANKERS = {"AMES": "#0072B2", "ELViS": "#009E73", "Chamfer": "#E69F00"}


def grid_map(ax: Axes, cells: pd.DataFrame, chosen: Sequence[tuple[int, float, float]]) -> Axes:
    """mAP (%) of every shortlist length and lambda, each at its best gamma; framed where the two halves chose.

    The scale of colours runs from the tenth percentile of all cells to the best one.

    Args:
        cells: (cells, Q) AP of :func:`patchlib.reranking.fusion.grid_search`.
        chosen: the halves' cells (m, lambda, gamma), see :func:`patchlib.studies.cross_fitting.cross_fitted`.
    """
    import seaborn as sns  # which loads scipy.stats: a page without it starts sooner

    means = 100 * cells.mean(axis=1)
    table = means.groupby(["m", "lambda"]).max().unstack("m").sort_index(ascending=False)
    scale = {"cmap": plots.HEAT, "vmin": means.quantile(0.1), "vmax": means.max(), "cbar": False}
    sns.heatmap(table, annot=True, fmt=".1f", annot_kws={"fontsize": 6}, **scale, ax=ax)
    ax.tick_params("y", rotation=0)
    ax.set(xlabel="shortlist m", ylabel="λ (weight of the first stage)")
    for m, weight, _ in chosen:
        column, row = table.columns.get_loc(m), table.index.get_loc(weight)
        plots.grid_lines(ax, [[column, row, column + 1, row + 1]], plots.BOXES["negative"], 1.8)
    return ax


def grid_maps(
    axes: Sequence[Axes], grids: Mapping[tuple[str, str], pd.DataFrame], fits: Mapping[tuple[str, str], CrossFit]
) -> Sequence[Axes]:
    """:func:`grid_map` of AMES on the first stages :data:`STAGES`, side by side; keys are (first stage, re-ranker)."""
    for ax, stage in zip(axes, STAGES, strict=True):
        grid_map(ax, grids[stage, "AMES"], fits[stage, "AMES"].chosen).set_title(f"{stage} + AMES")
    axes[-1].set_ylabel("")
    return axes


def gain_curves(axes: Sequence[Axes], curves: Mapping[tuple[str, str], pd.DataFrame]) -> Sequence[Axes]:
    """Gain of every re-ranker on the first stages :data:`STAGES`, side by side, against the shortlist length.

    ``curves``: (first stage, re-ranker) -> :func:`patchlib.studies.reranking.gain_by_shortlist`.
    """
    for ax, stage in zip(axes, STAGES, strict=True):
        for name, colour in RERANKERS.items():
            plots.band(ax, curves[stage, name].index, curves[stage, name], name, colour)
            ax.axhline(0, color="black", linewidth=0.6)
        ax.set(title=f"first stage: {stage}", xlabel="shortlist m", xticks=curves[stage, name].index)
    axes[0].set_ylabel("gain (points of mAP)")
    axes[0].legend()
    return axes


def costs(axes: Sequence[Axes], table: pd.DataFrame) -> Sequence[Axes]:
    """Accuracy against bytes and against time: colour tells the re-ranker (grey: none), the marker the first stage.

    ``table``: of :func:`patchlib.studies.reranking_costs.of_methods`, costs > 0. The legend stands above the figure.
    """
    import seaborn as sns  # which loads scipy.stats: a page without it starts sooner

    told = {"hue": "re-ranker", "palette": {"none": "#666666", **RERANKERS}, "style": "first stage"}
    for ax, cost in zip(axes, COST, strict=True):
        sns.scatterplot(table, x=cost, y="mAP", **told, s=36, edgecolor="none", ax=ax)
        ax.legend().remove()
        ax.set(xscale="log", ylabel="mAP (%)")
        ax.margins(x=0.12, y=0.12)
    named = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(*named, loc="outside upper center", ncols=4, fontsize=7)
    return axes


def examples(
    axes: np.ndarray,
    benchmark: Benchmark,
    rankings: Mapping[str, Ranking],
    rows: Mapping[str, int],
    gains: pd.Series,
) -> np.ndarray:
    """Two rows a query: the first images "before" and "after", with the rank each image had before.

    Args:
        axes: (2 * queries, 1 + images) axes.
        rows: title -> row of the query.
        gains: (Q,) AP after minus AP before, in points.
    """
    for line, ((title, query), (name, ranking)) in zip(axes, product(rows.items(), rankings.items()), strict=True):
        if name == "before":
            plots.query_picture(line[0], benchmark, query, f"{title}\n{gains.iloc[query]:+.1f} AP")
        else:
            line[0].set_axis_off()
        plots.contact_sheet(line[1:], benchmark, ranking.images[query, : len(line) - 1].tolist())
        for ax, index in zip(line[1:], ranking.images[query], strict=False):
            kind = "positive" if index in benchmark.relevant(query)[0] else "negative"
            before = int(np.flatnonzero(rankings["before"].images[query] == index)[0]) + 1
            ax.spines[:].set_visible(True)
            ax.spines[:].set(color=plots.BOXES[kind], linewidth=3)
            ax.set_xlabel(kind if name == "before" else f"{kind}, was {before}", fontsize=6.5, labelpad=2)
        line[1].set_ylabel(name, fontsize=8)
    return axes
