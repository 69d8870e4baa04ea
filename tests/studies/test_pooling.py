"""Other scores out of the same patches, against their formulas written out pair by pair."""

import numpy as np
import pytest
from builders import benchmark_of, feature_set

from patchlib import regions, search
from patchlib.features.feature_set import FeatureSet
from patchlib.search import Ranking
from patchlib.studies import pooling
from patchlib.studies.pooling import VARIANTS

QUERIES, IMAGES, DIM = 5, 7, 6


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    """Seven images with the five patches of L1."""
    rng = np.random.default_rng(3)
    rows, queries = rng.normal(size=(IMAGES * 5, DIM)) + 0.5, rng.normal(size=(QUERIES, DIM)) + 0.5
    rows, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, queries))
    boxes = np.tile(regions.grid(100, 100, 1), (IMAGES, 1))
    found = feature_set(rows.astype(np.float32), [5] * IMAGES, queries.astype(np.float32), boxes)
    found.meta["regions"] = "L1"
    return found


def by_hand(features: FeatureSet, score) -> np.ndarray:
    """(Q, N) of ``score(query, patches of an image)``, in float64."""
    patches = features.descriptors.reshape(IMAGES, 5, DIM).astype(np.float64)
    return np.array([[score(q, p) for p in patches] for q in features.query_descriptors.astype(np.float64)])


def agrees(ranking: Ranking, scores: np.ndarray) -> None:
    assert (ranking.images == np.argsort(-scores, axis=1, kind="stable")).all()
    np.testing.assert_allclose(ranking.scores, -np.sort(-scores, axis=1), atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_strength_zero_is_the_papers_score(features: FeatureSet, name: str) -> None:
    plain, ranking = search.rank(features.query_descriptors, features), VARIANTS[name].rank(features, 0)
    assert VARIANTS[name].strengths[0] == 0
    for field in ("images", "scores", "regions"):
        assert (getattr(plain, field) == getattr(ranking, field)).all()


def test_with_global(features: FeatureSet) -> None:
    expected = by_hand(features, lambda q, patches: (patches @ q).max() + 0.3 * (patches[0] @ q))
    agrees(pooling.with_global(features, 0.3), expected)


@pytest.mark.parametrize("block", [1, 1 << 28])
def test_soft_maximum(features: FeatureSet, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooling, "BLOCK_BYTES", block)
    expected = by_hand(features, lambda q, patches: 0.1 * np.log(np.exp(patches @ q / 0.1).sum()))
    agrees(pooling.soft_maximum(features, 0.1), expected)


def test_soft_maximum_leaves_an_image_without_regions_last(features: FeatureSet) -> None:
    some = feature_set(features.descriptors[:10], [5, 0, 5], features.query_descriptors)
    ranking = pooling.soft_maximum(some, 0.1)
    assert (ranking.images[:, -1] == 1).all() and (ranking.scores[:, -1] == -np.inf).all()


def test_whitening_leaves_no_direction_larger_than_another() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3)) * [5, 1, 0.2] + [1, 2, 3]
    mean, covariance = pooling._moments(rows)
    np.testing.assert_allclose(covariance, np.cov(rows.T), atol=1e-4)
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    queries = rng.normal(size=(2, 3))
    white = [(x - rows.mean(0)) @ vectors / np.sqrt(values) for x in (rows, queries)]
    np.testing.assert_allclose(np.cov(white[0].T), np.eye(3), atol=1e-6)
    white = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in white]
    ranking = pooling.whitened(feature_set(rows.astype(np.float32), [1] * 400, queries.astype(np.float32)), 1)
    np.testing.assert_allclose(ranking.scores, -np.sort(-(white[1] @ white[0].T), axis=1), atol=1e-4)


def test_a_direction_without_variance_is_left_out(features: FeatureSet) -> None:
    flat = [np.column_stack([x, np.zeros(len(x))]) for x in (features.descriptors, features.query_descriptors)]
    wider = feature_set(flat[0].astype(np.float32), [5] * IMAGES, flat[1].astype(np.float32))
    np.testing.assert_allclose(pooling.whitened(wider, 1).scores, pooling.whitened(features, 1).scores, atol=1e-4)


def test_without_hubs(features: FeatureSet) -> None:
    # the bank is the whole database, and its 35 patches are fewer than the neighbours asked for: h is a plain mean
    rows = features.descriptors.astype(np.float64)
    expected = by_hand(features, lambda q, patches: (patches @ q - 0.5 * (patches @ rows.T).mean(axis=1)).max())
    agrees(pooling.without_hubs(features, 0.5), expected)


def test_expansion_adds_the_winning_patches_of_the_first_images(features: FeatureSet) -> None:
    first = search.rank(features.query_descriptors, features)
    queries = features.query_descriptors + 2 * features.descriptors[first.regions[:, :3]].sum(axis=1)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    expected = search.rank(queries, features)
    ranking = pooling.expanded(features, 2)
    assert (ranking.images == expected.images).all()
    np.testing.assert_allclose(ranking.scores, expected.scores, atol=1e-5)


def test_sweep_scores_every_strength(features: FeatureSet) -> None:
    data = benchmark_of(IMAGES, QUERIES, [(q, q, (0, 0, 50, 50)) for q in range(QUERIES)])
    ap = pooling.sweep(features, data, {"expand": pooling.ScoringVariant(pooling.expanded, (0, 1), "w")})
    assert ap.index.tolist() == [("expand", 0.0), ("expand", 1.0)]
    ranking = pooling.expanded(features, 1)
    expected = [1 / (1 + ranking.images[q].tolist().index(q)) for q in range(QUERIES)]  # one positive: AP = 1 / rank
    np.testing.assert_allclose(ap.loc[("expand", 1.0)], expected)
