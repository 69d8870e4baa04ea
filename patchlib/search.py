"""Exact search: score(q, image) = max over the image's regions of q . r, images ranked by their best region.

Ties are broken the same way everywhere: higher score first, then lower image index; within an image the lower region.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from patchlib.features import FeatureSet
from patchlib.support import machine

BLOCK_BYTES = 10 << 20  # of scores per thread: what the last-level cache holds, so that they never reach memory
CHUNK_BYTES = 512 << 20  # of best scores and regions kept before they are cut to the first k


@dataclass(frozen=True)
class Ranking:
    """The first K images of every query.

    Attributes:
        images: (Q, K) int32 image indices, best first.
        scores: (Q, K) float32 cosine of the winning region; -inf for an image without regions.
        regions: (Q, K) int32 winning region, a row of the feature set; -1 for an image without regions.
    """

    images: NDArray[np.int32]
    scores: NDArray[np.float32]
    regions: NDArray[np.int32]

    def head(self, k: int) -> Ranking:
        """The first k images."""
        return Ranking(self.images[:, :k], self.scores[:, :k], self.regions[:, :k])

    def without(self, junk: Mapping[int, NDArray[np.integer]]) -> Ranking:
        """The same with some images of some queries (row -> images) behind all others, as if without regions."""
        if not junk:
            return self
        out = np.stack([np.isin(row, junk.get(query, ())) for query, row in enumerate(self.images)])
        order = np.argsort(out, axis=1, kind="stable")
        parts = self.images, np.where(out, -np.inf, self.scores), np.where(out, -1, self.regions)
        images, scores, regions = (np.take_along_axis(part, order, axis=1) for part in parts)
        return Ranking(images, scores.astype(np.float32), regions)


def rank(
    query_descriptors: NDArray[np.floating], features: FeatureSet, k: int | None = None, workers: int | None = None
) -> Ranking:
    """Rank all database images for every query, exactly.

    The product is taken block by block of images on ``workers`` threads, and each block of scores is reduced to its
    images' best regions while it is in cache. Beside the result it needs a few tens of MB; with k, at most
    512 MB whatever the database's size.

    Args:
        query_descriptors: (Q, D) unit rows.
        features: (R, D) descriptors and the offsets of the N images.
        k: how many images to keep; None = all N.
        workers: threads; None = one per core.

    Returns:
        Ranking of depth min(k, N).

    Raises:
        ValueError: dimensions differ, k < 1, or a descriptor is not finite.
    """
    queries = np.ascontiguousarray(query_descriptors, np.float32)
    n_images = len(features.offsets) - 1
    _check(queries, features, k)
    depth = n_images if k is None else min(k, n_images)
    chunk = n_images if k is None else max(depth, CHUNK_BYTES // (8 * max(len(queries), 1)))
    merged = _blank(len(queries), 0)
    for start in range(0, n_images, chunk):
        stop = min(start + chunk, n_images)
        scores, regions = best_regions(queries, features, start, stop, workers)
        if np.isnan(scores).any():
            raise ValueError("database descriptors hold NaN; extract them again")
        part = order_images(scores, regions, start, depth)
        merged = merge([merged, part], depth) if start else part
    return merged


def recall(found: Ranking, truth: Ranking, top: int) -> float:
    """Share of the first ``top`` images of ``truth`` that are among those of ``found``, mean over queries."""
    pairs = zip(found.images[:, :top], truth.images[:, :top], strict=True)
    return float(np.mean([np.isin(wanted, got).mean() for got, wanted in pairs]))


def best_regions(
    queries: NDArray[np.float32], features: FeatureSet, start: int, stop: int, workers: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Best score and region of the images ``start:stop`` for every query: (Q, stop - start), in image order."""
    scores = np.full((len(queries), stop - start), -np.inf, np.float32)
    regions = np.full((len(queries), stop - start), -1, np.int32)
    transposed = np.ascontiguousarray(queries.T)

    def work(block: tuple[int, int]) -> None:
        best, region = _reduce_block(transposed, features, *block)
        columns = slice(block[0] - start, block[1] - start)
        scores[:, columns], regions[:, columns] = best.T, region.T

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers or machine.cores()) as pool:
        for _ in pool.map(work, _blocks(features.offsets, start, stop, len(queries))):
            pass
    return scores, regions


