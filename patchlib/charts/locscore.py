"""Charts of LocScore: its parts, its curve over the threshold, the ceiling of the grid, equal AP in other places."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from patchlib import metrics, plots
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.charts.encoders import family_colours
from patchlib.features import FeatureSet
from patchlib.search import Ranking
from patchlib.studies import bootstrap


def parts(ax: Axes, ranks: ArrayLike, precision: ArrayLike, iou: ArrayLike) -> Axes:
    """What each positive brings to AP (the whole bar, P(k)) and to LocScore (its filled part, P(k) x IoU(k))."""
    x, precision, iou = np.arange(len(np.asarray(ranks))), np.asarray(precision, float), np.asarray(iou, float)
    ax.bar(x, precision, width=0.6, color="white", edgecolor=plots.METHODS["global"], label="P(k): its part of AP")
    ax.bar(x, precision * iou, width=0.6, color=plots.METHODS["Patchify"], label="P(k) × IoU(k): of LocScore")
    for values, colour in ((precision, "black"), (precision * iou, plots.METHODS["Patchify"])):
        for position, value in zip(x, values, strict=True):
            ax.annotate(f"{value:.2f}", (position, value), (0, 2), textcoords="offset points", ha="center",
                        fontsize=7, color=colour)  # fmt: skip
    ax.set_xticks(x, [f"rank {k}\nIoU {v:.2f}" for k, v in zip(np.asarray(ranks), iou, strict=True)], fontsize=7)
    ax.set(ylim=(0, 1.45), yticks=[0, 0.5, 1])
    ax.legend(loc="upper right", fontsize=7)
    return ax


def area(ax: Axes, relevant: ArrayLike, iou: ArrayLike, n_positives: int) -> Axes:
    """LocScore(d) of one ranking against d, the area below it, and the three thresholds of mLocScore.

    Arguments as of :func:`patchlib.metrics.loc_score`.
    """
    thresholds = np.linspace(0, 1, 401)
    curve = [metrics.loc_score(relevant, iou, n_positives, threshold=d) for d in thresholds]
    ax.plot(thresholds, curve, color=plots.METHODS["Patchify"])
    ax.fill_between(thresholds, curve, color=plots.METHODS["Patchify"], alpha=0.15)
    for d in metrics.THRESHOLDS:
        ax.plot(d, metrics.loc_score(relevant, iou, n_positives, threshold=d), "ko", ms=4)
    ax.annotate(f"shaded area = LocScore\n= {np.trapezoid(curve, thresholds):.3f}", (0.55, 0.5), fontsize=8)
    ax.set(xlabel="δ", ylabel="LocScore(δ)", ylim=(0, 0.8))
    return ax


def curves(ax: Axes, thresholds: ArrayLike, values: Mapping[str, NDArray[np.float64]], resamples: int) -> Axes:
    """LocScore(d) against d with its interval, a line a level.

    ``values``: level -> (Q, T) of :func:`patchlib.studies.loc_score_curve` at the thresholds (T,).
    """
    for level, curve in values.items():
        table = bootstrap.intervals(dict(zip(map(str, np.asarray(thresholds)), 100 * curve.T, strict=True)), resamples)
        plots.band(ax, thresholds, table, level, plots.LEVELS[level])
    ax.set(xlabel="δ", ylabel="LocScore(δ) (%)", xlim=(0, 1), ylim=(0, None))
    ax.legend()
    return ax


def reach(ax: Axes, reachable: Mapping[str, pd.DataFrame], thresholds: ArrayLike) -> Axes:
    """Share of the boxes that some region fits with IoU >= d, a line a level, at the thresholds (T,).

    ``reachable``: level -> :func:`patchlib.studies.attributes.reachable`, may be empty.
    """
    thresholds = np.asarray(thresholds, float)
    for level, boxes in reachable.items():
        fits = boxes["reachable"].to_numpy()[:, None] >= thresholds
        ax.plot(thresholds, 100 * fits.sum(axis=0) / max(len(fits), 1), color=plots.LEVELS[level], label=level)
    ax.set(xlabel="δ", ylabel="boxes that a patch fits (%)", xlim=(0, 1), ylim=(0, 100))
    return ax


def ceiling(ax: Axes, positives: pd.DataFrame) -> Axes:
    """IoU of the best region and of the winning one against the size of the box (log axis), a point a positive.

    ``positives``: columns ``area`` (share of the image), ``reachable`` and ``iou``; may be empty.
    """
    area = 100 * positives["area"]
    ax.set(xscale="log", xlim=(0.1, 100))
    ax.scatter(area, positives["reachable"], s=9, fc="none", ec="#999999", lw=0.7, label="best patch")
    ax.scatter(area, positives["iou"], s=4, color=plots.METHODS["Patchify"], alpha=0.4, label="winning patch")
    halving = 100 / 2.0 ** np.arange(10, -1, -1)
    _medians(ax, area, positives["reachable"], halving, "#555555")
    _medians(ax, area, positives["iou"], halving, plots.METHODS["Patchify"])
    ax.set(xlabel="box area (% of image)", ylabel="IoU with the box", ylim=(0, 1))
    ax.legend(loc="upper left")
    return ax


def all_and_chosen(ax: Axes, scores: pd.DataFrame, chosen: pd.DataFrame) -> Axes:
    """LocScore against AP of all queries, those that are chosen in colour; ``scores`` of ``metrics.evaluate``."""
    ax.scatter(100 * scores["ap"], 100 * scores["loc_score"], s=8, color="#999999")
    ax.plot([0, 100], [0, 100], color="black", lw=0.8)
    _medians(ax, 100 * scores["ap"], 100 * scores["loc_score"], np.linspace(0, 100, 6), "#555555")
    ax.plot(100 * chosen["ap"], 100 * chosen["loc_score"], "o", color=plots.METHODS["global"])
    ax.set(xlabel="AP (%)", ylabel="LocScore (%)", xlim=(0, 103), ylim=(0, 103))
    return ax


def _medians(ax: Axes, x: pd.Series, y: pd.Series, edges: NDArray[np.floating], colour: str) -> None:
    """A line through the medians of x and of y in every bin that holds five points or more."""
    points = pd.DataFrame({"x": x, "y": y, "bin": np.digitize(x, edges[1:-1])}).dropna().groupby("bin")
    middle = points[["x", "y"]].median()[points.size() >= 5]
    ax.plot(middle["x"], middle["y"], "-", color=colour, lw=1.6, label="_medians")


def query_rows(
    axes: np.ndarray, benchmark: Benchmark, features: FeatureSet, ranking: Ranking, chosen: pd.DataFrame
) -> np.ndarray:
    """A row for each chosen query: the query with its scores, then its first images; axes left over stay empty."""
    for row in axes[len(chosen) :].flat:
        row.set_axis_off()
    for row, facts in zip(axes, chosen.to_dict("records"), strict=False):
        query = benchmark.query_row(facts["query_id"])
        plots.query_picture(row[0], benchmark, query, f"AP {facts['ap']:.2f}, Loc {facts['loc_score']:.2f}")
        plots.ranking_row(row[1:], benchmark, features, ranking, query)
    return axes


def thresholds(
    axes: Sequence[Axes],
    benchmark: str,
    published: pd.DataFrame,
    ours: Mapping[str, pd.DataFrame],
    encoder: str,
    resamples: int,
) -> Sequence[Axes]:
    """LocScore(d) by level, an axis a threshold of mLocScore: thin lines the published encoders, black ours.

    Args:
        published: indexed by encoder, columns (level, metric); percent.
        ours: level -> table of ``metrics.evaluate`` in percent.
        encoder: of ours.
    """
    colours = family_colours([str(name) for name in published.index])
    for ax, d in zip(axes, metrics.THRESHOLDS, strict=True):
        theirs = published.xs(f"LocScore@{d}", axis=1, level="metric")[list(ours)]
        for name, values in theirs.iterrows():
            plots.level_curve(ax, values.to_frame("mean"), str(name), colours[str(name)]).lines[-1].set(lw=1, ms=3)
        table = bootstrap.intervals({level: scores[f"loc_score_{d}"] for level, scores in ours.items()}, resamples)
        plots.level_curve(ax, table, f"ours: {encoder}", "black")
        ax.set(title=f"paper: {benchmark}, δ = {d}", ylim=(0, None))
    axes[0].set_ylabel("LocScore(δ) (%)")
    return axes
