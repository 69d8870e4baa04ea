"""Real wrong images by the hundred thousand: more scenes of a procedural benchmark, kept as descriptors alone.

A database of N images is, picture by picture, the benchmark with so many distractors that it has N. No picture is
written: a scene is rendered, made a JPEG, decoded and described in memory, and its descriptors go into the cache as
float16, 100 scenes a file. A killed run goes on with the next missing file.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import encoders, images, regions
from patchlib.benchmarks.benchmark import IMAGES, Benchmark
from patchlib.benchmarks.procedural import rendering
from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.encoders import Encoder
from patchlib.features.feature_set import FeatureSet, set_name
from patchlib.support import files, paths, provenance

SHARD = 100  # scenes of a file
TELL, FORMAT = 10.0, 1  # seconds between two lines of progress; of the files: raise it when their content changes


def database(data: Benchmark, own: FeatureSet, size: int, workers: int | None = None) -> tuple[Benchmark, FeatureSet]:
    """A procedural benchmark grown by distractors to ``size`` images, and its descriptors; what is missing is made.

    Args:
        data: of :func:`patchlib.benchmarks.procedural.load`.
        own: grid features of its images and queries, of a registered encoder.
        size: images wanted, N, of which the further ones have no file.
        workers: processes; None = one per core. They change the time, not the scenes.

    Raises:
        ValueError: fewer images wanted than the benchmark has, or features that are no grid of this benchmark.
    """
    level = str(own.meta.get("regions"))
    if own.meta.get("benchmark_hash") != data.hash or not level.startswith("L"):
        raise ValueError(f"{own.meta.get('name')} are no grid features of {data.name} {data.hash}; extract those first")
    if size < own.n_images:
        raise ValueError(f"size is {size}, expected at least {own.n_images}, the images of {data.name}")
    config = ProceduralConfig(**data.meta["options"])
    settings = {"config": replace(config, distractors=0), "encoder": own.meta["config"]["encoder"]}
    folder = paths.cache() / "scenes" / provenance.config_hash({**settings, "regions": level, "format": FORMAT})
    numbers = range(config.distractors, config.distractors + size - own.n_images)
    work = partial(_describe, config, own.meta["encoder"], int(level[1:]))
    found = [_cut(path, start, numbers) for start, path in _made(folder, work, numbers, workers)]
    names = [rendering.file_of(None, number) for number in numbers]
    sizes = np.concatenate([np.empty((0, 2), int), *(part["sizes"] for part in found)])
    table = pd.DataFrame(zip(names, names, *sizes.T, strict=True), columns=IMAGES)
    grown = replace(data, images=pd.concat([data.images, table], ignore_index=True))
    rows = [own.descriptors.astype(np.float16), *(np.concatenate(part["rows"]) for part in found)]
    meta = {**own.meta, "benchmark_hash": grown.hash, "hash": provenance.config_hash([own.meta["hash"], size])}
    meta["name"] = set_name(meta)
    return grown, FeatureSet(np.concatenate(rows), *regions.of_benchmark(grown, level), own.query_descriptors, meta)


def _made(folder: Path, work: partial, numbers: range, workers: int | None) -> list[tuple[int, Path]]:
    """The files of the numbered scenes, by the number of their first one; those that are missing are made."""
    first = numbers.start // SHARD * SHARD if numbers else numbers.stop
    shards = [(start, folder / f"{start:08d}.npz") for start in range(first, numbers.stop, SHARD)]
    if all(path.exists() for _, path in shards):
        return shards
    with files.locked(folder), files.full_disk_explained(folder, "PATCHLIB_CACHE"):
        missing = [(start, path) for start, path in shards if not path.exists()]
        begun = told = time.monotonic()
        for done, (start, path) in enumerate(missing, 1):
            scenes = rendering.in_processes(work, range(start, start + SHARD), workers, "scenes")
            rows, sizes = zip(*scenes, strict=True)
            with provenance.atomic_write(path) as file:
                np.savez(file, rows=np.stack(rows), sizes=np.array(sizes))
            if (now := time.monotonic()) - told > TELL or done == len(missing):
                told, rate = now, done * SHARD / (now - begun)
                left, there = (len(missing) - done) * SHARD / rate / 60, min(start + SHARD, numbers.stop)
                print(f"scenes: {there:,} of {numbers.stop:,}, {rate:.1f}/s, {left:.0f} min left", flush=True)
    return shards


def _cut(path: Path, start: int, numbers: range) -> dict[str, NDArray[Any]]:
    """``rows`` (n, P, D) and ``sizes`` (n, 2) of a file's scenes that are among the numbers."""
    keep = slice(max(numbers.start - start, 0), numbers.stop - start)
    with np.load(path) as part:
        return {name: part[name][keep] for name in ("rows", "sizes")}


def _describe(
    config: ProceduralConfig, encoder: str, level: int, number: int
) -> tuple[NDArray[np.float16], tuple[int, int]]:
    """(P, D) descriptors of a distractor scene, of the pixels that its file would have; its width and height."""
    network = _network(encoder)
    picture = images.decode(rendering.jpeg(config, None, number)[0], f"scene {number}")
    boxes = regions.grid(*picture.size, level)
    crops = np.stack([*images.cut(picture, boxes, network.input_size, network.interpolation)])
    return network.encode(crops).astype(np.float16), picture.size


@lru_cache
def _network(name: str) -> Encoder:
    return encoders.create(name)
