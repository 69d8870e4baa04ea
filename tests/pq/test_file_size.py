"""Sizes by formula against what faiss writes."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from patchlib.pq import file_size


@pytest.mark.parametrize(
    "count, dim, m, nlist, nbits", [(700, 32, 8, 16, 8), (64, 24, 3, 1, 4), (10, 16, 16, 7, 6), (50, 64, 4, 32, 10)]
)
def test_formula_is_what_faiss_writes(count: int, dim: int, m: int, nlist: int, nbits: int) -> None:
    index = file_size.filled_index(count, dim, m, nlist, nbits)
    assert index.invlists.compute_ntotal() == count
    written = len(faiss.serialize_index(index))
    assert file_size.serialised_bytes(index) == written
    assert file_size.index_bytes(count, dim, m, nlist, nbits) == written


def test_an_index_filled_without_training_is_as_large_as_a_trained_one() -> None:
    vectors = np.random.default_rng(0).standard_normal((2000, 16), np.float32)
    trained = faiss.index_factory(16, "IVF8,PQ4np", faiss.METRIC_INNER_PRODUCT)
    trained.train(vectors)
    trained.add(vectors)
    assert len(faiss.serialize_index(trained)) == file_size.index_bytes(2000, 16, m=4, nlist=8)


def test_mostly_empty_lists_are_written_as_pairs() -> None:
    index = file_size.filled_index(3, 16, 4, 8)
    full = file_size.HEADER + 4 * 16 * (8 + 256)
    assert len(faiss.serialize_index(index)) == full + file_size.list_bytes(3, 4, 8, 3) == full + 3 * 16 + 3 * 12


@pytest.mark.parametrize("size, dim", [(16, 128), (8, 128), (64, 1024), (24, 192)])
def test_equal_bytes_are_equal(size: int, dim: int) -> None:
    codes = file_size.equal_bytes(size, dim)
    assert {"PQ", "OPQ+PQ", "SQ8", "SQ4"} <= set(codes)
    assert ("RaBitQ" in codes) == (8 < size <= 8 + dim // 8)
    for factory in codes.values():
        index = faiss.index_factory(dim, factory.format(nlist=4), faiss.METRIC_INNER_PRODUCT)
        assert faiss.downcast_index(faiss.extract_index_ivf(index)).code_size == size, factory


def test_equal_bytes_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="size is 10 bytes, expected a divisor of the 128"):
        file_size.equal_bytes(10, 128)
