"""Where the similarity lies: the patches of an image coloured by their cosine to the query."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike
from PIL import Image

from patchlib import images, plots
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.features import FeatureSet
from patchlib.search import Ranking
from patchlib.studies import examples


def grid(ax: Axes, image: Image.Image, boxes: ArrayLike, scores: ArrayLike, limits: tuple[float, float]) -> Axes:
    """The regions of one grid coloured by their cosine, the number in each; ``limits`` of the colours."""
    plots.picture(ax, image.convert("L").convert("RGB"))
    colours, norm, scores = plt.get_cmap(plots.HEAT), Normalize(*limits), np.asarray(scores, float)
    size = next(size for most, size in ((4, 10), (9, 8), (np.inf, 5.5)) if len(scores) <= most)
    for (x0, y0, x1, y1), score in zip(np.asarray(boxes, float), scores, strict=True):
        colour = colours(norm(score))
        ax.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, facecolor=colour, alpha=0.62, edgecolor="white"))
        ax.text((x0 + x1) / 2, (y0 + y1) / 2, f"{score:.2f}", ha="center", va="center", fontsize=size, color="white",
                weight="bold" if score == scores.max() else "normal",
                path_effects=[withStroke(linewidth=1.5, foreground="black")])  # fmt: skip
    return ax


def patches(
    axes: Sequence[Axes],
    benchmark: Benchmark,
    image: int,
    scores: pd.DataFrame,
    limits: tuple[float, float] | None = None,
) -> Sequence[Axes]:
    """All patches of one image, one grid an axis; the winning one framed. Axes that are left over stay empty.

    Args:
        image: its index.
        scores: of :func:`patchlib.studies.examples.patch_scores`.
        limits: scores of the darkest and the brightest colour; None = the image's own.
    """
    limits = limits or (float(scores["score"].min()), float(scores["score"].max()))
    photo = images.read(benchmark.image_path(image))
    grids = list(scores.groupby("grid"))
    for ax in axes[len(grids) :]:
        ax.set_axis_off()
    for ax, (side, rows) in zip(axes, grids, strict=False):
        grid(ax, photo, rows[BOX], rows["score"], limits)
        ax.set_title(f"{side}×{side}: best {rows['score'].max():.2f}", fontsize=7, loc="center", pad=2)
        if scores["score"].idxmax() in rows.index:
            plots.box(ax, rows.loc[scores["score"].idxmax(), BOX].to_numpy(float), "winning")
    return axes


def page(benchmark: Benchmark, features: FeatureSet, ranking: Ranking, queries: Mapping[str, int]) -> Figure:
    """For each query the best-ranked positive and the best-ranked negative, on one scale of colours.

    ``queries``: what is said of a query -> its row number.
    """
    rows = [(name, query, examples.best_of_each_kind(ranking, benchmark, query)) for name, query in queries.items()]
    count = sum(len(kinds) for *_, kinds in rows)
    fig = Figure(figsize=(plots.PAGE, 1.55 * count), layout="constrained")
    axes = iter(fig.subplots(count, 5, squeeze=False))
    for name, query, kinds in rows:
        scores = {kind: examples.patch_scores(features, features.query_descriptors[query], image)
                  for kind, image in kinds.items()}  # fmt: skip
        both = pd.concat(scores)["score"]
        positives, boxes = benchmark.relevant(query)
        for (kind, image), row in zip(kinds.items(), axes, strict=False):
            patches(row[1:], benchmark, image, scores[kind], (float(both.min()), float(both.max())))
            for ax in row[1:]:
                plots.truth(ax, boxes[positives == image], 1.0)
            plots.query_picture(row[0], benchmark, query, name if kind == "positive" else "").title.set_fontsize(7)
            rank = int(np.flatnonzero(ranking.images[query] == image)[0]) + 1
            row[0].set_xlabel(f"{kind} image, rank {rank}", fontsize=7, color=plots.BOXES[kind])
    return fig
