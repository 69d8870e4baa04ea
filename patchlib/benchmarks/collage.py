"""Photographs shrunk into collages of others, at a place that no grid knows, their boxes too."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from patchlib import images
from patchlib.benchmarks.procedural.rendering import Picture

SEED = 0  # of places and neighbours
NEIGHBOURS = 64  # different photographs that fill a benchmark's collages
_THUMBNAIL = 320  # their longer side, pixels


class Collage(NamedTuple):
    """What a collage is made of."""

    path: str  # the photograph
    boxes: NDArray[np.float32] | None  # (B, 4) in its pixels; None = none to carry along. Of a query, its one box (4,).
    scale: float  # side of the photograph as a share of the collage's side, in (0, 1]
    around: tuple[str, ...]  # photographs that fill the rest; none = the photograph alone, cut to its box: a query
    number: int  # of the collage; decides the place and which photographs lie around
    side: int | None = None  # longer side of the collage in pixels; None = as large as the photograph


def make(job: Collage) -> Picture:
    """The picture, and the boxes in it: what :func:`patchlib.benchmarks.procedural.rendering.render_derived` calls."""
    photo, boxes = images.read(job.path), job.boxes
    if not job.around:
        return images.cropped(photo, boxes), None
    rng = np.random.default_rng([SEED, job.number])
    (u, v, shift_x, shift_y), order = rng.random(4), rng.permutation(len(job.around))
    growth = 1.0 if job.side is None else job.side / max(photo.size)
    canvas = Image.new("RGB", (round(photo.width * growth), round(photo.height * growth)))
    width, height = (max(1, round(side * job.scale)) for side in canvas.size)
    left, top = (-round(share * side) for share, side in zip((shift_x, shift_y), (width, height), strict=True))
    places = [(x, y) for y in range(top, canvas.height, height) for x in range(left, canvas.width, width)]
    for place, index in zip(places, np.resize(order, len(places)), strict=True):
        canvas.paste(ImageOps.fit(_thumbnail(job.around[index]), (width, height)), place)
    x, y = round(u * (canvas.width - width)), round(v * (canvas.height - height))
    canvas.paste(photo.resize((width, height), Image.Resampling.LANCZOS), (x, y))
    if boxes is None:
        return canvas, None
    ratio = np.array([width / photo.width, height / photo.height] * 2)
    return canvas, boxes * ratio + np.array([x, y, x, y])


@lru_cache(maxsize=NEIGHBOURS)
def _thumbnail(path: str) -> Image.Image:
    image = images.read(path)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return image
