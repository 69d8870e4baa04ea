"""Style sheet, figure saving, panel functions. A panel draws into the axes it is given; the notebook owns layout."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from patchlib import images
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.support import paths, provenance

if TYPE_CHECKING:
    from patchlib.features import FeatureSet
    from patchlib.search import Ranking

COLUMN, PAGE = 3.4, 7.0  # figure widths in inches: one column, the whole page
METHODS = {"global": "#D55E00", "Patchify": "#0072B2"}
LEVELS = {"L0": "#D55E00", "L1": "#56B4E9", "L2": "#0072B2", "L3": "#00365C"}
BOXES = {"winning": "#0072B2", "truth": "#F0E442", "right": "#009E73", "wrong": "#D55E00"}
HEAT = "cividis"


def use_style() -> None:
    """Apply the companion's style sheet to matplotlib, for the running process."""
    plt.style.use(Path(__file__).parent / "patchlib.mplstyle")


def save(fig: Figure, item: str, record: Mapping[str, Any], caption: str, colours: int | None = None) -> Figure:
    """Write ``figures/<item>.pdf``, ``.png`` and ``.json``; the figure itself says which data it shows.

    Args:
        fig: the figure.
        item: name of the paper's item, e.g. ``"fig_1_teaser"``.
        record: of ``Profile.record``; its label is written into the lower right corner.
        caption: its first sentence is the message; kept in the record, also as alternative text.
        colours: of a palette for the png; None = all. Many photographs then take a quarter of the bytes.
    """
    fig.supxlabel(record["label"], x=0.995, ha="right", fontsize=7, color="#666666")
    # no time stamps: the same figure gives the same bytes
    for suffix, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
        with provenance.atomic_write(paths.figures() / f"{item}.{suffix}") as file:
            if suffix == "png" and colours is not None:
                paletted(fig, colours).save(file, "PNG", optimize=True)
            else:
                fig.savefig(file, format=suffix, metadata=metadata)
    provenance.write_json(paths.figures() / f"{item}.json", {"item": item, **record, "caption": caption})
    return fig


def paletted(fig: Figure, colours: int) -> Image.Image:
    """A figure as pixels with a palette of at most 256 colours, those of :data:`BOXES` among them, however rare."""
    fig.savefig(pixels := io.BytesIO(), format="png")
    return images.paletted(Image.open(pixels), colours, list(BOXES.values()))


def picture(ax: Axes, image: Image.Image, title: str = "") -> Axes:
    """An image without ticks."""
    ax.imshow(image)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=8, loc="center")
    return ax


def box(ax: Axes, xyxy: ArrayLike, kind: str = "winning", width: float = 1.8) -> Axes:
    """One box, with a thin dark edge so that it shows on any picture. ``kind`` is a key of :data:`BOXES`."""
    x0, y0, x1, y1 = np.asarray(xyxy, float)
    for colour, line in (("black", width + 1.2), (BOXES[kind], width)):
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=line))
    return ax


def grid_lines(ax: Axes, boxes: ArrayLike, colour: str = "white") -> Axes:
    """Outlines of many regions."""
    for x0, y0, x1, y1 in np.asarray(boxes, float):
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=0.8))
    return ax


def similarity_map(
    ax: Axes, image: Image.Image, boxes: ArrayLike, scores: ArrayLike, limits: tuple[float, float]
) -> Axes:
    """The regions of one grid coloured by their cosine to the query, the number in each.

    Args:
        ax: axes.
        image: the database image.
        boxes: (P, 4) regions that do not overlap.
        scores: (P,) cosines.
        limits: cosines of the darkest and the brightest colour.
    """
    picture(ax, image.convert("L").convert("RGB"))
    colours, norm = plt.get_cmap(HEAT), Normalize(*limits)
    scores = np.asarray(scores, float)
    for (x0, y0, x1, y1), score in zip(np.asarray(boxes, float), scores, strict=True):
        ax.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, facecolor=colours(norm(score)), alpha=0.62, edgecolor="white")
        )
        size = 10 if len(scores) <= 4 else 8 if len(scores) <= 9 else 6.5
        ax.text((x0 + x1) / 2, (y0 + y1) / 2, f"{score:.2f}", ha="center", va="center", fontsize=size, color="white",
                weight="bold" if score == scores.max() else "normal",
                path_effects=[withStroke(linewidth=1.5, foreground="black")])  # fmt: skip
    return ax


def query_picture(ax: Axes, benchmark: Benchmark, query: int, title: str = "query") -> Axes:
    """A query, cut to its box where it has one."""
    image = images.read(benchmark.query_path(query))
    region = benchmark.query_box(query)
    return picture(ax, image if region is None else image.crop(tuple(np.rint(region).astype(int))), title)


