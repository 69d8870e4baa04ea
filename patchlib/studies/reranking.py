"""The study of re-ranking: logits for several first stages at once, and accuracy that no query chose for itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import paper
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.reranking import cutouts
from patchlib.reranking.fusion import grid_search
from patchlib.reranking.local_features import LocalFeatures
from patchlib.reranking.matchers import Matcher
from patchlib.reranking.rerank import Scorer, cached_logits, relevance, score_shortlist
from patchlib.search import Ranking
from patchlib.studies import bootstrap
from patchlib.studies.cross_fitting import CrossFit, cross_fitted
from patchlib.support import provenance


def depths(shortlists: Sequence[int], n_images: int) -> tuple[int, ...]:
    """Shortlist lengths that the database can fill; one that would be longer becomes the whole database.

    Raises:
        ValueError: no length, or a negative one.
    """
    if not shortlists or min(shortlists) < 0:
        raise ValueError(f"shortlists are {list(shortlists)}, expected at least one length, each 0 or more")
    return tuple(sorted({min(int(m), n_images) for m in shortlists}))


def positives_within(rankings: Mapping[str, Ranking], benchmark: Benchmark, shortlists: Sequence[int]) -> pd.DataFrame:
    """Share of the positives among the first images, in percent: what re-ranking can reach at most.

    A row a first stage, a column a shortlist length above 0.
    """
    rows = {}
    for name, ranking in rankings.items():
        hits, n_positives = relevance(ranking, benchmark)
        rows[name] = {m: 100 * hits[:, :m].sum() / n_positives.sum() for m in shortlists if m}
    return pd.DataFrame(rows).T


def logits_of_stages(
    scorer: Scorer,
    queries: LocalFeatures,
    images: LocalFeatures,
    rankings: Mapping[str, Ranking],
    m: int,
    config: Mapping[str, Any],
    *,
    device: str = "cpu",
    folder: str | Path | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Logits of the first m images of several first stages; a pair that several of them list is scored once.

    Args:
        queries, images: local descriptors of the Q queries, and of the whole database images, in order.
        rankings: name -> first stage.
        config: what decides the logits beside the two sets and the shortlists: the scorer.
        folder: where logits are kept from run to run, see :func:`patchlib.reranking.rerank.cached_logits`.

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
    logits = cached_logits(whole, lambda: score_shortlist(scorer, queries, images, rows, device=device), folder)
    columns = {
        name: np.stack([np.searchsorted(*pair) for pair in zip(rows, ranking.images[:, :m], strict=True)])
        for name, ranking in rankings.items()
    }
    return {name: np.take_along_axis(logits, column, axis=1) for name, column in columns.items()}


def logits_of_patches(
    matcher: Matcher,
    queries: LocalFeatures,
    ranking: Ranking,
    features: FeatureSet,
    benchmark: Benchmark,
    m: int,
    device: str = "cpu",
    **options: Any,
) -> NDArray[np.float32]:
    """Logits (Q, m) of the regions that won the first m ranks, each seen by itself at the size of a query.

    Args:
        queries: local descriptors of the Q queries, by the matcher.
        ranking: first stage; ``features`` own its regions.
        **options: of :func:`patchlib.reranking.local_features.extract`, e.g. ``workers``.
    """
    regions, rows = cutouts.winning_regions(ranking, features, benchmark, m)
    seen = matcher.extract(regions, region=True, **options)
    config = {"matcher": matcher.config, "queries": queries.meta["hash"], "regions": seen.meta["hash"], "m": m}
    return cached_logits(config, lambda: score_shortlist(matcher.model, queries, seen, rows, device=device))


def grids(
    rankings: Mapping[str, Ranking],
    logits: Mapping[str, Mapping[str, NDArray[np.floating]]],
    benchmark: Benchmark,
    shortlists: Sequence[int],
    k: int | None = None,
) -> dict[tuple[str, str], pd.DataFrame]:
    """AP of every query in every cell of the grid.

    Args:
        rankings: name -> first stage.
        logits: re-ranker -> first stage -> (Q, M) logits, M >= the longest shortlist.
        k: depth of AP; None = the whole ranking.

    Returns:
        (first stage, re-ranker) -> result of :func:`patchlib.reranking.fusion.grid_search`, a column a query_id.
    """
    ids, cells = list(benchmark.queries["query_id"]), {}
    for stage, ranking in rankings.items():
        positives = relevance(ranking, benchmark)
        listed = (ranking.images, ranking.scores)
        for name, of_stages in logits.items():
            cells[stage, name] = grid_search(
                *listed, of_stages[stage], *positives, shortlists=shortlists, k=k, query_ids=ids
            )
    return cells


def gain_by_shortlist(
    cells: pd.DataFrame, instances: Sequence[str], resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Paired gain over the first stage for every shortlist length, lambda and gamma cross-fitted for each.

    Indexed by m: ``mean``, ``low``, ``high`` in points of mAP, and ``n`` queries.
    """
    first = first_stage(cells)
    lengths = cells.index.get_level_values("m").unique()
    gains = {m: 100 * (cross_fitted(cells.loc[[m]], instances, seed).ap - first) for m in lengths}
    table = bootstrap.intervals({str(m): gain for m, gain in gains.items()}, resamples)
    return table.set_index(pd.Index(lengths, name="m"))[["mean", "low", "high", "n"]]


