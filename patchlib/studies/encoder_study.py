"""What studies of encoders share: a small benchmark, the encoders that are there, scores by level, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from patchlib import encoders, metrics, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.studies import bootstrap

if TYPE_CHECKING:
    from patchlib.features.feature_set import FeatureSet


def sample(benchmark: Benchmark, n_images: int | None) -> Benchmark:
    """A smaller database with all queries, for studies that describe each image many times.

    Four fifths of the images are positives, equally many of each query (the first ones in the benchmark's order), the
    others are spread evenly over the images that are no positive. A small benchmark is returned as it is.

    Args:
        benchmark: what to take from.
        n_images: at most so many images, unless there are more queries; None = all.
    """
    if n_images is None or n_images >= len(benchmark.images):
        return benchmark
    if n_images < 1:
        raise ValueError(f"a sample of {n_images} images, expected at least 1")
    known = [np.unique(benchmark.relevant(query)[0]) for query in range(len(benchmark.queries))]
    each = max(1, n_images * 4 // 5 // len(known))
    chosen = np.unique(np.concatenate([rows[:each] for rows in known])).astype(np.int64)
    # positives that were not chosen would be missing ones: only images that are no positive may fill up
    rest = np.setdiff1d(np.arange(len(benchmark.images)), np.concatenate(known))
    spread = np.linspace(0, len(rest) - 1, min(max(n_images - len(chosen), 0), len(rest))).astype(int)
    return benchmark.subset(images=np.sort(np.concatenate([chosen, rest[spread]])).tolist())


def available(names: Iterable[str], device: str = "cpu") -> tuple[dict[str, encoders.Encoder], dict[str, str]]:
    """The encoders that can be created, and why the others cannot: one whose weights are missing stops no comparison.

    Returns:
        name -> Encoder, and name -> reason.
    """
    created, missing = {}, {}
    for name in names:
        try:
            created[name] = encoders.create(name, device=device)
        except (ValueError, FileNotFoundError) as error:
            missing[name] = str(error).split("; ")[0]
    return created, missing


def by_level(
    features: FeatureSet, benchmark: Benchmark, levels: Sequence[int], k: int | None = None
) -> dict[str, pd.DataFrame]:
    """Scores per query of every level, out of the features of the finest one: "L0" -> table of ``metrics.evaluate``."""
    tables = {}
    for level in levels:
        part = features.at_level(level)
        tables[f"L{level}"] = metrics.evaluate(search.rank(part.query_descriptors, part, k), benchmark, part, k=k)
    return tables


def backbone_table(scores: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Summaries of every encoder and level: indexed by (encoder, level), columns of ``metrics.summarise`` in percent.

    Args:
        scores: encoder -> level -> table of ``metrics.evaluate``.
    """
    summaries = {name: pd.DataFrame({level: metrics.summarise(table) for level, table in levels.items()}).T
                 for name, levels in scores.items()}  # fmt: skip
    return pd.concat(summaries, names=["encoder", "level"]).astype({"queries": int})


def pretraining_table(
    scores: Mapping[str, Mapping[str, pd.DataFrame]], zoo: pd.DataFrame, resamples: int = 1000
) -> pd.DataFrame:
    """mAP of the coarsest level ("global") and of the finest ("local") against the size of the pretraining set.

    Args:
        scores: encoder -> level -> table of ``metrics.evaluate``, levels ascending.
        zoo: indexed by encoder; columns ``family``, ``model``, ``dataset``, ``dataset_size``, ``dim``. Encoders without
            pretraining are left out.
        resamples: of the bootstrap.

    Returns:
        DataFrame indexed by encoder, by ascending size: family, model, dataset, size, dim, type, mAP, low, high.

    Source: Table 4, Figure S3.
    """
    rows = []
    trained = zoo[zoo["dataset_size"] > 0].sort_values("dataset_size", kind="stable")
    for name, spec in trained.rename(columns={"dataset_size": "size"}).iterrows():
        levels = list(scores[str(name)].values())
        for kind, table in (("global", levels[0]), ("local", levels[-1])):
            mean, low, high, _, _ = bootstrap.bootstrap(100 * table["ap"], resamples)
            rows.append({"encoder": name, **spec, "type": kind, "mAP": mean, "low": low, "high": high})
    columns = ["encoder", "family", "model", "dataset", "size", "dim", "type", "mAP", "low", "high"]
    return pd.DataFrame(rows, columns=columns).set_index("encoder")
