"""Controlled studies: one thing about an image changes, everything else stays.

In a benchmark as it is, small boxes also lie elsewhere and show other objects than large ones, so that a bin's score
mixes causes. Here each positive exists at every level of an attribute, and the images of all other instances are the
same negatives at each level: what changes between two levels can only come from the attribute.

A level is a range of sizes or places, in which every instance has one drawn for it: a size or place that all instances
share could fit a cell of the grid, and the grid would be measured in the place of the attribute.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from patchlib import boxes as box_ops
from patchlib.benchmarks import collage
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.collage import Collage
from patchlib.benchmarks.image_files import image_table
from patchlib.benchmarks.procedural import rendering
from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.benchmarks.procedural.loader import VERSION
from patchlib.benchmarks.procedural.scenes import make_query, make_scene
from patchlib.features import FeatureSet
from patchlib.studies import attributes, brightness
from patchlib.studies.attributes import PAIR, Bins

AREAS = (0.01, 0.025, 0.063, 0.16, 0.4)  # of the box, shares of the image; the middles of equal ranges of a log axis
PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)  # way from the image's centre to where the box meets the border; middles as well
SCALES = (0.25, 0.4, 0.6, 1.0)  # side of a photo in a collage, share of the collage's side
SEED = 7  # of objects and scenes that no built-in benchmark has


class Look(NamedTuple):
    """How a scene shows its instance: box area and centre as shares of the image, exposure."""

    area: float
    x: float
    y: float
    brightness: float


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
        settings: everything that decides its pictures.
        jobs: path -> what ``make`` needs for the picture; what lies in ``queries/`` is a query, all else the database.
        make: (job) -> image and boxes.
        owners: attribute -> (query, image, label of the level) of every positive, levels in order.
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

    Each instance has a size, a place and a direction of its own. Along ``size`` and ``brightness`` it keeps its place,
    as a share of the way from the centre to the border; along ``place`` its size and direction; size and brightness
    share the scene of the middle area at brightness 1. All other things stand behind it, the same at all levels.

    Args:
        instances: objects, each with one query and one scene at all levels, where it is shown once.
        distractors: scenes without any of them.
        areas: levels of the size, spread on a log axis; the size is drawn within half a step of each.
        places: levels of the place: 0 = centre, 1 = the box meets the border; drawn likewise.
        factors: levels of the exposure.
    """
    config = ProceduralConfig(
        seed=SEED, instances=instances, positives=1, distractors=distractors, occlusion=0, second=0
    )
    queries = [f"queries/{i:03d}.png" for i in range(instances)]
    jobs: dict[str, Any] = {query: (config, i, None) for i, query in enumerate(queries)}
    jobs |= {f"distractors/{j:04d}.jpg": (config, None, j) for j in range(distractors)}
    owners: dict[str, list[tuple[str, str, str]]] = {"size": [], "place": [], "brightness": []}
    for i, query in enumerate(queries):
        files: dict[Look, str] = {}
        for name, series in _looks(i, areas, places, factors).items():
            for label, look in series.items():
                file = files.setdefault(look, f"scenes/{i:03d}-{len(files):02d}.jpg")
                owners[name].append((query, file, label))
        jobs |= {file: (config, i, look) for look, file in files.items()}
    levels = [list(areas), list(places), list(factors)]
    settings = {"version": VERSION, "config": dataclasses.asdict(config), "levels": levels, "design": 2}
    return study("scenes", settings, jobs, _scene, owners, workers)


def _looks(
    instance: int, areas: Sequence[float], places: Sequence[float], factors: Sequence[float]
) -> dict[str, dict[str, Look]]:
    """Series -> label of the level -> how the instance looks there."""
    rng = np.random.default_rng([SEED, instance])
    spot = rng.uniform(-1, 1, 2)
    border = spot / np.abs(spot).max()
    sizes, shares = np.exp(_around(np.log(areas), rng)), _around(places, rng)
    middle = sizes[len(sizes) // 2]
    return {
        "size": {f"{100 * area:.2g}": _look(size, spot) for area, size in zip(areas, sizes, strict=True)},
        "place": {f"{place:g}": _look(middle, share * border) for place, share in zip(places, shares, strict=True)},
        "brightness": {f"{factor:g}": _look(middle, spot, factor) for factor in factors},
    }


def _around(levels: ArrayLike, rng: np.random.Generator) -> NDArray[np.float64]:
    """A value drawn for each of the ascending levels, at most half a step away."""
    middles = np.asarray(levels, float)
    return middles + rng.uniform(-0.5, 0.5, len(middles)) * np.diff(middles).min()


def _look(area: float, place: NDArray[np.float64], factor: float = 1.0) -> Look:
    """``place``: (2,) shares of the way to the borders, -1..1, of a box as wide as its image, in its proportions."""
    x, y = 0.5 + place * (1 - np.sqrt(area)) / 2
    return Look(round(float(area), 4), round(float(x), 4), round(float(y), 4), factor)


def _scene(job: tuple[ProceduralConfig, int | None, Any]) -> rendering.Picture:
    config, instance, look = job
    if instance is None:
        return make_scene(config, None, look).image, None
    if look is None:
        return make_query(config, instance), None
    scene = make_scene(config, instance, 0, area=look.area, centre=(look.x, look.y), brightness=look.brightness)
    return scene.image, scene.boxes


def aligned(study: Study, features: FeatureSet, count: int = 5) -> tuple[dict[str, Bins], pd.Series]:
    """The series of a study, with one of how well the regions fit the boxes, and their fit at every level.

    Where the study has a series ``place``, whose boxes are all about as large, ``alignment`` cuts these into ``count``
    bins.

    Returns:
        The series, and ``best IoU`` in percent: the mean over positives of the best IoU that a region has with the box,
        indexed by factor and bin.
    """
    fit = attributes.reachable(study.benchmark, features)[[*PAIR, "reachable"]]
    series = dict(study.series)
    if "place" in series:
        placed = series["place"].members[PAIR].merge(fit.rename(columns={"reachable": "value"}), on=PAIR)
        series["alignment"] = attributes.cut(placed, count)
    means = {
        (name, groups.labels[number]): 100 * part["reachable"].mean()
        for name, groups in series.items()
        for number, part in groups.members.merge(fit, on=PAIR).groupby("bin")
    }
    return series, pd.Series(means, name="best IoU").rename_axis(["factor", "bin"])


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
        scales: side of the photo as a share of the collage's side, in (0, 1], ascending; 1 = the photo alone.
        queries: at most so many.
        photos: positives per query, those with the largest boxes.
        distractors: collages that show no query's instance, over all scales.

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
