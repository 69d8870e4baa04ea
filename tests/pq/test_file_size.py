"""Sizes by formula against what faiss writes."""

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
