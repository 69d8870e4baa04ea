"""Exact search beside numpy, beside one plain matrix product, and beside faiss with de-duplication in Python.

The operands are a slice of INSTRE's size: all 1,250 queries, 1,024 dimensions, 30 regions an image, fewer images.
"""

import tracemalloc

import numpy as np
import pytest
from builders import feature_set
from ratios import Best, Ratios

from patchlib.features.feature_set import FeatureSet
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


def test_extra_memory_at_instres_number_of_images() -> None:
    """Four dimensions, one region: result and work space as at INSTRE's size."""
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((INSTRE_IMAGES, 4), dtype=np.float32)
    small = feature_set(rows, [1] * INSTRE_IMAGES, rng.standard_normal((QUERIES, 4), dtype=np.float32))
    tracemalloc.start()
    ranking = rank(small.query_descriptors, small)
    extra = tracemalloc.get_traced_memory()[1] / 1e9
    tracemalloc.stop()
    result = sum(values.nbytes for values in (ranking.images, ranking.scores, ranking.regions)) / 1e9
    print(f"\nexact search needs {extra:.2f} GB at INSTRE's size, of which the result is {result:.2f} GB")
    assert extra < 1.2


def test_against_numpy(ratios: Ratios, best: Best) -> None:
    """All regions of INSTRE's images in 128 dimensions; numpy's side leaves the winning regions out."""
    rng, n = np.random.default_rng(3), 100
    database, queries = (rng.standard_normal((rows, 128), np.float32) for rows in (INSTRE_IMAGES * REGIONS, n))
    features = feature_set(database, [REGIONS] * INSTRE_IMAGES, queries)

    def plainly() -> np.ndarray:
        scores = np.maximum.reduceat(queries @ database.T, features.offsets[:-1], axis=1)
        return np.argsort(-scores, axis=1, kind="stable")

    np.testing.assert_array_equal(rank(queries, features).images[:, 0], plainly()[:, 0])
    ours, theirs = best(lambda: rank(queries, features), plainly)
    obvious = "numpy: one product, maximum.reduceat, argsort; without winning regions"
    ratios.add("exact search", ours, theirs, n, "queries", obvious)


def test_against_faiss_with_k_3000_and_against_the_product_alone(features: FeatureSet, best: Best) -> None:
    import faiss

    flat = faiss.IndexFlatIP(DIM)
    flat.add(features.descriptors)
    image_of = features.image_of()

    def deduplicated() -> list[list[int]]:
        _, rows = flat.search(features.query_descriptors, 3000)
        return [list(dict.fromkeys(images)) for images in image_of[rows].tolist()]

    def product() -> np.ndarray:
        return features.query_descriptors @ features.descriptors.T

    ours, theirs, bare = best(lambda: rank(features.query_descriptors, features), deduplicated, product, rounds=2)
    print(
        f"\nexact search {ours:.2f} s: {theirs / ours:.1f} times as fast as faiss with k=3000 (to be >= 1.5), ", end=""
    )
    print(f"{ours / bare:.2f} times as long as the product alone")


def test_ragged_regions_against_equal_ones(features: FeatureSet, best: Best) -> None:
    counts = np.random.default_rng(1).permutation(np.repeat([10, 20, 30, 40, 50], IMAGES // 5))
    ragged = feature_set(features.descriptors, counts.tolist(), features.query_descriptors)
    slow, fast = best(*(lambda f=f: rank(f.query_descriptors, f) for f in (ragged, features)))
    print(f"\nragged {slow:.2f} s, equal region counts {fast:.2f} s: ratio {slow / fast:.2f}")