def ranking_row(
    axes: Sequence[Axes], benchmark: Benchmark, features: FeatureSet, ranking: Ranking, query: int
) -> Sequence[Axes]:
    """First images of a ranking, one an axis: winning region, ground truth, frame green (right) or orange (wrong)."""
    positives, truth = benchmark.relevant(query)
    for ax, index, region in zip(axes, ranking.images[query], ranking.regions[query], strict=False):
        picture(ax, images.read(benchmark.image_path(index)))
        right = index in positives
        for xyxy in truth[positives == index]:
            if not np.isnan(xyxy).any():
                box(ax, xyxy, "truth", 1.2)
        if region >= 0:
            box(ax, features.boxes[region], "winning")
        ax.spines[:].set_visible(True)
        ax.spines[:].set(color=BOXES["right" if right else "wrong"], linewidth=3)
        ax.set_xlabel("right" if right else "wrong", fontsize=7, labelpad=2, color=BOXES["right" if right else "wrong"])
    return axes


def level_curve(
    ax: Axes, table: pd.DataFrame, label: str, colour: str, style: str = "-", annotate: bool = False
) -> Axes:
    """A metric against the level, with its interval as a band.

    Args:
        ax: axes.
        table: indexed by level; columns ``mean`` and, for a band, ``low`` and ``high``; percent.
        label: in the legend.
        colour: of the line.
        style: of the line, e.g. ``"--"`` for published numbers.
        annotate: write the values beside the points.
    """
    x = np.arange(len(table))
    ax.plot(x, table["mean"], style, marker="o", color=colour, label=label)
    if "low" in table:
        ax.fill_between(x, table["low"], table["high"], color=colour, alpha=0.15, linewidth=0)
    if annotate:
        ground = {"facecolor": "white", "alpha": 0.75, "pad": 0.6, "linewidth": 0}  # other curves may pass behind
        for place, value in zip(x, table["mean"], strict=True):
            text = ax.annotate(f"{value:.1f}", (place, value), (0, -6), textcoords="offset points", ha="center")
            text.set(fontsize=7, va="top", bbox=ground)
    ax.set_xticks(x, table.index)
    return ax


def gains(ax: Axes, differences: ArrayLike) -> Axes:
    """Per-query gains in percentage points, sorted: what improves and what it costs."""
    values = np.sort(np.asarray(differences, float))[::-1]
    colours = np.where(values >= 0, METHODS["Patchify"], METHODS["global"])
    ax.bar(np.arange(len(values)), values, width=1.0, color=colours, linewidth=0)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlabel="queries, sorted by gain", ylabel="AP gain (points)", xlim=(-0.5, len(values) - 0.5))
    return ax


def contact_sheet(
    axes: NDArray[Any],
    benchmark: Benchmark,
    rows: Sequence[int],
    truth: Mapping[int, NDArray[np.float32]] | None = None,
) -> NDArray[Any]:
    """Database images, with boxes where given (image index -> (B, 4))."""
    for ax, index in zip(axes.flat, rows, strict=False):
        picture(ax, images.read(benchmark.image_path(index)))
        for xyxy in (truth or {}).get(index, ()):
            if not np.isnan(xyxy).any():
                box(ax, xyxy, "truth")
    return axes


def band(ax: Axes, x: ArrayLike, table: pd.DataFrame, label: str, colour: str, style: str = "-") -> Axes:
    """A curve over numbers ``x`` with its interval; ``table`` as in :func:`level_curve`, one row per x."""
    ax.plot(x, table["mean"], style, color=colour, label=label)
    ax.fill_between(np.asarray(x, float), table["low"], table["high"], color=colour, alpha=0.15, linewidth=0)
    return ax


def score_parts(ax: Axes, ranks: ArrayLike, precision: ArrayLike, iou: ArrayLike) -> Axes:
    """What each positive brings to AP (the whole bar, P(k)) and to LocScore (its filled part, P(k) x IoU(k))."""
    x, precision, iou = np.arange(len(np.asarray(ranks))), np.asarray(precision, float), np.asarray(iou, float)
    ax.bar(x, precision, width=0.6, color="white", edgecolor=METHODS["global"], label="P(k): its part of AP")
    ax.bar(x, precision * iou, width=0.6, color=METHODS["Patchify"], label="P(k) × IoU(k): of LocScore")
    for place, p, overlap in zip(x, precision, iou, strict=True):
        ax.annotate(f"{p:.2f}", (place, p), (0, 2), textcoords="offset points", ha="center", fontsize=7)
        ax.annotate(f"{p * overlap:.2f}", (place, p * overlap), (0, 2), textcoords="offset points", ha="center",
                    fontsize=7, color=METHODS["Patchify"])  # fmt: skip
    ax.set_xticks(x, [f"rank {k}\nIoU {v:.2f}" for k, v in zip(np.asarray(ranks), iou, strict=True)], fontsize=7)
    ax.set(ylim=(0, 1.45), yticks=[0, 0.5, 1])
    return ax
