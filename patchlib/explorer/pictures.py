"""The explorer's pictures: thumbnails with boxes, the patches of one image, all of it as one figure."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageOps

from patchlib import charts, images, plots
from patchlib.explorer.session import Answer
from patchlib.studies import examples

BORDER = 5  # pixels around a thumbnail


def thumbnail(
    image: Image.Image, boxes: Sequence[tuple[ArrayLike, str]] = (), frame: str | None = None, side: int = 140
) -> Image.Image:
    """A small picture, the whole of it on a white square, with boxes and, of a positive or a negative, a frame.

    Args:
        boxes: (xyxy in pixels of ``image``, key of :data:`patchlib.plots.BOXES`), the last one on top.
        frame: ``"positive"``, ``"negative"`` or None.
        side: of the square, in pixels.
    """
    inside = side - 2 * BORDER
    small = ImageOps.contain(image, (inside, inside), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(small)
    for xyxy, kind in boxes:
        scaled = np.rint(inside / max(image.size) * np.asarray(xyxy, float))
        corners = np.clip(scaled, 0, [small.width - 1, small.height - 1] * 2).tolist()
        draw.rectangle(corners, outline="black", width=4)
        draw.rectangle(corners, outline=plots.BOXES[kind], width=2)
    framed = ImageOps.expand(small, BORDER, plots.BOXES[frame] if frame else "white")
    return ImageOps.pad(framed, (side, side), color="white")


def result(answer: Answer, rank: int, between: str = " ") -> tuple[Image.Image, str]:
    """The image at a rank (from 0) with its boxes and frame, and what stands below it, e.g. ``"2 · 0.83 positive"``."""
    image, region = int(answer.ranking.images[0, rank]), int(answer.ranking.regions[0, rank])
    kind = answer.kind(image)
    caption = f"{rank + 1} · {answer.ranking.scores[0, rank]:.2f}" + (f"{between}{kind}" if kind else "")
    if region < 0:  # an image that could not be read
        return thumbnail(Image.new("RGB", (1, 1), "grey"), frame=kind), caption
    boxes = [*((xyxy, "truth") for xyxy in answer.truth(image)), (answer.features.boxes[region], "winning")]
    return thumbnail(images.read(answer.benchmark.image_path(image)), boxes, kind), caption


def overview(answer: Answer, image: int) -> Figure:
    """The explorer as a picture: the query, the first images, and the patches of ``image``, an index of one of them."""
    fig = Figure(figsize=(plots.PAGE, 3.3), layout="constrained")
    upper, lower = fig.subfigures(2, 1, height_ratios=(1, 1.7), squeeze=False)[:, 0]
    first, *others = upper.subplots(1, 1 + examples.SHOWN)
    plots.picture(first, thumbnail(answer.picture), "query")
    for rank, ax in enumerate(others):
        ax.set_axis_off()
        if rank < answer.ranking.images.shape[1]:
            small, caption = result(answer, rank, "\n")
            plots.picture(ax, small).set_axis_on()
            ax.set_xlabel(caption, fontsize=6)
    upper.suptitle(answer.summary(), fontsize=7, x=0.01, ha="left")
    draw_patches(lower, answer, image)
    return fig


def draw_patches(fig: Figure | SubFigure, answer: Answer, image: int, rows: int = 1) -> None:
    """The scores of all patches of one image, a grid each, in so many rows."""
    patches = answer.patches(image)
    grids = max(1, patches["grid"].nunique())
    axes = fig.subplots(min(rows, grids), -(-grids // rows), squeeze=False).ravel().tolist()
    charts.heat_maps.patches(axes[:grids], answer.benchmark, image, patches)
    for spare in axes[grids:]:
        spare.set_axis_off()
    name = answer.benchmark.images["image_id"].iloc[image]
    fig.suptitle(f"score of every patch of {name}; the winning one framed", fontsize=7)
