"""A database in parts: each is searched by itself, here or on a cluster, and the rankings become one.

A part is a run of consecutive images: a feature set or some of its images, or one index of several. The result is that
of one search through the whole, ties included, as an image's score depends on its own regions alone. Indexes have to be
trained on the same vectors (``PatchIndex.build(..., train_on=...)``), or their scores are no measure of each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from patchlib import search
from patchlib.features import cluster, feature_set
from patchlib.features.feature_set import FeatureSet
from patchlib.pq.index import PatchIndex
from patchlib.search import Ranking

if TYPE_CHECKING:
    from dask.distributed import Client


@dataclass(frozen=True)
class Part:
    """Where a part lies, and which images of the database it holds.

    Attributes:
        path: folder of a feature set, or file of a ``PatchIndex``.
        first, last: which images of it: ``first:last``.
        image, region: index of the first of them in the whole database, and of its first region.
    """

    path: Path
    first: int
    last: int
    image: int
    region: int


def of_files(paths: Sequence[str | Path]) -> list[Part]:
    """Feature sets or saved indexes as parts of one database, in the order given.

    Raises:
        FileNotFoundError, ValueError: one is not there, or damaged; names it.
    """
    parts: list[Part] = []
    image = region = 0
    for path in map(Path, paths):
        offsets = feature_set.load(path).offsets if path.is_dir() else PatchIndex.load(path).offsets
        parts.append(Part(path, 0, len(offsets) - 1, image, region))
        image, region = image + len(offsets) - 1, region + int(offsets[-1])
    if not parts:
        raise ValueError("no path was given, expected feature sets or saved indexes")
    return parts


def of_features(folder: str | Path, count: int) -> list[Part]:
    """A feature set in at most ``count`` parts of about equally many regions."""
    if count < 1:
        raise ValueError(f"count is {count}, expected a number of parts >= 1")
    offsets = feature_set.load(folder).offsets
    edges = np.searchsorted(offsets, np.linspace(0, offsets[-1], count + 1))
    edges[0], edges[-1] = 0, len(offsets) - 1  # images without regions at either end
    edges = np.unique(edges)
    pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [Part(Path(folder), first, last, first, int(offsets[first])) for first, last in pairs]


def rank(
    query_descriptors: NDArray[np.floating],
    parts: Sequence[Part],
    k: int | None = None,
    nprobe: int | None = None,
    executor: Client | None = None,
) -> Ranking:
    """Rank all images of all parts for every query.

    Args:
        query_descriptors: (Q, D) unit rows.
        parts: of :func:`of_files` or :func:`of_features`.
        k: how many images to keep; None = all N.
        nprobe: lists that indexes look into; None = all.
        executor: client of a Dask cluster that sees the files under the same paths; None = here, part by part.

    Returns:
        Ranking of depth min(k, N), images and regions numbered as in the whole database.

    Raises:
        ClusterError: see :func:`patchlib.features.cluster.run`.
        FileNotFoundError: a part has disappeared; names it.
        ValueError: as :func:`patchlib.search.rank` and :meth:`patchlib.pq.index.PatchIndex.search`; more regions than
            int32 can number.
    """
    if not parts:
        raise ValueError("no parts to search, expected those of sharded_search.of_files or of_features")
    executor = cluster.chosen(executor)  # PATCHLIB_SCHEDULER may name one
    queries = np.ascontiguousarray(query_descriptors, np.float32)
    n_images = sum(part.last - part.first for part in parts)
    depth = n_images if k is None else min(k, n_images)
    common = _Common(queries, k, nprobe, None if executor is None else 1)
    if executor is None:
        rankings: Iterable[Ranking] = (_search(common, part) for part in parts)
    else:
        rankings = (ranking for _, ranking in cluster.run(executor, _search, common, parts, "part of the database"))
    return reduce(lambda a, b: search.merge([a, b], depth), rankings)


class _Common(NamedTuple):
    """What all parts are asked."""

    queries: NDArray[np.float32]
    k: int | None
    nprobe: int | None
    threads: int | None


def _search(common: _Common, part: Part) -> Ranking:
    """A part's ranking, in the numbers of the whole database."""
    if not part.path.exists():
        raise FileNotFoundError(f"{part.path}, a part of the database, has disappeared; restore it or build it again")
    if part.path.is_dir():
        ranking = search.rank(common.queries, _slice(part), common.k, common.threads)
    else:
        ranking = PatchIndex.load(part.path).search(common.queries, common.k, common.nprobe, common.threads)
    regions = np.where(ranking.regions < 0, -1, ranking.regions.astype(np.int64) + part.region)
    if regions.max(initial=0) > np.iinfo(np.int32).max:
        raise ValueError(f"{part.path} holds regions beyond {np.iinfo(np.int32).max}, which int32 cannot number")
    return Ranking(ranking.images + np.int32(part.image), ranking.scores, regions.astype(np.int32))


def _slice(part: Part) -> FeatureSet:
    whole = feature_set.load(part.path)
    offsets = np.asarray(whole.offsets[part.first : part.last + 1])
    rows = slice(int(offsets[0]), int(offsets[-1]))
    arrays = whole.descriptors[rows], whole.boxes[rows], offsets - offsets[0]
    return FeatureSet(*arrays, whole.query_descriptors, whole.meta)
