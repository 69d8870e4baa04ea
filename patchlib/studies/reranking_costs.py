"""What re-ranking costs: bytes of the database, and time of a query on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib.support import machine

if TYPE_CHECKING:
    from patchlib.reranking.local_features import LocalFeatures
    from patchlib.reranking.rerank import Scorer

FEW = 4  # queries whose re-ranking is timed
COST = ["bytes per image", "ms per query"]


def of_stages(
    searches: Mapping[str, Callable[[], object]],
    sizes: Mapping[str, int],
    n_images: int,
    n_queries: int,
    watch: machine.Stopwatch,
) -> pd.DataFrame:
    """What first stages cost: ``bytes per image`` and ``ms per query``, indexed by first stage.

    Args:
        searches: name -> search for all queries, ``n_queries``.
        sizes: name -> bytes of what is searched.
        watch: of a session, which knows what was timed before.
    """
    costs = {
        name: (sizes[name] / n_images, watch.take(name, machine.milliseconds, work, n_queries))
        for name, work in searches.items()
    }
    return pd.DataFrame(costs, index=COST).T


def of_scorers(
    scorers: Mapping[str, Scorer],
    sizes: Mapping[str, float],
    queries: Mapping[str, LocalFeatures],
    images: LocalFeatures,
    rows: NDArray[np.integer],
    device: str,
    watch: machine.Stopwatch,
) -> pd.DataFrame:
    """What scorers cost on top of a first stage: ``bytes per image`` and ``ms per query``, indexed by scorer.

    Args:
        sizes: name -> bytes of a database image.
        queries, images: local descriptors, of the queries by name of the scorer.
        rows: (Q, m) shortlists; the first few are scored.
        watch: as in :func:`of_stages`.
    """
    from patchlib.reranking.rerank import score_shortlist  # torch

    few, costs = rows[:FEW], {}
    for name, scorer in scorers.items():
        asked = queries[name].subset(np.arange(len(few)))
        work = partial(score_shortlist, scorer, asked, images, few, device=device)
        costs[name] = sizes[name], watch.take(name, machine.milliseconds, work, len(few))
    return pd.DataFrame(costs, index=COST).T


def of_methods(table: pd.DataFrame, stages: pd.DataFrame, scorers: pd.DataFrame) -> pd.DataFrame:
    """What every method costs and is worth.

    Args:
        table: of :func:`patchlib.studies.reranking.summary`.
        stages: of :func:`of_stages`.
        scorers: of :func:`of_scorers`.

    Returns:
        DataFrame indexed by method: ``first stage``, ``re-ranker`` ("none" for the first stage alone), ``mAP``
        (percent), ``bytes per image``, ``ms per query``.
    """
    rows: dict[str, dict[str, Any]] = {}
    for (stage, name), row in table.iterrows():
        alone = {"first stage": stage, "re-ranker": "none", "mAP": row["first stage"], **stages.loc[stage]}
        both = {"re-ranker": name, "mAP": row["re-ranked"], **(stages.loc[stage] + scorers.loc[name])}
        rows |= {stage: alone, f"{stage} + {name}": alone | both}
    return pd.DataFrame(rows).T.infer_objects().rename_axis("method")
