"""An index larger than memory: built in parts, merged on disk, searched within a memory budget.

A folder holds it, in faiss' own files (:mod:`patchlib.pq.disk_files`), which plain faiss opens too. Building goes part
by part, each a :class:`PatchIndex` file of its own until all are merged; whatever stops a build, the same call goes on
from the last finished part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchlib.features.feature_set import consecutive_runs
from patchlib.pq import disk_files, file_size, image_topk, index, training
from patchlib.pq.disk_files import DATA, INDEX, Entries, enough_space
from patchlib.pq.index import PatchIndex
from patchlib.pq.training import IndexSpec
from patchlib.search import Ranking
from patchlib.support import progress, provenance
from patchlib.support.files import locked

if TYPE_CHECKING:
    import faiss

    from patchlib.features.feature_set import FeatureSet

PLAN, TRAINED, OFFSETS = "build.json", "trained.faiss", "offsets.npy"
META = "index.json"  # written last: its presence says that the index is complete


@dataclass(frozen=True, eq=False)
class DiskIndex(PatchIndex):
    """A :class:`PatchIndex` whose lists stay in ``lists.ivfdata``, memory-mapped; made by :func:`build`."""

    def search(
        self,
        queries: NDArray[np.floating],
        k: int | None = None,
        nprobe: int | None = None,
        threads: int | None = None,
        memory: int | None = None,
    ) -> Ranking:
        """As :meth:`PatchIndex.search`, with a bound on what is resident.

        With ``memory``, the lists that the queries probe are taken in the order in which they lie on disk, as many at
        a time as fit, each once for all queries, and let go before the next ones. The ranking is the same.

        Args:
            queries: (Q, D) unit rows.
            k: images per query; None = all N.
            nprobe: lists to look into; None = all.
            threads: of faiss; None = as they are set.
            memory: bytes of lists that may be mapped and resident at a time; None = as many as the system leaves there.
                The rest of the process (centroids, 8 bytes an image, a few hundred MB of libraries) comes on top. Pages
                that the system keeps in its cache are not the process's, and go when memory is needed.

        Raises:
            ValueError: also when a single list is larger than ``memory``.
        """
        nprobe = self.ivf.nlist if nprobe is None else nprobe
        if memory is None:
            return super().search(queries, k, nprobe, threads)
        queries = np.ascontiguousarray(queries, np.float32)
        self._check(queries, k, nprobe)
        with index.faiss_threads(threads):
            _, probed = self.ivf.quantizer.search(training.rotate(self.index, queries), nprobe)
        groups = self._groups(np.unique(probed), memory)
        disk_files.drop_pages(self.ivf)  # of earlier searches
        if len(groups) == 1:
            ranking = super().search(queries, k, nprobe, threads)
            disk_files.drop_pages(self.ivf)
            return ranking
        n_images = len(self.offsets) - 1
        database = image_topk.Database(self.ivf, self.image_of, n_images)
        merger = image_topk.RankingMerger(database, len(queries), n_images if k is None else min(k, n_images))
        for lists in groups:
            asking = np.flatnonzero(np.isin(probed, lists).any(axis=1))
            part = replace(self, index=disk_files.read(self.folder, lists.tolist()))  # its mapping ends with it
            merger.add(asking, PatchIndex.search(part, queries[asking], k, nprobe, threads))
        return merger.ranking

    def save(self, path: str | Path) -> Path:
        """Refused: the index is on disk already, where the error says."""
        raise ValueError(f"the index lies in the folder {self.folder} already; copy that to {path}")

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the files."""
        return sum((self.folder / name).stat().st_size for name in (INDEX, DATA, OFFSETS, META))

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return cast(Path, self.path).parent

    @cached_property
    def image_of(self) -> NDArray[np.int32]:
        """Image of every region; computed, where all images have equally many."""
        each = self.meta["regions_per_image"]
        return super().image_of if each is None else cast(NDArray[np.int32], _Equal(each))

    @cached_property
    def _list_bytes(self) -> NDArray[np.int64]:
        return disk_files.sizes(self.ivf) * (self.ivf.code_size + 8)

    def _groups(self, lists: NDArray[np.int64], memory: int) -> list[NDArray[np.int64]]:
        """Lists in ascending order, as many together as take at most ``memory`` bytes."""
        sizes = self._list_bytes[lists]
        if sizes.max(initial=0) > memory:
            raise ValueError(f"a list takes {sizes.max()} bytes, but memory is {memory}; allow that much or more")
        return [lists[start:stop] for start, stop in consecutive_runs(np.r_[0, np.cumsum(sizes)], memory)]


