"""Charts of the compression studies; each draws into the axis it is given."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from patchlib import images, plots
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.paper import table_7
from patchlib.pq import file_size
from patchlib.search import Ranking

CODECS = {"PQ": "#0072B2", "OPQ+PQ": "#56B4E9", "PCA+PQ": "#009E73", "SQ8": "#E69F00", "SQ4": "#D55E00",
          "RaBitQ": "#CC79A7"}  # fmt: skip
PARTS = {"lists and codebooks": "#999999", "ids": "#E69F00", "codes": "#0072B2"}
PUBLISHED = {"INSTRE": "--", "ILIAS": ":"}
SETS = {**plots.LEVELS, "G.T.": "#009E73", "G.T., new scenes": "#E69F00", "G.T., other instances": "#CC79A7"}
TICKS = (200, 500, 1000, 2000, 5000, 10_000)  # numbers of training vectors
GROUPS = {"on an instance": "#009E73", "winning": "#0072B2", "background": "#999999"}
KINDS = {"exact": "#000000", "PQ": CODECS["PQ"]}


def levels(ax: Axes, tables: Mapping[str, pd.DataFrame]) -> Axes:
    """mAP against the level, exact and compressed.

    ``tables``: of :func:`patchlib.studies.compression.level_intervals`.
    """
    for kind, table in tables.items():
        plots.level_curve(ax, table, kind, KINDS[kind])
    ax.set_ylabel("mAP (%)")
    ax.legend()
    return ax


def changes(ax: Axes, ours: pd.DataFrame, published: pd.Series) -> Axes:
    """What compression changes at each level, in points: ours with its interval, the published changes as lines.

    ``published``: of :func:`patchlib.paper.effect`, indexed by level and benchmark.
    """
    x = np.arange(len(ours))
    plots.points(ax, x, ours, color=CODECS["PQ"], label="ours")
    for name, style in PUBLISHED.items():
        values = published.xs(name, level="benchmark").reindex(ours.index)
        ax.plot(x, values, style, marker="s", ms=3.5, color="#666666", label=f"paper, {name}")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(x, ours.index)
    ax.set_ylabel("change of mAP by PQ (points)")
    ax.legend(fontsize=7)
    return ax


def parts(ax: Axes, benchmark: str, m: int = 64, nlist: int = 4096, nbits: int = 8) -> Axes:
    """What the bytes of Table 7's indexes are: a stacked bar for every level, in 10^6 bytes."""
    levels = list(table_7.PATCHES)
    vectors = np.array([table_7.IMAGES[benchmark] * table_7.PATCHES[level] for level in levels])
    total = np.array([file_size.index_bytes(int(n), table_7.DIM, m, nlist, nbits) for n in vectors])
    codes, ids = vectors * file_size.code_bytes(m, nbits), vectors * 8
    bottom = np.zeros(len(levels))
    for name, size in zip(PARTS, (total - codes - ids, ids, codes), strict=True):
        drawn = ax.bar(levels, size / table_7.MB, bottom=bottom, color=PARTS[name], label=name, width=0.65)
        bottom += size / table_7.MB
    ax.bar_label(drawn, [f"{size / table_7.MB:.1f}" for size in total], fontsize=7, padding=2)
    ax.set(title=benchmark, ylim=(0, 1.12 * bottom.max()), ylabel="MB ($10^6$ bytes)")
    return ax


def codecs(ax: Axes, table: pd.DataFrame, column: str, exact: float) -> Axes:
    """What codes find against their bytes per vector (log axis); mAP with its interval.

    Args:
        table: of :func:`patchlib.studies.codecs.table`, codecs of :data:`CODECS`.
        column: ``"mAP"`` or ``"recall"``.
        exact: the same without compression, percent.
    """
    spread = table if column == "mAP" else table.assign(low=table[column], high=table[column])
    for name in (name for name in CODECS if name in table.index.get_level_values(1)):
        rows = spread.xs(name, level=1).sort_index()
        plots.points(ax, rows.index, rows, column, lw=1.1, ms=3.5, elinewidth=0.9, color=CODECS[name], label=name)
    ax.axhline(exact, color="black", linewidth=0.8, linestyle="--", label="exact (float32)")
    sizes = table.index.get_level_values(0).unique()
    ax.set(xscale="log", xlabel="bytes per vector (log)", ylabel=f"{column} (%)", ylim=(0, None))
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    return ax


