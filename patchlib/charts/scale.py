"""Charts against the size of the database; each point shows how it was found."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from patchlib.plots import LEVELS

KINDS = {"measured": "o", "simulated": "s", "extrapolated": "x", "computed": ""}
STYLES: dict[str, Any] = {"exact": "-", "PQ": "--"}
QUANTITIES = {
    "mAP": "mAP@1k (%)",
    "GB": "GB (D = 1024, m = 64)",  # the paper's index
    "ms": "ms per query",
    "hours": "hours to encode",
}
BUDGET = 100.0  # ms of a query that still feels immediate


def panels(axes: NDArray[Any], points: pd.DataFrame) -> NDArray[Any]:
    """The four :data:`QUANTITIES` against the number of images, see :func:`curves`; (2, 2) axes."""
    for ax, (value, label) in zip(axes.flat, QUANTITIES.items(), strict=True):
        curves(ax, points, value).set(ylabel=label, yscale="linear" if value == "mAP" else "log")
        if value == "ms":
            _budget(ax, BUDGET, f"{BUDGET:.0f} ms")
    return axes


def curves(ax: Axes, points: pd.DataFrame, value: str) -> Axes:
    """A quantity against the number of images (log axis): a line per level, method and source.

    Args:
        ax: axes.
        points: columns ``images``, ``level`` (a key of ``plots.LEVELS``), ``method`` (of :data:`STYLES`), ``source``,
            ``kind`` (of :data:`KINDS`, its marker) and ``value``; rows without a value are left out.
        value: name of the column.
    """
    for (level, method, _), rows in points.dropna(subset=[value]).groupby(["level", "method", "source"]):
        rows = rows.sort_values("images")
        ax.plot(rows["images"], rows[value], STYLES[method], color=LEVELS[level], linewidth=1.2)
        for kind, some in rows.groupby("kind"):
            face = LEVELS[level] if kind == "measured" else "white"
            ax.plot(some["images"], some[value], ls="", marker=KINDS[kind], color=LEVELS[level], mfc=face, ms=4.5)
    ax.set(xscale="log", xlabel="images (log)")
    return ax


def legend(levels: Iterable[str], kinds: Sequence[str] = tuple(KINDS)[:3]) -> list[Line2D]:
    """Handles that explain :func:`curves`: colours, lines, markers."""
    handles = [Line2D([], [], color=LEVELS[level], label=level) for level in levels]
    handles += [Line2D([], [], color="black", ls=style, label=method) for method, style in STYLES.items()]
    for kind in kinds:
        face = "black" if kind == "measured" else "white"
        handles.append(Line2D([], [], color="black", ls="", marker=KINDS[kind], markerfacecolor=face, label=kind))
    return handles


def agreement(ax: Axes, table: pd.DataFrame) -> Axes:
    """mAP among real negatives (solid) and among simulated ones (dotted), a colour per level.

    Args:
        ax: axes.
        table: columns ``negatives`` (images), ``level``, ``measured``, ``simulated`` (percent).
    """
    for level, rows in table.groupby("level"):
        style: dict[str, Any] = {"color": LEVELS[level], "markersize": 4}
        ax.plot(rows["negatives"], rows["measured"], "-", marker="o", label=level, **style)
        ax.plot(rows["negatives"], rows["simulated"], ":", marker="s", markerfacecolor="white", **style)
    images = table["negatives"].unique()
    ax.set(xlabel="wrong images", xscale="log", xticks=images, ylabel="mAP@1k (%)")
    ax.set_xticklabels([f"{count:,}" for count in images])
    ax.minorticks_off()
    return ax


def _budget(ax: Axes, value: float, label: str) -> Axes:
    """A horizontal line that something should stay below."""
    ax.axhline(value, color="#666666", linewidth=0.8, linestyle=":")
    ax.annotate(label, (0.02, value), (0, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                fontsize=7, color="#666666")  # fmt: skip
    return ax
