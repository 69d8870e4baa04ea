"""Fusion and grid search against brute force: fuse, sort, and average precision of each cell by itself."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchlib.metrics import average_precision
from patchlib.reranking import fusion


def brute_force(images, scores, logits, relevant, n_positives, lambda_, gamma, m, k=None):
    """AP of one cell in plain Python: sort the shortlist by (fused score, image index), append the rest."""
    values = []
    for row in range(len(images)):
        fused = lambda_ * scores[row, :m] + (1 - lambda_) / (1 + np.exp(-gamma * logits[row, :m]))
        head = sorted(range(m), key=lambda j, f=fused, row=row: (-f[j], images[row, j]))
        order = [*head, *range(m, images.shape[1])]
        values.append(average_precision(relevant[row, order], n_positives[row], k))
    return np.array(values)


def problem(seed: int, queries: int = 5, depth: int = 12, coarse: bool = False):
    """A random first stage and logits; ``coarse`` draws both from few values, so that ties abound."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (queries, depth)) / 4 if coarse else rng.random((queries, depth))
    scores = -np.sort(-scores, axis=1)
    images = rng.permuted(np.tile(np.arange(depth), (queries, 1)), axis=1)
    for row in range(queries):  # a legal ranking: ties in ascending image order
        images[row] = images[row][np.lexsort((images[row], -scores[row]))]
    logits = rng.integers(-1, 2, (queries, depth)) * 1.0 if coarse else rng.normal(0, 2, (queries, depth))
    relevant = rng.random((queries, depth)) < 0.3
    n_positives = relevant.sum(axis=1) + rng.integers(0, 2, queries)
    return images, scores, logits, relevant, n_positives


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([None, 1, 3, 12]))
def test_every_cell_equals_brute_force(seed: int, coarse: bool, k: int | None) -> None:
    images, scores, logits, relevant, n_positives = problem(seed, coarse=coarse)
    axes = {"shortlists": (0, 3, 7, 12), "lambdas": (0.0, 0.3, 1.0), "gammas": (0.0, 0.5, 1.0)}
    cells = fusion.grid_search(images, scores, logits, relevant, n_positives, **axes, k=k)
    assert cells.shape == (4 * 3 * 3, 5)
    for (m, lambda_, gamma), row in cells.iterrows():
        expected = brute_force(images, scores, logits, relevant, n_positives, lambda_, gamma, m, k)
        np.testing.assert_allclose(row.to_numpy(), expected, rtol=0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(0, 12), st.floats(0, 1), st.floats(0, 1))
def test_sorting_by_the_fused_scores_is_the_brute_force_order(
    seed: int, coarse: bool, m: int, lambda_: float, gamma: float
) -> None:
    images, scores, logits, relevant, n_positives = problem(seed, coarse=coarse)
    fused = fusion.fuse(scores, logits, lambda_, gamma, m)
    order = np.lexsort((images, -fused), axis=1)
    ap = average_precision(np.take_along_axis(relevant, order, axis=1), n_positives)
    # recomputed with numpy's own exponential, values that differ by rounding alone may swap: keep to clear cases
    gaps = np.diff(np.sort(fused[:, :m], axis=1), axis=1)
    clear = ~((gaps > 0) & (gaps < 1e-9)).any(axis=1)
    expected = brute_force(images, scores, logits, relevant, n_positives, lambda_, gamma, m)
    np.testing.assert_allclose(ap[clear], expected[clear], rtol=0, atol=1e-12)


def test_fused_score_by_hand() -> None:
    fused = fusion.fuse([[0.8, 0.6, 0.5, 0.5]], [[0.0, 2.0, 9.0]], lambda_=0.25, gamma=0.5, m=2)
    head = [0.25 * 0.8 + 0.75 * 0.5, 0.25 * 0.6 + 0.75 / (1 + np.exp(-1.0))]
    np.testing.assert_allclose(fused[0, :2], head, rtol=1e-15)
    assert fused[0, 2] == fused[0, 3] < fused[0, :2].min()  # ties beyond the shortlist stay ties


def test_an_image_beyond_the_shortlist_never_overtakes_it() -> None:
    fused = fusion.fuse([[0.99, 0.98, 0.97]], [[-50.0, -60.0]], lambda_=0.0, gamma=1.0, m=2)
    assert (np.argsort(-fused[0]) == [0, 1, 2]).all()