def speed(ax: Axes, table: pd.DataFrame) -> Axes:
    """Recall against queries per second (log axis), a curve over the lists probed for each codec.

    ``table``: of :func:`patchlib.studies.codecs.speed`.
    """
    for (size, name), rows in table.groupby(level=["bytes", "codec"], sort=False):
        style: dict[str, Any] = {"color": CODECS[name], "label": f"{name}, {size} bytes"}
        ax.plot(rows["per_second"], rows["recall"], "o-", ms=3.5, lw=1.1, **style)
    ax.set(xscale="log", xlabel="queries per second (log)", ylabel="recall (%)", ylim=(0, 102))
    ax.legend(fontsize=6.5)
    return ax


def spectrum(ax: Axes, spectra: Mapping[str, ArrayLike]) -> Axes:
    """Share of the energy in the first principal directions (log axis), a curve an encoder."""
    for name, share in spectra.items():
        values = np.asarray(share)
        ax.plot(np.arange(1, len(values) + 1), values, label=name)
    ax.set(xscale="log", xlabel="principal directions (log)", ylabel="energy held (%)", ylim=(0, 102))
    ax.legend(fontsize=7)
    return ax


def training_curves(ax: Axes, table: pd.DataFrame, m: int) -> Axes:
    """mAP against the number of training vectors (log axis), a curve for each training set, intervals over seeds.

    ``table``: of :func:`patchlib.studies.pq_training.by_seed`, sets of :data:`SETS`.
    """
    rows = table.xs(m, level="m")
    for step, (name, colour) in enumerate(SETS.items()):
        if name in rows.index.get_level_values("training_feature"):
            curve = rows.xs(name, level="training_feature").sort_index()
            x = curve.index.to_numpy(float) * 1.02 ** (step - len(SETS) / 2)
            plots.points(ax, x, curve, "mAP", ms=3.5, lw=1.1, elinewidth=0.9, color=colour, label=name)
    ax.set(xscale="log", xlabel="training vectors (log)", ylabel="mAP (%)", title=f"{m} codes of 8 bits")
    counts = rows.index.get_level_values("vectors")
    ticks = [n for n in TICKS if counts.min() / 1.5 <= n <= 1.5 * counts.max()]
    ax.set_xticks(ticks, [f"{n:,}" for n in ticks])
    ax.minorticks_off()
    return ax


def error_bars(ax: Axes, table: pd.DataFrame, column: str) -> Axes:
    """What codebooks lose, a group of bars for each training set.

    ``table``: indexed by (training set, group), groups of :data:`GROUPS`; may be empty.
    """
    if table.empty:
        return plots.no_boxes(ax)
    names = table.index.get_level_values(0).unique()
    for step, (group, colour) in enumerate(GROUPS.items()):
        values = table[column].xs(group, level=1).reindex(names)
        ax.bar(np.arange(len(names)) + 0.27 * (step - 1), values, width=0.25, color=colour, label=group)
    ax.set_xticks(np.arange(len(names)), list(map(_broken, names)), fontsize=7)
    return ax


def region_sheet(axes: Sequence[Axes], benchmark: Benchmark, features: FeatureSet, title: str, seed: int = 0) -> None:
    """Regions drawn at random and cut out of their images, one an axis, with a name at the left."""
    owners = features.image_of()
    rows = np.random.default_rng(seed).choice(len(features.boxes), len(axes), replace=False)
    for ax, row in zip(axes, rows, strict=True):
        cut = tuple(np.rint(features.boxes[row]).astype(int).tolist())
        plots.picture(ax, images.read(benchmark.image_path(int(owners[row]))).crop(cut).resize((96, 96)))
    axes[0].set_ylabel(_broken(title), rotation=0, ha="right", va="center", fontsize=7)


def retrieved(
    axes: Sequence[Axes], benchmark: Benchmark, features: FeatureSet, ranking: Ranking, query: int, title: str
) -> None:
    """A query and the first images of its ranking, with the codebook's name at the left."""
    plots.query_picture(axes[0], benchmark, query, "")
    axes[0].set_ylabel(_broken(title), fontsize=7)
    plots.ranking_row(axes[1:], benchmark, features, ranking, query)


def _broken(name: str) -> str:
    return name.replace(", ", ",\n")
