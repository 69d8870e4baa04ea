"""What to train codebooks on: sets of vectors, new crops of the same and of other instances, and what a codebook keeps.

A codebook is judged by all codes: every indexed region is coded and decoded, then searched exactly, which ranks as a
search of the index with all lists probed does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import boxes as box_ops
from patchlib import codebooks, controlled, features, metrics, regions, search, statistics
from patchlib.benchmarks import procedural
from patchlib.benchmarks.record import BOX, Benchmark
from patchlib.encoders import Encoder
from patchlib.index import PatchIndex, faiss_threads

if TYPE_CHECKING:
    from patchlib.feature_set import FeatureSet

MOST = 8192  # vectors a codebook is trained on here; more change little and take long
COVERED = 0.5  # IoU from which a region shows the instance


class Trial(NamedTuple):
    """One codebook: the name of what it was trained on, how many vectors, codes per vector, seed."""

    name: str
    vectors: int
    m: int
    seed: int


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
    config = procedural.ProceduralConfig(**benchmark.meta["options"])
    jobs = {
        f"scenes/{i:04d}-{view:02d}.jpg": (config, i, view)
        for i in range(config.instances)
        for view in range(config.positives, 2 * config.positives)
    }
    queries = {f"queries/{i:04d}.png": (config, i, None) for i in range(config.instances)}
    owners = [(f"queries/{i:04d}.png", file, 0) for file, (_, i, _) in jobs.items()]
    settings = {"benchmark": benchmark.hash, "version": procedural.VERSION, "options": benchmark.meta["options"]}
    labels = {"scenes": ["new"]}
    return controlled.study(
        "new-scenes", settings, {**queries, **jobs}, _scene, {"scenes": owners}, labels, workers
    ).benchmark


def other_instances(benchmark: Benchmark, workers: int | None = None) -> Benchmark:
    """A procedural benchmark like this one with another seed: other instances, other scenes, no distractors."""
    options = {**benchmark.meta["options"], "seed": benchmark.meta["options"]["seed"] + 1, "distractors": 0}
    return procedural.load(workers=workers, **options)


def trials(
    available: Mapping[str, int], sizes: Iterable[int], codes: Iterable[int], seeds: int, least: int
) -> list[Trial]:
    """Every set at every number of vectors it has, and at all of them (at most :data:`MOST`), in every code size.

    Args:
        available: set -> number of its vectors.
        sizes: numbers of vectors to compare sets at.
        codes: numbers of codes per vector.
        seeds: of the sample and of k-means, 0 .. seeds - 1.
        least: vectors below which nothing can be trained.
    """
    found = []
    for name, count in available.items():
        numbers = {size for size in sizes if size <= count} | {min(count, MOST)}
        found += [
            Trial(name, n, m, seed) for n in sorted(numbers) if n >= least for m in codes for seed in range(seeds)
        ]
    return found


def coded(database: FeatureSet, training: NDArray[np.floating], trial: Trial, nlist: int) -> FeatureSet:
    """The database as a codebook keeps it: coded and decoded.

    Args:
        database: what is indexed.
        training: (T, D); ``trial.vectors`` of them are drawn with ``trial.seed``.
        trial: size of the sample and of the codes.
        nlist: number of lists.
    """
    decoded = codebook(training, trial, nlist).quantise(database.descriptors)
    return dataclasses.replace(database, descriptors=decoded)


def codebook(training: NDArray[np.floating], trial: Trial, nlist: int) -> PatchIndex:
    """An empty index trained on ``trial.vectors`` of the vectors, for :meth:`PatchIndex.quantise`."""
    rows = np.random.default_rng(trial.seed).choice(len(training), trial.vectors, replace=False)
    sample = np.asarray(training[np.sort(rows)], np.float32)
    with faiss_threads(1):
        index = codebooks.train(sample, codebooks.PLAIN, nlist, trial.m, 8, trial.seed)
    return PatchIndex(index, np.zeros(1, np.int64), {"training_vectors": len(sample)})


def score(
    database: FeatureSet, benchmark: Benchmark, training: NDArray[np.floating], trial: Trial, nlist: int,
    k: int | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Scores per query of a database that is coded with a codebook of :func:`codebook`."""
    with faiss_threads(1):
        kept = coded(database, training, trial, nlist)
    ranking = search.rank(kept.query_descriptors, kept, k, workers=1)
    return metrics.evaluate(ranking, benchmark, database, k)


