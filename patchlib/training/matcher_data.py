"""What the built-in matcher is trained on: lists of images for a query, out of procedural scenes made for it.

A list holds one image that shows the query's instance, and images that a first stage puts near the top although they do
not.
"""

from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import encoders, features, search
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.image_files import image_table
from patchlib.benchmarks.procedural.config import TRAINING_SEED, ProceduralConfig
from patchlib.benchmarks.procedural.rendering import file_of, name_of, render_all
from patchlib.encoders import specs
from patchlib.reranking import cutouts
from patchlib.reranking.local_features import LocalFeatures
from patchlib.reranking.matchers import LocalFeatureSpec
from patchlib.support import paths, provenance
from patchlib.training.loop import Schedule

OBJECTS = 20_000  # of the training seed's world, of which the first thousands are what the encoders were trained on
STAGES = ("L0", "L3")  # whose shortlists the negatives come from


@dataclass(frozen=True, kw_only=True)
class MatcherConfig(Schedule):
    """Settings of one training run, beside those of every :class:`~patchlib.training.loop.Schedule`."""

    network: str = "AMES"  # or "ELViS"
    tokens: LocalFeatureSpec = field(default_factory=LocalFeatureSpec)  # local descriptors of queries and images
    # dim, layers, heads, feedforward: of :class:`patchlib.reranking.ames.AMES`
    dim: int = 96
    layers: int = 3
    heads: int = 2
    feedforward: int = 192
    instances: int = 448  # objects; none is in a benchmark, and the encoder has seen none of them either
    held_out: int = 64  # the last so many of them are not trained on; the curve says how well they are found
    scenes: int = 6  # images of each
    distractors: int = 300  # images that show none
    lists: int = 8  # lists a step
    length: int = 8  # images in a list, one of them positive
    shortlist: int = 60  # negatives are drawn from so many first ranks of a stage
    # share of the negatives drawn from the whole database instead, at the first step; sinks to 0 at 60 %
    easy: float = 0.3
    hidden: float = 0.1  # share of the descriptors hidden at random, so that no single one is relied on
    steps: int = 400
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    warm_up: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.held_out < self.instances <= OBJECTS // 2:
            raise ValueError(
                f"instances is {self.instances} and held_out {self.held_out}, expected 1 <= held_out < instances <= "
                f"{OBJECTS // 2}"
            )
        for name, least in (("lists", 1), ("length", 2), ("scenes", 1), ("distractors", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if self.lists > self.instances - self.held_out:
            raise ValueError(f"{self.lists} lists a step, but only {self.instances - self.held_out} instances to train")


@dataclass(frozen=True)
class TrainingLists:
    """What training lists are drawn from."""

    queries: LocalFeatures  # local descriptors of the queries, one an instance
    images: LocalFeatures  # of the database images
    positives: list[NDArray[np.int64]]  # query -> its positives
    rankings: dict[str, NDArray[np.int32]]  # stage -> first images of every query

    def draw(self, query: int, config: MatcherConfig, easy: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """(length,) database images for a row of the queries, the positive first; a share ``easy`` of them from
        anywhere.
        """
        stage = STAGES[rng.integers(len(STAGES))]
        positives = self.positives[query]
        hard = np.setdiff1d(self.rankings[stage][query, : config.shortlist + len(positives)], positives)
        anywhere = np.setdiff1d(np.arange(len(self.images.counts)), positives)
        count = min(int(rng.binomial(config.length - 1, 1 - easy)), len(hard))
        others = rng.choice(anywhere, config.length - 1 - count, replace=False)
        return np.concatenate([[rng.choice(positives)], rng.choice(hard, count, replace=False), others]).astype(
            np.int64
        )


def world(config: MatcherConfig, workers: int | None = None) -> Benchmark:
    """The training scenes, rendered into the cache on first use: objects and scenes that no benchmark may have."""
    drawn, chosen = objects(config)
    size = {"instances": config.instances, "scenes": config.scenes, "distractors": config.distractors}
    root = paths.cache() / "training" / f"scenes-{provenance.config_hash(size | {'seen': _seen(config)})}"
    jobs: list[tuple[int | None, int]] = [(i, j) for i in chosen for j in range(-1, config.scenes)]
    jobs += [(None, j) for j in range(config.distractors)]
    missing = [job for job in jobs if not (root / file_of(*job)).exists()]
    render_all(drawn, root, missing, workers, "training scenes")
    whole = dict.fromkeys(BOX, np.nan)
    queries = [{"query_id": name_of(i), "path": file_of(i, -1), "instance": name_of(i), **whole} for i in chosen]
    positives = [
        {"query_id": name_of(i), "image_id": file_of(i, j), **whole} for i in chosen for j in range(config.scenes)
    ]
    files = [file_of(i, j) for i, j in jobs if j >= 0]
    return Benchmark("training", root, image_table(root, files), pd.DataFrame(queries), pd.DataFrame(positives))


def _seen(config: MatcherConfig) -> int:
    """The first object seed of the training world that the encoder was not trained on."""
    return int(specs.card(config.tokens.encoder)["pretraining"]["seed_range"][1])


def objects(config: MatcherConfig) -> tuple[ProceduralConfig, list[int]]:
    """The training world, and the rows of its objects that are used."""
    drawn = ProceduralConfig(seed=TRAINING_SEED, instances=OBJECTS, positives=config.scenes, siblings=0.4)
    unseen = (row for row, (seed, _) in enumerate(drawn.objects()) if seed >= _seen(config))
    return drawn, list(islice(unseen, config.instances))


def prepare(config: MatcherConfig, workers: int | None = None) -> TrainingLists:
    """Scenes, first stages and local descriptors of a configuration, from the cache or made now (some minutes)."""
    scenes = world(config, workers)
    encoder = encoders.create(config.tokens.encoder)
    patches = features.extract(scenes, "L3", encoder, workers=workers, batch=64)
    rankings = {}
    for stage in STAGES:
        level = patches.at_level(int(stage[1]))
        rankings[stage] = search.rank(level.query_descriptors, level, k=200).images
    return TrainingLists(
        config.tokens.extract(cutouts.queries(scenes), encoder, query=True, workers=workers),
        config.tokens.extract(cutouts.whole_images(scenes), encoder, workers=workers),
        [np.unique(scenes.relevant(query)[0]) for query in range(len(scenes.queries))],
        rankings,
    )
