"""Vectors to train codebooks on: patches of every level, ground-truth crops, new scenes, other instances."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from patchlib import regions
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.procedural import loader, scenes
from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.features import FeatureSet
from patchlib.studies import controlled
from patchlib.support.wording import counted

Extract = Callable[[regions.Strategy, Benchmark], "FeatureSet"]
CODEWORDS = 256  # of 8 bits; nothing can be trained on fewer vectors


def collect(
    benchmark: Benchmark, patches: FeatureSet, extract: Extract, workers: int | None = None
) -> dict[str, tuple[Benchmark, FeatureSet]]:
    """The training sets of Table 6, and two that tell apart why ground-truth crops help.

    Args:
        benchmark: what is indexed.
        patches: its L3 features.
        extract: (regions, benchmark) -> features, by the encoder of the patches; e.g. that of a session.

    Returns:
        Name -> owner of the images, features: "L0" .. "L3"; with boxes "G.T."; of a procedural benchmark also "G.T.,
        new scenes" and "G.T., other instances". Sets of fewer than 256 vectors are left out.
    """
    sets = {f"L{level}": (benchmark, patches.at_level(level)) for level in regions.LEVELS}
    if benchmark.has_boxes:
        sets["G.T."] = crops(benchmark, extract)
    if benchmark.has_boxes and benchmark.name == "procedural":
        sets["G.T., new scenes"] = crops(new_scenes(benchmark, workers), extract)
        sets["G.T., other instances"] = crops(other_instances(benchmark, workers), extract)
    return {name: (owner, part) for name, (owner, part) in sets.items() if len(part.descriptors) >= CODEWORDS}


def crops(benchmark: Benchmark, extract: Extract) -> tuple[Benchmark, FeatureSet]:
    """Ground-truth crops of all positives that have a box, and nothing else: owner of the images, features.

    Raises:
        ValueError: no positive has a box.
    """
    known = benchmark.positives.dropna(subset=BOX)["image_id"]
    if not len(known):
        raise ValueError(f"{benchmark.name} has no boxes, so there are no ground-truth crops to train on")
    owner = benchmark.subset(images=np.flatnonzero(benchmark.images["image_id"].isin(known)).tolist())
    return owner, extract(regions.ground_truth_regions(owner), owner)


def half_crops(benchmark: Benchmark, extract: Extract) -> dict[str, tuple[Benchmark, FeatureSet]]:
    """The queries of each of the :func:`halves` and the crops of their positives, as "first half" and "second half".

    Empty where nothing can be trained on them: without boxes, with fewer than 256 crops in a half, or one instance.
    """
    if not benchmark.has_boxes or benchmark.queries["instance"].nunique() < 2:
        return {}
    pairs = zip(("first half", "second half"), halves(benchmark), strict=True)
    sets = {name: (half, crops(half, extract)[1]) for name, half in pairs}
    return sets if min(len(part.descriptors) for _, part in sets.values()) >= CODEWORDS else {}


def halves(benchmark: Benchmark) -> tuple[Benchmark, Benchmark]:
    """The same images with the queries of every other block of instances, and with those of the blocks between.

    Blocks of a tenth of the instances, in the benchmark's order: instances that resemble each other stand side by side
    in the built-in benchmark, and benchmarks that are put together of parts list one part after the other.

    Raises:
        ValueError: fewer than two instances.
    """
    numbers, names = pd.factorize(benchmark.queries["instance"])
    if len(names) < 2:
        raise ValueError(f"{benchmark.name} has {counted(len(names), 'instance')}, expected at least 2 to be halved")
    even = numbers // max(1, len(names) // 10) % 2 == 0
    first, second = (benchmark.subset(queries=np.flatnonzero(chosen).tolist()) for chosen in (even, ~even))
    return first, second


def new_scenes(benchmark: Benchmark, workers: int | None = None) -> Benchmark:
    """The same instances of a procedural benchmark in as many scenes again, none of which it shows."""
    config = ProceduralConfig(**benchmark.meta["options"])
    jobs = {
        f"scenes/{i:04d}-{view:02d}.jpg": (config, i, view)
        for i in range(config.instances)
        for view in range(config.positives, 2 * config.positives)
    }
    queries = {f"queries/{i:04d}.png": (config, i, None) for i in range(config.instances)}
    owners = [(f"queries/{i:04d}.png", file, "new") for file, (_, i, _) in jobs.items()]
    settings = {"benchmark": benchmark.hash, "version": loader.VERSION, "options": benchmark.meta["options"]}
    return controlled.study("new-scenes", settings, {**queries, **jobs}, _scene, {"scenes": owners}, workers).benchmark


def other_instances(benchmark: Benchmark, workers: int | None = None) -> Benchmark:
    """A procedural benchmark like this one with another seed: other instances, other scenes, no distractors."""
    options = {**benchmark.meta["options"], "seed": benchmark.meta["options"]["seed"] + 1, "distractors": 0}
    return loader.load(workers=workers, **options)


def _scene(job: tuple[ProceduralConfig, int, int | None]) -> Any:
    config, instance, view = job
    if view is None:
        return scenes.make_query(config, instance), None
    scene = scenes.make_scene(config, instance, view)
    return scene.image, scene.boxes
