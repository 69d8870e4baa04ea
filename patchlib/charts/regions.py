"""Charts of region strategies: what each looks at in one image, and accuracy against cost."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from patchlib import plots
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.search import Ranking

COLOURS = (*plots.LEVELS.values(), "#E69F00", "#CC79A7", "#009E73", "#000000")  # of the strategies, in order


def cost_points(ax: Axes, regions: ArrayLike, table: pd.DataFrame) -> Axes:
    """Accuracy (%) against regions per image (log axis), a point with its interval for every strategy of the table."""
    for x, colour, name in zip(np.asarray(regions, float), COLOURS, table.index, strict=False):
        plots.points(ax, [x], table.loc[[name]], fmt="o", color=colour, label=name)
    ax.set(xscale="log", xlabel="regions per image (log)")
    return ax


def regions_of_image(
    ax: Axes, benchmark: Benchmark, features: FeatureSet, ranking: Ranking, query: int, index: int
) -> Axes:
    """All regions of one image, the winning one for a query, the ground truth; below, how many and which rank."""
    owned = features.boxes[features.rows(index)]
    images, boxes = benchmark.relevant(query)
    plots.contact_sheet(np.array([ax]), benchmark, [index], {index: boxes[images == index]})
    plots.grid_lines(ax, owned)
    ranks = np.flatnonzero(ranking.images[query] == index)  # none in a ranking that is cut before the image
    for region in ranking.regions[query, ranks]:
        if region >= 0:
            plots.box(ax, features.boxes[region], "winning")
    rank = ranks[0] + 1 if len(ranks) else f"beyond {ranking.images.shape[1]}"
    ax.set_xlabel(f"regions: {len(owned)}, rank: {rank}", fontsize=7)
    return ax
