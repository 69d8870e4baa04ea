"""Fusion of first-stage scores with local logits, and the grid search over its three numbers.

The fused score of an image on the top-m shortlist is lambda * g + (1 - lambda) * sigmoid(gamma * l), with g the
first-stage score and l the local logit. Images beyond the shortlist keep their order behind it. Scores are made once;
the whole grid is then evaluated from them; which cell to report is for other queries to decide.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from patchlib import metrics

# m, lambda and gamma of supplement S6; the print breaks off after lambda = 0.9, 1.0 is the evident last entry
SHORTLISTS = (0, 100, 200, 400, 800, 1000)
LAMBDAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
GAMMAS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CELL = ["m", "lambda", "gamma"]


def fuse(
    global_scores: ArrayLike, local_logits: ArrayLike, lambda_: float, gamma: float, m: int
) -> NDArray[np.float64]:
    """Fused scores of rankings: order by them (ties: lower image index) to get the re-ranked list.

    Args:
        global_scores: (Q, K) first-stage scores, in ranking order.
        local_logits: (Q, M) logits of the first M images, M >= m.
        lambda_: weight of the first stage, in 0..1.
        gamma: temperature, >= 0.
        m: shortlist length; 0 changes nothing.

    Returns:
        (Q, K) float64. The first m columns hold lambda * g + (1 - lambda) * sigmoid(gamma * l); the others hold the
        first-stage scores, lowered by one constant a query so that all of them stay below the shortlist.

    Raises:
        ValueError: a parameter out of its range, m above M or K, or a logit that is not finite.

    Source: Suma et al. (AMES, arXiv 2408.03282); supplement S6.
    """
    scores, logits = _checked(global_scores, local_logits, m)
    if not 0 <= lambda_ <= 1 or not 0 <= gamma < np.inf:
        raise ValueError(f"lambda is {lambda_} and gamma {gamma}, expected lambda in 0..1 and gamma >= 0")
    head = _fused(scores[:, :m], logits[:, :m], lambda_, gamma)
    tail = scores[:, m:]
    if not m or not tail.size:
        return np.concatenate([head, tail], axis=1)
    gap = tail.max(axis=1, keepdims=True) - head.min(axis=1, keepdims=True)
    return np.concatenate([head, tail - (np.maximum(gap, 0) + 1)], axis=1)


def grid_search(
    images: ArrayLike,
    global_scores: ArrayLike,
    local_logits: ArrayLike,
    relevant: ArrayLike,
    n_positives: ArrayLike,
    *,
    shortlists: Sequence[int] = SHORTLISTS,
    lambdas: Sequence[float] = LAMBDAS,
    gammas: Sequence[float] = GAMMAS,
    k: int | None = None,
    query_ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """AP of every query in every cell of the grid, the product of shortlists, lambdas and gammas.

    AP depends on the ranks of the positives alone, so nothing is sorted: for each positive on the shortlist the images
    that a cell puts above it are counted, for all shortlist lengths at once.

    Args:
        images: (Q, K) image indices of the first stage's ranking; they break ties.
        global_scores: (Q, K) its scores.
        local_logits: (Q, M) local logits of the first M images, M >= max(shortlists).
        relevant: (Q, K) bool, True = positive.
        n_positives: (Q,) positives each query has, also those the ranking misses.
        k: AP@k; None = the whole ranking.
        query_ids: names of the columns; 0..Q-1 by default.

    Returns:
        DataFrame (cells, Q) of AP in 0..1, indexed by (m, lambda, gamma); NaN for queries without positives.
        ``cells.mean(axis=1)`` is the mAP of every cell.

    Raises:
        ValueError: an empty axis, shapes that do not fit, or a shortlist longer than what was scored or ranked.

    Source: supplement S6 (the grid).
    """
    if not (len(shortlists) and len(lambdas) and len(gammas)):
        raise ValueError("the grid has an empty axis; give at least one value of m, lambda and gamma")
    scores, logits = _checked(global_scores, local_logits, max(shortlists), min(shortlists))
    images, relevant, n_positives = np.asarray(images), np.asarray(relevant, bool), np.asarray(n_positives)
    for name, array, shape in (
        ("images", images, scores.shape),
        ("relevant", relevant, scores.shape),
        ("n_positives", n_positives, scores.shape[:1]),
    ):
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, expected {shape} as the scores have it")
    index = pd.MultiIndex.from_product([shortlists, lambdas, gammas], names=CELL)
    table = np.empty((len(scores), len(index)))
    deepest = max(shortlists)
    for query, (row, hits) in enumerate(zip(scores, relevant, strict=True)):
        head = (images[query, :deepest], row[:deepest], logits[query, :deepest])
        ranks = _ranks(*head, np.flatnonzero(hits), shortlists, lambdas, gammas)
        table[query] = _average_precision(ranks, n_positives[query], k).ravel()
    return pd.DataFrame(table.T, index=index, columns=query_ids)


def _fused(
    scores: NDArray[np.float64], logits: NDArray[np.float64], lambda_: ArrayLike, gamma: ArrayLike
) -> NDArray[np.float64]:
    lambda_ = np.asarray(lambda_)
    return lambda_ * scores + (1 - lambda_) * expit(np.asarray(gamma) * logits)


def _ranks(
    images: NDArray[np.integer],
    scores: NDArray[np.float64],
    logits: NDArray[np.float64],
    positives: NDArray[np.integer],
    shortlists: Sequence[int],
    lambdas: Sequence[float],
    gammas: Sequence[float],
) -> NDArray[np.float64]:
    """Ranks (from 1) of one query's positives in every cell: (P, shortlists, lambdas * gammas)."""
    m = np.asarray(shortlists)
    ranks = np.empty((len(positives), len(m), len(lambdas) * len(gammas)))
    ranks[:] = positives[:, None, None] + 1
    # columns in order of the image index: to the left of a positive a tie counts as above it, to the right it does not
    order = np.argsort(images, kind="stable")
    weights = np.asarray(list(product(lambdas, gammas)))
    fused = _fused(scores[order], logits[order], weights[:, :1], weights[:, 1:])
    on_shortlist = (order[:, None] < m).astype(np.float32)
    column_of = np.argsort(order)
    for i, position in enumerate(positives[positives < len(order)]):
        column = column_of[position]
        value = fused[:, column : column + 1]
        above = np.concatenate([fused[:, :column] >= value, fused[:, column:] > value], axis=1)
        counts = above.astype(np.float32) @ on_shortlist  # exact: counts are far below 2**24
        ranks[i] = np.where((position < m)[:, None], counts.T + 1, ranks[i])
    return ranks