def summary(
    cells: Mapping[tuple[str, str], pd.DataFrame],
    fits: Mapping[tuple[str, str], CrossFit],
    resamples: int = 1000,
) -> pd.DataFrame:
    """One row for every first stage and re-ranker, from grid and cross-fit.

    Returns:
        DataFrame indexed by (first stage, re-ranker), percent: ``first stage``, ``re-ranked`` (cross-fitted), ``gain``
        with ``low``, ``high``, ``best cell on the test queries`` (the paper's way, optimistic), and the two halves'
        ``cells`` as "m, lambda, gamma".
    """
    rows = {}
    for key, grid in cells.items():
        first, fit = first_stage(grid), fits[key]
        gain = bootstrap.bootstrap(100 * (fit.ap - first), resamples)
        rows[key] = {
            "first stage": 100 * first.mean(),
            "re-ranked": 100 * fit.ap.mean(),
            "gain": gain.mean,
            "low": gain.low,
            "high": gain.high,
            "best cell on the test queries": 100 * grid.mean(axis=1).max(),
            "cells": " / ".join(dict.fromkeys(f"{m}, {weight:g}, {gamma:g}" for m, weight, gamma in fit.chosen)),
        }
    return pd.DataFrame(rows).T.infer_objects().rename_axis(["first stage of", "re-ranker"])


def beside_poster(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """The poster's table, and below it ours, a :func:`summary`, in percent.

    Returns:
        DataFrame indexed by encoder (ours: ``label``) and first stage: mAP re-ranked by AMES, and of the first stage
        alone; NaN where the poster reports none.
    """
    published = paper.table("table_3_reranking")
    keys = {
        "encoder": published["encoder"] + published["adapted_dagger"].map({"yes": " (adapted)", "no": ""}),
        "first stage": published["patchify_level"].fillna("global"),
        "column": published["column"].str.replace("reranking_", "+ "),
    }
    poster = published.assign(**keys).set_index(list(keys))["mAP@1k"].unstack("column")
    ours = table.xs("AMES", level="re-ranker")[["re-ranked", "first stage"]].set_axis(poster.columns, axis=1)
    return pd.concat([poster, pd.concat({label: ours})]).rename_axis(["encoder", "first stage"])


def claims(
    grids: Mapping[tuple[str, str], pd.DataFrame], fits: Mapping[tuple[str, str], CrossFit]
) -> dict[str, pd.Series]:
    """What one hopes of re-ranking, as differences per query in points, positive where it is true.

    Args:
        grids: (first stage, re-ranker) -> grid, for ``"AMES"``, ``"ELViS"`` and ``"Chamfer"``, ``"global"`` and
            ``"L3"`` at least.
        fits: likewise, the grid cross-fitted; AMES on L3 also by what it looks at.

    Source: supplement S6; poster.
    """
    ap = {key: 100 * fit.ap for key, fit in fits.items()}
    alone = {stage: 100 * first_stage(grid) for (stage, _), grid in grids.items()}
    found = {f"{name} improves {stage}": ap[stage, name] - alone[stage]
             for name in dict.fromkeys(name for _, name in grids) for stage in alone}  # fmt: skip
    found |= {f"{more} above {less} on {stage}": ap[stage, more] - ap[stage, less]
              for more, less in (("AMES", "Chamfer"), ("ELViS", "AMES")) for stage in alone}  # fmt: skip
    found["L3 alone above global + AMES"] = alone["L3"] - ap["global", "AMES"]
    found["AMES gains more on global than on L3"] = found["AMES improves global"] - found["AMES improves L3"]
    whole = ap["L3", "whole image"]
    return found | {f"{name} above whole image": ap["L3", name] - whole for name in ("winning patch", "mean of both")}


def moved(gain: pd.Series) -> dict[str, int]:
    """Three queries to look at, by a rule: largest gain in AP, median gain of those that changed, largest loss.

    Title -> row of the query; without a change the first query alone, without a loss no loss.
    """
    values = gain.to_numpy()
    order = [int(row) for row in np.argsort(-values, kind="stable") if abs(values[row]) > 0]
    if not order:
        return {"no query changes": 0}
    chosen = {"largest gain": order[0], "median change": order[len(order) // 2]}
    return chosen | ({"largest loss": order[-1]} if values[order[-1]] < 0 else {})


def first_stage(cells: pd.DataFrame) -> pd.Series:
    """(Q,) AP of the first stage alone, 0..1: any cell of m = 0.

    Raises:
        ValueError: the grid has no m = 0.
    """
    if 0 not in cells.index.get_level_values("m"):
        raise ValueError("the grid has no shortlist of 0 images, so the first stage is not in it; add 0 to the lengths")
    return cells.loc[0].iloc[0]
