"""From patches to images: exact image-level top K out of a faiss index with inverted lists.

Patches come out of faiss in descending score, so the first K distinct images are those of all as soon as the last
patch lies below the image of rank K; k grows until it does. Where k would reach a good part of the codes probed, taking
all of them unsorted is quicker.

A patch is one 64-bit number here, its score (turned round) above its region: in ascending order scores descend and ties
go to the lower region. Regions ascend with images, so ties between images go to the lower image too.
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
FIRST = 4  # patches asked for per image wanted
GROWTH = 4  # of k, for the queries that it was too small for
SHARE = 6  # patches per image wanted that are sorted first, once all have been taken
SCAN_SHARE = 6  # sorting out more than one code in 6 takes longer than taking all
HALF = np.uint64(32)
LOW = np.uint64(2**32 - 1)
NONE = np.uint64(2**64 - 1)  # what faiss fills up with: region -1


class Database(NamedTuple):
    """What a search looks into: an index whose ids are regions, and which image has which."""

    ivf: faiss.IndexIVF
    image_of: NDArray[np.int32]
    n_images: int


def rank_images(database: Database, queries: NDArray[np.float32], depth: int, nprobe: int) -> Ranking:
    """Images by their best patch in the probed lists; ties by lower image index, within an image by lower region.

    Args:
        database: larger scores are better; ``image_of`` (R,) ascends.
        queries: (Q, D), as the index sees them.
        depth: images per query, <= N.
        nprobe: lists to look into.

    Returns:
        Ranking of that depth. Images without a patch in the probed lists come last, in index order, with score -inf and
        region -1.
    """
    import faiss

    parameters = faiss.SearchParametersIVF()
    parameters.nprobe = nprobe
    ivf = database.ivf
    probed = max(1, ivf.ntotal * nprobe // ivf.nlist)
    rows = _Rows(database, len(queries), depth)
    todo, k = np.arange(len(queries)), FIRST * depth
    while len(todo) and k * SCAN_SHARE <= probed:
        undecided = []
        for batch in _batches(todo, k):
            patches = _patches(*ivf.search(queries[batch], k, params=parameters))
            patches.sort(axis=1)
            undecided += [query for query, row in zip(batch, patches, strict=True) if not rows.write(query, row, False)]
        todo, k = np.array(undecided, int), GROWTH * k
    for batch in _batches(todo, probed):
        limits, scores, regions = ivf.range_search(queries[batch], -np.inf, params=parameters)
        for query, row in zip(batch, np.split(_patches(scores, regions), limits[1:-1].astype(int)), strict=True):
            if not rows.write(query, _best(row, SHARE * depth), len(row) <= SHARE * depth):
                row.sort()
                rows.write(query, row, True)
    return rows.ranking


class RankingMerger:
    """One ranking out of those of parts of an index: the best patch of an image may lie in any of them.

    Each part gives its first ``depth`` images, or all that it has.
    """

    def __init__(self, database: Database, n_queries: int, depth: int) -> None:
        self._rows = _Rows(database, n_queries, depth)

    @property
    def ranking(self) -> Ranking:
        """The first images of all parts so far; what no part has reached comes last, in index order."""
        return self._rows.ranking

    def add(self, queries: NDArray[np.int64], part: Ranking) -> None:
        """Put in the ranking of some queries in one part."""
        for row, query in enumerate(queries):
            sides = ((self.ranking, query), (part, row))
            patches = [_patches(one.scores[i], one.regions[i].astype(np.int64)) for one, i in sides]
            self._rows.write(query, np.sort(np.concatenate(patches)), True)


class _Rows:
    """The ranking while it is being written, one query at a time."""

    def __init__(self, database: Database, n_queries: int, depth: int) -> None:
        shape = (n_queries, depth)
        scores, regions = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32)
        self.ranking = Ranking(np.empty(shape, np.int32), scores, regions)
        self.database, self.depth = database, depth
        self.first = np.empty(database.n_images, np.int64)  # read only where it was written for the same query

    def write(self, query: int, patches: NDArray[np.uint64], complete: bool) -> bool:
        """Write one query's row from its patches, best first.

        Args:
            query: row of the ranking.
            patches: ascending numbers of :func:`_patches`.
            complete: whether they are all there are in the probed lists.

        Returns:
            False, with nothing written, if patches that are not here could change the row.
        """
        if len(patches) and patches[-1] == NONE:
            patches, complete = patches[: np.searchsorted(patches, NONE)], True
        regions = (patches & LOW).astype(np.int64)
        images = self.database.image_of[regions]
        order = np.arange(len(patches))
        self.first[images[::-1]] = order[::-1]  # of several patches of an image the best one stays
        wins = np.flatnonzero(self.first[images] == order)[: self.depth]
        if not complete and (len(wins) < self.depth or patches[wins[-1]] >> HALF == patches[-1] >> HALF):
            return False
        reached = len(wins)
        self.ranking.images[query, :reached] = images[wins]
        self.ranking.scores[query, :reached] = _scores(patches[wins])
        self.ranking.regions[query, :reached] = regions[wins]
        if reached < self.depth:
            rest = np.ones(self.database.n_images, bool)
            rest[images[wins]] = False
            self.ranking.images[query, reached:] = np.flatnonzero(rest)[: self.depth - reached]
        return True


def _patches(scores: NDArray[np.float32], regions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One number per patch, smaller for a better score and then for a lower region; region -1 gives the largest."""
    return descending(scores) << HALF | regions.view(np.uint64)


def _scores(patches: NDArray[np.uint64]) -> NDArray[np.float32]:
    """The scores that :func:`_patches` was given."""
    ascending = ~(patches >> HALF).astype(np.uint32)
    return np.where(ascending >> 31, ascending ^ np.uint32(1 << 31), ~ascending).view(np.float32)


def _best(patches: NDArray[np.uint64], count: int) -> NDArray[np.uint64]:
    """The ``count`` best patches, best first; selecting before sorting spares most of the sorting."""
    if count < len(patches):
        patches = np.partition(patches, count - 1)[:count]
    return np.sort(patches)


def _batches(queries: NDArray[np.int64], per_query: int) -> Iterator[NDArray[np.int64]]:
    """Queries in parts whose scores and ids fit ``BATCH_BYTES``, if each has ``per_query`` of them."""
    size = max(1, BATCH_BYTES // (12 * per_query))
    for start in range(0, len(queries), size):
        yield queries[start : start + size]