def _average_precision(ranks: NDArray[np.float64], n_positives: int, k: int | None) -> NDArray[np.float64]:
    """Step AP from the ranks (P, ...) of the positives found."""
    return metrics.average_precision_of_ranks(np.moveaxis(np.sort(ranks, axis=0), 0, -1), n_positives, k)


def _checked(
    global_scores: ArrayLike, local_logits: ArrayLike, m: int, least: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scores, logits = np.asarray(global_scores, np.float64), np.asarray(local_logits, np.float64)
    if scores.ndim != 2 or logits.ndim != 2 or len(scores) != len(logits):
        raise ValueError(f"scores {scores.shape} and logits {logits.shape}, expected (Q, K) and (Q, M)")
    if min(m, least) < 0:
        raise ValueError(f"a shortlist of {min(m, least)} images, expected 0 or more")
    if m > scores.shape[1]:
        raise ValueError(f"a shortlist of {m} images is longer than the ranking, which holds {scores.shape[1]}")
    if m > logits.shape[1]:
        raise ValueError(f"a shortlist of {m} images, but only {logits.shape[1]} have local logits; score more of them")
    if not np.isfinite(scores[:, :m]).all():
        raise ValueError(f"the first {m} ranks hold images without regions; shorten the shortlist")
    if not np.isfinite(logits[:, :m]).all():
        raise ValueError("local logits are not finite; a scorer returned NaN or infinity")
    return scores, logits
