"""Charts of other scores out of the same patches."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from patchlib import plots
from patchlib.studies import bootstrap

COLOURS = (plots.METHODS["Patchify"], plots.METHODS["global"])  # of the first and the second encoder


def gain_by_strength(ax: Axes, gains: Mapping[str, pd.DataFrame], symbol: str, resamples: int = 1000) -> Axes:
    """Gain over the paper's score against the strength of an idea, with 95 % bands over queries.

    Args:
        gains: encoder -> (strengths, Q) differences in points; two encoders at most.
        symbol: of the strength.
    """
    for (name, gain), colour in zip(gains.items(), COLOURS, strict=False):
        curve = bootstrap.intervals(dict(gain.iterrows()), resamples)
        plots.band(ax, range(len(curve)), curve, name, colour)
        ax.set_xticks(range(len(curve)), [f"{strength:g}" for strength in curve.index], fontsize=6, rotation=90)
    ax.axhline(0, color="#999999", linewidth=0.8)
    ax.set_xlabel(symbol, fontsize=6)
    return ax
