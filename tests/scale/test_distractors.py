"""Simulated negatives: what a draw is made of, counts against brute force, AP out of counts."""

from __future__ import annotations

import numpy as np
import pytest
from builders import benchmark_of, feature_set, unit
from hypothesis import given
from hypothesis import strategies as st

from patchlib import metrics
from patchlib.scale import distractors
from patchlib.scale.distractors import Distractors, Task

LEVELS = {"L0": 1, "L1": 5}


@pytest.fixture(scope="module")
def task() -> Task:
    """Forty images of six queries, the last ten negatives of all; positives resemble their query."""
    rng = np.random.default_rng(0)
    queries = unit(rng.standard_normal((6, 8)))
    relevant = np.zeros((6, 40), bool)
    relevant[np.arange(30) % 6, np.arange(30)] = True
    images = rng.standard_normal((40, 5, 8))
    images[:30] += 1.5 * queries[np.arange(30) % 6][:, None]
    return Task(unit(images), queries, relevant, LEVELS)


def test_task_asks_every_second_query() -> None:
    rows = unit(np.random.default_rng(1).standard_normal((4 * 5, 8)))
    features = feature_set(rows, [5] * 4, rows[:3])
    found = distractors.task_of(
        features, benchmark_of(4, 3, [(0, 1, None), (1, 2, None), (2, 0, None), (2, 3, None)]), [0, 1]
    )
    assert found.levels == LEVELS
    np.testing.assert_array_equal(found.queries, rows[[0, 2]])
    np.testing.assert_array_equal(found.relevant, [[0, 1, 0, 0], [1, 0, 0, 1]])
    assert found.negatives.tolist() == [2] and found.n_positives.tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"images have \[5\] regions, expected 14 of each"):
        distractors.task_of(features, benchmark_of(4, 3, [(0, 1, None)]), [0, 2])


def test_scores_are_the_best_of_a_level(task: Task) -> None:
    products = task.images.astype(float) @ task.queries.T.astype(float)
    np.testing.assert_allclose(task.scores[:, 0], products[:, 0], atol=1e-6)
    np.testing.assert_allclose(task.scores[:, 1], products.max(axis=1), atol=1e-6)


def test_a_draw_lies_between_two_real_images(task: Task) -> None:
    model = Distractors(task.images[task.negatives], 0.4, seed=3)
    drawn = model.draw(500, 520)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=2), 1, atol=1e-6)
    np.testing.assert_array_equal(drawn, model.draw(500, 520))
    assert not np.allclose(drawn, model.draw(520, 540))
    for image in drawn:
        fits = []
        for a in model.images:
            for b in model.images:
                best = min(np.abs(unit((1 - u) * a + u * b) - image).max() for u in np.linspace(0, 0.4, 41))
                fits.append(best)
        assert min(fits) < 0.02


def test_without_width_draws_are_real_images(task: Task) -> None:
    model = Distractors(task.images[task.negatives], 0.0)
    for image in model.draw(0, 30):
        assert np.isclose(model.images, image, atol=1e-6).all(axis=(1, 2)).any()


@pytest.mark.parametrize("workers", [1, 3])
def test_shares_against_a_loop(task: Task, workers: int) -> None:
    model = Distractors(task.images[task.negatives], 0.3)
    sizes = [7, 500, 1203]
    shares = distractors.share_above(model, task, sizes, workers)
    edges = [0, 7, 500, 1000, 1203]
    drawn = np.concatenate([model.draw(a, b) for a, b in zip(edges, edges[1:], strict=False)])
    for place, size in enumerate(sizes):
        for level, patches in enumerate(LEVELS.values()):
            for query in range(6):
                scores = (drawn[:size, :patches] @ task.queries[query]).max(axis=1)
                positives = sorted(task.scores[task.relevant[query], level, query], reverse=True)
                expected = [(scores > score).sum() / size for score in positives]
                np.testing.assert_allclose(shares[place, level, query], expected, atol=2 / size)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 3), st.integers(1, 50))
def test_ap_of_counts_is_ap_of_the_ranking(ranking: list[bool], missed: int, depth: int) -> None:
    """``missed``: positives behind the end of the ranking."""
    places = np.flatnonzero(ranking)
    n_positives = len(places) + missed
    above = np.full((1, max(n_positives, 1)), np.nan)
    above[0, : len(places)] = places - np.arange(len(places))
    above[0, len(places) : n_positives] = 10**6
    got = distractors.average_precision(above, np.array([n_positives]), depth)
    np.testing.assert_allclose(got, metrics.average_precision([ranking], [n_positives], k=depth))


def test_ap_by_hand() -> None:
    above = np.array([[0.0, 2.0, np.nan]])
    assert distractors.average_precision(above, np.array([2]), 10)[0] == pytest.approx((1 / 1 + 2 / 4) / 2)
    assert distractors.average_precision(above, np.array([2]), 3)[0] == pytest.approx((1 / 1) / 2)
    assert distractors.average_precision(above, np.array([2]), 1)[0] == pytest.approx(1 / 1)


def test_measured_ap_is_that_of_the_whole_ranking(task: Task) -> None:
    share = distractors.share_of(task, np.arange(40))
    above = share * (40 - task.n_positives[:, None])
    for level in range(2):
        order = np.argsort(-task.scores[:, level].T, axis=1, kind="stable")
        relevant = np.take_along_axis(task.relevant, order, axis=1)
        got = distractors.average_precision(above[level], task.n_positives, 40)
        np.testing.assert_allclose(got, metrics.average_precision(relevant, task.n_positives))


def test_the_width_that_predicts_best_is_taken(task: Task) -> None:
    """Real negatives that are mixtures themselves are predicted best with about their own width."""
    rng = np.random.default_rng(5)
    parents = unit(rng.standard_normal((30, 5, 8)))
    more = Distractors(parents, 0.5).draw(0, 400)
    whole = Task(np.concatenate([task.images, more]), task.queries, np.pad(task.relevant, ((0, 0), (0, 400))), LEVELS)
    model, errors = distractors.fit(whole, whole.negatives, 100)
    assert model.width == errors.idxmin() and errors.min() < 5
    np.testing.assert_array_equal(model.images, whole.images[whole.negatives])


def test_too_few_negatives(task: Task) -> None:
    with pytest.raises(ValueError, match="10 images are positives of none of the queries asked, expected at least 16"):
        distractors.fit(task, task.negatives, 100)
