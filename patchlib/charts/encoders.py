"""Charts of encoders: levels one by one, and accuracy against the size of the pretraining set."""

from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from patchlib import encoders, plots

MAPS = {"CNN": "Oranges", "Transformer": "Blues"}  # baselines: grey
KINDS = {"global": plots.METHODS["global"], "local": plots.METHODS["Patchify"]}


def family_colours(names: Iterable[str]) -> dict[str, Any]:
    """A colour for every encoder: CNNs orange, transformers blue, baselines grey, darker from one to the next."""
    families = pd.Series({name: encoders.spec(name).family for name in names})
    colours: dict[str, Any] = {}
    for family, members in families.groupby(families, sort=False):
        shades = np.linspace(0.45, 0.95, len(members)) if len(members) > 1 else [0.7]
        colours |= dict(zip(members.index, plt.get_cmap(MAPS.get(family, "Greys"))(shades), strict=True))
    return colours


def level_curves(ax: Axes, table: pd.DataFrame, metric: str) -> Axes:
    """One metric (a column, percent) of every encoder against the level; ``table`` is indexed by encoder and level."""
    import seaborn as sns  # which loads scipy.stats: a page without it starts sooner

    encoder, level = table.index.names
    colours = family_colours(table.index.unique(encoder))
    sns.lineplot(table, x=level, y=metric, hue=encoder, hue_order=colours, palette=colours, marker="o", ax=ax)
    ax.legend().remove()
    ax.set(xlabel="", ylabel=f"{metric} (%)", ylim=(0, None))
    return ax


def legend_below(ax: Axes) -> Axes:
    """The names of the curves of :func:`level_curves` under the axes."""
    handles, names = ax.get_legend_handles_labels()
    ax.legend(handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.1), fontsize=6.5, ncols=3)
    return ax


def pretraining(ax: Axes, table: pd.DataFrame) -> Axes:
    """mAP with its interval against the pretraining size: global and local, a line for each architecture, named.

    ``table``: of :func:`patchlib.studies.pretraining_table`; may be empty.
    """
    for number, ((kind, _), rows) in enumerate(table.groupby(["type", "model"], sort=False)):
        label = kind if number < len(KINDS) else None
        plots.points(ax, rows["size"], rows, "mAP", markersize=4, color=KINDS[kind], label=label)
        if kind == "local":
            end = (rows["size"].iloc[-1], rows["mAP"].iloc[-1])
            aside = (5, -8 if len(ax.texts) % 2 else 3)  # names of neighbours stand apart
            ax.annotate(rows.index[-1], end, xytext=aside, textcoords="offset points", fontsize=6)
    ax.set(xscale="log", xlabel="pretraining size (log)", ylabel="mAP (%)", ylim=(0, None))
    ax.margins(x=0.35)
    return ax


def published_pretraining(ax: Axes, table: pd.DataFrame) -> Axes:
    """The paper's mAP on ILIAS (Table 4) against the pretraining size: every model a point, lines through the means."""
    import seaborn as sns  # which loads scipy.stats: a page without it starts sooner

    shared = {"x": "size", "y": "mAP_ILIAS", "hue": "type", "palette": KINDS, "legend": False, "ax": ax}
    sns.scatterplot(table, **shared)
    sns.lineplot(table, **shared, errorbar=None, linewidth=0.8)
    ax.set(xscale="log", xlabel="pretraining images (log)", ylabel="", ylim=(0, None))
    return ax
