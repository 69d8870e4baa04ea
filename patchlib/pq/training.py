"""Training of a compressed index: how many lists and codes, from which vectors, with which seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from patchlib.support import paths, progress, provenance

if TYPE_CHECKING:
    import faiss

NLIST, M = 4096, 64  # of the paper, at full size
VECTORS_PER_LIST = 40  # that k-means should see; faiss warns below 39
VECTORS_PER_CODE = 128
DIMENSIONS_PER_CODE = 16  # of the paper: D = 1024, m = 64
ROUNDS = 10  # of k-means over the lists, faiss' default
PLAIN = "IVF{nlist},PQ{m}x{nbits}"


@dataclass(frozen=True, kw_only=True)
class IndexSpec:
    """What decides the bytes of an index beside the vectors it is trained on.

    Attributes:
        nlist: number of inverted lists.
        m: codes per vector.
        nbits: bits per code.
        factory: faiss factory string with the placeholders {nlist}, {m}, {nbits}.
        seed: of the samples, of k-means over the lists and over the codes.
    """

    nlist: int
    m: int
    nbits: int = 8
    factory: str = PLAIN
    seed: int = 0


def default_spec(n_vectors: int, dim: int) -> IndexSpec:
    """The paper's nlist = 4096 and m = 64, scaled down for small sets and short descriptors.

    - nlist: the largest power of two, at most 4096, that leaves 40 vectors to each list (k-means needs about that
      many); 4096 lists need 163,840 vectors.
    - m: as many dimensions a code as in the paper, 1024 / 64 = 16: the largest divisor of D up to min(64, D / 16).

    Args:
        n_vectors: vectors to train on or to index, whichever are fewer.
        dim: D.
    """
    if n_vectors < 1 or dim < 1:
        raise ValueError(f"{n_vectors} vectors of {dim} dimensions cannot be indexed; expected at least one of each")
    lists = max(n_vectors // VECTORS_PER_LIST, 1)
    most = min(M, max(dim // DIMENSIONS_PER_CODE, 1))
    m = max(divisor for divisor in range(1, most + 1) if dim % divisor == 0)
    return IndexSpec(nlist=min(NLIST, 1 << (lists.bit_length() - 1)), m=m)


def sample_rows(nlist: int, nbits: int) -> int:
    """Vectors that training holds in memory at a time: 40 per list, or twice 128 per code, whichever are more."""
    return max(VECTORS_PER_LIST * nlist, 2 * VECTORS_PER_CODE * 2**nbits)


def train(training: ArrayLike, spec: IndexSpec) -> faiss.Index:
    """An empty trained index for inner products; trained once, then read from the cache.

    The lists are trained on a sample of 40 vectors each, the codes on another of 128 each beside which their residuals
    stand, so memory is bounded by :func:`sample_rows` whatever the size of ``training``.

    Args:
        training: (T, D), often memory-mapped.
        spec: of the index.

    Raises:
        ValueError: too few training vectors, m does not divide D, a shape or factory faiss does not know.
    """
    import faiss

    vectors = np.asanyarray(training)
    index = _empty(vectors, spec)
    path = paths.cache() / "codebooks" / f"{_identity(vectors, spec)}.faiss"
    if path.exists():
        return _read(path)
    _train(index, vectors, spec)
    provenance.write_changed(path, faiss.serialize_index(index).tobytes())
    return index


def _identity(vectors: NDArray[np.floating], spec: IndexSpec) -> str:
    """Hash of all that decides a trained index: the vectors it will be shown, its spec, faiss, and how we train."""
    import faiss

    rng, digest = np.random.default_rng(spec.seed), hashlib.sha256(Path(__file__).read_bytes())
    for count in (sample_rows(spec.nlist, spec.nbits), VECTORS_PER_CODE * 2**spec.nbits):
        digest.update(_sample(vectors, count, rng).data)
    config = [vectors.shape, spec, faiss.__version__, faiss.omp_get_max_threads(), digest.hexdigest()]
    return hashlib.sha256(provenance.canonical_json(config).encode()).hexdigest()[:32]


def _read(path: Path) -> faiss.Index:
    import faiss

    try:
        return faiss.deserialize_index(np.fromfile(path, np.uint8))
    except RuntimeError as error:
        raise ValueError(f"{path} is damaged; remove it and run again ({error})") from error


def _train(index: faiss.Index, vectors: NDArray[np.floating], spec: IndexSpec) -> None:
    ivf = lists_of(index)
    rng = np.random.default_rng(spec.seed)
    sample = _sample(vectors, sample_rows(spec.nlist, spec.nbits), rng)
    for transform in transforms(index):
        _train_transform(transform, sample, spec)
        sample = transform.apply(sample)
    _train_lists(ivf, sample, spec.seed)
    del sample
    sample = rotate(index, _sample(vectors, VECTORS_PER_CODE * 2**spec.nbits, rng))
    _seed_codes(ivf, spec.seed, len(sample))
    ivf.train(sample)
    index.is_trained = True


def lists_of(index: faiss.Index) -> Any:
    """The part of an index that holds the inverted lists, as its own class.

    Raises:
        RuntimeError: it has none.
    """
    import faiss

    lists: Any = faiss.downcast_index(faiss.extract_index_ivf(index))
    lists.referenced_objects = [index]  # it is a part of the index, and must not outlive it
    return lists


def transforms(index: faiss.Index) -> list[faiss.VectorTransform]:
    """The rotations and projections in front of the inverted lists, first to last."""
    import faiss

    if not isinstance(index, faiss.IndexPreTransform):
        return []
    chain: Any = index.chain
    return [faiss.downcast_VectorTransform(chain.at(i)) for i in range(chain.size())]


def rotate(index: faiss.Index, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors as the inverted lists see them: after all :func:`transforms`."""
    for transform in transforms(index):
        vectors = transform.apply(vectors)
    return vectors