def test_no_shortlist_and_full_global_weight_leave_the_ranking_alone() -> None:
    images, scores, logits, relevant, n_positives = problem(3, coarse=True)
    cells = fusion.grid_search(images, scores, logits, relevant, n_positives, shortlists=(0, 12), gammas=(0.3,))
    first_stage = average_precision(relevant, n_positives)
    np.testing.assert_allclose(cells.loc[0].to_numpy(), np.tile(first_stage, (11, 1)), atol=1e-12)
    np.testing.assert_allclose(cells.loc[12, 1.0, 0.3].to_numpy(), first_stage, atol=1e-12)


def hand_made() -> pd.DataFrame:
    """Two queries whose positive stands last of three; its logit lifts it only where local scores weigh enough.

    Fused with gamma 1: the positive 0.1 * lambda + (1 - lambda) * 0.88, the others at most lambda + (1 - lambda) * 0.5.
    With m = 3 it comes first for lambda 0.0 (0.88 > 0.5), stays last for lambda 0.5 (0.49 < 0.75) and for m = 2.
    """
    scores = np.array([[1.0, 0.9, 0.1]] * 2)
    logits = np.array([[0.0, 0.0, 2.0]] * 2)
    relevant = np.array([[False, False, True]] * 2)
    axes = {"shortlists": (0, 2, 3), "lambdas": (0.0, 0.5), "gammas": (0.0, 1.0)}
    return fusion.grid_search([[5, 6, 7]] * 2, scores, logits, relevant, [1, 1], **axes, query_ids=["a", "b"])


def test_hand_made_grid_has_its_best_cell_where_it_must_be() -> None:
    cells = hand_made()
    assert list(cells.columns) == ["a", "b"] and cells.index.names == ["m", "lambda", "gamma"]
    assert cells.loc[(3, 0.0, 1.0)].tolist() == [1.0, 1.0]
    assert (cells.drop((3, 0.0, 1.0)) == 1 / 3).all(axis=None)


def test_queries_without_positives_are_nan_and_take_no_part() -> None:
    images, scores, logits, relevant, n_positives = problem(4)
    relevant[2], n_positives[2] = False, 0
    cells = fusion.grid_search(images, scores, logits, relevant, n_positives, shortlists=(0, 5))
    assert cells[2].isna().all() and cells.drop(columns=2).notna().all(axis=None)


def test_arguments_are_not_changed() -> None:
    arguments = problem(5)
    copies = [array.copy() for array in arguments]
    fusion.grid_search(*arguments, shortlists=(0, 12))
    fusion.fuse(arguments[1], arguments[2], 0.5, 0.5, 6)
    for array, copy in zip(arguments, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_papers_grid_has_792_cells() -> None:
    assert len(fusion.SHORTLISTS) * len(fusion.LAMBDAS) * len(fusion.GAMMAS) == 6 * 11 * 12 == 792


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"m": 13}, "a shortlist of 13 images is longer than the ranking, which holds 12"),
        ({"m": 9, "local_logits": np.zeros((5, 8))}, "a shortlist of 9 images, but only 8 have local logits"),
        ({"m": -1}, "a shortlist of -1 images"),
        ({"lambda_": 1.5}, "lambda is 1.5"),
        ({"gamma": -0.1}, "gamma -0.1"),
        ({"local_logits": np.full((5, 12), np.nan)}, "logits are not finite"),
        ({"global_scores": np.full((5, 12), -np.inf)}, "the first 3 ranks hold images without regions"),
        ({"local_logits": np.zeros((4, 12))}, r"expected \(Q, K\) and \(Q, M\)"),
    ],
)
def test_scores_that_cannot_be_fused_are_refused(changed: dict, message: str) -> None:
    _, scores, logits, _, _ = problem(6)
    arguments = {"global_scores": scores, "local_logits": logits, "lambda_": 0.5, "gamma": 0.5, "m": 3}
    with pytest.raises(ValueError, match=message):
        fusion.fuse(**arguments | changed)


def test_grids_that_do_not_fit_are_refused() -> None:
    images, scores, logits, relevant, n_positives = problem(6)
    with pytest.raises(ValueError, match="a shortlist of 1000 images is longer than the ranking"):
        fusion.grid_search(images, scores, logits, relevant, n_positives)
    with pytest.raises(ValueError, match="empty axis"):
        fusion.grid_search(images, scores, logits, relevant, n_positives, shortlists=())
    with pytest.raises(ValueError, match=r"relevant has shape \(5, 11\), expected \(5, 12\)"):
        fusion.grid_search(images, scores, logits, relevant[:, 1:], n_positives, shortlists=(0,))
