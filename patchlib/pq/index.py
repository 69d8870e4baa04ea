"""A compressed index of a feature set: faiss IVFPQ, image-level rankings, one file on disk.

score(q, image) = max over the image's regions in the probed lists of q . decoded(r), as faiss computes it from its
tables. Equal scores are ordered as everywhere: lower image index first, within an image the lower region.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchlib.pq import file_size, image_topk, training
from patchlib.pq.training import PLAIN, IndexSpec
from patchlib.search import Ranking
from patchlib.support import progress, provenance

if TYPE_CHECKING:
    import faiss

    from patchlib.features.feature_set import FeatureSet

BLOCK = 4096  # regions added at a time; faiss works on copies of them
SHARED = 50_000  # codes that are worth the wait for another thread
TRAILER = struct.Struct("<3Q8s")  # bytes of faiss' part, of the offsets, of the metadata; mark
MARK = b"PATCHIDX"


@dataclass(frozen=True, eq=False)
class PatchIndex:
    """Codes of all regions of a feature set in inverted lists, and which image owns which.

    Attributes:
        index: trained faiss index with inverted lists; the id of a vector is its row in the feature set.
        offsets: (N+1,) int64; image i owns rows ``offsets[i]:offsets[i+1]``.
        meta: nlist, m, nbits, factory, seed, training_vectors, identity of the features.
        path: the file it was loaded from, or None.
    """

    index: faiss.Index
    offsets: NDArray[np.int64]
    meta: dict[str, Any]
    path: Path | None = None

    @classmethod
    def build(
        cls,
        features: FeatureSet,
        train_on: FeatureSet | ArrayLike | None = None,
        nlist: int | None = None,
        m: int | None = None,
        nbits: int = 8,
        seed: int = 0,
        *,
        factory: str = PLAIN,
        threads: int | None = None,
    ) -> PatchIndex:
        """Train an index and add every region, block by block.

        Beside the index, memory holds one sample of ``training.sample_rows`` training vectors, later one block of
        regions. The same arguments give the same bytes.

        Args:
            features: (R, D) descriptors to index, often memory-mapped.
            train_on: (T, D) vectors or a feature set to train on; None = the indexed regions.
            nlist: number of lists; None = :func:`patchlib.pq.training.default_spec`.
            m: codes per vector, a divisor of D; None = likewise.
            nbits: bits per code.
            seed: of samples and k-means.
            factory: another faiss index with inverted lists, e.g. ``"IVF{nlist},SQ8"``.
            threads: of faiss; None = as they are set.

        Raises:
            ValueError: too few training vectors, m does not divide D, a zero or NaN descriptor, another dimension.

        Source: supplement S7 (IVFPQ; m = 64, nlist = 4096, nbits = 8), Table 6 (``train_on``).
        """
        vectors, spec = settings(features, train_on, nlist=nlist, m=m, nbits=nbits, seed=seed, factory=factory)
        with faiss_threads(threads):
            index = training.train(vectors, spec)
            add(index, features, 0, features.n_images)
        return cls(index, np.asarray(features.offsets, np.int64), described(features, vectors, spec))

    def search(
        self, queries: NDArray[np.floating], k: int | None = None, nprobe: int | None = None, threads: int | None = None
    ) -> Ranking:
        """Exact image-level top K over the codes of the probed lists.

        Args:
            queries: (Q, D) unit rows.
            k: images per query; None = all N.
            nprobe: lists to look into; None = all, which leaves the codes as the only approximation.
            threads: of faiss; None = as they are set.

        Returns:
            Ranking of depth min(k, N). Images without a region in the probed lists come last, in index order, with
            score -inf and region -1.

        Raises:
            ValueError: another dimension, NaN, k or nprobe out of range.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        nprobe = self.ivf.nlist if nprobe is None else nprobe
        n_images = len(self.offsets) - 1
        self._check(queries, k, nprobe)
        with faiss_threads(threads) as count:
            # as a rule each query has a thread of its own; a lone one shares out its lists, if they are long enough
            probed = self.ivf.ntotal * nprobe // self.ivf.nlist
            self.ivf.parallel_mode = int(len(queries) < count and probed > SHARED)
            rotated = training.rotate(self.index, queries)
            depth = n_images if k is None else min(k, n_images)
            database = image_topk.Database(self.ivf, self.image_of, n_images)
            return image_topk.rank_images(database, rotated, depth, nprobe)

    def quantise(self, descriptors: NDArray[np.floating]) -> NDArray[np.float32]:
        """What the codes keep of descriptors: encoded and decoded, (B, D) float32.

        The quantisation error of x is the squared length of ``x - index.quantise(x)``.
        """
        vectors = np.ascontiguousarray(descriptors, np.float32)
        return self.index.sa_decode(self.index.sa_encode(vectors))

    def save(self, path: str | Path) -> Path:
        """Write the index into one file, whole or not at all; returns the path."""
        with provenance.atomic_write(path) as file:
            if self.path is not None:
                # faiss would write a memory-mapped index as a reference to its file
                with open(self.path, "rb") as source:
                    shutil.copyfileobj(source, file)
            else:
                file_size.write(self.index, file.write)
                file.write(self._tail(file.tell()))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, features: FeatureSet | None = None) -> PatchIndex:
        """Open a saved index; its inverted lists stay on disk, memory-mapped.

        Args:
            path: file of :meth:`save`.
            features: the feature set that it should belong to; None = do not check.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is truncated, no index, or of other features; names it.
        """
        import faiss

        path = Path(path)
        offsets, meta = _read_tail(path)
        if features is not None and meta["features"] != identity(features):
            raise ValueError(
                f"{path} indexes other features ({meta['features']}, these are {identity(features)}); build the index "
                "again with PatchIndex.build(features).save(path), or pass the features it was built from"
            )
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as error:
            raise ValueError(f"{path} is damaged; build the index again ({error})") from error
        return cls(index, offsets, meta, path)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of the saved file."""
        if self.path is not None:
            return self.path.stat().st_size
        return file_size.serialised_bytes(self.index) + len(self._tail(0))

    @cached_property
    def ivf(self) -> Any:
        """The part of the index that holds the inverted lists."""
        return training.lists_of(self.index)

    @cached_property
    def image_of(self) -> NDArray[np.int32]:
        """(R,) image of every region."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), np.diff(self.offsets))

    def _tail(self, faiss_bytes: int) -> bytes:
        """Offsets, metadata and a trailer behind faiss' part of the file."""
        offsets, meta = self.offsets.tobytes(), provenance.canonical_json(self.meta).encode()
        return offsets + meta + TRAILER.pack(faiss_bytes, len(offsets), len(meta), MARK)

    def _check(self, queries: NDArray[np.float32], k: int | None, nprobe: int) -> None:
        if queries.ndim != 2 or queries.shape[1] != self.index.d:
            raise ValueError(f"query descriptors have shape {queries.shape}, expected (Q, {self.index.d}) as indexed")
        if not np.isfinite(queries).all():
            raise ValueError("query descriptors hold NaN or infinity; extract them again")
        if k is not None and k < 1:
            raise ValueError(f"k is {k}, expected a depth >= 1")
        if not 1 <= nprobe <= self.ivf.nlist:
            raise ValueError(f"nprobe is {nprobe}, expected 1 to {self.ivf.nlist}, the number of lists")


