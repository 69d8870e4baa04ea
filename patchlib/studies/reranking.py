"""The study of re-ranking: logits for several first stages at once, and accuracy that no query chose for itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib.reranking.rerank import Scorer, cached_logits, score_shortlist
from patchlib.search import Ranking
from patchlib.studies import bootstrap
from patchlib.studies.cross_fitting import cross_fitted
from patchlib.support import provenance

if TYPE_CHECKING:
    from patchlib.reranking.local_features import LocalFeatures


def depths(shortlists: Sequence[int], n_images: int) -> tuple[int, ...]:
    """Shortlist lengths that the database can fill; one that would be longer becomes the whole database.

    Raises:
        ValueError: no length, or a negative one.
    """
    if not shortlists or min(shortlists) < 0:
        raise ValueError(f"shortlists are {list(shortlists)}, expected at least one length, each 0 or more")
    return tuple(sorted({min(int(m), n_images) for m in shortlists}))


def logits_of_stages(
    scorer: Scorer,
    queries: LocalFeatures,
    images: LocalFeatures,
    rankings: Mapping[str, Ranking],
    m: int,
    folder: str | Path,
    config: Mapping[str, Any],
    device: str = "cpu",
) -> dict[str, NDArray[np.float32]]:
    """Logits of the first m images of several first stages; a pair that several of them list is scored once.

    Args:
        scorer: of :mod:`patchlib.reranking.rerank`.
        queries: local descriptors of the Q queries.
        images: of the whole database images, in order.
        rankings: name -> first stage.
        m: shortlist length.
        folder: where logits are kept from run to run.
        config: what decides the logits beside the two sets and the shortlists: the scorer.
        device: of the scorer.

    Returns:
        name -> (Q, m), in the order of that ranking.

    Raises:
        ValueError: m is longer than a ranking, or an image has no local descriptors.
    """
    shallow = {name: ranking.images.shape[1] for name, ranking in rankings.items() if ranking.images.shape[1] < m}
    if shallow:
        raise ValueError(f"a shortlist of {m} images is longer than these rankings: {shallow}")
    listed = np.concatenate([ranking.images[:, :m] for ranking in rankings.values()], axis=1)
    distinct = [np.unique(row) for row in listed]
    width = max(map(len, distinct))
    # rows of one length: the last image again and again, which keeps them sorted
    rows = np.stack([np.pad(row, (0, width - len(row)), mode="edge") for row in distinct])
    whole = {**config, "queries": queries.meta["hash"], "images": images.meta["hash"]}
    whole["rows"] = provenance.config_hash(rows.tolist())
    logits = cached_logits(folder, whole, lambda: score_shortlist(scorer, queries, images, rows, device=device))
    places = {
        name: np.stack([np.searchsorted(row, found) for row, found in zip(rows, ranking.images[:, :m], strict=True)])
        for name, ranking in rankings.items()
    }
    return {name: np.take_along_axis(logits, place, axis=1) for name, place in places.items()}


def gain_by_shortlist(
    cells: pd.DataFrame, instances: Sequence[str], resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Paired gain over the first stage for every shortlist length, lambda and gamma cross-fitted for each.

    Returns:
        DataFrame indexed by m: ``mean``, ``low``, ``high`` in points of mAP, and ``n`` queries.
    """
    first = _first_stage(cells)
    lengths = cells.index.get_level_values("m").unique()
    gains = {m: 100 * (cross_fitted(cells.loc[[m]], instances, seed).ap - first) for m in lengths}
    table = bootstrap.intervals({str(m): gain for m, gain in gains.items()}, resamples)
    return table.set_index(pd.Index(lengths, name="m"))[["mean", "low", "high", "n"]]


def summary(
    cells: Mapping[tuple[str, str], pd.DataFrame], instances: Sequence[str], resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """One row for every first stage and re-ranker.

    Args:
        cells: (first stage, re-ranker) -> grid; its rows of m = 0 are the first stage.
        instances: (Q,) instance of each query.
        resamples: of the bootstrap.
        seed: of the split.

    Returns:
        DataFrame indexed by (first stage, re-ranker), percent: ``first stage``, ``re-ranked`` (cross-fitted), ``gain``
        with ``low``, ``high``, ``best cell on the test queries`` (the paper's way, optimistic), and the two halves'
        ``cells`` as "m, lambda, gamma".
    """
    rows = {}
    for key, grid in cells.items():
        first = _first_stage(grid)
        ap, chosen = cross_fitted(grid, instances, seed)
        gain, low, high, _, _ = bootstrap.bootstrap(100 * (ap - first), resamples)
        rows[key] = {
            "first stage": 100 * first.mean(),
            "re-ranked": 100 * ap.mean(),
            "gain": gain,
            "low": low,
            "high": high,
            "best cell on the test queries": 100 * grid.mean(axis=1).max(),
            "cells": " / ".join(dict.fromkeys(f"{m}, {weight:g}, {gamma:g}" for m, weight, gamma in chosen)),
        }
    return pd.DataFrame(rows).T.infer_objects().rename_axis(["first stage of", "re-ranker"])


def costs(
    table: pd.DataFrame,
    stages: Mapping[str, tuple[float, float]],
    rerankers: Mapping[str, tuple[float, float]],
) -> pd.DataFrame:
    """What every method costs and is worth.

    Args:
        table: of :func:`summary`.
        stages: first stage -> (bytes of an image, milliseconds of a query).
        rerankers: re-ranker -> likewise, what comes on top.

    Returns:
        DataFrame indexed by method: ``first stage``, ``re-ranker`` ("none" for the first stage alone), ``mAP``
        (percent), ``bytes per image``, ``ms per query``.
    """
    rows: dict[str, dict[str, Any]] = {}
    for (stage, name), row in table.iterrows():
        (stored, taken), (more, longer) = stages[stage], rerankers[name]
        alone = {"first stage": stage, "re-ranker": "none", "mAP": row["first stage"]}
        rows.setdefault(stage, alone | {"bytes per image": stored, "ms per query": taken})
        both = {"first stage": stage, "re-ranker": name, "mAP": row["re-ranked"]}
        rows[f"{stage} + {name}"] = both | {"bytes per image": stored + more, "ms per query": taken + longer}
    return pd.DataFrame(rows).T.infer_objects().rename_axis("method")


def moved(before: pd.Series, after: pd.Series) -> dict[str, int]:
    """Three queries to look at, by a rule: largest gain in AP, median gain of those that changed, largest loss.

    Returns:
        title -> row of the query; without a change the first query alone, without a loss no loss.
    """
    gain = (after - before).to_numpy()
    order = [int(row) for row in np.argsort(-gain, kind="stable") if abs(gain[row]) > 0]
    if not order:
        return {"no query changes": 0}
    chosen = {"largest gain": order[0], "median change": order[len(order) // 2]}
    return chosen | ({"largest loss": order[-1]} if gain[order[-1]] < 0 else {})


def _first_stage(cells: pd.DataFrame) -> pd.Series:
    """AP of the first stage: any cell of m = 0."""
    if 0 not in cells.index.get_level_values("m"):
        raise ValueError("the grid has no shortlist of 0 images, so the first stage is not in it; add 0 to the lengths")
    return cells.loc[0].iloc[0]
