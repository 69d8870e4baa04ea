"""Vectors to train codebooks on: patches of every level, ground-truth crops, new scenes, other instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from patchlib import features, regions
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.procedural import loader, scenes
from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.encoders import Encoder
from patchlib.studies import controlled

if TYPE_CHECKING:
    from patchlib.features.feature_set import FeatureSet

CODEWORDS = 256  # of 8 bits; nothing can be trained on fewer vectors


def collect(
    benchmark: Benchmark, patches: FeatureSet, encoder: Encoder, workers: int | None = None, **extraction: Any
) -> dict[str, tuple[Benchmark, FeatureSet]]:
    """The training sets of Table 6, and two that tell apart why ground-truth crops help.

    Args:
        benchmark: what is indexed.
        patches: its L3 features.
        encoder: of them.
        workers: processes that render.
        extraction: of :func:`patchlib.features.extract`.

    Returns:
        Name -> owner of the images, features: "L0" .. "L3"; with boxes "G.T."; of a procedural benchmark also
        "G.T., new scenes" and "G.T., other instances". Sets of fewer than 256 vectors are left out.
    """
    found = {f"L{level}": (benchmark, patches.at_level(level)) for level in regions.LEVELS}
    owners = {}
    if benchmark.has_boxes:
        owners["G.T."] = boxed(benchmark)
    if benchmark.has_boxes and benchmark.name == "procedural":
        owners["G.T., new scenes"] = new_scenes(benchmark, workers)
        owners["G.T., other instances"] = other_instances(benchmark, workers)
    found |= {name: (owner, crops(owner, encoder, **extraction)) for name, owner in owners.items()}
    return {name: (owner, part) for name, (owner, part) in found.items() if len(part.descriptors) >= CODEWORDS}


def crops(benchmark: Benchmark, encoder: Encoder, **extraction: Any) -> FeatureSet:
    """Ground-truth crops of all positives that have a box, and nothing else, as features.

    Raises:
        ValueError: no positive has a box.
    """
    return features.extract(boxed(benchmark), regions.of_truth(boxed(benchmark)), encoder, **extraction)


def boxed(benchmark: Benchmark) -> Benchmark:
    """The images alone that have a ground-truth box."""
    known = benchmark.positives.dropna(subset=BOX)["image_id"]
    if not len(known):
        raise ValueError(f"{benchmark.name} has no boxes, so there are no ground-truth crops to train on")
    return benchmark.subset(images=np.flatnonzero(benchmark.images["image_id"].isin(known)).tolist())


def halves(benchmark: Benchmark) -> tuple[Benchmark, Benchmark]:
    """The same images with the queries of every other block of instances, and with those of the blocks between.

    Blocks of a tenth of the instances, in the benchmark's order: instances that resemble each other stand side by side
    in the built-in benchmark, and benchmarks that are put together of parts list one part after the other.

    Raises:
        ValueError: fewer than two instances.
    """
    numbers, names = pd.factorize(benchmark.queries["instance"])
    if len(names) < 2:
        raise ValueError(f"{benchmark.name} has {len(names)} instance(s), expected at least 2 to be halved")
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
