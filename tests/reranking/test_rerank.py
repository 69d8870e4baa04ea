"""Scorers, shortlists and the re-ranked list, against loops in plain numpy."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from patchlib.reranking import AMES, fusion, rerank  # noqa: E402
from patchlib.reranking.local_features import LocalFeatures  # noqa: E402
from patchlib.search import Ranking  # noqa: E402


def local(seed: int, counts: list[int], n: int = 6, dim: int = 8) -> LocalFeatures:
    """Random unit descriptors; rubbish beyond a cutout's count."""
    descriptors = np.random.default_rng(seed).normal(size=(len(counts), n, dim))
    descriptors /= np.linalg.norm(descriptors, axis=2, keepdims=True)
    ids = [f"v{i}" for i in range(len(counts))]
    return LocalFeatures(descriptors.astype(np.float16), np.array(counts), ids, {})


def chamfer_by_loops(query: np.ndarray, database: np.ndarray) -> float:
    query, database = query.astype(np.float64), database.astype(np.float64)
    best = [max(q @ d / np.linalg.norm(q) / np.linalg.norm(d) for d in database) for q in query]
    return sum(best) / len(best)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_chamfer_of_a_shortlist_equals_the_loops(query_counts: list[int], database_counts: list[int]) -> None:
    queries, database = local(1, query_counts), local(2, database_counts)
    rows = np.random.default_rng(3).integers(0, len(database_counts), (len(query_counts), 4))
    found = rerank.score_shortlist(rerank.chamfer, queries, database, rows, batch=3)
    expected = [
        [
            chamfer_by_loops(queries.descriptors[q, : query_counts[q]], database.descriptors[r, : database_counts[r]])
            for r in row
        ]
        for q, row in enumerate(rows)
    ]
    assert found.shape == (len(query_counts), 4) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_chamfer_of_an_image_with_itself_is_one_and_is_not_symmetric() -> None:
    cutouts = local(1, [4, 2])
    scores = rerank.score_shortlist(rerank.chamfer, cutouts, cutouts, np.array([[0, 1], [0, 1]]))
    np.testing.assert_allclose(np.diag(scores), 1, atol=1e-6)
    assert abs(scores[0, 1] - scores[1, 0]) > 1e-3


def test_chamfer_ignores_padding_even_nan() -> None:
    query, database = torch.randn(1, 3, 4), torch.randn(2, 3, 4)
    query_mask, database_mask = torch.tensor([[False, False, True]]), torch.tensor([[False, True, True]] * 2)
    expected = rerank.chamfer(query[:, :2], query_mask[:, :2], database[:, :1], database_mask[:, :1])
    query[0, 2], database[:, 1:] = float("nan"), float("nan")
    torch.testing.assert_close(rerank.chamfer(query, query_mask, database, database_mask), expected)


@pytest.mark.parametrize("variant", ["float", "binary"])
def test_ames_over_shortlists_equals_one_pair_at_a_time(variant: str) -> None:
    torch.manual_seed(0)
    model = AMES(variant, local_dim=8, dim=8, layers=2, feedforward=16).eval()
    queries, database = local(1, [6, 3]), local(2, [6, 1, 4])
    rows = np.array([[2, 0, 1], [1, 1, 2]])
    found = rerank.score_shortlist(model, queries, database, rows, batch=2)
    for q, row in enumerate(rows):
        for place, r in enumerate(row):
            with torch.inference_mode():
                pair = model(*queries.tensors(np.array([q])), *database.tensors(np.array([r])))
            np.testing.assert_allclose(found[q, place], pair.numpy()[0], atol=1e-5)


def test_shortlists_that_do_not_fit_are_refused() -> None:
    queries, database = local(1, [6, 3]), local(2, [6, 0, 4])
    with pytest.raises(ValueError, match=r"the shortlists have shape \(1, 2\), expected \(2, m\)"):
        rerank.score_shortlist(rerank.chamfer, queries, database, np.array([[0, 2]]))
    with pytest.raises(ValueError, match=r"rows 0\.\.3 are asked for, the local features hold 3 cutouts"):
        rerank.score_shortlist(rerank.chamfer, queries, database, np.array([[0, 3], [0, 2]]))
    with pytest.raises(ValueError, match="no local descriptors for v1"):
        rerank.score_shortlist(rerank.chamfer, queries, database, np.array([[0, 2], [1, 2]]))


