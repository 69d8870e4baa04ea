"""Panels of examples: rankings beside each other, similarity over the patches, and the rule that chose them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from PIL import Image

from patchlib import plots
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.charts import levels
from patchlib.features import FeatureSet
from patchlib.search import Ranking
from patchlib.session import Evaluation
from patchlib.studies import examples
from patchlib.support import paths

WIDTH = 840  # pixels of a page in a notebook
# colours of the cases; the marker tells them apart where colours do not
MARKS = {
    examples.MISSED: ("#000000", "X"),
    examples.WORSE: ("#D55E00", "v"),
    examples.ELSEWHERE: ("#E69F00", "s"),
    examples.FINE: ("#0072B2", "o"),
}


def first_images(
    axes: NDArray[Any], benchmark: Benchmark, sets: Mapping[str, FeatureSet], evaluation: Evaluation, query_id: str
) -> NDArray[Any]:
    """A query, its scores below it, and its first images: a row of ``axes`` (methods, 1 + images) for each set."""
    query = benchmark.query_row(query_id)
    for row, name in zip(axes, sets, strict=True):
        one = evaluation.scores[name].set_index("query_id").loc[query_id]
        below = f"AP {one['ap']:.2f}\nLocScore {one['loc_score']:.2f}"
        plots.query_picture(row[0], benchmark, query, name).set_xlabel(below, fontsize=7)
        plots.ranking_row(row[1:], benchmark, sets[name], evaluation.rankings[name], query)
    return axes


def page(
    benchmark: Benchmark,
    sets: Mapping[str, FeatureSet],
    rankings: Mapping[str, Ranking],
    scores: Mapping[str, pd.DataFrame],
    chosen: pd.DataFrame,
) -> Figure:
    """Queries with their first ten images, one row a method, as in the paper's qualitative figures.

    Args:
        sets, rankings, scores: by method; owners of the winning regions, rankings, tables of ``metrics.evaluate``.
        chosen: of :func:`patchlib.studies.examples.by_gain` or :func:`patchlib.studies.examples.by_case`.

    Source: Figures S10, S11.
    """
    fig = Figure(figsize=(plots.PAGE, 0.55 + 0.83 * len(sets) * max(len(chosen), 1)))
    fig.set_layout_engine("none")
    if chosen.empty:
        fig.text(0.5, 0.5, "no query of this kind", ha="center", color="#666666")
        return fig
    axes = _axes(fig, len(chosen), len(sets))
    tables = {method: table.set_index("query_id") for method, table in scores.items()}
    for rows, (query_id, facts) in zip(np.split(axes, len(chosen)), chosen.iterrows(), strict=True):
        about = f"{textwrap.fill(facts['label'], 14)}\ngain {facts['gain']:+.3f}"
        about += f"\nstands for {facts['queries']}" if "queries" in facts else ""
        for row, (method, table) in zip(rows, tables.items(), strict=True):
            ap, loc = table.loc[query_id, ["ap", "loc_score"]]
            located = "no boxes" if np.isnan(loc) else f"LocScore {loc:.3f}"
            _method_row(row, benchmark, sets[method], rankings[method], int(facts["query"]))
            colour = plots.METHODS.get(method, plots.LEVELS.get(method, "black"))
            row[1].text(-0.12, 0.5, f"{method}\nAP {ap:.3f}\n{located}", transform=row[1].transAxes, fontsize=6.5,
                        ha="right", va="center", color=colour)  # fmt: skip
        _about_query(rows[:, 0], benchmark, int(facts["query"]), about)
    _explain_colours(fig)
    return fig


def _method_row(row: NDArray[Any], benchmark: Benchmark, owned: FeatureSet, ranking: Ranking, query: int) -> None:
    plots.ranking_row(list(row[1:]), benchmark, owned, ranking, query)
    for ax in row[1 + ranking.images.shape[1] :]:
        ax.set_axis_off()
    for ax in row[1:]:
        ax.xaxis.label.set_fontsize(5.5)
        ax.xaxis.labelpad = 1
        ax.spines[:].set_linewidth(2)


def _about_query(column: NDArray[Any], benchmark: Benchmark, query: int, about: str) -> None:
    plots.query_picture(column[0], benchmark, query, "")
    for ax in column[1:]:
        ax.set_axis_off()
    column[1].text(0.5, 0.95, about, transform=column[1].transAxes, ha="center", va="top", fontsize=6.5)


def _axes(fig: Figure, blocks: int, methods: int, columns: int = 1 + examples.SHOWN) -> NDArray[Any]:
    """Axes (blocks * methods, columns), the queries' at the left, room for labels beside them.

    Placed by hand: a solver takes many seconds for more than a hundred axes.
    """
    width, height = fig.get_size_inches()
    top, bottom, query, label = 1 - 0.3 / height, 0.22 / height, 0.88 / width, 0.78 / width
    step = (1 - query - label - 0.05 / width) / (columns - 1)
    block = (top - bottom) / blocks
    tall = 0.94 * block / methods
    axes = np.empty((blocks * methods, columns), object)
    for row, column in np.ndindex(*axes.shape):
        number, line = divmod(row, methods)
        y = top - number * block - (line + 0.84) * tall
        x, wide = (query + label + (column - 1) * step, step) if column else (0.02 / width, query)
        axes[row, column] = fig.add_axes((x, y, 0.94 * wide, 0.8 * tall))
    return axes


def _explain_colours(fig: Figure) -> None:
    """A legend of frames and boxes in the upper right corner."""
    named = {kind: f"{kind} (frame)" for kind in ("positive", "negative")}
    named |= {"winning": "winning region", "truth": "ground truth"}
    handles = [Patch(facecolor="none", edgecolor=plots.BOXES[kind], linewidth=2) for kind in named]
    fig.legend(handles, list(named.values()), loc="upper right", ncols=4, fontsize=6.5)


def small_copy(item: str, caption: str) -> Any:
    """A saved figure of photographs, small enough for a notebook; the caption is its alternative text."""
    from IPython import display

    with Image.open(paths.figures() / f"{item}.jpg") as saved:
        small = saved.resize((WIDTH, round(WIDTH * saved.height / saved.width)), Image.Resampling.LANCZOS)
    return display.Image(data=plots.jpeg(small, quality=70), alt=caption)


def rule(ax: Axes, table: pd.DataFrame, chosen: pd.DataFrame) -> Axes:
    """Gains of all queries, sorted, with the groups of :func:`patchlib.studies.examples.by_gain` and their queries."""
    levels.gains(ax, 100 * table["gain"])
    # bars run from the largest gain down, the groups from the smallest up
    edges = len(table) - np.concatenate([[0], np.cumsum(chosen["queries"])])
    for edge in edges[1:-1]:
        ax.axvline(edge - 0.5, color="#666666", linewidth=0.8, linestyle=":")
    bars = len(table) - 1 - np.flatnonzero(table.sort_values("gain", kind="stable").index.isin(chosen.index))
    ax.plot(bars, 100 * chosen["gain"], "D", color="black", markersize=5, label="shown")
    for bar, (_, row) in zip(bars, chosen.iterrows(), strict=True):
        ax.annotate(str(row["label"]).split()[0], (bar, 100 * row["gain"]), (0, 6), textcoords="offset points",
                    ha="center", fontsize=7)  # fmt: skip
    return ax


def failures(ax: Axes, table: pd.DataFrame, chosen: pd.DataFrame) -> Axes:
    """AP against LocScore of every query by its case; the line of the poor IoU; the queries shown ringed."""
    if table["loc"].isna().all():
        return plots.no_boxes(ax)
    case_of = examples.cases(table)
    for case, (colour, marker) in MARKS.items():
        rows = table[case_of == case]
        ax.plot(100 * rows["ap"], 100 * rows["loc"], marker, color=colour, markersize=4, alpha=0.75, linestyle="",
                label=f"{case} ({len(rows)})")  # fmt: skip
    ax.axline((0, 0), slope=examples.POOR_IOU, color="#666666", linewidth=0.8, linestyle=":")
    ax.axvline(100 * table["ap"].median(), color="#666666", linewidth=0.8, linestyle=":")
    ax.plot(100 * chosen["ap"], 100 * chosen["loc"], "o", mfc="none", mec="black", markersize=9)
    ax.set(xlabel="AP of Patchify (%)", ylabel="LocScore (%)", xlim=(0, 100), ylim=(0, None))
    handles, labels = ax.get_legend_handles_labels()
    handles.append(Line2D([], [], marker="o", mfc="none", mec="black", markersize=8, linestyle=""))
    ax.legend(handles, [*labels, "shown"], loc="upper left", fontsize=6.5)
    return ax
