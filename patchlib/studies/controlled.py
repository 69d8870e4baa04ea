"""Controlled studies: one thing about an image changes, everything else stays.

In a benchmark as it is, small boxes also lie elsewhere and show other objects than large ones, so that a bin's score
mixes causes. Here each positive exists at every level of an attribute, and the images of all other instances are the
same negatives at each level: what changes between two levels can only come from the attribute.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import boxes as box_ops
from patchlib.benchmarks import collage
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.collage import Collage
from patchlib.benchmarks.image_files import image_table
from patchlib.benchmarks.procedural import rendering
from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.benchmarks.procedural.loader import VERSION
from patchlib.benchmarks.procedural.scenes import make_query, make_scene
from patchlib.studies import brightness
from patchlib.studies.attributes import PAIR, Bins

AREAS = (0.01, 0.04, 0.12, 0.3, 0.6)  # of the box, shares of the image
PLACES = (0.0, 0.16, 0.32, 0.48, 0.64)  # way of the box's centre from the image's centre to the corner
SCALES = (0.25, 0.4, 0.6, 1.0)  # side of a photo in a collage, share of the collage's side
SEED = 7  # of objects and scenes that no built-in benchmark has


class Study(NamedTuple):
    """A benchmark whose positives exist at several levels of some attributes, and attribute -> its levels as bins."""

    benchmark: Benchmark
    series: dict[str, Bins]


def study(
    name: str,
    settings: Mapping[str, Any],
    jobs: Mapping[str, Any],
    make: Callable[[Any], rendering.Picture],
    owners: Mapping[str, Sequence[tuple[str, str, str]]],
    workers: int | None,
) -> Study:
    """Render a study (see :func:`patchlib.benchmarks.procedural.rendering.render_derived`) and put its tables together.

    Args:
        name: of its benchmark.
        settings: everything that decides its pictures.
        jobs: path -> what ``make`` needs for the picture; what lies in ``queries/`` is a query, all else the database.
        make: (job) -> image and boxes.
        owners: attribute -> (query, image, label of the level) of every positive, levels in order.
        workers: processes that render.
    """
    folder, boxes = rendering.render_derived(name, settings, jobs, make, workers)
    asked = [file for file in jobs if file.startswith("queries/")]
    queries = pd.DataFrame({"query_id": asked, "path": asked, "instance": asked}).assign(**dict.fromkeys(BOX, np.nan))
    pairs = dict.fromkeys((query, image) for rows in owners.values() for query, image, _ in rows)
    positives = [(*pair, *box) for pair in pairs for box in boxes[pair[1]]]
    table = image_table(folder, [file for file in jobs if not file.startswith("queries/")])
    meta = {"title": f"controlled study: {name}", "licence": "as its source", "k": None, "options": settings}
    frame = pd.DataFrame(positives, columns=[*PAIR, *BOX])
    series = {}
    for attribute, rows in owners.items():
        members = pd.DataFrame(rows, columns=[*PAIR, "value"])
        numbers, labels = pd.factorize(members["value"])
        series[attribute] = Bins(tuple(labels), members.assign(bin=numbers))
    return Study(Benchmark(name, folder, table, queries, frame, meta), series)


def scenes(
    instances: int = 60,
    distractors: int = 120,
    areas: Sequence[float] = AREAS,
    places: Sequence[float] = PLACES,
    factors: Sequence[float] = brightness.FACTORS,
    workers: int | None = None,
) -> Study:
    """The same procedural scene at several levels of the series ``size``, ``place`` and ``brightness``.

    The middle area, the first place and brightness 1 are the scene that the three series share. What stands in front of
    the instance steps aside, but may hide up to a tenth of it.

    Args:
        instances: objects, each with one query and one scene at all levels, where it is shown once.
        distractors: scenes without any of them.
        areas: levels of the size, at the centre of the image.
        places: levels of the place: 0 = centre, 1 = corner, moved inwards until the box lies in the image.
        factors: levels of the exposure.
        workers: processes that render.
    """
    config = ProceduralConfig(
        seed=SEED, instances=instances, positives=1, distractors=distractors, occlusion=0, second=0
    )
    middle = areas[len(areas) // 2]
    levels = {
        "size": {f"{100 * area:g}": (area, 0.0, 1.0) for area in areas},
        "place": {f"{place:g}": (middle, place, 1.0) for place in places},
        "brightness": {f"{factor:g}": (middle, 0.0, factor) for factor in factors},
    }
    looks = sorted({look for series in levels.values() for look in series.values()})
    queries = [f"queries/{i:03d}.png" for i in range(instances)]
    files = {(i, look): f"scenes/{i:03d}-{n:02d}.jpg" for i in range(instances) for n, look in enumerate(looks)}
    jobs: dict[str, Any] = {query: (config, i, None) for i, query in enumerate(queries)}
    jobs |= {file: (config, *key) for key, file in files.items()}
    jobs |= {f"distractors/{j:04d}.jpg": (config, None, j) for j in range(distractors)}
    owners = {
        name: [(query, files[i, look], label) for label, look in series.items() for i, query in enumerate(queries)]
        for name, series in levels.items()
    }
    settings = {"version": VERSION, "config": dataclasses.asdict(config), "looks": looks}
    return study("scenes", settings, jobs, _scene, owners, workers)


def _scene(job: tuple[ProceduralConfig, int | None, Any]) -> rendering.Picture:
    config, instance, look = job
    if instance is None:
        return make_scene(config, None, look).image, None
    if look is None:
        return make_query(config, instance), None
    area, place, factor = look
    # towards one of the four corners, the same for all places of an instance
    corner = (instance % 2, instance // 2 % 2)
    centre = [0.5 + (side - 0.5) * place for side in corner]
    scene = make_scene(config, instance, 0, area=area, centre=centre, brightness=factor)
    return scene.image, scene.boxes


def collages(
    benchmark: Benchmark,
    scales: Sequence[float] = SCALES,
    queries: int = 40,
    photos: int = 2,
    distractors: int = 80,
    workers: int | None = None,
) -> Study:
    """The series ``size``: photographs shrunk into collages of others at a place that no grid knows, their boxes too.

    Objects often fill their photographs, where one descriptor of the whole image is hard to beat. Every second query
    that has a box takes part; the photographs around are positives of none of these.

    Args:
        benchmark: with boxes.
        scales: side of the photo as a share of the collage's side, in (0, 1], ascending; 1 = the photo alone.
        queries: at most so many.
        photos: positives per query, those with the largest boxes.
        distractors: collages that show no query's instance, over all scales.
        workers: processes that render.

    Raises:
        ValueError: no boxes, a scale outside (0, 1], or no photographs left to fill the collages with.
    """
    if not all(0 < scale <= 1 for scale in scales):
        raise ValueError(f"scales are {scales}, expected shares of the collage's side in (0, 1]")
    chosen, others = _photos(benchmark, queries, photos)
    rng = np.random.default_rng(collage.SEED)
    around = tuple(benchmark.image_path(i) for i in rng.permutation(others)[: collage.NEIGHBOURS])
    jobs: dict[str, Any] = {}
    owners = []
    for number, (query, image, boxes) in enumerate(chosen):
        asked = f"queries/{query:04d}.png"
        jobs[asked] = Collage(benchmark.query_path(query), benchmark.query_box(query), 1.0, (), number)
        for level, scale in enumerate(scales):
            file = f"photos/{number:04d}-{level}.jpg"
            jobs[file] = Collage(benchmark.image_path(image), boxes, scale, around, number)
            owners.append((asked, file, f"{scale:g}"))
    for number, image in enumerate(rng.permutation(others)[:distractors], len(chosen)):
        scale = scales[number % len(scales)]
        jobs[f"distractors/{number:04d}.jpg"] = Collage(benchmark.image_path(image), None, scale, around, number)
    amounts = [queries, photos, distractors]
    settings = {"benchmark": benchmark.hash, "scales": list(scales), "photos": amounts, "seed": collage.SEED}
    return study("collage", settings, jobs, collage.make, {"size": owners}, workers)


def _photos(
    benchmark: Benchmark, queries: int, photos: int
) -> tuple[list[tuple[int, int, NDArray[np.float32]]], NDArray[np.int64]]:
    """(query row, image row, boxes) of the photographs to shrink, and the image rows to fill the collages with."""
    boxed = [q for q in range(len(benchmark.queries)) if not np.isnan(benchmark.relevant(q)[1]).all()]
    if not boxed:
        raise ValueError(f"{benchmark.name} has no boxes; a collage needs to know where the instance is")
    chosen, used = [], set()
    for query in boxed[::2][:queries]:
        rows, boxes = benchmark.relevant(query)
        used |= set(rows.tolist())
        known = ~np.isnan(boxes).any(axis=1)
        largest = pd.Series(box_ops.area(boxes[known]), rows[known]).groupby(level=0).max()
        largest = largest.sort_values(ascending=False, kind="stable")
        chosen += [(query, int(i), boxes[known & (rows == i)]) for i in largest.index[:photos]]
    others = np.setdiff1d(np.arange(len(benchmark.images)), sorted(used))
    if not len(others):
        raise ValueError(f"every image of {benchmark.name} is a positive of the chosen queries; choose fewer")
    return chosen, others
