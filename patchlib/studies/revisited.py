"""R-Oxford and R-Paris scored as published: mAP in three settings, by the trapezoidal rule, junk taken out.

:func:`patchlib.metrics.evaluate` scores one setting by step AP, as everything here; these numbers are for comparison
with the literature.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from patchlib.benchmarks.benchmark import Benchmark
from patchlib.benchmarks.revisited import LABELS, SETTINGS
from patchlib.metrics import average_precision_trapezoidal
from patchlib.search import Ranking


def protocol(ranking: Ranking, benchmark: Benchmark) -> pd.DataFrame:
    """Trapezoidal AP of every query in every setting.

    Args:
        ranking: (Q, N) of the whole database.
        benchmark: R-Oxford or R-Paris, loaded in any setting: ``meta["labels"]`` has them all.

    Returns:
        DataFrame indexed by query_id, columns easy, medium, hard: 0..1, NaN where the query has no positive in the
        setting; the mAP is the columns' mean.

    Raises:
        ValueError: the ranking is cut, or the benchmark has no such labels.

    Source: Radenovic et al., CVPR 2018: junk of a setting is what is labelled and no positive in it.
    """
    labels, n_images = benchmark.meta.get("labels"), len(benchmark.images)
    if labels is None:
        raise ValueError(f"{benchmark.name} has no labels easy, hard and junk; load roxford5k or rparis6k")
    if ranking.images.shape[1] < n_images:
        raise ValueError(f"the ranking holds {ranking.images.shape[1]} of {n_images} images; rank the whole database")
    number = pd.Index(benchmark.images["image_id"])
    rows: dict[str, dict[str, float]] = {}
    for query, order in zip(benchmark.queries["query_id"], ranking.images, strict=True):
        of = {label: np.isin(order, number.get_indexer(labels[query][label])) for label in LABELS}
        rows[query] = {}
        for setting, positive in SETTINGS.items():
            hits = np.any([of[label] for label in positive], axis=0)
            kept = hits | ~np.any(list(of.values()), axis=0)
            rows[query][setting] = float(average_precision_trapezoidal(hits[kept], hits.sum()))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("query_id")
