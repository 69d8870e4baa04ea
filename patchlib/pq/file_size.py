"""How many bytes an index takes.

Symbols: n vectors of D dimensions, ``nlist`` inverted lists, m codes of ``nbits`` bits a vector. An IVFPQ index holds

    4 nlist D            centroids of the lists, float32
    4 2^nbits D          codebooks of the m sub-quantisers, float32
    8 nlist              lengths of the lists
    n (m nbits / 8 + 8)  code and id of every vector

and what faiss writes beside that (:data:`HEADER` bytes) is the same for every index. None of it depends on the values
of the vectors, so real indexes can be built without any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import faiss

HEADER = 180  # of a serialised IVFPQ index: dimensions, counts, type names; 32 of them are its inverted lists'


def code_bytes(m: int, nbits: int = 8) -> int:
    """Bytes of one vector's m codes of ``nbits`` bits."""
    return -(-m * nbits // 8)


def index_bytes(n_vectors: int, dim: int, m: int = 64, nlist: int = 4096, nbits: int = 8) -> int:
    """Bytes of a serialised faiss IVFPQ index, to the byte.

    ``n_vectors`` spread over more than half of the lists (of fewer, faiss writes the lengths in another way).

    Source: supplement S7; the formula is faiss' file format, the published sizes follow from it.
    """
    lists = 8 * nlist + n_vectors * (code_bytes(m, nbits) + 8)
    return HEADER + 4 * dim * (nlist + 2**nbits) + lists


def raw_bytes(n_vectors: int, dim: int) -> int:
    """Bytes of the float32 descriptors themselves."""
    return 4 * n_vectors * dim


def filled_index(n_vectors: int, dim: int, m: int = 64, nlist: int = 4096, nbits: int = 8) -> faiss.IndexIVFPQ:
    """A real faiss IVFPQ index of n vectors, all of them zero, filled without training or encoding.

    Its size is that of any trained index of the same shape; what it finds means nothing.
    """
    import faiss

    quantizer = faiss.IndexFlatIP(dim)
    quantizer.add(np.zeros((nlist, dim), np.float32))
    index = faiss.IndexIVFPQ(quantizer, dim, nlist, m, nbits, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.zeros(2**nbits * dim, np.float32), index.pq.centroids)
    index.is_trained = True
    each, rest = divmod(n_vectors, nlist)
    lists: Any = index.invlists
    for number in range(nlist):
        lists.resize(number, each + (number < rest))
    index.ntotal = n_vectors
    return index


def serialised_bytes(index: faiss.Index) -> int:
    """Size of an index as faiss writes it, counted without keeping the bytes."""
    written = 0

    def count(block: bytes) -> None:
        nonlocal written
        written += len(block)

    write(index, count)
    return written


def write(index: faiss.Index, sink: Callable[[bytes], object]) -> None:
    """Pass an index, as faiss writes it, to ``sink`` block by block."""
    import faiss

    faiss.write_index(index, faiss.PyCallbackIOWriter(sink))  # type: ignore[attr-defined]