def identity(features: FeatureSet) -> str:
    """Eight hex digits that tell feature sets apart: shapes, offsets, hash and up to 1024 rows, evenly spread."""
    rows = np.unique(np.linspace(0, len(features.descriptors) - 1, 1024).astype(int))
    digest = hashlib.sha256(np.ascontiguousarray(features.descriptors[rows], np.float32).tobytes())
    digest.update(np.asarray(features.offsets, np.int64).tobytes())
    return provenance.config_hash([features.descriptors.shape, features.meta.get("hash"), digest.hexdigest()])


def settings(features: FeatureSet, train_on: FeatureSet | ArrayLike | None, **chosen: Any) -> tuple[Any, IndexSpec]:
    """What an index of these features is trained on, (T, D), and its spec: ``chosen`` where that is not None.

    Raises:
        ValueError: training vectors of another dimension, or more regions than int32 can count.
    """
    vectors: Any = features.descriptors if train_on is None else getattr(train_on, "descriptors", train_on)
    count, dim = features.descriptors.shape
    if np.ndim(vectors) != 2 or np.shape(vectors)[1] != dim:
        raise ValueError(f"training vectors have shape {np.shape(vectors)}, expected (T, {dim})")
    if count > np.iinfo(np.int32).max:
        raise ValueError(f"{count} regions do not fit int32; index the database in parts")
    rule = training.default_spec(min(len(vectors), count), dim)
    return vectors, replace(rule, **{name: value for name, value in chosen.items() if value is not None})


def described(features: FeatureSet, vectors: Any, spec: IndexSpec) -> dict[str, Any]:
    """The metadata of an index: everything that decides its bytes."""
    return {**asdict(spec), "training_vectors": len(vectors), "features": identity(features)}


def add(index: faiss.Index, features: FeatureSet, start: int, stop: int) -> None:
    """Add the regions of the images ``start:stop``, block by block; a region's id is its row in the feature set."""
    first, last = (int(features.offsets[image]) for image in (start, stop))
    label = f"indexing {features.meta.get('name', f'{last - first} regions')}"
    with progress.track(label, last - first, "region") as bar:
        for row in range(first, last, BLOCK):
            block = features.descriptors[row : min(row + BLOCK, last)]
            vectors: Any = training.checked(block, row, "descriptor of region")
            index.add_with_ids(vectors, np.arange(row, row + len(block)))
            bar.update(len(block))


def _read_tail(path: Path) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """Offsets and metadata of an index file, after a look at its length."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, size - TRAILER.size))
        trailer = file.read()
        if len(trailer) < TRAILER.size or not trailer.endswith(MARK):
            raise ValueError(f"{path} is truncated or no index of PatchIndex.save; build the index again")
        faiss_bytes, offsets_bytes, meta_bytes, _ = TRAILER.unpack(trailer)
        expected = faiss_bytes + offsets_bytes + meta_bytes + TRAILER.size
        if size != expected:
            raise ValueError(f"{path} has {size} bytes, expected {expected}; build the index again")
        file.seek(faiss_bytes)
        offsets = np.frombuffer(file.read(offsets_bytes), np.int64)
        return offsets, json.loads(file.read(meta_bytes))


@contextmanager
def faiss_threads(count: int | None) -> Iterator[int]:
    """Give faiss that many threads for a while, and say how many; the setting is the process's, so it is put back."""
    import faiss

    before = faiss.omp_get_max_threads()
    if count is not None and count < 1:
        raise ValueError(f"threads is {count}, expected at least 1")
    try:
        faiss.omp_set_num_threads(count or before)
        yield count or before
    finally:
        faiss.omp_set_num_threads(before)
