"""Negatives by the million: a model fitted to real ones, and how far it can be trusted.

A simulated image is a mixture of two real ones, patch by patch: x' = unit((1 - u) a + u b), with u drawn evenly from 0
to w. Real images a and b are drawn at random; w is fitted. What patches of one image have in common stays, and no two
images are the same; but nothing appears that no real image shows. Beyond the sizes where real images confirm it, a
curve is a statement of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

FEWEST = 16  # negatives that a model is fitted to
BLOCK = 500  # images drawn and scored at a time
WIDTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True, eq=False)
class Task:
    """A retrieval task in arrays: all images with equally many patches, those of a coarser level first.

    Attributes:
        images: (N, P, D) float32 unit rows.
        queries: (Q, D) unit rows.
        relevant: (Q, N) bool, the positives of every query.
        levels: patches of each of the L levels studied, e.g. ``{"L0": 1, "L3": 30}``, ascending; the last one is P.
    """

    images: NDArray[np.float32]
    queries: NDArray[np.float32]
    relevant: NDArray[np.bool_]
    levels: dict[str, int]

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """(N, L, Q) score of every image at every level."""
        return level_scores(self.images, self.queries, self.levels.values())

    @cached_property
    def n_positives(self) -> NDArray[np.int64]:
        """(Q,) positives."""
        return self.relevant.sum(axis=1)

    @cached_property
    def negatives(self) -> NDArray[np.int64]:
        """Images that are positives of no query."""
        return np.flatnonzero(~self.relevant.any(axis=0))

    @cached_property
    def limits(self) -> NDArray[np.float32]:
        """(L, Q, R) scores of the positives, descending, NaN where a query has fewer than R."""
        ordered = np.sort(np.where(self.relevant.T[:, None], -self.scores, np.nan), axis=0)
        return -np.moveaxis(ordered[: self.n_positives.max()], 0, -1)

    def mean_average_precision(self, above: NDArray[np.floating], depth: int) -> NDArray[np.float64]:
        """(..., L) mAP@depth in percent, see :func:`average_precision`; ``above`` is (..., L, Q, R)."""
        return 100 * np.nanmean(average_precision(above, self.n_positives, depth), axis=-1)


def task_of(features: FeatureSet, benchmark: Benchmark, levels: Sequence[int]) -> Task:
    """Every second query of a benchmark, and its grid features as arrays.

    The positives of the other queries are negatives for all that is asked, so that more can be made of them.

    Raises:
        ValueError: images with unequal numbers of regions.
    """
    counts = np.unique(np.diff(features.offsets))
    patches = {f"L{level}": regions.patch_count(level) for level in levels}
    most = max(patches.values())
    if len(counts) > 1 or most > counts[0]:
        raise ValueError(f"images have {counts.tolist()} regions, expected {most} of each: grid features")
    rows = np.asarray(features.descriptors, np.float32).reshape(features.n_images, counts[0], -1)
    asked = range(0, len(benchmark.queries), 2)
    relevant = np.zeros((len(asked), features.n_images), bool)
    for row, query in enumerate(asked):
        relevant[row, benchmark.relevant(query)[0]] = True
    return Task(rows[:, :most], features.query_descriptors[::2], relevant, patches)


def level_scores(
    images: NDArray[np.float32], queries: NDArray[np.float32], patches: Iterable[int]
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
        images: (C, P, D) real negatives.
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


def fit(task: Task, chosen: NDArray[np.int64], depth: int, seed: int = 0) -> tuple[Distractors, pd.Series]:
    """The model of some real images whose width predicts best.

    For every width, either half of these images predicts the mAP among the other half, level by level; the width with
    the smallest error is taken.

    Args:
        task: its positives are those of all predictions.
        chosen: negatives to fit the model to.
        depth: of AP.
        seed: of the halves and of the model.

    Returns:
        The model, and the root mean square error over halves and levels, in points of mAP, by width.

    Raises:
        ValueError: too few images.
    """
    if len(chosen) < FEWEST:
        raise ValueError(
            f"{len(chosen)} images are positives of none of the queries asked, expected at least {FEWEST} to fit a "
            "model of negatives to; take a benchmark with more images or fewer positives"
        )
    halves = np.array_split(np.random.default_rng(seed).permutation(chosen), 2)
    errors = {}
    for width in WIDTHS:
        gaps = []
        for known, others in (halves, halves[::-1]):
            model = Distractors(task.images[known], width, seed)
            measured, simulated = real_and_simulated(task, model, others, [len(others)], depth)
            gaps.append(simulated - measured)
        errors[width] = float(np.sqrt(np.mean(np.square(gaps))))
    best = min(errors, key=lambda width: errors[width])
    return Distractors(task.images[chosen], best, seed), pd.Series(errors).rename_axis("width")


def real_and_simulated(
    task: Task, model: Distractors, others: NDArray[np.int64], sizes: Sequence[int], depth: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two times (S, L) mAP in percent: among the first of some real negatives, and among as many simulated ones."""
    counts = np.reshape(sizes, (-1, 1, 1, 1))
    real = np.stack([share_of(task, others[:size]) for size in sizes])
    drawn = share_above(model, task, sizes)
    return task.mean_average_precision(real * counts, depth), task.mean_average_precision(drawn * counts, depth)


