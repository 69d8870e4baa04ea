"""Exact search against a plain loop over queries, images and regions."""

import numpy as np
import pytest
from builders import feature_set
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from patchlib import search
from patchlib.features.feature_set import FeatureSet


def by_definition(queries: NDArray, features: FeatureSet) -> tuple[list, list, list]:
    """Images, scores and regions in plain Python: best region first found wins, ties go to the lower image."""
    images, scores, regions = [], [], []
    for query in queries.tolist():
        best = []
        for image in range(len(features.offsets) - 1):
            score, region = float("-inf"), -1
            for row in range(features.offsets[image], features.offsets[image + 1]):
                product = sum(a * b for a, b in zip(query, features.descriptors[row].tolist(), strict=True))
                if product > score:
                    score, region = product, row
            best.append((-score, image, region))
        best.sort()
        images.append([image for _, image, _ in best])
        scores.append([-score for score, _, _ in best])
        regions.append([region for _, _, region in best])
    return images, scores, regions


def integers(seed: int, most: int = 12, uniform: bool = False) -> tuple[NDArray, FeatureSet]:
    """Small whole numbers, so that products are exact and ties plenty."""
    rng = np.random.default_rng(seed)
    n_images, dim = int(rng.integers(1, most)), int(rng.integers(1, 5))
    counts = np.full(n_images, 3) if uniform else rng.integers(0, 5, n_images)
    dtype = "float16" if seed % 2 else "float32"
    queries = rng.integers(-2, 3, (int(rng.integers(1, 5)), dim)).astype(np.float32)
    return queries, feature_set(rng.integers(-2, 3, (counts.sum(), dim)), counts, queries, dtype=dtype)


def check(ranking: search.Ranking, queries: NDArray, features: FeatureSet, k: int | None = None) -> None:
    images, scores, regions = (np.array(values)[:, :k] for values in by_definition(queries, features))
    assert (ranking.images.dtype, ranking.scores.dtype, ranking.regions.dtype) == (np.int32, np.float32, np.int32)
    np.testing.assert_array_equal(ranking.images, images)
    np.testing.assert_array_equal(ranking.scores, scores)
    np.testing.assert_array_equal(ranking.regions, regions)


@given(st.integers(0, 10**6), st.sampled_from([None, 1, 3, 100]), st.booleans(), st.sampled_from([1, 2, 3]))
def test_rank_is_the_definition(seed: int, k: int | None, uniform: bool, workers: int) -> None:
    queries, features = integers(seed, uniform=uniform)
    check(search.rank(queries, features, k, workers), queries, features, k)


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 400), st.integers(1, 400))
def test_blocks_and_chunks_of_any_size_change_nothing(seed: int, k: int, block: int, chunk: int) -> None:
    queries, features = integers(seed, most=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BLOCK_BYTES", block)
        patch.setattr(search, "CHUNK_BYTES", chunk)
        check(search.rank(queries, features, k), queries, features, k)


def test_equal_scores_go_to_the_lower_image_and_the_lower_region() -> None:
    features = feature_set([[0, 1], [1, 0], [1, 0], [1, 0], [0, 1], [1, 0]], [1, 3, 2], [[1, 0]])
    ranking = search.rank(features.query_descriptors, features)
    assert ranking.images.tolist() == [[1, 2, 0]]
    assert ranking.regions.tolist() == [[1, 5, 0]]
    assert ranking.scores.tolist() == [[1, 1, 0]]


def test_minus_zero_ties_with_zero() -> None:
    features = feature_set([[1.0], [-1.0], [1.0]], [1, 1, 1], [[-0.0]])
    assert search.rank(np.array([[0.0]]), features).images.tolist() == [[0, 1, 2]]


def test_images_without_regions_come_last_in_order() -> None:
    features = feature_set([[-1.0], [1.0]], [0, 1, 0, 1], [[1.0]])
    ranking = search.rank(features.query_descriptors, features)
    assert ranking.images.tolist() == [[3, 1, 0, 2]]
    assert ranking.scores.tolist() == [[1, -1, -np.inf, -np.inf]]
    assert ranking.regions.tolist() == [[1, 0, -1, -1]]


@pytest.mark.parametrize("k", [None, 3])
def test_workers_do_not_change_a_bit(k: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows, queries = (rng.standard_normal((n, 37)).astype(np.float32) for n in (700, 9))
    features = feature_set(rows, [7] * 100, queries)
    monkeypatch.setattr(search, "BLOCK_BYTES", 2000)
    one, two = (search.rank(queries, features, k, workers) for workers in (1, 2))
    for name in ("images", "scores", "regions"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    products = (queries @ rows.T).reshape(9, 100, 7)
    np.testing.assert_allclose(one.scores, -np.sort(-products.max(axis=2))[:, : k or 100], rtol=1e-5)


def test_float_scores_of_either_sign_are_ordered() -> None:
    scores = np.array([[-1.5, 3e-42, 2.0, -np.inf, 0.0, -3e-42, np.inf, 1e30]], np.float32)
    ranking = search.order_images(scores, np.arange(8, dtype=np.int32)[None], 0, 8)
    assert ranking.images.tolist() == [[6, 7, 2, 1, 4, 5, 0, 3]]


def test_order_images_keeps_the_first_and_changes_nothing_it_was_given() -> None:
    scores, regions = np.array([[1, 3, 2]], np.float32), np.array([[7, 8, 9]], np.int32)
    before = scores.copy(), regions.copy()
    ranking = search.order_images(scores, regions, 100, 2)
    assert ranking.images.tolist() == [[101, 102]] and ranking.regions.tolist() == [[8, 9]]
    assert (scores == before[0]).all() and (regions == before[1]).all()


def test_head() -> None:
    queries, features = integers(3)
    check(search.rank(queries, features).head(2), queries, features, 2)


def test_no_query_gives_an_empty_ranking() -> None:
    features = feature_set(np.eye(2), [1, 1], np.ones((1, 2)))
    assert search.rank(np.ones((0, 2)), features).images.shape == (0, 2)


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [(np.ones((1, 3)), None, r"query descriptors have shape \(1, 3\), expected \(Q, 2\)"), (np.ones(2), None, "shape"),
     (np.ones((1, 2)), 0, "k is 0, expected a depth >= 1"), ([[np.nan, 1]], None, "query descriptors hold NaN")],
)  # fmt: skip
def test_what_cannot_be_ranked(queries: NDArray, k: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        search.rank(queries, feature_set(np.eye(2), [1, 1], np.ones((1, 2))), k)


def test_nan_in_the_database_is_not_ranked_silently() -> None:
    with pytest.raises(ValueError, match="database descriptors hold NaN"):
        search.rank(np.ones((1, 2)), feature_set([[1, 0], [np.nan, 0]], [1, 1], np.ones((1, 2))))
