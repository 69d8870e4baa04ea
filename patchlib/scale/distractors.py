"""Wrong images by the million: a model fitted to real ones, and how far it can be trusted.

A simulated image is a mixture of two real ones, patch by patch: x' = unit((1 - u) a + u b), with u drawn evenly from 0
to w. Real images a and b are drawn at random; w is fitted. What patches of one image have in common stays, and no two
images are the same; but nothing appears that no real image shows. Beyond the sizes where real images confirm it, a
curve is a statement of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from patchlib import metrics, regions
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features.feature_set import FeatureSet
from patchlib.support import machine, progress

FEWEST = 16  # wrong images that a model is fitted to
BLOCK = 500  # images drawn and scored at a time
WIDTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True, eq=False)
class Task:
    """A retrieval task in arrays: all images with equally many patches, those of a coarser level first.

    Attributes:
        images: (N, P, D) float32 unit rows.
        queries: (Q, D) unit rows.
        relevant: (Q, N) bool, the right images of every query.
        patches: (L,) patches of every level studied, ascending; the last one is P.
    """

    images: NDArray[np.float32]
    queries: NDArray[np.float32]
    relevant: NDArray[np.bool_]
    patches: tuple[int, ...]

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """(N, L, Q) score of every image at every level."""
        return level_scores(self.images, self.queries, self.patches)

    @cached_property
    def n_right(self) -> NDArray[np.int64]:
        """(Q,) right images."""
        return self.relevant.sum(axis=1)

    @cached_property
    def wrong(self) -> NDArray[np.int64]:
        """Images that are right for no query."""
        return np.flatnonzero(~self.relevant.any(axis=0))

    @cached_property
    def limits(self) -> NDArray[np.float32]:
        """(L, Q, R) scores of the right images, descending, NaN where a query has fewer than R."""
        ordered = np.sort(np.where(self.relevant.T[:, None], -self.scores, np.nan), axis=0)
        return -np.moveaxis(ordered[: self.n_right.max()], 0, -1)


def task(features: FeatureSet, benchmark: Benchmark, levels: Sequence[int]) -> Task:
    """Every second query of a benchmark, and its grid features as arrays.

    The images of the other queries are wrong for all that is asked, so that wrong ones can be made of them.

    Raises:
        ValueError: images with unequal numbers of regions.
    """
    counts = np.unique(np.diff(features.offsets))
    patches = tuple(regions.patch_count(level) for level in levels)
    if len(counts) > 1 or patches[-1] > counts[0]:
        raise ValueError(f"images have {counts.tolist()} regions, expected {patches[-1]} of each: grid features")
    rows = np.asarray(features.descriptors, np.float32).reshape(features.n_images, counts[0], -1)
    asked = range(0, len(benchmark.queries), 2)
    relevant = np.zeros((len(asked), features.n_images), bool)
    for row, query in enumerate(asked):
        relevant[row, benchmark.relevant(query)[0]] = True
    return Task(rows[:, : patches[-1]], features.query_descriptors[::2], relevant, patches)


def level_scores(
    images: NDArray[np.float32], queries: NDArray[np.float32], patches: Sequence[int]
) -> NDArray[np.float32]:
    """(n, L, Q) best patch of every image at every level: of its first ``patches[level]`` patches."""
    scores = images @ np.ascontiguousarray(queries.T)
    best: list[NDArray[np.float32]] = []
    start = 0
    for stop in patches:
        part = scores[:, start:stop].max(axis=1)
        best.append(np.maximum(best[-1], part) if best else part)
        start = stop
    return np.stack(best, axis=1)


@dataclass(frozen=True, eq=False)
class Distractors:
    """The model.

    Attributes:
        images: (C, P, D) real ones that are wrong for every query.
        width: w, in 0..1.
        seed: of the random numbers.
    """

    images: NDArray[np.float32]
    width: float
    seed: int = 0

    def draw(self, start: int, stop: int) -> NDArray[np.float32]:
        """Images ``start:stop``, (n, P, D); a draw depends on its start."""
        rng = np.random.default_rng([self.seed, start])
        parents = rng.integers(len(self.images), size=(stop - start, 2))
        share = rng.uniform(0, self.width, (stop - start, 1, 1)).astype(np.float32)
        rows = self.images[parents[:, 0]] * (1 - share)
        rows += self.images[parents[:, 1]] * share
        rows /= np.sqrt(np.einsum("npd,npd->np", rows, rows))[..., None]
        return rows


def fit(given: Task, chosen: NDArray[np.int64], depth: int, seed: int = 0) -> tuple[Distractors, pd.Series]:
    """The model of some real images whose width predicts best.

    For every width, either half of these images predicts the mAP among the other half, level by level; the width with
    the smallest error is taken.

    Args:
        given: a task; its right images are those of all predictions.
        chosen: wrong images to fit the model to.
        depth: of AP.
        seed: of the halves and of the model.

    Returns:
        The model, and the root mean square error over halves and levels, in points of mAP, by width.

    Raises:
        ValueError: too few images.
    """
    if len(chosen) < FEWEST:
        raise ValueError(
            f"{len(chosen)} images are right for none of the queries asked, expected at least {FEWEST} to fit a model "
            "of wrong images to; take a benchmark with more images or fewer right ones"
        )
    halves = np.array_split(np.random.default_rng(seed).permutation(chosen), 2)
    errors = {}
    for width in WIDTHS:
        gaps = [prediction_error(given, a, b, depth, width, seed) for a, b in (halves, halves[::-1])]
        errors[width] = float(np.sqrt(np.mean(np.square(gaps))))
    best = min(errors, key=lambda width: errors[width])
    return Distractors(given.images[chosen], best, seed), pd.Series(errors).rename_axis("width")


def prediction_error(
    given: Task, known: NDArray[np.int64], others: NDArray[np.int64], depth: int, width: float, seed: int = 0
) -> NDArray[np.float64]:
    """(L,) mAP among images simulated from known ones minus mAP among others, as many of each, in points."""
    predicted = share_above(Distractors(given.images[known], width, seed), given, [len(others)])[0]
    shares = (predicted, share_of(given, others))
    simulated, measured = (average_precision(share * len(others), given.n_right, depth) for share in shares)
    return 100 * np.nanmean(simulated - measured, axis=1)


def share_of(given: Task, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """(L, Q, R) share of the wrong ones among some real images that score above each right image."""
    wrong = ~given.relevant[:, chosen].T
    counts = count_above(np.where(wrong[:, None], given.scores[chosen], -np.inf), given.limits)
    return np.where(np.isnan(given.limits), np.nan, counts / np.maximum(wrong.sum(axis=0), 1)[:, None])


def share_above(
    found: Distractors, given: Task, sizes: Sequence[int], workers: int | None = None
) -> NDArray[np.float64]:
    """Share of simulated wrong images that score above each right image.

    Args:
        found: the model.
        given: the right images and their scores.
        sizes: numbers of images to draw, ascending; each draw holds the ones before it.
        workers: threads; None = one per core.

    Returns:
        (S, L, Q, R) in 0..1; NaN where a query has fewer than R right images.
    """
    edges = sorted({0, *sizes, *range(0, sizes[-1], BLOCK)})
    total, result = np.zeros(given.limits.shape), {}

    def work(start: int, stop: int) -> NDArray[np.int64]:
        return count_above(level_scores(found.draw(start, stop), given.queries, given.patches), given.limits)

    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(workers or machine.cores()) as pool,
        progress.track("simulated images", sizes[-1], "image") as bar,
    ):
        for start, stop, counts in zip(edges, edges[1:], pool.map(work, edges, edges[1:]), strict=False):
            total = total + counts
            if stop in sizes:
                result[stop] = np.where(np.isnan(given.limits), np.nan, total / stop)
            bar.update(stop - start)
    return np.stack([result[size] for size in sizes])


def average_precision(above: NDArray[np.floating], n_right: NDArray[np.int64], depth: int) -> NDArray[np.float64]:
    """AP@depth out of how many wrong images stand above each right one.

        AP = 1 / min(depth, R) * sum over j of j / (j + a_j), where j + a_j <= depth

    Args:
        above: (..., Q, R) a_j of the right images, best first; NaN behind the last one. May be fractions.
        n_right: (Q,) right images.
        depth: K.

    Returns:
        (..., Q) in 0..1; NaN for a query without right images.
    """
    ranks = np.arange(1, above.shape[-1] + 1) + above
    return metrics.average_precision_of_ranks(ranks, n_right, depth)


def count_above(scores: NDArray[np.float32], limits: NDArray[np.float32]) -> NDArray[np.int64]:
    """(L, Q, R) how many of the (n, L, Q) scores exceed each limit."""
    return np.stack([(scores > limits[..., place]).sum(axis=0) for place in range(limits.shape[-1])], axis=-1)