def checked(rows: NDArray[np.floating], first: int, what: str) -> NDArray[np.float32]:
    """Rows as contiguous float32, none of them zero or with NaN.

    Args:
        rows: (n, D).
        first: number of row 0, for the message.
        what: name of a row, for the message.

    Raises:
        ValueError: names the first bad row.
    """
    vectors = np.ascontiguousarray(rows, np.float32)
    norms = np.einsum("ij,ij->i", vectors, vectors)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(bad):
        kind = "zero" if norms[bad[0]] == 0 else "NaN or infinite"
        raise ValueError(f"{what} {first + bad[0]} is {kind} ({len(bad)} such rows here); extract the features again")
    return vectors


def _empty(vectors: NDArray[np.floating], spec: IndexSpec) -> faiss.Index:
    """The untrained index of a factory string, after a look at everything that faiss would refuse in its own words."""
    import faiss

    if vectors.ndim != 2:
        raise ValueError(f"training vectors have shape {vectors.shape}, expected (T, D)")
    (count, dim), nlist, m, nbits = vectors.shape, spec.nlist, spec.m, spec.nbits
    if not 1 <= nbits <= 16:
        raise ValueError(f"nbits is {nbits}, expected 1 to 16 bits per code")
    if nlist < 1:
        raise ValueError(f"nlist is {nlist}, expected at least one list")
    if "{m}" in spec.factory and (m < 1 or dim % m):
        divisors = ", ".join(str(divisor) for divisor in range(1, dim + 1) if dim % divisor == 0)
        raise ValueError(f"m is {m}, expected a divisor of the {dim} dimensions: {divisors}")
    codes = 2**nbits if "PQ" in spec.factory else 1
    if count < max(nlist, codes):
        chosen = default_spec(max(count, 1), dim).nlist
        raise ValueError(
            f"{count} training vectors are too few: nlist={nlist} lists and {codes} codes need at least "
            f"{max(nlist, codes)}, better {max(VECTORS_PER_LIST * nlist, VECTORS_PER_LIST * codes)}; give more "
            f"training vectors, or nlist={chosen} (the rule for {count} vectors) and fewer nbits"
        )
    try:
        index = faiss.index_factory(dim, spec.factory.format(nlist=nlist, m=m, nbits=nbits), faiss.METRIC_INNER_PRODUCT)
        lists_of(index)
    except RuntimeError as error:
        raise ValueError(
            f"faiss makes no index with inverted lists of {spec.factory!r} for {dim} dimensions ({error}); expected a "
            f"factory string such as {PLAIN!r} or 'IVF{{nlist}},SQ8'"
        ) from error
    return index


def _sample(vectors: NDArray[np.floating], size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    if len(vectors) <= size:
        return checked(vectors[:], 0, "training vector")
    rows = np.sort(rng.choice(len(vectors), size, replace=False))
    return checked(vectors[rows], 0, "training vector (of a sample)")


def _train_transform(transform: faiss.VectorTransform, sample: NDArray[np.float32], spec: IndexSpec) -> None:
    import faiss

    if transform.is_trained:
        return
    if isinstance(transform, faiss.OPQMatrix):
        codes = faiss.ProductQuantizer(transform.d_out, transform.M, spec.nbits)
        codes.cp.seed, codes.cp.min_points_per_centroid = spec.seed, 1
        transform.pq = codes
        # fifty rounds of k-means: as many vectors as the codewords need
        transform.train(sample[:: max(1, len(sample) // (VECTORS_PER_LIST * 2**spec.nbits))].copy())
        transform.pq = None
        return
    transform.train(sample)
    if isinstance(transform, faiss.PCAMatrix):
        # centring moves queries and descriptors apart: inner products need the projection alone
        faiss.copy_array_to_vector(np.zeros(transform.d_out, np.float32), transform.b)


def _train_lists(ivf: faiss.IndexIVF, sample: NDArray[np.float32], seed: int) -> None:
    """k-means in single rounds, so that their progress shows; each goes on from the centroids of the one before."""
    import faiss

    settings = faiss.ClusteringParameters()
    settings.seed, settings.niter, settings.spherical = seed, 1, ivf.cp.spherical
    settings.min_points_per_centroid, settings.max_points_per_centroid = 1, len(sample)
    clustering = faiss.Clustering(ivf.d, ivf.nlist, settings)
    with progress.track(f"training {ivf.nlist} lists", ROUNDS, "round") as bar:
        for _ in range(ROUNDS):
            ivf.quantizer.reset()
            clustering.train(sample, ivf.quantizer)
            bar.update(1)


def _seed_codes(ivf: faiss.IndexIVF, seed: int, count: int) -> None:
    """Settings of k-means over the codes; of all codecs, product quantisation alone draws random numbers."""
    if not hasattr(ivf, "pq"):
        return
    ivf.pq.cp.seed = seed
    ivf.pq.cp.min_points_per_centroid, ivf.pq.cp.max_points_per_centroid = 1, count
    if hasattr(ivf, "do_polysemous_training"):
        # orders the codes for a filter that is not used here, and takes ten times as long as k-means
        ivf.do_polysemous_training = False