def share_of(task: Task, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """(L, Q, R) share of the negatives among some real images that score above each positive."""
    negative = ~task.relevant[:, chosen].T
    counts = count_above(np.where(negative[:, None], task.scores[chosen], -np.inf), task.limits)
    return np.where(np.isnan(task.limits), np.nan, counts / np.maximum(negative.sum(axis=0), 1)[:, None])


def share_above(
    model: Distractors, task: Task, sizes: Sequence[int], workers: int | None = None
) -> NDArray[np.float64]:
    """Share of simulated images that score above each positive.

    Args:
        model: what they are drawn from.
        task: the positives and their scores.
        sizes: numbers of images to draw, ascending; each draw holds the ones before it.
        workers: threads; None = one per core.

    Returns:
        (S, L, Q, R) in 0..1; NaN where a query has fewer than R positives.
    """
    edges = sorted({0, *sizes, *range(0, sizes[-1], BLOCK)})
    total, result = np.zeros(task.limits.shape), {}

    def work(start: int, stop: int) -> NDArray[np.int64]:
        return count_above(level_scores(model.draw(start, stop), task.queries, task.levels.values()), task.limits)

    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(workers or machine.cores()) as pool,
        progress.track("simulated images", sizes[-1], "image") as bar,
    ):
        for start, stop, counts in zip(edges, edges[1:], pool.map(work, edges, edges[1:]), strict=False):
            total = total + counts
            if stop in sizes:
                result[stop] = np.where(np.isnan(task.limits), np.nan, total / stop)
            bar.update(stop - start)
    return np.stack([result[size] for size in sizes])


def average_precision(above: NDArray[np.floating], n_positives: NDArray[np.int64], depth: int) -> NDArray[np.float64]:
    """AP@depth out of how many negatives stand above each positive.

        AP = 1 / min(depth, R) * sum over j of j / (j + a_j), where j + a_j <= depth

    Args:
        above: (..., Q, R) a_j of the positives, best first; NaN behind the last one. May be fractions.
        n_positives: (Q,) positives.
        depth: K.

    Returns:
        (..., Q) in 0..1; NaN for a query without positives.
    """
    ranks = np.arange(1, above.shape[-1] + 1) + above
    return metrics.average_precision_of_ranks(ranks, n_positives, depth)


def count_above(scores: NDArray[np.float32], limits: NDArray[np.float32]) -> NDArray[np.int64]:
    """(L, Q, R) how many of the (n, L, Q) scores exceed each limit."""
    return np.stack([(scores > limits[..., place]).sum(axis=0) for place in range(limits.shape[-1])], axis=-1)
