"""Controlled studies: one thing about an image changes, everything else stays.

In a benchmark as it is, small boxes also lie elsewhere and show other objects than large ones, so that a bin's score
mixes causes. Here each positive exists at every level of a factor, and the images of all other instances are the same
negatives at each level: what changes between two levels can only come from the factor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from patchlib import images
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.image_files import image_table
from patchlib.benchmarks.procedural import rendering
from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.benchmarks.procedural.loader import VERSION
from patchlib.benchmarks.procedural.scenes import make_query, make_scene
from patchlib.studies.attributes import BRIGHTNESS, Bins
from patchlib.studies.brightness import scale_lightness

AREAS = (0.01, 0.04, 0.12, 0.3, 0.6)  # of the box, shares of the image
PLACES = (0.0, 0.16, 0.32, 0.48, 0.64)  # way of the box's centre from the image's centre to the corner
SEED = 7  # of objects and scenes that no built-in benchmark has


@dataclass(frozen=True)
class Study:
    """A benchmark whose positives exist at several levels of one or more factors.

    Attributes:
        benchmark: all images together.
        series: factor -> its levels as bins, for :func:`patchlib.studies.attributes.evaluate`.
    """

    benchmark: Benchmark
    series: dict[str, Bins]


def scenes(
    instances: int = 60,
    distractors: int = 120,
    areas: Sequence[float] = AREAS,
    places: Sequence[float] = PLACES,
    brightness: Sequence[float] = BRIGHTNESS,
    workers: int | None = None,
) -> Study:
    """The same procedural scene with the instance smaller or larger, elsewhere, or in other light.

    The middle area, the first place and brightness 1 are the scene that the three series share. What stands in front of
    the instance steps aside, but may hide up to a tenth of it.

    Args:
        instances: objects, each with one query and one scene at all levels; nothing hides it and it is shown once.
        distractors: scenes without any of them.
        areas: levels of the size, at the centre of the image.
        places: levels of the place at the middle area: 0 = centre, 1 = the centre of the box in the corner (it is
            moved inwards until the box lies in the image).
        brightness: levels of the exposure.
        workers: processes that render.

    Returns:
        Study with the series ``size``, ``place`` and ``brightness``.
    """
    config = ProceduralConfig(
        seed=SEED, instances=instances, positives=1, distractors=distractors, occlusion=0, second=0
    )
    middle = areas[len(areas) // 2]
    levels = {
        "size": [(area, 0.0, 1.0) for area in areas],
        "place": [(middle, place, 1.0) for place in places],
        "brightness": [(middle, 0.0, factor) for factor in brightness],
    }
    looks = sorted({look for series in levels.values() for look in series})
    jobs: dict[str, Any] = {f"queries/{i:03d}.png": (config, i, None) for i in range(config.instances)}
    jobs |= {_scene_file(i, looks.index(look)): (config, i, look) for i in range(config.instances) for look in looks}
    jobs |= {f"distractors/{j:04d}.jpg": (config, None, j) for j in range(config.distractors)}
    settings = {"version": VERSION, "config": dataclasses.asdict(config), "looks": looks}
    labels = {
        "size": [f"{100 * area:g}" for area in areas],
        "place": [f"{place:g}" for place in places],
        "brightness": [f"{factor:g}" for factor in brightness],
    }
    owners = {
        name: [
            (f"queries/{i:03d}.png", _scene_file(i, looks.index(look)), number)
            for number, look in enumerate(series)
            for i in range(config.instances)
        ]
        for name, series in levels.items()
    }
    return study("scenes", settings, jobs, _scene, owners, labels, workers)


def brightened(benchmark: Benchmark, factor: float, workers: int | None = None) -> Benchmark:
    """The same benchmark with the lightness of all database images scaled; the queries stay as they are.

    Args:
        benchmark: whose images to change.
        factor: of :func:`patchlib.studies.brightness.scale_lightness`.
        workers: processes that render.

    Source: supplement S3.2 (tone mapping by 0.2, 0.6, 1.0, 1.4, 1.8).
    """
    names = [f"images/{i:06d}.jpg" for i in range(len(benchmark.images))]
    jobs: dict[str, Any] = {name: (benchmark.image_path(i), factor) for i, name in enumerate(names)}
    asked = [f"queries/{i:06d}.png" for i in range(len(benchmark.queries))]
    jobs |= {name: (benchmark.query_path(i), 1.0) for i, name in enumerate(asked)}
    folder, _ = rendering.render_derived(
        "brightness", {"benchmark": benchmark.hash, "factor": factor}, jobs, _brightened, workers
    )
    return dataclasses.replace(
        benchmark,
        name=f"{benchmark.name}-lightness-{factor:g}",
        root=folder,
        images=benchmark.images.assign(path=names),
        queries=benchmark.queries.assign(path=asked),
    )


def study(
    name: str,
    settings: dict[str, Any],
    jobs: dict[str, Any],
    make: Callable[[Any], rendering.Picture],
    owners: dict[str, list[tuple[str, str, int]]],
    labels: dict[str, list[str]],
    workers: int | None,
) -> Study:
    """Render a study and put its tables together.

    Args:
        name: of its benchmark.
        settings: everything that decides its pictures.
        jobs: path -> what ``make`` needs for the picture; what lies in ``queries/`` is a query, all else the database.
        make: of :func:`patchlib.benchmarks.procedural.rendering.render_derived`.
        owners: series -> (query, image, level) of every positive.
        labels: series -> names of its levels.
        workers: processes that render.
    """
    folder, boxes = rendering.render_derived(name, settings, jobs, make, workers)
    asked = [file for file in jobs if file.startswith("queries/")]
    queries = pd.DataFrame({"query_id": asked, "path": asked, "instance": asked}).assign(**dict.fromkeys(BOX, np.nan))
    pairs = {(query, image): None for rows in owners.values() for query, image, _ in rows}
    rows = [(query, image, *box) for query, image in pairs for box in boxes[image]]
    table = image_table(folder, [file for file in jobs if not file.startswith("queries/")])
    meta = {"title": f"controlled study: {name}", "licence": "as its source", "k": None, "options": settings}
    benchmark = Benchmark(
        name, folder, table, queries, pd.DataFrame(rows, columns=["query_id", "image_id", *BOX]), meta
    )
    columns = ["query_id", "image_id", "bin"]
    members = {
        key: pd.DataFrame(rows, columns=columns).assign(value=lambda t: t["bin"]) for key, rows in owners.items()
    }
    return Study(benchmark, {key: Bins(tuple(labels[key]), members[key]) for key in owners})


def _scene_file(instance: int, look: int) -> str:
    return f"scenes/{instance:03d}-{look:02d}.jpg"


def _scene(job: tuple[ProceduralConfig, int | None, Any]) -> rendering.Picture:
    config, instance, look = job
    if instance is None:
        return make_scene(config, None, look).image, None
    if look is None:
        return make_query(config, instance), None
    area, place, brightness = look
    # towards one of the four corners, the same for all places of an instance
    corner = (instance % 2, instance // 2 % 2)
    centre = [0.5 + (side - 0.5) * place for side in corner]
    scene = make_scene(config, instance, 0, area=area, centre=centre, brightness=brightness)
    return scene.image, scene.boxes


def _brightened(job: tuple[str, float]) -> rendering.Picture:
    path, factor = job
    return scale_lightness(images.read(path), factor), None
