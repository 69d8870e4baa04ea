"""Codebooks on trial: trained on a number of vectors with a seed, judged by what they retrieve and what they lose.

A codebook is judged by all codes: every indexed region is coded, decoded and searched exactly, which ranks as a search
of the index with all lists probed does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import boxes as box_ops
from patchlib import metrics, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.pq import codebooks
from patchlib.pq.index import BLOCK, PatchIndex, faiss_threads
from patchlib.studies import bootstrap

if TYPE_CHECKING:
    from patchlib.features.feature_set import FeatureSet

MOST = 8192  # vectors a codebook is trained on here; more change little and take long
COVERED = 0.5  # IoU from which a region shows the instance


class Trial(NamedTuple):
    """One codebook: the name of what it was trained on, how many vectors, codes per vector, seed."""

    name: str
    vectors: int
    m: int
    seed: int


def trials(available: Mapping[str, int], sizes: Iterable[int], codes: Iterable[int], seeds: int) -> list[Trial]:
    """Every set at every number of vectors it has, and at all of them (at most :data:`MOST`), in every code size.

    Args:
        available: set -> number of its vectors.
        sizes: numbers of vectors to compare sets at.
        codes: numbers of codes per vector.
        seeds: of the sample and of k-means, 0 .. seeds - 1.
    """
    found = []
    for name, count in available.items():
        numbers = {size for size in sizes if size <= count} | {min(count, MOST)}
        found += [Trial(name, n, m, seed) for n in sorted(numbers) for m in codes for seed in range(seeds)]
    return found


def rank(
    database: FeatureSet, training: NDArray[np.floating], trial: Trial, nlist: int, k: int | None = None
) -> search.Ranking:
    """Ranking of a database that is coded with a codebook of :func:`codebook`.

    Args:
        database: what is indexed, and the queries.
        training: (T, D); ``trial.vectors`` of them are drawn with ``trial.seed``.
        trial: size of the sample and of the codes.
        nlist: number of lists.
        k: images per query; None = all.
    """
    kept: Any = _Codes(codebook(training, trial, nlist), database.descriptors)
    return search.rank(database.query_descriptors, dataclasses.replace(database, descriptors=kept), k, workers=1)


def score(
    database: FeatureSet,
    benchmark: Benchmark,
    training: NDArray[np.floating],
    trial: Trial,
    nlist: int,
    k: int | None = None,
) -> pd.DataFrame:
    """Scores per query of :func:`rank`; ``k`` is the depth of AP."""
    return metrics.evaluate(rank(database, training, trial, nlist, k), benchmark, database, k)


def codebook(training: NDArray[np.floating], trial: Trial, nlist: int) -> PatchIndex:
    """An empty index trained on ``trial.vectors`` of the vectors, for :meth:`PatchIndex.quantise`."""
    rows = np.random.default_rng(trial.seed).choice(len(training), trial.vectors, replace=False)
    sample = np.asarray(training[np.sort(rows)], np.float32)
    with faiss_threads(1):
        index = codebooks.train(sample, codebooks.PLAIN, nlist, trial.m, 8, trial.seed)
    return PatchIndex(index, np.zeros(1, np.int64), {"training_vectors": len(sample)})


def per_query(scores: Mapping[Trial, pd.DataFrame], name: str, vectors: int, m: int) -> pd.Series:
    """AP of every query in percent, the mean over the seeds of one codebook."""
    tables = [found for trial, found in scores.items() if trial[:3] == (name, vectors, m)]
    if not tables:
        raise ValueError(f"no codebook of {vectors} vectors of {name!r} with m = {m} was tried")
    return 100 * pd.concat([table.set_index("query_id")["ap"] for table in tables], axis=1).mean(axis=1)


def own_and_other(
    scores: Mapping[Trial, pd.DataFrame], split: tuple[Benchmark, Benchmark], vectors: int, m: int
) -> tuple[pd.Series, pd.Series]:
    """AP of every query in percent with the codebook of its own half of the instances, and with that of the other half.

    Each codebook is "own" for one half of the queries and "other" for the other half, so that neither the crops nor the
    queries of the two sides differ: only whether the query's own instance was among the crops.

    Args:
        scores: trials of the sets "first half" and "second half".
        split: of :func:`patchlib.studies.training_sets.halves`.
        vectors: number of training vectors.
        m: codes per vector.
    """
    first, second = (per_query(scores, name, vectors, m) for name in ("first half", "second half"))
    inside = first.index.isin(split[0].queries["query_id"])
    return first.where(inside, second), second.where(inside, first)


def by_seed(scores: Mapping[Trial, pd.DataFrame]) -> pd.DataFrame:
    """mAP of every codebook with its interval over seeds.

    Returns:
        DataFrame indexed by (training_feature, vectors, m): ``mAP`` in percent, ``low``, ``high`` (95 %, Student's t
        over the seeds; the queries stay the same), ``seeds``.
    """
    means: dict[tuple[str, int, int], list[float]] = {}
    for trial, table in scores.items():
        means.setdefault(trial[:3], []).append(100 * float(table["ap"].mean()))
    rows = {key: bootstrap.over_runs(values) for key, values in means.items()}
    table = pd.DataFrame(rows, index=list(bootstrap.Interval._fields)).T
    table = table.rename(columns={"mean": "mAP", "n": "seeds"})[["mAP", "low", "high", "seeds"]]
    return table.astype({"seeds": int}).rename_axis(["training_feature", "vectors", "m"])


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


class _Codes:
    """The codes of descriptors, decoded where they are asked for: all of them decoded may not fit into memory."""

    def __init__(self, index: PatchIndex, descriptors: NDArray[np.floating]) -> None:
        self.index, self.shape, self.ndim = index.index, descriptors.shape, descriptors.ndim
        with faiss_threads(1):
            parts = [
                self.index.sa_encode(np.ascontiguousarray(descriptors[start : start + BLOCK], np.float32))
                for start in range(0, len(descriptors), BLOCK)
            ]
        self.codes = np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        with faiss_threads(1):
            return self.index.sa_decode(self.codes[rows])
