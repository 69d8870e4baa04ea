"""Charts of the compression studies; each draws into the axis it is given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from patchlib import storage

CODECS = {"PQ": "#0072B2", "OPQ+PQ": "#56B4E9", "PCA+PQ": "#009E73", "SQ8": "#E69F00", "SQ4": "#D55E00",
          "RaBitQ": "#CC79A7"}  # fmt: skip
PARTS = {"lists and codebooks": "#999999", "ids": "#E69F00", "codes": "#0072B2"}
PUBLISHED = {"INSTRE": "--", "ILIAS": ":"}


def changes(ax: Axes, ours: pd.DataFrame, published: pd.Series) -> Axes:
    """What compression changes at each level: ours with its interval, the published changes as lines.

    Args:
        ax: axes.
        ours: indexed by level; columns ``mean``, ``low``, ``high`` in points.
        published: of :func:`patchlib.paper.effect`, indexed by level and benchmark.
    """
    x = np.arange(len(ours))
    spread = np.abs(ours[["low", "high"]].to_numpy().T - ours["mean"].to_numpy())
    ax.errorbar(x, ours["mean"], spread, fmt="o-", color=CODECS["PQ"], label="ours")
    for name, style in PUBLISHED.items():
        values = published.xs(name, level="benchmark").reindex(ours.index)
        ax.plot(x, values, style, marker="s", ms=3.5, color="#666666", label=f"paper, {name}")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(x, ours.index)
    ax.set_ylabel("change of mAP by PQ (points)")
    return ax


def parts(ax: Axes, benchmark: str, m: int = 64, nlist: int = 4096, nbits: int = 8) -> Axes:
    """What the bytes of Table 7's indexes are: a stacked bar for every level, in 10^6 bytes."""
    levels = list(storage.PATCHES)
    vectors = np.array([storage.IMAGES[benchmark] * storage.PATCHES[level] for level in levels])
    total = np.array([storage.index_bytes(int(n), storage.DIM, m, nlist, nbits) for n in vectors])
    codes, ids = vectors * storage.code_bytes(m, nbits), vectors * 8
    bottom = np.zeros(len(levels))
    for name, size in zip(PARTS, (total - codes - ids, ids, codes), strict=True):
        drawn = ax.bar(levels, size / storage.MB, bottom=bottom, color=PARTS[name], label=name, width=0.65)
        bottom += size / storage.MB
    ax.bar_label(drawn, [f"{size / storage.MB:.1f}" for size in total], fontsize=7, padding=2)
    ax.set(title=benchmark, ylim=(0, 1.12 * bottom.max()))
    return ax


def probing(ax: Axes, table: pd.DataFrame, columns: Mapping[str, str], mark: str = "o") -> Axes:
    """Columns of a table against the number of lists probed (log axis); ``columns``: column -> name in the legend."""
    for column, name in columns.items():
        ax.plot(table.index, table[column], marker=mark, label=name)
    ax.set_xscale("log", base=2)
    ax.set_xticks(table.index, [str(n) for n in table.index])
    ax.minorticks_off()
    ax.set(xlabel="lists probed")
    return ax


def codecs(ax: Axes, table: pd.DataFrame, exact: float) -> Axes:
    """mAP of codes against their bytes per vector, with intervals.

    Args:
        ax: axes.
        table: indexed by (bytes, codec), codecs of :data:`CODECS`; columns ``mAP``, ``low``, ``high`` in percent.
        exact: mAP without compression, percent.
    """
    sizes = table.index.get_level_values(0).unique().sort_values()
    present = [name for name in CODECS if name in table.index.get_level_values(1)]
    for step, name in enumerate(present):
        rows = table.xs(name, level=1).sort_index()
        x = sizes.get_indexer(rows.index) + 0.09 * (step - (len(present) - 1) / 2)
        spread = np.abs(rows[["low", "high"]].to_numpy().T - rows["mAP"].to_numpy())
        ax.errorbar(x, rows["mAP"], spread, fmt="o-", lw=1.1, elinewidth=0.9, color=CODECS[name], label=name)
    ax.axhline(exact, color="black", linewidth=0.8, linestyle="--", label="exact (float32)")
    ax.set_xticks(np.arange(len(sizes)), sizes)
    ax.set(xlabel="bytes per vector", ylabel="mAP (%)", ylim=(0, None), xlim=(-0.5, len(sizes) - 0.5))
    return ax
