"""Do regions that adapt beat a grid of as many? How sharply to choose is decided on other instances."""

from collections.abc import Mapping

import pandas as pd

from patchlib import regions
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet, proposals, surprise
from patchlib.studies.bootstrap import intervals, paired
from patchlib.studies.cross_fitting import CrossFit, cross_fitted, halves
from patchlib.studies.region_strategies import within

SHARPNESSES = (0.0, 0.35, 0.7, 1.4)  # to choose from; 0 = the same windows for all images


def first(benchmark: Benchmark, sharpness: float, count: int, workers: int | None = None) -> regions.Regions:
    """The first ``count`` windows of :mod:`patchlib.features.surprise` of every image, at most 30."""
    proposed = proposals.of_benchmark(benchmark, surprise.proposer(sharpness), surprise.MOST, workers).regions
    kept = [proposed.boxes[start : start + count] for start in proposed.offsets[:-1]]
    return regions.Regions(f"{proposed.name}-first-{count}", *regions.stack(kept))


def sets(windows: FeatureSet, benchmark: Benchmark, count: int, workers: int | None = None) -> dict[float, FeatureSet]:
    """The chosen windows by sharpness, taken out of the features of all of them."""
    return {s: within(windows, benchmark, first(benchmark, s, count, workers)) for s in SHARPNESSES}


def choose(tables: Mapping[float, pd.DataFrame], benchmark: Benchmark, seed: int = 0) -> CrossFit:
    """For each half of the instances the sharpness that gives the other half the highest mAP.

    ``tables``: of ``metrics.evaluate``, by sharpness.
    """
    ap = pd.DataFrame({s: table.set_index("query_id")["ap"] for s, table in tables.items()}).T
    return cross_fitted(ap, benchmark.queries.set_index("query_id").loc[ap.columns, "instance"], seed)


def fair(tables: Mapping[float, pd.DataFrame], choice: CrossFit, benchmark: Benchmark, seed: int = 0) -> pd.DataFrame:
    """Scores of every query at the sharpness that the other half chose; arguments as of :func:`choose`."""
    of_query = dict(zip(benchmark.queries["query_id"], halves(benchmark.queries["instance"], seed), strict=True))
    by_first, by_second = (tables[s] for s in choice.chosen)
    is_first = by_first["query_id"].map(of_query).to_numpy(bool)
    return pd.concat([by_second[is_first], by_first[~is_first]]).sort_index()


def against(base: pd.DataFrame, rivals: Mapping[str, pd.DataFrame], resamples: int = 1000) -> pd.DataFrame:
    """Rivals and what each gains over a base, all of ``metrics.evaluate``, with 95 % intervals in points.

    Returns:
        DataFrame indexed by rival: ``mAP``, ``mAP gain``, ``mAP low``, ``mAP high``, and the same of mLocScore.
    """
    table = pd.DataFrame(index=pd.Index(rivals, name="regions"))
    for label, score in (("mAP", "ap"), ("mLocScore", "mloc_score")):
        table[label] = [100 * scores[score].mean() for scores in rivals.values()]
        spread = intervals({name: paired(base, scores, score) for name, scores in rivals.items()}, resamples)
        columns = [f"{label} gain", f"{label} low", f"{label} high"]
        table[columns] = spread[["mean", "low", "high"]].to_numpy()
    return table
