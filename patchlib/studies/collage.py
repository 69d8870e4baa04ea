"""Collages: a controlled study of size on photographs as they are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps

from patchlib import boxes as box_ops
from patchlib import images
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.benchmarks.procedural import rendering
from patchlib.studies.controlled import Study, study

SCALES = (1.0, 0.6, 0.4, 0.25)  # side of a photo in a collage, share of the collage's side
NEIGHBOURS = 64  # different photos that fill the collages
_THUMBNAIL = 320  # their longer side, pixels


def shrunk(
    benchmark: Benchmark,
    scales: Sequence[float] = SCALES,
    queries: int = 40,
    photos: int = 2,
    distractors: int = 80,
    seed: int = 0,
    workers: int | None = None,
) -> Study:
    """Photographs shrunk into collages of other photographs, at a place that no grid knows; boxes are carried along.

    Objects often fill their photographs, where one descriptor of the whole image is hard to beat. In a collage the
    same photograph shows what a small object does. Every second query that has a box takes part; the photographs around
    are positives of none of these.

    Args:
        benchmark: with boxes.
        scales: side of the photo as a share of the collage's side, in (0, 1]; 1 = the photo alone.
        queries: at most so many.
        photos: positives per query, those with the largest boxes.
        distractors: collages that show no query's instance, over all scales.
        seed: of places and neighbours.
        workers: processes that render.

    Returns:
        Study with the series ``size``, from the smallest scale to the largest.

    Raises:
        ValueError: no boxes, a scale outside (0, 1], or no photographs left to fill the collages with.
    """
    if not all(0 < scale <= 1 for scale in scales):
        raise ValueError(f"scales are {scales}, expected shares of the collage's side in (0, 1]")
    chosen, others = _photos(benchmark, queries, photos)
    rng = np.random.default_rng(seed)
    around = tuple(benchmark.image_path(i) for i in rng.permutation(others)[:NEIGHBOURS])
    scales = sorted(scales)
    jobs: dict[str, Any] = {}
    owners: list[tuple[str, str, int]] = []
    for number, (query, image, box) in enumerate(chosen):
        asked = f"queries/{query:04d}.png"
        jobs[asked] = (benchmark.query_path(query), benchmark.query_box(query), 1.0, (), seed, number)
        for level, scale in enumerate(scales):
            file = f"photos/{number:04d}-{level}.jpg"
            jobs[file] = (benchmark.image_path(image), box, scale, around, seed, number)
            owners.append((asked, file, level))
    for number, image in enumerate(rng.permutation(others)[:distractors], len(chosen)):
        scale = scales[number % len(scales)]
        jobs[f"distractors/{number:04d}.jpg"] = (benchmark.image_path(image), None, scale, around, seed, number)
    settings = {"benchmark": benchmark.hash, "scales": scales, "photos": [queries, photos, distractors], "seed": seed}
    labels = {"size": [f"{scale:g}" for scale in scales]}
    return study("collage", settings, jobs, _collage, {"size": owners}, labels, workers)


def _photos(
    benchmark: Benchmark, queries: int, photos: int
) -> tuple[list[tuple[int, int, NDArray[np.float32]]], NDArray[np.int64]]:
    """(query row, image row, box) of the photographs to shrink, and the image rows to fill the collages with."""
    boxed = [q for q in range(len(benchmark.queries)) if not np.isnan(benchmark.relevant(q)[1]).all()]
    if not boxed:
        raise ValueError(f"{benchmark.name} has no boxes; a collage needs to know where the instance is")
    chosen, used = [], set()
    for query in boxed[::2][:queries]:
        rows, boxes = benchmark.relevant(query)
        used |= set(rows.tolist())
        area = np.nan_to_num(box_ops.area(boxes))
        largest = (
            pd.Series(area, rows).groupby(level=0).max().sort_values(ascending=False, kind="stable").index[:photos]
        )
        chosen += [(query, int(i), boxes[(rows == i) & (area > 0)]) for i in largest if area[rows == i].any()]
    others = np.setdiff1d(np.arange(len(benchmark.images)), sorted(used))
    if not len(others):
        raise ValueError(f"every image of {benchmark.name} is a positive of the chosen queries; choose fewer")
    return chosen, others


def _collage(job: tuple[str, NDArray[np.float32] | None, float, tuple[str, ...], int, int]) -> rendering.Picture:
    path, boxes, scale, around, seed, number = job
    photo = images.read(path)
    if not around:  # a query, cut to its box where it has one
        return (photo if boxes is None else photo.crop(tuple(np.rint(boxes).astype(int)))), None
    rng = np.random.default_rng([seed, number])
    (u, v, shift_x, shift_y), order = rng.random(4), rng.permutation(len(around))
    width, height = (max(1, round(side * scale)) for side in photo.size)
    canvas = Image.new("RGB", photo.size)
    left, top = (-round(share * side) for share, side in zip((shift_x, shift_y), (width, height), strict=True))
    places = [(x, y) for y in range(top, photo.height, height) for x in range(left, photo.width, width)]
    for place, index in zip(places, np.resize(order, len(places)), strict=True):
        canvas.paste(ImageOps.fit(_thumbnail(around[index]), (width, height)), place)
    x, y = round(u * (photo.width - width)), round(v * (photo.height - height))
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
