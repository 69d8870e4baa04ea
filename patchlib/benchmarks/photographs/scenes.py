"""Composed of photographs: each photograph a part of a larger picture made of other photographs."""

import os
from collections.abc import Sequence

import numpy as np

from patchlib.benchmarks import collage
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.collage import Collage
from patchlib.benchmarks.image_files import image_table
from patchlib.benchmarks.procedural.rendering import render_derived
from patchlib.images import MEMBER

SIDES = (0.6, 0.4, 0.25)  # of the photograph, shares of the picture's side
PICTURE = 448  # longer side of the picture, pixels
LEAST = 20  # photographs


def compose(shot: Benchmark, spare: Sequence[str], workers: int | None = None) -> Benchmark:
    """Every photograph of a benchmark in a picture of its own, its boxes carried along.

    The photographs take the three sides in turn, and lie at a place that no grid knows. Around them are photographs
    that show no query's instance; of these there is one picture each, too. Pictures are written into the cache once.

    ``spare``: paths of photographs that join those without an instance where ``shot`` has fewer than :data:`LEAST`.

    Raises:
        ValueError: fewer than :data:`LEAST` photographs.
    """
    if len(shot.images) < LEAST:
        count = f"{shot.root} has {len(shot.images)} photographs for the database"
        raise ValueError(f"{count}; pictures are composed of at least {LEAST}")
    paths = {image: shot.image_path(row) for row, image in enumerate(shot.images["image_id"])}
    files = {image: _file(number) for number, image in enumerate(shot.positives["image_id"].unique())}
    others = [path for image, path in paths.items() if image not in files]
    others += spare if len(others) < LEAST else []
    around = tuple(np.random.default_rng(collage.SEED).permutation(others)[: collage.NEIGHBOURS].tolist())
    boxed = shot.positives.dropna(subset=BOX)
    rows = {file: boxed.index[boxed["image_id"] == image] for image, file in files.items()}
    pictures = {}
    for number, path in enumerate([*map(paths.__getitem__, files), *others]):
        boxes = boxed.loc[rows.get(_file(number), []), BOX].to_numpy()
        pictures[_file(number)] = Collage(path, boxes, SIDES[number % len(SIDES)], around, number, PICTURE)
    queries = {f"queries/{row:05d}.png": Collage(shot.query_path(row), shot.query_box(row), 1.0, (), row)
               for row in range(len(shot.queries))}  # fmt: skip
    jobs = pictures | queries
    settings = {"benchmark": shot.hash, "sides": SIDES, "picture": PICTURE, "seed": collage.SEED}
    settings["photographs"] = [_stamp(job.path) for job in jobs.values()]
    folder, moved = render_derived("composed", settings, jobs, collage.make, workers)
    positives = shot.positives.assign(image_id=shot.positives["image_id"].map(files))
    inside = [box for file in rows for box in moved[file]]
    positives.loc[np.concatenate(list(rows.values())), BOX] = np.reshape(inside, (-1, 4)).astype(np.float32)
    return Benchmark(
        "composed-of-photographs",
        folder,
        image_table(folder, list(pictures)),
        shot.queries.assign(path=list(queries), **dict.fromkeys(BOX, np.nan)),
        positives,
        shot.meta | {"title": "composed of photographs"},
    )


def _file(number: int) -> str:
    return f"pictures/{number:05d}.jpg"


def _stamp(path: str) -> tuple[str, int, int]:
    """What tells that a photograph was replaced: its file's name, length and time."""
    status = os.stat(path.partition(MEMBER)[0])
    return path, status.st_size, status.st_mtime_ns