def order_images(scores: NDArray[np.float32], regions: NDArray[np.int32], first_image: int, depth: int) -> Ranking:
    """Sort images by descending score, ties by ascending image index; ``scores`` and ``regions`` are not changed.

    Args:
        scores, regions: (Q, n) in image order; winning regions.
        first_image: image index of column 0.
        depth: how many images to keep, at most.
    """
    n = scores.shape[1]
    depth = min(depth, n)
    result = _blank(len(scores), depth)
    columns = np.arange(n, dtype=np.uint64)
    for query, row in enumerate(scores):
        keys = descending(row) << np.uint64(32) | columns
        if depth < n:
            keys = np.partition(keys, depth - 1)[:depth]
        keys.sort()
        order = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        result.images[query] = order + first_image
        result.scores[query] = row[order]
        result.regions[query] = regions[query, order]
    return result


def _reduce_block(
    transposed: NDArray[np.float32], features: FeatureSet, start: int, stop: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """(n, Q) best score and region of the images start:stop, all of which have the same number of regions."""
    first, last = features.offsets[start], features.offsets[stop]
    count = (last - first) // (stop - start)
    if count == 0:
        shape = (stop - start, transposed.shape[1])
        return np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32)
    scores = np.asarray(features.descriptors[first:last], np.float32) @ transposed
    scores = scores.reshape(stop - start, count, transposed.shape[1])
    best = scores.max(axis=1)
    region = np.zeros(best.shape, np.int32)
    # downwards, so that the lowest of equal regions is written last
    for row in range(count - 1, -1, -1):
        np.copyto(region, row, where=scores[:, row] == best)
    region += first + count * np.arange(stop - start, dtype=np.int32)[:, None]
    return best, region


def _blocks(offsets: NDArray[np.int64], start: int, stop: int, n_queries: int) -> Iterator[tuple[int, int]]:
    """Runs of consecutive images with equally many regions, at most ``BLOCK_BYTES`` of scores each."""
    counts = np.diff(offsets[start : stop + 1])
    edges = np.flatnonzero(np.diff(counts)) + 1
    runs = zip(np.r_[0, edges], np.r_[edges, len(counts)], strict=True)
    for low, high in runs:
        per_block = max(1, int(BLOCK_BYTES // (4 * max(n_queries, 1) * max(counts[low], 1))))
        for block in range(low, high, per_block):
            yield int(start + block), int(start + min(block + per_block, high))


def merge(rankings: Sequence[Ranking], depth: int) -> Ranking:
    """One ranking out of several of different images: higher score first, then lower image index.

    Where each (Q, K_i) is ``depth`` deep or holds all that its images give, the result is that of all images.
    """
    images, scores, regions = (
        np.concatenate([getattr(ranking, name) for ranking in rankings], axis=1)
        for name in ("images", "scores", "regions")
    )
    keys = descending(scores) << np.uint64(32) | images.astype(np.uint64)
    order = np.argsort(keys, axis=1)[:, :depth]
    return Ranking(*(np.take_along_axis(values, order, axis=1) for values in (images, scores, regions)))


def _blank(queries: int, depth: int) -> Ranking:
    shape = (queries, depth)
    return Ranking(np.empty(shape, np.int32), np.empty(shape, np.float32), np.empty(shape, np.int32))


def descending(scores: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Integers that ascend where float32 scores descend (sign-magnitude bits turned into an order)."""
    bits = (scores + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0: they must tie
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000))
    return (~ascending).astype(np.uint64)


def _check(queries: NDArray[np.float32], features: FeatureSet, k: int | None) -> None:
    if queries.ndim != 2 or queries.shape[1] != features.descriptors.shape[1]:
        raise ValueError(
            f"query descriptors have shape {queries.shape}, expected (Q, {features.descriptors.shape[1]}) "
            "like the database descriptors"
        )
    if k is not None and k < 1:
        raise ValueError(f"k is {k}, expected a depth >= 1")
    if not np.isfinite(queries).all():
        raise ValueError("query descriptors hold NaN or infinity; extract them again")
    if len(features.descriptors) > np.iinfo(np.int32).max:
        raise ValueError(f"{len(features.descriptors)} regions do not fit int32; rank the database in parts")
