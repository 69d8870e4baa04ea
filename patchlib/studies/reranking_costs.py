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
    from patchlib.reranking.matchers import Matcher

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


def of_matchers(
    matchers: Mapping[str, Matcher],
    queries: Mapping[str, LocalFeatures],
    images: Mapping[str, LocalFeatures],
    rows: NDArray[np.integer],
    device: str,
    watch: machine.Stopwatch,
) -> pd.DataFrame:
    """What matchers cost on top of a first stage.

    Args:
        matchers: by name.
        queries: name -> its local descriptors of the queries.
        images: name -> of the database images.
        rows: (Q, m) shortlists; the first few are scored.
        device: of the matchers.
        watch: as in :func:`of_stages`.

    Returns:
        DataFrame indexed by matcher: ``bytes per image``, ``ms per query``.
    """
    from patchlib.reranking.rerank import score_shortlist  # torch

    few, costs = rows[:FEW], {}
    for name, matcher in matchers.items():
        asked = queries[name].subset(np.arange(len(few)))
        work = partial(score_shortlist, matcher.scorer, asked, images[name], few, device=device)
        costs[name] = matcher.bytes_per_image, watch.take(name, machine.milliseconds, work, len(few))
    return pd.DataFrame(costs, index=COST).T


def of_methods(table: pd.DataFrame, stages: pd.DataFrame, scorers: pd.DataFrame) -> pd.DataFrame:
    """What every method costs and is worth.

    Args:
        table: of :func:`patchlib.studies.reranking.summary`.
        stages: of :func:`of_stages`.
        scorers: of :func:`of_matchers`.

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