def test_logits_are_kept_for_their_configuration(tmp_path: Path) -> None:
    calls = []

    def make() -> np.ndarray:
        calls.append(1)
        return np.full((2, 3), float(len(calls)), np.float32)

    first = rerank.cached_logits({"scorer": "a", "m": 3}, make, tmp_path)
    again = rerank.cached_logits({"m": 3, "scorer": "a"}, make, tmp_path)
    other = rerank.cached_logits({"scorer": "b", "m": 3}, make, tmp_path)
    np.testing.assert_array_equal(first, again)
    assert len(calls) == 2 and other[0, 0] == 2


def ranking() -> Ranking:
    images = np.array([[4, 7, 2, 9]], np.int32)
    return Ranking(images, np.array([[0.8, 0.6, 0.6, 0.1]], np.float32), np.array([[40, 70, 20, 90]], np.int32))


def test_reranked_list_by_hand() -> None:
    """lambda 0.5, gamma 1: 0.5 * 0.8 + 0.5 * 0.5 = 0.65; 0.5 * 0.6 + 0.5 * 0.88 = 0.74 for both others."""
    logits = np.array([[0.0, 2.0, 2.0]], np.float32)
    found = rerank.rerank(ranking(), logits, 0.5, 1.0, 3)
    assert found.images.tolist() == [[2, 7, 4, 9]]  # equal scores: the lower image index first
    assert found.regions.tolist() == [[20, 70, 40, 90]]  # winning regions go with their images
    high = 0.5 * 0.6 + 0.5 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(found.scores[0, :3], [high, high, 0.65], rtol=1e-6)
    assert found.scores[0, 3] < found.scores[0, 2]
    shorter = rerank.rerank(ranking(), logits, 0.5, 1.0, 2)
    assert shorter.images.tolist() == [[7, 4, 2, 9]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 9), st.floats(0, 1), st.floats(0, 2))
def test_reranking_permutes_the_head_and_leaves_the_tail(seed: int, m: int, lambda_: float, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    images = rng.permuted(np.tile(np.arange(9, dtype=np.int32), (3, 1)), axis=1)
    scores = -np.sort(-rng.random((3, 9), np.float32), axis=1)
    before = Ranking(images, scores, images * 10)
    after = rerank.rerank(before, rng.normal(size=(3, 9)), lambda_, gamma, m)
    np.testing.assert_array_equal(after.images[:, m:], images[:, m:])
    np.testing.assert_array_equal(np.sort(after.images), np.sort(images))
    np.testing.assert_array_equal(after.regions, after.images * 10)
    assert (np.diff(after.scores, axis=1) <= 0).all()


def test_the_grid_and_the_reranked_list_agree() -> None:
    """The AP that the grid search gives for a cell is the AP of the list that ``rerank`` makes with it."""
    from patchlib.metrics import average_precision

    rng = np.random.default_rng(5)
    images = rng.permuted(np.tile(np.arange(30, dtype=np.int32), (4, 1)), axis=1)
    before = Ranking(images, -np.sort(-rng.random((4, 30), np.float32), axis=1), images)
    logits, positives = rng.normal(size=(4, 30)).astype(np.float32), [np.array([1, 5, 9, 9])] * 4
    relevant, counts = rerank.relevance(before, SimpleNamespace(relevant=lambda query: (positives[query], None)))
    assert counts.tolist() == [3] * 4  # an image with two boxes counts once
    cells = fusion.grid_search(images, before.scores, logits, relevant, counts, shortlists=(0, 10, 30))
    for (m, lambda_, gamma), row in list(cells.iterrows())[::7]:
        after = rerank.rerank(before, logits, lambda_, gamma, m)
        np.testing.assert_allclose(row, average_precision(np.isin(after.images, [1, 5, 9]), counts), atol=1e-12)
