"""What compression costs: levels, the paper's grid, lists probed; one vector worked by hand.

Every index here is trained and searched on one thread, and several run at a time: k-means on small sets is quicker
that way, and its result does not depend on the number of cores.
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from patchlib import metrics
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.pq.index import PatchIndex
from patchlib.pq.training import VECTORS_PER_LIST, IndexSpec, default_spec
from patchlib.search import Ranking, recall
from patchlib.studies import bootstrap
from patchlib.support import progress

Key = TypeVar("Key", bound=Hashable)
SHARES = (4, 2, 1)  # of the largest m, as 16, 32, 64 in the paper
LIST_SHARES = (2, 1)  # of the largest nlist, as 2048, 4096


class Result(NamedTuple):
    """Scores per query of ``metrics.evaluate``, bytes of a vector's code and of the saved index, what was measured."""

    scores: pd.DataFrame
    code_bytes: int
    nbytes: int
    built: PatchIndex | None = None
    ranking: Ranking | None = None


def rule(features: FeatureSet, vectors: int | None = None) -> IndexSpec:
    """What :func:`patchlib.pq.training.default_spec` says of these features, or of so many of their vectors."""
    count, dim = features.descriptors.shape
    return default_spec(count if vectors is None else vectors, dim)


def grid(features: FeatureSet) -> list[IndexSpec]:
    """The paper's grid, m in {16, 32, 64} x nlist in {2048, 4096}, scaled to a smaller set, and twice the largest m.

    The paper's largest values become those of :func:`rule`, the others a quarter and a half of m, and half of nlist: at
    full size these are the paper's. Values of m that do not divide D are left out.

    Source: supplement S7; twice the largest m is ours.
    """
    largest, dim = rule(features), features.descriptors.shape[1]
    codes = sorted({largest.m // share for share in SHARES if largest.m // share} | {2 * largest.m})
    lists = sorted({max(largest.nlist // share, 1) for share in LIST_SHARES})
    return [IndexSpec(nlist=nlist, m=m) for nlist in lists for m in codes if dim % m == 0]


def run(jobs: Mapping[Key, Callable[[], Any]], workers: int | None = None, label: str = "indexes") -> dict[Key, Any]:
    """Call every job on one of ``workers`` threads (faiss and numpy let go of Python's lock); results by key."""
    with ThreadPoolExecutor(workers) as pool, progress.track(label, len(jobs), "index") as bar:
        running = {key: pool.submit(job) for key, job in jobs.items()}
        for _ in as_completed(running.values()):
            bar.update(1)
        return {key: done.result() for key, done in running.items()}


def measure(
    features: FeatureSet,
    benchmark: Benchmark,
    spec: IndexSpec | None = None,
    k: int | None = None,
    train_on: ArrayLike | FeatureSet | None = None,
    finest: FeatureSet | None = None,
) -> Result:
    """Build an index and search it, all lists probed, so that the codes are the only approximation.

    Args:
        features: what is indexed, and the queries.
        spec: of the index; None = :func:`rule`.
        k: depth of AP; None = the whole ranking.
        train_on: of :meth:`PatchIndex.build`; None = the features.
        finest: to train on where the features are not :func:`enough`.
    """
    spec = spec or rule(features)
    train_on = finest if train_on is None and finest is not None and not enough(features, spec) else train_on
    index = PatchIndex.build(features, train_on, **dataclasses.asdict(spec), threads=1)
    ranking = index.search(features.query_descriptors, k, threads=1)
    scores = metrics.evaluate(ranking, benchmark, features, k)
    return Result(scores, index.ivf.code_size, index.nbytes, index, ranking)


def enough(features: FeatureSet, spec: IndexSpec) -> bool:
    """Whether there are 40 vectors for each list and for each codeword; faiss warns below 39."""
    return len(features.descriptors) >= VECTORS_PER_LIST * max(spec.nlist, 2**spec.nbits)


def overview(results: Mapping[Key, Result]) -> pd.DataFrame:
    """mAP in percent and 10^6 bytes of the saved index, by key."""
    rows = {key: [100 * result.scores["ap"].mean(), result.nbytes / 1e6] for key, result in results.items()}
    return pd.DataFrame(rows, ["mAP", "MB"]).T


def summary(exact: Mapping[str, pd.DataFrame], coded: Mapping[str, Result]) -> pd.DataFrame:
    """Table 5: every level, exact (table of ``metrics.evaluate``) and compressed.

    Returns:
        DataFrame indexed by (level, pq): mAP, LocScore, mLocScore in percent.
    """
    rows: dict[tuple[str, str], pd.DataFrame] = {}
    for level, scores in exact.items():
        rows |= {(level, "no"): scores, (level, "yes"): coded[level].scores}
    table = pd.DataFrame({key: metrics.summarise(scores) for key, scores in rows.items()}).T
    return table[["mAP", "LocScore", "mLocScore"]].rename_axis(["level", "pq"])


def changes(
    exact: Mapping[str, pd.DataFrame], coded: Mapping[str, Result], score: str = "ap", resamples: int = 1000
) -> pd.DataFrame:
    """What compression changes, level by level, in points and paired by query: columns of ``bootstrap.intervals``."""
    values = {level: bootstrap.paired(scores, coded[level].scores, score) for level, scores in exact.items()}
    return bootstrap.intervals(values, resamples).rename_axis("level")


def level_intervals(
    exact: Mapping[str, pd.DataFrame], coded: Mapping[str, Result], resamples: int = 1000
) -> dict[str, pd.DataFrame]:
    """mAP in percent with its interval, level by level: "exact" and "PQ" -> columns of ``bootstrap.intervals``."""
    tables = {"exact": exact, "PQ": {level: result.scores for level, result in coded.items()}}
    return {
        kind: bootstrap.intervals({level: 100 * table["ap"] for level, table in levels.items()}, resamples)
        for kind, levels in tables.items()
    }


def worked_example(index: PatchIndex, vector: NDArray[np.floating], query: NDArray[np.floating]) -> pd.DataFrame:
    """How an IVFPQ index keeps one vector: its list, then for each part of the residual the nearest codeword.

    Computed from the formulas alone, with no call of faiss' encoder.

    Args:
        index: with the factory :data:`patchlib.pq.training.PLAIN`.
        vector, query: (D,).

    Returns:
        DataFrame indexed by part ("list", "1", ..., str(m)): ``code``, ``squared_error`` of the part after coding (of
        the list: of the whole vector before it), ``score``: what the part adds to the inner product with the query.

    Source: H. Jegou, M. Douze, C. Schmid, Product Quantization for Nearest Neighbor Search, PAMI 2011.
    """
    import faiss

    ivf = index.ivf
    vector, query = np.asarray(vector, np.float64), np.asarray(query, np.float64)
    centroids = ivf.quantizer.reconstruct_n(0, ivf.nlist).astype(np.float64)
    number = int((centroids @ vector).argmax())
    residual = (vector - centroids[number]).reshape(ivf.pq.M, 1, -1)
    codewords = faiss.vector_to_array(ivf.pq.centroids).reshape(ivf.pq.M, ivf.pq.ksub, -1)
    distances = ((residual - codewords) ** 2).sum(axis=2)
    codes = distances.argmin(axis=1)
    chosen = codewords[np.arange(ivf.pq.M), codes]
    table = pd.DataFrame(
        {
            "code": [number, *codes],
            "squared_error": [(residual**2).sum(), *distances.min(axis=1)],
            "score": [query @ centroids[number], *(query.reshape(chosen.shape) * chosen).sum(axis=1)],
        }
    )
    return table.set_index(pd.Index(["list", *map(str, range(1, ivf.pq.M + 1))], name="part"))


def lists_probed(nlist: int) -> list[int]:
    """Numbers of lists to probe: powers of four, and all of them."""
    return sorted({1 << i for i in range(0, nlist.bit_length(), 2)} | {nlist})


def probing(
    index: PatchIndex,
    features: FeatureSet,
    benchmark: Benchmark,
    exact: Ranking,
    top: int = 10,
    k: int | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """What probing fewer lists costs, and what share of the codes it spares.

    Args:
        index: of the features.
        exact: ranking without any compression.
        k: depth of AP.

    Returns:
        DataFrame indexed by nprobe (powers of four, and all lists), in percent: ``scanned`` (share of all codes),
        ``of_codes`` and ``of_exact`` (recall of the first ``top`` images of a search of all codes, and of the exact
        search), ``mAP``.
    """
    queries, nlist = features.query_descriptors, index.ivf.nlist
    probes = lists_probed(nlist)
    lists = np.array([index.ivf.invlists.list_size(number) for number in range(nlist)])
    everything = index.search(queries, top, threads=1)
    ranked = run({n: partial(index.search, queries, k, n, threads=1) for n in probes}, workers)
    rows = {}
    for nprobe, ranking in ranked.items():
        opened = index.ivf.quantizer.search(np.ascontiguousarray(queries, np.float32), nprobe)[1]
        rows[nprobe] = {
            "scanned": 100 * lists[opened].sum(axis=1).mean() / index.ivf.ntotal,
            "of_codes": 100 * recall(ranking, everything, top),
            "of_exact": 100 * recall(ranking, exact, top),
            "mAP": 100 * metrics.evaluate(ranking, benchmark, features, k)["ap"].mean(),
        }
    return pd.DataFrame(rows).T.rename_axis("nprobe")


def claims(
    exact: Mapping[str, pd.DataFrame],
    coded: Mapping[str, Result],
    cells: Mapping[tuple[int, int], Result],
    codes: Mapping[tuple[int, str], Result],
) -> dict[str, pd.Series]:
    """What there is to say of compression, as differences per query for :func:`patchlib.studies.verdicts`.

    Args:
        exact: level -> table of ``metrics.evaluate``; "L0" and "L3" among them.
        coded: level -> result of the compressed index.
        cells: (nlist, m) -> result; the grid is compared in its largest nlist.
        codes: (bytes, codec) -> result; each is compared with "PQ" of the same bytes, or, where there is none, of the
            next ones.
    """
    losses = {level: bootstrap.paired(result.scores, exact[level]) for level, result in coded.items()}
    stated = {f"{level}: exact above PQ": values for level, values in losses.items()}
    stated["PQ costs L3 more than L0"] = losses["L3"] - losses["L0"]
    stated["L3 with PQ above L0 without"] = bootstrap.paired(exact["L0"], coded["L3"].scores)
    most = max(nlist for nlist, _ in cells)
    by_m = {m: result.scores for (nlist, m), result in sorted(cells.items()) if nlist == most}
    for less, more in pairwise(by_m):
        stated[f"m = {more} above m = {less}"] = bootstrap.paired(by_m[less], by_m[more])
    plain = [size for size, name in codes if name == "PQ"]
    for (size, name), result in codes.items():
        beside = {max(s for s in plain if s <= size), min((s for s in plain if s >= size), default=size)} & {*plain}
        for other in sorted(beside) if name != "PQ" else ():
            told = f"{size} bytes: {name} above PQ" + (f" of {other} bytes" if other != size else "")
            stated[told] = bootstrap.paired(codes[other, "PQ"].scores, result.scores)
    return stated
