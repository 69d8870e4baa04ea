"""Style sheet, figure saving, basic panels. A panel draws into the axes it is given; the notebook owns layout.

Panels of one family of figures are in :mod:`patchlib.charts`.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from patchlib import images
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.search import Ranking
from patchlib.support import paths, provenance

COLUMN, PAGE = 3.4, 7.0  # figure widths in inches: one column, the whole page
METHODS = {"global": "#D55E00", "Patchify": "#0072B2"}
LEVELS = {"L0": "#D55E00", "L1": "#56B4E9", "L2": "#0072B2", "L3": "#00365C"}
BOXES = {"winning": "#0072B2", "truth": "#F0E442", "positive": "#009E73", "negative": "#D55E00"}
HEAT = "cividis"
INTERVAL: dict[str, Any] = {"estimator": "median", "errorbar": ("pi", 100)}  # seaborn's keywords for :func:`spread`


def use_style() -> None:
    """Apply the companion's style sheet to matplotlib, for the running process."""
    plt.style.use(Path(__file__).parent / "patchlib.mplstyle")


def save(fig: Figure, item: str, record: Mapping[str, Any], caption: str, photographs: bool = False) -> Figure:
    """Write ``figures/<item>.pdf``, ``.png`` or ``.jpg``, and ``.json``; the figure itself says which data it shows.

    Args:
        item: name of the paper's item, e.g. ``"fig_1_teaser"``.
        record: its label is written into the lower right corner.
        caption: its first sentence is the message; kept in the record, also as alternative text.
        photographs: whether it shows many; as a jpg it then takes a fifth of the bytes.
    """
    fig.supxlabel(record["label"], x=0.995, ha="right", fontsize=7, color="#666666")
    # no time stamps: the same figure gives the same bytes
    contents = {"pdf": _bytes(fig, "pdf", {"CreationDate": None})}
    if photographs:
        contents["jpg"] = jpeg(fig)
    else:
        contents["png"] = _bytes(fig, "png", {"Software": None})
    provenance.write_item(paths.figures(), item, contents, {**record, "caption": caption})
    return fig


def jpeg(picture: Figure | Image.Image, quality: int = 85) -> bytes:
    """A picture of photographs as the bytes of a jpg, colours at full resolution."""
    how: dict[str, Any] = {"quality": quality, "subsampling": 0, "optimize": True}
    if isinstance(picture, Image.Image):
        picture.save(content := io.BytesIO(), "JPEG", **how)
    else:
        picture.savefig(content := io.BytesIO(), format="jpeg", pil_kwargs=how)
    return content.getvalue()


def _bytes(fig: Figure, suffix: str, metadata: dict[str, None]) -> bytes:
    fig.savefig(content := io.BytesIO(), format=suffix, metadata=metadata)
    return content.getvalue()


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
    one = np.asarray(xyxy, float)[None]
    grid_lines(ax, one, "black", width + 1.2)
    return grid_lines(ax, one, BOXES[kind], width)


def grid_lines(ax: Axes, boxes: ArrayLike, colour: str = "white", width: float = 0.8) -> Axes:
    """Outlines of many regions."""
    for x0, y0, x1, y1 in np.asarray(boxes, float):
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=width))
    return ax


def truth(ax: Axes, boxes: ArrayLike, width: float = 1.8) -> Axes:
    """Ground-truth boxes (B, 4), those that are known."""
    for xyxy in np.asarray(boxes, float):
        if not np.isnan(xyxy).any():
            box(ax, xyxy, "truth", width)
    return ax


def read_query(benchmark: Benchmark, query: int) -> Image.Image:
    """The image of a query, cut to its box where it has one."""
    return images.cropped(images.read(benchmark.query_path(query)), benchmark.query_box(query))


def query_picture(ax: Axes, benchmark: Benchmark, query: int, title: str = "query") -> Axes:
    """A query, cut to its box where it has one."""
    return picture(ax, read_query(benchmark, query), title)


def ranking_row(
    axes: Sequence[Axes], benchmark: Benchmark, features: FeatureSet, ranking: Ranking, query: int
) -> Sequence[Axes]:
    """First images of a ranking, one an axis: winning region, ground truth, frame green for a positive, else orange."""
    positives, boxes = benchmark.relevant(query)
    for ax, image, region in zip(axes, ranking.images[query], ranking.regions[query], strict=False):
        picture(ax, images.read(benchmark.image_path(image)))
        truth(ax, boxes[positives == image], 1.2)
        if region >= 0:
            box(ax, features.boxes[region], "winning")
        kind = "positive" if image in positives else "negative"
        ax.spines[:].set(visible=True, color=BOXES[kind], linewidth=3)
        ax.set_xlabel(kind, fontsize=7, labelpad=2, color=BOXES[kind])
    return axes


def contact_sheet(
    axes: NDArray[Any], benchmark: Benchmark, rows: Sequence[int], boxes: Mapping[int, ArrayLike] | None = None
) -> NDArray[Any]:
    """Database images, with ground-truth boxes where given (image index -> (B, 4))."""
    for ax, index in zip(axes.flat, rows, strict=False):
        truth(picture(ax, images.read(benchmark.image_path(index))), (boxes or {}).get(index, ()))
    return axes


def no_boxes(ax: Axes) -> Axes:
    """Empty axes that say why."""
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, "no boxes", transform=ax.transAxes, ha="center", color="#666666")
    return ax


def spread(table: pd.DataFrame, mean: str = "mean") -> pd.DataFrame:
    """A table with intervals for seaborn: three rows a point, ``low``, ``mean`` and ``high``, in the column ``value``.

    Drawn with :data:`INTERVAL`, a point is the mean (their median) and its interval spans all three.
    """
    bounds = ["low", mean, "high"]
    return table.melt([*table.columns.drop(bounds)], bounds)


def points(ax: Axes, x: ArrayLike, table: pd.DataFrame, column: str = "mean", **style: Any) -> None:
    """A column of a table over ``x``, each value with its interval, ``low`` to ``high``; NaN = none."""
    spread = np.abs(table[["low", "high"]].to_numpy().T - table[column].to_numpy())
    ax.errorbar(x, table[column], np.nan_to_num(spread), **{"fmt": "o-", **style})


def band(
    ax: Axes, x: ArrayLike, table: pd.DataFrame, label: str, colour: str, style: str = "-", marker: str = ""
) -> Axes:
    """A curve over numbers ``x`` with its interval; ``table`` has a row per x, see :func:`level_curve`."""
    ax.plot(x, table["mean"], style, marker=marker, color=colour, label=label)
    if "low" in table:
        ax.fill_between(np.asarray(x, float), table["low"], table["high"], color=colour, alpha=0.15, linewidth=0)
    return ax


def level_curve(
    ax: Axes, table: pd.DataFrame, label: str, colour: str, style: str = "-", annotate: bool = False
) -> Axes:
    """A metric in percent against the level, with its interval as a band; on demand with its values below the points.

    ``table``: indexed by level; columns ``mean`` and, for a band, ``low`` and ``high``.
    """
    x = np.arange(len(table))
    band(ax, x, table, label, colour, style, "o")
    ground = {"facecolor": "white", "alpha": 0.75, "pad": 0.6, "linewidth": 0}  # other curves may pass behind
    for position, value in zip(x, table["mean"] if annotate else [], strict=False):
        ax.annotate(f"{value:.1f}", (position, value), (0, -6), textcoords="offset points", ha="center", va="top",
                    fontsize=7, bbox=ground)  # fmt: skip
    ax.set_xticks(x, table.index)
    return ax
