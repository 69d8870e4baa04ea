"""The explorer's pictures: thumbnails with boxes, the patches of one image, all of it as one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from patchlib import charts, images, plots
from patchlib.studies import examples

if TYPE_CHECKING:
    from patchlib.explorer.session import Answer

BORDER = 5  # pixels around a thumbnail


def thumbnail(
    image: Image.Image, boxes: Sequence[tuple[ArrayLike, str]] = (), frame: str | None = None, side: int = 140
) -> Image.Image:
    """A small picture with boxes and, where it is right or wrong, a frame.

    Args:
        image: any size; the whole of it is shown, on a white square.
        boxes: (xyxy in pixels of ``image``, key of :data:`patchlib.plots.BOXES`), the last one on top.
        frame: ``"right"``, ``"wrong"`` or None.
        side: of the square, in pixels.
    """
    scale = (side - 2 * BORDER) / max(image.size)
    width, height = (max(1, round(scale * length)) for length in image.size)
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(small)
    for xyxy, kind in boxes:
        corners = np.clip(np.rint(scale * np.asarray(xyxy, float)), 0, [width - 1, height - 1] * 2).tolist()
        draw.rectangle(corners, outline="black", width=4)
        draw.rectangle(corners, outline=plots.BOXES[kind], width=2)
    square = Image.new("RGB", (side, side), "white")
    x, y = (side - width) // 2, (side - height) // 2
    if frame is not None:
        square.paste(plots.BOXES[frame], (x - BORDER, y - BORDER, x + width + BORDER, y + height + BORDER))
    square.paste(small, (x, y))
    return square


def result(answer: Answer, rank: int, between: str = " ") -> tuple[Image.Image, str]:
    """The image at a rank (from 0) with its boxes and frame, and what stands below it, e.g. ``"2 · 0.83 right"``."""
    image, region = int(answer.ranking.images[0, rank]), int(answer.ranking.regions[0, rank])
    kind = answer.kind(image)
    caption = f"{rank + 1} · {answer.ranking.scores[0, rank]:.2f}" + (f"{between}{kind}" if kind else "")
    boxes: list[tuple[ArrayLike, str]] = [(xyxy, "truth") for xyxy in answer.truth(image)]
    if region < 0:  # an image that could not be read
        return thumbnail(Image.new("RGB", (1, 1), "grey"), frame=kind), caption
    photo = images.read(answer.benchmark.image_path(image))
    return thumbnail(photo, [*boxes, (answer.features.boxes[region], "winning")], kind), caption


def overview(answer: Answer, image: int) -> Figure:
    """The explorer as a picture: the query, the first images, and the patches of ``image``, an index of one of them."""
    fig = Figure(figsize=(plots.PAGE, 3.3), layout="constrained")
    upper, lower = fig.subfigures(2, 1, height_ratios=(1, 1.7), squeeze=False)[:, 0]
    axes = upper.subplots(1, 1 + examples.SHOWN)
    plots.picture(axes[0], thumbnail(answer.picture), "query")
    for ax in axes[1 + answer.ranking.images.shape[1] :]:
        ax.set_axis_off()
    for rank, ax in enumerate(axes[1 : 1 + answer.ranking.images.shape[1]]):
        small, caption = result(answer, rank, "\n")
        plots.picture(ax, small).set_xlabel(caption, fontsize=6)
    upper.suptitle(answer.summary(), fontsize=7, x=0.01, ha="left")
    draw_patches(lower, answer, image)
    return fig


def draw_patches(fig: Figure | SubFigure, answer: Answer, image: int) -> None:
    """The scores of all patches of one image, a grid each."""
    patches = answer.patches(image)
    axes = fig.subplots(1, max(1, patches["grid"].nunique()), squeeze=False)[0]
    charts.heat_maps.patches(axes, answer.benchmark, image, patches)
    name = answer.benchmark.images["image_id"].iloc[image]
    fig.suptitle(f"score of every patch of {name}; the winning one framed", fontsize=7)
