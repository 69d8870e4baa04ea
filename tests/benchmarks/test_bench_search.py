"""Exact search beside one plain matrix product, and beside faiss with de-duplication in Python.

The operands are a slice of INSTRE's size: all 1,250 queries, 1,024 dimensions, 30 regions an image, fewer images.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np
import pytest
from builders import feature_set
from pytest_benchmark.fixture import BenchmarkFixture

from patchlib.feature_set import FeatureSet
from patchlib.search import rank

QUERIES, DIM, REGIONS, IMAGES = 1250, 1024, 30, 300
INSTRE_IMAGES = 26_543


def units(rng: np.random.Generator, rows: int) -> np.ndarray:
    values = rng.standard_normal((rows, DIM), dtype=np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    rng = np.random.default_rng(0)
    return feature_set(units(rng, IMAGES * REGIONS), [REGIONS] * IMAGES, units(rng, QUERIES))


def fastest(function: Callable[[], object], rounds: int = 3) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def test_extra_memory_at_instres_number_of_images(benchmark: BenchmarkFixture) -> None:
    """Four dimensions, one region: result and work space as at INSTRE's size. First, as a process' peak never falls."""
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((INSTRE_IMAGES, 4), dtype=np.float32)
    small = feature_set(rows, [1] * INSTRE_IMAGES, rng.standard_normal((QUERIES, 4), dtype=np.float32))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ranking = benchmark.pedantic(rank, (small.query_descriptors, small), rounds=1)
    extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    result = sum(values.nbytes for values in (ranking.images, ranking.scores, ranking.regions)) / 1e9
    print(f"\npeak memory grew by {extra:.2f} GB (to be < 1), of which the result is {result:.2f} GB")


def test_against_one_plain_product(features: FeatureSet, benchmark: BenchmarkFixture) -> None:
    benchmark.pedantic(rank, (features.query_descriptors, features), rounds=3, warmup_rounds=1)
    ours = fastest(lambda: rank(features.query_descriptors, features))
    product = fastest(lambda: features.query_descriptors @ features.descriptors.T)
    print(f"\nexact search {ours:.2f} s, plain product {product:.2f} s: ratio {ours / product:.2f} (to be <= 1)")


def test_against_faiss_with_k_3000(features: FeatureSet, benchmark: BenchmarkFixture) -> None:
    import faiss

    flat = faiss.IndexFlatIP(DIM)
    flat.add(features.descriptors)
    image_of = features.image_of()

    def deduplicated() -> list[list[int]]:
        _, rows = flat.search(features.query_descriptors, 3000)
        return [list(dict.fromkeys(images)) for images in image_of[rows].tolist()]

    benchmark.pedantic(deduplicated, rounds=1)
    theirs, ours = fastest(deduplicated, 2), fastest(lambda: rank(features.query_descriptors, features), 2)
    print(f"\nfaiss {theirs:.2f} s, exact search {ours:.2f} s: {theirs / ours:.2f} times faster (to be >= 1.5)")


def test_ragged_regions_against_equal_ones(features: FeatureSet, benchmark: BenchmarkFixture) -> None:
    counts = np.random.default_rng(1).permutation(np.repeat([10, 20, 30, 40, 50], IMAGES // 5))
    ragged = feature_set(features.descriptors, counts.tolist(), features.query_descriptors)
    benchmark.pedantic(rank, (ragged.query_descriptors, ragged), rounds=2)
    slow, fast = (fastest(lambda f=f: rank(f.query_descriptors, f)) for f in (ragged, features))
    print(f"\nragged {slow:.2f} s, equal region counts {fast:.2f} s: ratio {slow / fast:.2f}")