class _Equal:
    """All that a search asks of ``image_of``, without 4 bytes a region."""

    def __init__(self, each: int) -> None:
        self.each = each

    def __getitem__(self, regions: NDArray[np.int64]) -> NDArray[np.int32]:
        return (regions // self.each).astype(np.int32)


def build(
    features: FeatureSet,
    folder: str | Path,
    train_on: FeatureSet | ArrayLike | None = None,
    nlist: int | None = None,
    m: int | None = None,
    nbits: int = 8,
    seed: int = 0,
    *,
    memory: int = 4 << 30,
    threads: int | None = None,
) -> DiskIndex:
    """Build an index in ``folder``, or go on with it, or open it where it is complete.

    Args:
        features, train_on, nlist, m, nbits, seed, threads: as of :meth:`PatchIndex.build`; the ranking is the same.
        folder: of the index; while it is built it takes twice its size.
        memory: bytes that the codes of a part may take while it is encoded; decides how many parts there are.

    Raises:
        ValueError: the folder holds another index, or a damaged part; as :meth:`PatchIndex.build`.
        OSError: no space left; names the file and what to do. Finished parts are kept.
    """
    folder = Path(folder)
    vectors, spec = index.settings(features, train_on, nlist=nlist, m=m, nbits=nbits, seed=seed)
    meta = index.described(features, vectors, spec)
    with locked(folder), index.faiss_threads(threads):
        planned = _plan(features, folder, meta, memory)
        if not (folder / META).exists():
            empty = _trained(vectors, spec, folder)
            parts = [_part(features, empty, meta, folder, start, stop) for start, stop in planned]
            write(folder, empty, features.offsets, meta, _merged(parts))
            for path in [*parts, folder / TRAINED]:
                path.unlink()
    return load(folder, features)


def load(folder: str | Path, features: FeatureSet | None = None) -> DiskIndex:
    """Open an index of :func:`build`; its lists stay on disk.

    ``features``: the feature set that it should belong to; None = do not check.

    Raises:
        FileNotFoundError: there is none, or it is unfinished.
        ValueError: a file is missing or damaged, or it is of other features; names it.
    """
    folder = Path(folder)
    if not (folder / META).exists():
        raise FileNotFoundError(f"{folder} holds no finished index; run on_disk.build again, which goes on with it")
    meta = provenance.read_json(folder / META)
    if features is not None and meta["features"] != index.identity(features):
        raise ValueError(f"{folder} indexes other features; build these in a folder of their own")
    offsets = np.load(folder / OFFSETS, mmap_mode="r")
    return DiskIndex(disk_files.read(folder), offsets, meta, folder / INDEX)


def write(
    folder: Path, empty: faiss.Index, offsets: NDArray[np.int64], meta: dict[str, Any], lists: Iterable[Entries]
) -> None:
    """Write a whole index from its lists; see :func:`patchlib.pq.disk_files.write`."""
    disk_files.write(folder, empty, int(offsets[-1]), lists)
    with enough_space(folder / OFFSETS), provenance.atomic_write(folder / OFFSETS) as file:
        np.save(file, np.asarray(offsets, np.int64))
    each = np.unique(np.diff(offsets))
    provenance.write_json(folder / META, meta | {"regions_per_image": int(each[0]) if len(each) == 1 else None})


def _plan(features: FeatureSet, folder: Path, meta: dict[str, Any], memory: int) -> list[tuple[int, int]]:
    """Which images make a part; written at first, read when the build goes on."""
    path = folder / PLAN
    if not path.exists():
        row = file_size.code_bytes(meta["m"], meta["nbits"]) + 8
        parts = consecutive_runs(features.offsets, memory // (2 * row))  # growing lists take twice their size
        provenance.write_json(path, {"settings": meta, "parts": parts})
    plan = provenance.read_json(path)
    other = [f"{name} {plan['settings'].get(name)}" for name in meta if plan["settings"].get(name) != meta[name]]
    if other:
        raise ValueError(
            f"{folder} holds another index, with {', '.join(other)}; choose another folder, or remove it to build anew"
        )
    return plan["parts"]


def _trained(vectors: Any, spec: IndexSpec, folder: Path) -> faiss.Index:
    import faiss

    path = folder / TRAINED
    if not path.exists():
        with enough_space(path), provenance.atomic_write(path) as file:
            file_size.write(training.train(vectors, spec), file.write)
    return faiss.read_index(str(path))


def _part(features: FeatureSet, empty: faiss.Index, meta: dict[str, Any], folder: Path, start: int, stop: int) -> Path:
    """The file of one part, with the ids of the whole; made if it is not there."""
    import faiss

    path = folder / f"part-{start:09d}-{stop:09d}.index"
    if not path.exists():
        filled = faiss.clone_index(empty)
        index.add(filled, features, start, stop)
        with enough_space(path):
            PatchIndex(filled, np.asarray(features.offsets[start : stop + 1], np.int64), meta).save(path)
    return path


def _merged(parts: list[Path]) -> Iterator[Entries]:
    """The lists of all parts together, one after the other; the entries of a list in the parts' order."""
    opened = [_open(path) for path in parts]
    nlist = opened[0].ivf.nlist
    with progress.track(f"merging {len(parts)} parts", nlist, "list") as bar:
        for number in range(nlist):
            codes, ids = zip(*(disk_files.entries(part.ivf, number) for part in opened), strict=True)
            yield Entries(np.concatenate(codes), np.concatenate(ids))
            bar.update(1)


def _open(path: Path) -> PatchIndex:
    try:
        return PatchIndex.load(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} has disappeared; run on_disk.build again, which makes it again and keeps the other parts"
        ) from error
    except ValueError as error:
        raise ValueError(f"{error}: remove {path.name} first, the other parts are kept") from error