def per_query(scores: Mapping[Trial, pd.DataFrame], name: str, vectors: int, m: int) -> pd.Series:
    """AP of every query in percent, the mean over the seeds of one codebook."""
    tables = [found for trial, found in scores.items() if trial[:3] == (name, vectors, m)]
    if not tables:
        raise ValueError(f"no codebook of {vectors} vectors of {name!r} with m = {m} was tried")
    return 100 * pd.concat([table.set_index("query_id")["ap"] for table in tables], axis=1).mean(axis=1)


def by_seed(scores: Mapping[Trial, pd.DataFrame]) -> pd.DataFrame:
    """mAP of every codebook with its interval over seeds.

    Returns:
        DataFrame indexed by (training set, vectors, m): ``mAP`` in percent, ``low``, ``high`` (95 %, Student's t over
        the seeds; the queries stay the same), ``seeds``.
    """
    means: dict[tuple[str, int, int], list[float]] = {}
    for trial, table in scores.items():
        means.setdefault(trial[:3], []).append(100 * float(table["ap"].mean()))
    rows = {key: statistics.over_runs(values) for key, values in means.items()}
    table = pd.DataFrame(rows, index=list(statistics.Interval._fields)).T
    table = table.rename(columns={"mean": "mAP", "n": "seeds"})[["mAP", "low", "high", "seeds"]]
    return table.astype({"seeds": int}).rename_axis(["training set", "vectors", "m"])


def kinds(database: FeatureSet, benchmark: Benchmark, ranking: search.Ranking) -> dict[str, NDArray[np.int64]]:
    """Rows of the indexed regions by what they show.

    Args:
        database: owner of the regions.
        benchmark: its boxes.
        ranking: exact, of the whole database or its head.

    Returns:
        "on an instance" (IoU with a true box of at least 0.5), "winning" (best region of a positive for its query),
        "background" (of images that are no positive, and regions that touch no true box).
    """
    overlap = np.zeros(len(database.boxes), np.float32)
    best = []
    for query in range(len(benchmark.queries)):
        images, boxes = benchmark.relevant(query)
        best.append(ranking.regions[query][np.isin(ranking.images[query], images)])
        for image, box in zip(images, boxes, strict=True):
            if not np.isnan(box).any():
                rows = slice(database.offsets[image], database.offsets[image + 1])
                overlap[rows] = np.maximum(overlap[rows], box_ops.iou(database.boxes[rows], box[None])[:, 0])
    winning = np.unique(np.concatenate(best))
    return {
        "on an instance": np.flatnonzero(overlap >= COVERED),
        "winning": winning[winning >= 0],
        "background": np.flatnonzero(overlap == 0),
    }


def errors(index: PatchIndex, groups: Mapping[str, NDArray[np.floating]]) -> pd.DataFrame:
    """What a codebook loses of vectors, and what it does to their length.

    Returns:
        DataFrame indexed by group: ``error`` (mean squared length of what is lost; the vectors have length 1) and
        ``length`` (mean length of what is kept).
    """
    rows = {}
    for name, vectors in groups.items():
        with faiss_threads(1):
            kept = index.quantise(vectors)
        lost = ((np.asarray(vectors, np.float32) - kept) ** 2).sum(axis=1).mean()
        rows[name] = {"error": float(lost), "length": float(np.linalg.norm(kept, axis=1).mean())}
    return pd.DataFrame(rows).T


def typical(difference: pd.Series, benchmark: Benchmark, quantile: float = 0.75) -> int:
    """Row of the query whose difference is nearest to a quantile of all; the first of several.

    Args:
        difference: per query, indexed by query_id.
        benchmark: owner of the queries.
        quantile: in [0, 1].
    """
    distance = (difference - difference.quantile(quantile)).abs()
    return int(np.flatnonzero(benchmark.queries["query_id"] == distance.idxmin())[0])


def _scene(job: tuple[procedural.ProceduralConfig, int, int | None]) -> Any:
    config, instance, view = job
    if view is None:
        return procedural.make_query(config, instance), None
    scene = procedural.make_scene(config, instance, view)
    return scene.image, scene.boxes
