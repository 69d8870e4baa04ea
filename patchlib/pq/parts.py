"""Rankings of parts of a database, put together: exact where each part gives its first images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchlib.search import Ranking


class RankingMerger:
    """Rankings of parts of the same index, put together: the best region of an image may lie in any of them."""

    def __init__(self, n_queries: int, depth: int, n_images: int) -> None:
        nothing = (np.empty(0, np.float32), np.empty(0, np.int32), np.empty(0, np.int32))
        self.rows: list[tuple[NDArray[Any], ...]] = [nothing] * n_queries
        self.depth, self.n_images = depth, n_images

    def add(self, queries: NDArray[np.int64], ranking: Ranking) -> None:
        """The ranking of some queries in one part."""
        for row, query in enumerate(queries):
            reached = ranking.regions[row] >= 0
            new = (ranking.scores[row], ranking.images[row], ranking.regions[row])
            self.rows[query] = self._best(self.rows[query], tuple(values[reached] for values in new))

    def ranking(self) -> Ranking:
        """The first ``depth`` images of all parts; what no part has reached comes last, in index order."""
        shape = (len(self.rows), self.depth)
        result = Ranking(np.empty(shape, np.int32), np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32))
        for query, (scores, images, regions) in enumerate(self.rows):
            found = len(images)
            result.scores[query, :found], result.regions[query, :found] = scores, regions
            rest = np.setdiff1d(np.arange(min(self.n_images, found + self.depth)), images)
            result.images[query] = np.concatenate([images, rest[: self.depth - found]])
        return result

    def _best(self, old: tuple[NDArray[Any], ...], new: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
        scores, images, regions = (np.concatenate(columns) for columns in zip(old, new, strict=True))
        order = np.lexsort((regions, images, -scores))
        first = np.sort(np.unique(images[order], return_index=True)[1])[: self.depth]
        return tuple(values[order[first]] for values in (scores, images, regions))
