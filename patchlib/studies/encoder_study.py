"""What studies of encoders share: a small benchmark, the encoders that are there, scores by level, tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import encoders, metrics, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.studies import attributes, bootstrap


def sample(benchmark: Benchmark, n_images: int | None, each: int | None = None) -> Benchmark:
    """A smaller database, for studies that describe each image many times; a small one is returned as it is.

    Four fifths of the images are positives, equally many of each query; the others are spread evenly over the images
    that are no query's positive.

    Args:
        n_images: at most so many images, unless there are more queries; None = all.
        each: positives that a query keeps at least, spread from its smallest box to its largest; of more queries than
            this leaves room for some are taken, evenly. None = all queries, the first positives of each.
    """
    if n_images is None or n_images >= len(benchmark.images):
        return benchmark
    if n_images < 1:
        raise ValueError(f"a sample of {n_images} images, expected at least 1")
    known = [np.unique(benchmark.relevant(query)[0]) for query in range(len(benchmark.queries))]
    most, queries, take = n_images * 4 // 5, np.arange(len(known)), _first
    if each is not None:
        sizes = attributes.attributes(benchmark).groupby("image_id")["area"].max()
        area = sizes.reindex(benchmark.images["image_id"]).to_numpy()
        known = [rows[np.argsort(area[rows], kind="stable")] for rows in known]
        queries, take = spread(queries, max(1, most // each)), spread
    kept = max(1, most // len(queries))
    chosen = np.unique(np.concatenate([take(known[query], kept) for query in queries])).astype(np.int64)
    # positives that were not chosen would be missing ones: only images that are no positive may fill up
    rest = np.setdiff1d(np.arange(len(benchmark.images)), np.concatenate(known))
    others = spread(rest, max(n_images - len(chosen), 0))
    return benchmark.subset(np.sort(np.concatenate([chosen, others])).tolist(), queries.tolist())


def counts(benchmark: Benchmark) -> str:
    """How many images, queries, and positives of a query, as text."""
    found = benchmark.summary()
    each = found["positives"] / found["queries"]
    return f"{found['images']} images, {found['queries']} queries, {each:.1f} positives a query"


def _first(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return rows[:count]


def spread(rows: NDArray[Any], count: int) -> NDArray[Any]:
    """At most ``count`` rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def available(names: Iterable[str], device: str = "cpu") -> tuple[dict[str, encoders.Encoder], dict[str, str]]:
    """The encoders that can be created, and by name why the others cannot: missing weights stop no comparison."""
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
    """Every encoder and level: indexed by (encoder, level), columns of ``metrics.summarise`` in percent."""
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
