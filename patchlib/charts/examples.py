"""Panels of examples: rankings beside each other, similarity over the patches, and the rule that chose them."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from patchlib import images, plots
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.studies import examples
from patchlib.support import paths

if TYPE_CHECKING:
    from IPython import display

    from patchlib.features.feature_set import FeatureSet
    from patchlib.search import Ranking

COLOURS = 128  # of the palette of a page of photographs
WIDTH = 840  # pixels of a page in a notebook
# colours of the cases; the marker tells them apart where colours do not
MARKS = {
    examples.MISSED: ("#000000", "X"),
    examples.WORSE: ("#D55E00", "v"),
    examples.ELSEWHERE: ("#E69F00", "s"),
    examples.FINE: ("#0072B2", "o"),
}


def page(
    benchmark: Benchmark,
    sets: Mapping[str, FeatureSet],
    rankings: Mapping[str, Ranking],
    scores: Mapping[str, pd.DataFrame],
    chosen: pd.DataFrame,
) -> Figure:
    """Queries with their first ten images, one row a method, as in the paper's qualitative figures.

    Args:
        benchmark: its images and positives.
        sets: method -> owner of the winning regions.
        rankings: method -> ranking.
        scores: method -> table of ``metrics.evaluate``.
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
            place = "no boxes" if np.isnan(loc) else f"LocScore {loc:.3f}"
            _method_row(row, benchmark, sets[method], rankings[method], int(facts["query"]))
            colour = plots.METHODS.get(method, plots.LEVELS.get(method, "black"))
            row[1].text(-0.12, 0.5, f"{method}\nAP {ap:.3f}\n{place}", transform=row[1].transAxes, fontsize=6.5,
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
    named = {"right": "right image (frame)", "wrong": "wrong image (frame)"}
    named |= {"winning": "winning region", "truth": "ground truth"}
    handles = [Patch(facecolor="none", edgecolor=plots.BOXES[kind], linewidth=2) for kind in named]
    fig.legend(handles, list(named.values()), loc="upper right", ncols=4, fontsize=6.5)


def heat_maps(
    axes: Sequence[Axes], benchmark: Benchmark, image: int, scores: pd.DataFrame, limits: tuple[float, float]
) -> Sequence[Axes]:
    """The patches of one image coloured by their score, one grid an axis; the winning one framed.

    Args:
        axes: one for each grid; what is left over stays empty.
        benchmark: its images.
        image: index of the image.
        scores: of :func:`patchlib.studies.examples.patch_scores`.
        limits: scores of the darkest and the brightest colour.
    """
    photo = images.read(benchmark.image_path(image))
    winner = int(scores["score"].to_numpy().argmax()) if len(scores) else -1
    grids = list(scores.groupby("grid"))
    for ax in axes[len(grids) :]:
        ax.set_axis_off()
    for ax, (side, rows) in zip(axes, grids, strict=False):
        plots.similarity_map(ax, photo, rows[BOX], rows["score"], limits)
        for number in ax.texts if len(rows) > 9 else ():
            number.set_fontsize(5.5)
        ax.set_title(f"{side}×{side}: best {rows['score'].max():.2f}", fontsize=7, loc="center", pad=2)
        if winner in rows.index:
            plots.box(ax, rows.loc[winner, BOX].to_numpy(float), "winning")
    return axes


def heat_page(benchmark: Benchmark, features: FeatureSet, ranking: Ranking, queries: Mapping[str, int]) -> Figure:
    """Where the similarity lies: for each query the best-ranked right image, and the best-ranked wrong one.

    Args:
        benchmark: its images and positives.
        features: owner of the patches.
        ranking: of the whole database.
        queries: what is said of a query -> its row number.
    """
    shown = [(name, query, kind, image) for name, query in queries.items()
             for kind, image in examples.best_of_each_kind(ranking, benchmark, query).items()]  # fmt: skip
    fig = Figure(figsize=(plots.PAGE, 1.55 * len(shown)), layout="constrained")
    axes = fig.subplots(len(shown), 5, squeeze=False)
    for row, (name, query, kind, image) in zip(axes, shown, strict=True):
        images_, boxes = benchmark.relevant(query)
        scores = {other: examples.patch_scores(features, features.query_descriptors[query], other)
                  for _, of, _, other in shown if of == query}  # fmt: skip
        both = limits(pd.concat(scores)["score"])  # one scale a query, so that its images can be compared
        heat_maps(row[1:], benchmark, image, scores[image], both)
        for ax, xyxy in ((ax, xyxy) for ax in row[1:] for xyxy in boxes[images_ == image] if not np.isnan(xyxy).any()):
            plots.box(ax, xyxy, "truth", 1.0)
        plots.query_picture(row[0], benchmark, query, name if kind == "right" else "")
        row[0].title.set_fontsize(7)
        place = int(np.flatnonzero(ranking.images[query] == image)[0]) + 1
        row[0].set_xlabel(f"{kind} image, rank {place}", fontsize=7, color=plots.BOXES[kind])
    return fig


def shown(fig: Figure, item: str, record: Mapping[str, Any], caption: str) -> display.Image:
    """Save a figure of photographs with a palette; returns a smaller copy with the caption as alternative text."""
    from IPython import display

    plots.save(fig, item, record, caption, COLOURS)
    with Image.open(paths.figures() / f"{item}.png") as saved:
        small = saved.convert("RGB").resize((WIDTH, round(WIDTH * saved.height / saved.width)), Image.Resampling.BOX)
    images.paletted(small, COLOURS, list(plots.BOXES.values())).save(content := io.BytesIO(), "PNG", optimize=True)
    return display.Image(data=content.getvalue(), alt=caption)


def rule(ax: Axes, table: pd.DataFrame, chosen: pd.DataFrame) -> Axes:
    """Gains of all queries, sorted, with the groups of :func:`patchlib.studies.examples.by_gain` and their queries."""
    plots.gains(ax, 100 * table["gain"])
    # bars run from the largest gain down, the groups from the smallest up
    edges = len(table) - np.concatenate([[0], np.cumsum(chosen["queries"])])
    for edge in edges[1:-1]:
        ax.axvline(edge - 0.5, color="#666666", linewidth=0.8, linestyle=":")
    places = len(table) - 1 - np.flatnonzero(table.sort_values("gain", kind="stable").index.isin(chosen.index))
    ax.plot(places, 100 * chosen["gain"], "D", color="black", markersize=5, label="shown")
    for place, (_, row) in zip(places, chosen.iterrows(), strict=True):
        ax.annotate(str(row["label"]).split()[0], (place, 100 * row["gain"]), (0, 6), textcoords="offset points",
                    ha="center", fontsize=7)  # fmt: skip
    return ax


def failures(ax: Axes, table: pd.DataFrame, chosen: pd.DataFrame) -> Axes:
    """AP against LocScore of every query by its case; the line of the poor IoU; the queries shown ringed."""
    if table["loc"].isna().all():
        ax.set_axis_off()
        ax.text(0.5, 0.5, "no boxes", transform=ax.transAxes, ha="center", color="#666666")
        return ax
    of = examples.cases(table)
    for case, (colour, marker) in MARKS.items():
        rows = table[of == case]
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


def limits(scores: ArrayLike) -> tuple[float, float]:
    """Least and largest score, for the colours of :func:`heat_maps`."""
    values = np.asarray(scores, float)
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
