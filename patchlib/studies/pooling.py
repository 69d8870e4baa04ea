"""Ideas beyond the paper that need no new descriptor: other ways to make one score per image out of the same patches.

Each is a function of a feature set and one number, its strength; strength 0 is the paper's score, the maximum over the
patches. So whatever chooses a strength may also choose to leave the idea alone.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import metrics, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features.feature_set import FeatureSet
from patchlib.search import Ranking
from patchlib.studies.encoder_study import spread
from patchlib.support import progress

BLOCK_BYTES = 256 << 20  # of scores held at a time
FIT = 100_000  # patches that a covariance is taken of
BANK = 4000  # patches that stand for the database where all pairs would be too many
NEIGHBOURS = 50  # of a patch in the bank
EXPANSION = 3  # images that a query is expanded with


@dataclass(frozen=True)
class ScoringVariant:
    """A way to rank, and the strengths to try."""

    rank: Callable[[FeatureSet, float], Ranking]  # (features, strength) -> Ranking of all images
    strengths: tuple[float, ...]  # in ascending order, 0 (the paper's score) first
    symbol: str  # of the strength, for an axis


def with_global(features: FeatureSet, weight: float) -> Ranking:
    """score = max over patches of q . r + ``weight`` * q . (whole image)."""
    scores, regions = _best(features)
    whole, _ = _best(features.at_level(0))
    return _ordered(scores + np.float32(weight) * whole, regions)


def soft_maximum(features: FeatureSet, temperature: float) -> Ranking:
    """score = t log sum over patches of exp(q . r / t): several good patches count more than one.

    Source: log-sum-exp; max <= score <= max + t log P, so t -> 0 is the paper's score.
    """
    best, regions = _best(features)
    if temperature == 0:
        return _ordered(best, regions)
    scores = best.copy()
    filled = np.flatnonzero(np.diff(features.offsets))
    patches = np.diff(features.offsets)[filled]
    for rows, products in _products(features):
        above = products - np.repeat(best[rows][:, filled], patches, axis=1)
        sums = np.add.reduceat(np.exp(above / np.float32(temperature)), features.offsets[filled], axis=1)
        scores[rows, filled] += np.float32(temperature) * np.log(sums)
    return _ordered(scores, regions)


def whitened(features: FeatureSet, power: float) -> Ranking:
    """The paper's score after the patches' directions of large variance are shrunk: x -> unit(L^(-p/2) V^T (x - mean)).

    V and L are eigenvectors and eigenvalues of the patches' covariance; p = 1 whitens fully, the mean leaves from
    p > 0 on. Fitted on the database alone, without a label.

    Source: H. Jegou, O. Chum, Negative evidences and co-occurences in image retrieval, ECCV 2012.
    """
    if power == 0:
        return _ordered(*_best(features))
    mean, covariance = _moments(features.descriptors)
    values, vectors = np.linalg.eigh(covariance)
    # directions that hardly vary hold rounding errors alone
    kept = values > 1e-6 * values[-1]
    projection = vectors[:, kept] * values[kept] ** (-power / 2)
    project = [_unit((rows - mean) @ projection) for rows in (features.descriptors, features.query_descriptors)]
    return _ordered(*_best(replace(features, descriptors=project[0], query_descriptors=project[1])))


def without_hubs(features: FeatureSet, weight: float) -> Ranking:
    """score = max over patches of q . r - ``weight`` * h(r), with h(r) the mean cosine of r and its nearest patches.

    A patch that many patches resemble is near everything, so near the query as well. The nearest patches are those of
    a sample of the database.

    Source: A. Conneau et al., Word translation without parallel data, ICLR 2018 (one side of CSLS).
    """
    if weight == 0:
        return _ordered(*_best(features))
    hubness = np.float32(weight) * _hubness(features.descriptors)
    # one more dimension turns the difference into a product
    wider = np.column_stack([features.descriptors, hubness]).astype(np.float32)
    queries = np.column_stack([features.query_descriptors, -np.ones(len(features.query_descriptors), np.float32)])
    return _ordered(*_best(replace(features, descriptors=wider, query_descriptors=queries.astype(np.float32))))


def expanded(features: FeatureSet, weight: float) -> Ranking:
    """The paper's score of an expanded query: unit(q + ``weight`` * sum of the winning patches of the first images).

    Source: O. Chum et al., Total recall, ICCV 2007; with winning patches in the place of whole images.
    """
    first = _ordered(*_best(features))
    if weight == 0:
        return first
    rows = first.regions[:, :EXPANSION]
    winners = np.asarray(features.descriptors[rows.ravel()], np.float32).reshape(*rows.shape, -1)
    added = (winners * (rows >= 0)[:, :, None]).sum(axis=1)
    queries = _unit(features.query_descriptors + np.float32(weight) * added)
    return _ordered(*_best(replace(features, query_descriptors=queries)))


VARIANTS = {
    "whole image too": ScoringVariant(with_global, (0, 0.05, 0.1, 0.2, 0.4), "weight of the whole image"),
    "soft maximum": ScoringVariant(soft_maximum, (0, 0.01, 0.02, 0.04, 0.08), "temperature"),
    "whitening": ScoringVariant(whitened, (0, 0.25, 0.5, 0.75, 1), "power"),
    "without hubs": ScoringVariant(without_hubs, (0, 0.25, 0.5, 0.75, 1), "weight of hubness"),
    "query expansion": ScoringVariant(expanded, (0, 0.1, 0.3, 1, 3), "weight of the patches"),
}


def sweep(
    features: FeatureSet, benchmark: Benchmark, ideas: Mapping[str, ScoringVariant], k: int | None = None
) -> pd.DataFrame:
    """AP of every query under every idea and strength: (idea, strength) x query_id, in 0..1."""
    rows = {}
    with progress.track("ideas", sum(len(idea.strengths) for idea in ideas.values()), "ranking") as bar:
        for name, idea in ideas.items():
            for strength in idea.strengths:
                table = metrics.evaluate(idea.rank(features, strength), benchmark, features, k=k)
                rows[name, float(strength)] = table.set_index("query_id")["ap"]
                bar.update(1)
    return pd.DataFrame(rows).T.rename_axis(index=["idea", "strength"])


def _best(features: FeatureSet) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    queries = np.ascontiguousarray(features.query_descriptors, np.float32)
    return search.best_regions(queries, features, 0, features.n_images)


def _ordered(scores: NDArray[np.float32], regions: NDArray[np.int32]) -> Ranking:
    return search.order_images(scores, regions, 0, scores.shape[1])


def _products(features: FeatureSet) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Cosines with all regions, (some queries, R) at a time."""
    step = max(1, BLOCK_BYTES // (4 * max(len(features.descriptors), 1)))
    transposed = np.asarray(features.descriptors, np.float32).T
    for start in range(0, len(features.query_descriptors), step):
        rows = slice(start, start + step)
        yield rows, features.query_descriptors[rows] @ transposed


def _moments(descriptors: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Mean (D,) and covariance (D, D) of rows, of an evenly spread sample where they are many."""
    rows = np.asarray(spread(descriptors, FIT), np.float64)
    mean = np.asarray(rows.mean(axis=0))
    return mean.astype(np.float32), np.cov(rows.T)


def _hubness(descriptors: NDArray[np.floating]) -> NDArray[np.float32]:
    """(R,) mean cosine of each patch and its nearest ones in an evenly spread sample."""
    bank = spread(descriptors, BANK)
    near = min(NEIGHBOURS, len(bank))
    step = max(1, BLOCK_BYTES // (4 * len(bank)))
    found = []
    for start in range(0, len(descriptors), step):
        cosines = np.asarray(descriptors[start : start + step], np.float32) @ np.asarray(bank, np.float32).T
        found.append(np.partition(cosines, len(bank) - near, axis=1)[:, len(bank) - near :].mean(axis=1))
    return np.concatenate(found)


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1)).astype(np.float32)
