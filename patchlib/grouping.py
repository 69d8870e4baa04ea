"""From patches to images: exact image-level top K out of a faiss index with inverted lists.

Patches come out of faiss in descending score, so the first K distinct images are the right ones as soon as the last
patch lies below the image of rank K; k grows until it does. Where k would reach a good part of the codes probed, taking
all of them unsorted and reducing them image by image is quicker.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchlib.search import Ranking, descending

if TYPE_CHECKING:
    import faiss

BATCH_BYTES = 64 << 20  # of scores and ids held at a time
FIRST = 2  # patches asked for per image wanted
GROWTH = 4  # of k, for the queries that it was too small for
SCAN_SHARE = 16  # sorting out more than one code in 16 takes longer than taking all
WORST = np.uint64(2**64 - 1)
LOW = np.uint64(2**32 - 1)


class Patches(NamedTuple):
    """Patches that one query found, among them everything that decides its first images."""

    query: int
    scores: NDArray[np.float32]
    regions: NDArray[np.int64]


def rank_images(
    ivf: faiss.IndexIVF,
    queries: NDArray[np.float32],
    image_of: NDArray[np.int32],
    n_images: int,
    depth: int,
    nprobe: int,
) -> Ranking:
    """Images by their best patch in the probed lists; ties by lower image index, within an image by lower region.

    Args:
        ivf: index whose ids are rows of ``image_of``; larger scores are better.
        queries: (Q, D), as the index sees them.
        image_of: (R,) image of every region.
        n_images: N.
        depth: images per query, <= N.
        nprobe: lists to look into.

    Returns:
        Ranking of that depth. Images without a patch in the probed lists come last, in index order, with score -inf
        and region -1.
    """
    shape = (len(queries), depth)
    ranking = Ranking(np.empty(shape, np.int32), np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32))
    for query, scores, regions in _patches(ivf, queries, image_of, depth, nprobe):
        images = image_of[regions]
        wins = _winners(scores, regions, images, n_images, depth)
        found = len(wins)
        ranking.images[query, :found] = images[wins]
        ranking.scores[query, :found] = scores[wins]
        ranking.regions[query, :found] = regions[wins]
        if found < depth:
            rest = np.ones(n_images, bool)
            rest[images[wins]] = False
            ranking.images[query, found:] = np.flatnonzero(rest)[: depth - found]
    return ranking


def _patches(
    ivf: faiss.IndexIVF, queries: NDArray[np.float32], image_of: NDArray[np.int32], depth: int, nprobe: int
) -> Iterator[Patches]:
    """For every query once, in any order."""
    import faiss

    parameters = faiss.SearchParametersIVF()
    parameters.nprobe = nprobe
    probed = max(1, ivf.ntotal * nprobe // ivf.nlist)
    todo, k = np.arange(len(queries)), FIRST * depth
    while len(todo) and k * SCAN_SHARE <= probed:
        undecided = []
        for batch in _batches(todo, k):
            scores, regions = ivf.search(queries[batch], k, params=parameters)
            for row, query in enumerate(batch):
                if _decided(scores[row], regions[row], image_of, depth):
                    hits = regions[row] >= 0
                    yield Patches(query, scores[row][hits], regions[row][hits])
                else:
                    undecided.append(query)
        todo, k = np.array(undecided, int), GROWTH * k
    for batch in _batches(todo, probed):
        limits, scores, regions = ivf.range_search(queries[batch], -np.inf, params=parameters)
        edges = limits.astype(int)
        for query, low, high in zip(batch, edges[:-1], edges[1:], strict=True):
            yield Patches(query, scores[low:high], regions[low:high])


def _decided(scores: NDArray[np.float32], regions: NDArray[np.int64], image_of: NDArray[np.int32], depth: int) -> bool:
    """Whether patches, best first, hold all that ties with the image of rank ``depth`` or beats it."""
    if regions[-1] < 0:
        return True  # the probed lists hold no more
    return len(np.unique(image_of[regions[scores > scores[-1]]])) >= depth


def _winners(
    scores: NDArray[np.float32], regions: NDArray[np.int64], images: NDArray[np.int32], n_images: int, depth: int
) -> NDArray[np.int64]:
    """Positions of the best patch of each of the first ``depth`` images, in ranking order."""
    # one number per patch, smaller for a better score and then for a lower region
    keys = descending(scores) << np.uint64(32) | regions.astype(np.uint64)
    best = np.empty(n_images, np.uint64)  # only the images found are ever touched
    best[images] = WORST
    np.minimum.at(best, images, keys)
    wins = np.flatnonzero(keys == best[images])
    order = keys[wins] & ~LOW | images[wins].astype(np.uint64)
    if depth < len(wins):
        first = np.argpartition(order, depth - 1)[:depth]
        wins, order = wins[first], order[first]
    return wins[np.argsort(order)]


def _batches(queries: NDArray[np.int64], per_query: int) -> Iterator[NDArray[np.int64]]:
    """Queries in parts whose scores and ids fit ``BATCH_BYTES``, if each has ``per_query`` of them."""
    size = max(1, BATCH_BYTES // (12 * per_query))
    for start in range(0, len(queries), size):
        yield queries[start : start + size]
