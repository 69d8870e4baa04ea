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
    border = 5
    scale = (side - 2 * border) / max(image.size)
    size = (max(1, round(scale * image.width)), max(1, round(scale * image.height)))
    small = image.resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(small)
    for xyxy, kind in boxes:
        corners = np.rint(scale * np.asarray(xyxy, float)).astype(int)
        corners = np.clip(corners, 0, [size[0] - 1, size[1] - 1] * 2).tolist()
        for colour, width in (("black", 4), (plots.BOXES[kind], 2)):
            draw.rectangle(corners, outline=colour, width=width)
    square = Image.new("RGB", (side, side), "white")
    x, y = (side - size[0]) // 2, (side - size[1]) // 2
    if frame is not None:
        square.paste(plots.BOXES[frame], (x - border, y - border, x + size[0] + border, y + size[1] + border))
    square.paste(small, (x, y))
    return square


def overview(answer: Answer, image: int) -> Figure:
    """The explorer as a picture: the query, the first images, and the patches of one of them.

    Args:
        answer: of a :class:`patchlib.explorer.session.Workbench`.
        image: index of the image whose patches are shown.
    """
    fig = Figure(figsize=(plots.PAGE, 3.3), layout="constrained")
    upper, lower = fig.subfigures(2, 1, height_ratios=(1, 1.7), squeeze=False)[:, 0]
    axes = upper.subplots(1, 1 + examples.SHOWN)
    plots.picture(axes[0], thumbnail(answer.picture), "query")
    for ax in axes[1 + answer.ranking.images.shape[1] :]:
        ax.set_axis_off()
    for place, ax in enumerate(axes[1 : 1 + answer.ranking.images.shape[1]]):
        plots.picture(ax, result(answer, place)).set_xlabel(caption_of(answer, place, "\n"), fontsize=6)
    upper.suptitle(answer.summary(), fontsize=7, x=0.01, ha="left")
    _grids(lower, answer, image)
    return fig


def patches_of(answer: Answer, image: int) -> Figure:
    """The scores of all patches of one image, a grid each."""
    fig = Figure(figsize=(plots.PAGE, 2.1), layout="constrained")
    _grids(fig, answer, image)
    return fig


def _grids(fig: Figure | SubFigure, answer: Answer, image: int) -> None:
    patches = answer.patches(image)
    axes = fig.subplots(1, max(1, patches["grid"].nunique()), squeeze=False)[0]
    charts.examples.heat_maps(axes, answer.benchmark, image, patches, charts.examples.limits(patches["score"]))
    name = answer.benchmark.images["image_id"].iloc[image]
    fig.suptitle(f"score of every patch of {name}; the winning one framed", fontsize=7)


def result(answer: Answer, place: int, side: int = 140) -> Image.Image:
    """The image at a place of the ranking (from 0): ground truth, winning region, and a frame where that is known."""
    image, region = int(answer.ranking.images[0, place]), int(answer.ranking.regions[0, place])
    boxes: list[tuple[ArrayLike, str]] = [(xyxy, "truth") for xyxy in answer.truth(image)]
    if region >= 0:
        boxes.append((answer.features.boxes[region], "winning"))
    frame = {None: None, True: "right", False: "wrong"}[answer.is_right(image)]
    # an image without regions is one that could not be read
    photo = images.read(answer.benchmark.image_path(image)) if region >= 0 else Image.new("RGB", (side, side), "grey")
    return thumbnail(photo, boxes, frame, side)


def caption_of(answer: Answer, place: int, between: str = " ") -> str:
    """Rank, score and, where it is known, right or wrong, e.g. ``"2 · 0.83 right"``."""
    known = {None: "", True: f"{between}right", False: f"{between}wrong"}[
        answer.is_right(int(answer.ranking.images[0, place]))
    ]
    return f"{place + 1} · {answer.ranking.scores[0, place]:.2f}{known}"
