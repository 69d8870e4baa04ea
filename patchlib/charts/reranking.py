"""Charts of re-ranking: the grid as a heat map, gains by shortlist length, what they cost, what moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from patchlib import plots
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.reranking.fusion import Choice
from patchlib.search import Ranking

RERANKERS = {"AMES": "#0072B2", "Chamfer": "#E69F00"}


def grid_map(ax: Axes, cells: pd.DataFrame, choices: Sequence[Choice], limits: tuple[float, float]) -> AxesImage:
    """mAP (%) of every shortlist length and lambda, each at its best gamma; framed where the two halves chose.

    Args:
        ax: axes.
        cells: (cells, Q) AP of :func:`patchlib.reranking.fusion.grid_search`.
        choices: of :func:`patchlib.studies.reranking.cross_fitted`.
        limits: mAP of the darkest and the brightest colour, percent.

    Returns:
        The image, for a colour bar.
    """
    table = 100 * cells.mean(axis=1).groupby(["m", "lambda"]).max().unstack("m")
    drawn = ax.imshow(table, origin="lower", aspect="auto", cmap=plots.HEAT, vmin=limits[0], vmax=limits[1])
    for x, m in enumerate(table.columns):
        for y, value in enumerate(table[m]):
            bright = value > (limits[0] + 2 * limits[1]) / 3
            ax.text(x, y, f"{value:.1f}", ha="center", va="center", fontsize=6, color="black" if bright else "white")
    for choice in choices:
        x, y = list(table.columns).index(choice.m), int(np.abs(table.index - choice.lambda_).argmin())
        ax.add_patch(
            plots.Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=plots.BOXES["negative"], linewidth=1.8)
        )
    ax.set_xticks(range(len(table.columns)), table.columns)
    ax.set_yticks(range(len(table.index)), [f"{value:.1f}" for value in table.index], fontsize=7)
    ax.set(xlabel="shortlist m", ylabel="λ (weight of the first stage)")
    ax.grid(False)
    return drawn


def gain_curve(ax: Axes, table: pd.DataFrame, label: str, colour: str, style: str = "-") -> Axes:
    """Gain over the first stage against the shortlist length, with its interval; ``table`` is indexed by m."""
    plots.band(ax, table.index, table, label, colour, style)
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(xlabel="shortlist m", ylabel="gain (points of mAP)", xticks=table.index)
    return ax


def cost_points(ax: Axes, table: pd.DataFrame, x: str, label: str) -> Axes:
    """Accuracy against a cost (log axis): colour tells the re-ranker (grey: none), the marker the first stage.

    Args:
        ax: axes.
        table: of :func:`patchlib.studies.reranking.costs`.
        x: the column with the cost, > 0.
        label: of the axis.
    """
    markers = dict(zip(table["first stage"].unique(), "os^Dv", strict=False))
    for name, row in table.iterrows():
        colour = RERANKERS.get(row["re-ranker"], "#666666")
        ax.plot(row[x], row["mAP"], markers[row["first stage"]], color=colour, markersize=6, label=name)
    ax.set(xscale="log", xlabel=label, ylabel="mAP (%)")
    ax.margins(x=0.12, y=0.12)
    return ax


def examples(
    axes: np.ndarray,
    benchmark: Benchmark,
    rankings: Mapping[str, Ranking],
    rows: Mapping[str, int],
    gains: pd.Series,
) -> np.ndarray:
    """Two rows a query: the first images before and after, with the rank each image had before.

    Args:
        axes: (2 * queries, 1 + images) axes.
        benchmark: owner of the images.
        rankings: "before" and "after".
        rows: title -> row of the query.
        gains: (Q,) AP after minus AP before, in points.
    """
    before = rankings["before"]
    for number, (title, query) in enumerate(rows.items()):
        positives = benchmark.relevant(query)[0]
        for part, (name, ranking) in enumerate(rankings.items()):
            line = axes[2 * number + part]
            if part == 0:
                plots.query_picture(line[0], benchmark, query, f"{title}\n{gains.iloc[query]:+.1f} AP")
            else:
                line[0].set_axis_off()
            for ax, index in zip(line[1:], ranking.images[query], strict=False):
                plots.contact_sheet(np.array([ax]), benchmark, [index])
                was = int(np.flatnonzero(before.images[query] == index)[0]) + 1
                kind = "positive" if index in positives else "negative"
                ax.spines[:].set(visible=True, color=plots.BOXES[kind], linewidth=3)
                said = plots.SAID[kind]
                ax.set_xlabel(said if part == 0 else f"{said}, was {was}", fontsize=6.5, labelpad=2)
            line[1].set_ylabel(name, fontsize=8)
    return axes
