"""Codebooks on trial: trained on a number of vectors with a seed, judged by what they retrieve and what they lose.

A codebook is judged by all codes: every indexed region is coded, decoded and searched exactly, which ranks as a search
of the index with all lists probed does.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import boxes as box_ops
from patchlib import metrics, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.pq.index import BLOCK, PatchIndex, faiss_threads, identity
from patchlib.pq.training import IndexSpec, train
from patchlib.studies import bootstrap, compression
from patchlib.support import files, provenance

MOST = 8192  # vectors a codebook is trained on here; more change little and take long
SAMPLED = 3000  # vectors of each kind whose loss is measured
COVERED = 0.5  # IoU from which a region shows the instance


class Trial(NamedTuple):
    """One codebook: the name of what it was trained on, how many vectors, codes per vector, seed."""

    name: str
    vectors: int
    m: int
    seed: int


def trials(available: Mapping[str, int], sizes: Iterable[int], codes: Iterable[int], seeds: int) -> list[Trial]:
    """Every set at every number of vectors it has, and at all of them (at most :data:`MOST`), in every code size.

    Args:
        available: set -> number of its vectors.
        sizes: numbers of vectors to compare sets at.
        codes: numbers of codes per vector.
        seeds: of the sample and of k-means, 0 .. seeds - 1.
    """
    planned = []
    for name, count in available.items():
        numbers = {size for size in sizes if size <= count} | {min(count, MOST)}
        planned += [Trial(name, n, m, seed) for n in sorted(numbers) for m in codes for seed in range(seeds)]
    return planned


def codebook(sets: Mapping[str, NDArray[np.floating]], trial: Trial, nlist: int) -> PatchIndex:
    """An empty index with a codebook, for :meth:`PatchIndex.quantise`.

    Of the (T, D) vectors of its set the trial's number is drawn with its seed.
    """
    vectors = sets[trial.name]
    rows = np.random.default_rng(trial.seed).choice(len(vectors), trial.vectors, replace=False)
    sample = np.asarray(vectors[np.sort(rows)], np.float32)
    with faiss_threads(1):
        index = train(sample, IndexSpec(nlist=nlist, m=trial.m, seed=trial.seed))
    return PatchIndex(index, np.zeros(1, np.int64), {"training_vectors": len(sample)})


def rank(database: FeatureSet, book: PatchIndex, k: int | None = None) -> search.Ranking:
    """Ranking of a database, and by its queries, that is coded with a :func:`codebook`; ``k`` images, None = all."""
    kept: Any = _Codes(book, database.descriptors)
    return search.rank(database.query_descriptors, dataclasses.replace(database, descriptors=kept), k, workers=1)


def score(
    database: FeatureSet,
    benchmark: Benchmark,
    sets: Mapping[str, NDArray[np.floating]],
    trial: Trial,
    nlist: int,
    k: int | None = None,
) -> pd.DataFrame:
    """Scores per query of a database coded with a :func:`codebook` of one of the sets; ``k`` is the depth of AP.

    Computed once for a codebook, a database and a library, then read from the cache.
    """
    import faiss

    book = codebook(sets, trial, nlist)
    config: dict[str, Any] = {
        "codebook": provenance.sha256_array(faiss.serialize_index(book.index)),
        "queries": provenance.sha256_array(database.query_descriptors),
    }
    config |= {"features": identity(database), "benchmark": benchmark.hash, "k": k, "library": provenance.library()}

    def columns() -> dict[str, NDArray[Any]]:
        table = metrics.evaluate(rank(database, book, k), benchmark, database, k)
        return {name: np.array(values.tolist()) for name, values in table.items()}

    return pd.DataFrame(files.kept_arrays("scores", config, columns))


def per_query(scores: Mapping[Trial, pd.DataFrame], name: str, vectors: int, m: int) -> pd.Series:
    """AP of every query in percent, the mean over the seeds of one codebook."""
    tables = [table for trial, table in scores.items() if trial[:3] == (name, vectors, m)]
    if not tables:
        raise ValueError(f"no codebook of {vectors} vectors of {name!r} with m = {m} was tried")
    return 100 * pd.concat([table.set_index("query_id")["ap"] for table in tables], axis=1).mean(axis=1)


def own_and_other(
    scores: Mapping[Trial, pd.DataFrame], first: Benchmark, base: str, vectors: int, m: int
) -> pd.DataFrame:
    """AP of every query in percent with the codebook of its own half of the instances, and with that of the other half.

    Each codebook is "own" for one half of the queries and "other" for the other half, so that neither the crops nor the
    queries of the two sides differ: only whether the query's own instance was among the crops.

    Args:
        scores: trials of the sets "first half", "second half" and of another one, ``base``.
        first: the first half of :func:`patchlib.studies.pq_training_sets.halves`.

    Returns:
        DataFrame indexed by query_id: ``own half``, ``other half``, and the other set by its name.
    """
    of_first, of_second, of_base = (per_query(scores, name, vectors, m) for name in ("first half", "second half", base))
    inside = of_first.index.isin(first.queries["query_id"])
    own, other = of_first.where(inside, of_second), of_second.where(inside, of_first)
    return pd.DataFrame({"own half": own, "other half": other, base: of_base})


def by_seed(scores: Mapping[Trial, pd.DataFrame]) -> pd.DataFrame:
    """mAP of every codebook in percent with its 95 % interval over seeds (Student's t; the queries stay the same).

    Returns:
        DataFrame indexed by (training_feature, vectors, m): ``mAP``, ``low``, ``high``, ``seeds``.
    """
    means: dict[tuple[str, int, int], list[float]] = {}
    for trial, table in scores.items():
        means.setdefault(trial[:3], []).append(100 * float(table["ap"].mean()))
    rows = {key: bootstrap.over_runs(values) for key, values in means.items()}
    table = pd.DataFrame(rows, index=list(bootstrap.Interval._fields)).T
    table = table.rename(columns={"mean": "mAP", "n": "seeds"})[["mAP", "low", "high", "seeds"]]
    return table.astype({"seeds": int}).rename_axis(["training_feature", "vectors", "m"])


def compared(table: pd.DataFrame, names: Iterable[str], vectors: int) -> pd.DataFrame:
    """Rows of :func:`by_seed` at one number of vectors: a row a set, mAP and its interval for every m."""
    columns = ["mAP", "low", "high"]
    by_m = table.xs(vectors, level="vectors")[columns].unstack("m").swaplevel(axis=1)
    sizes = by_m.columns.unique("m")
    return by_m.reindex(index=list(names), columns=pd.MultiIndex.from_product([sizes, columns]))


def kinds(database: FeatureSet, benchmark: Benchmark, k: int | None = None) -> dict[str, NDArray[np.int64]]:
    """Rows of the indexed regions by what they show; nothing without boxes.

    Returns:
        "on an instance" (IoU with a true box of at least 0.5), "winning" (best region of a positive for its query, in
        an exact ranking of depth ``k``), "background" (of images that are no positive, and regions that touch no true
        box).
    """
    if not benchmark.has_boxes:
        return {}
    ranking = search.rank(database.query_descriptors, database, k)
    overlap = np.zeros(len(database.boxes), np.float32)
    best = []
    for query in range(len(benchmark.queries)):
        images, boxes = benchmark.relevant(query)
        best.append(ranking.regions[query][np.isin(ranking.images[query], images)])
        for image, box in zip(images, boxes, strict=True):
            if not np.isnan(box).any():
                rows = slice(database.offsets[image], database.offsets[image + 1])
                overlap[rows] = np.maximum(overlap[rows], box_ops.iou(database.boxes[rows], box[None])[:, 0])
    winning = np.unique(np.concatenate(best))
    return {
        "on an instance": np.flatnonzero(overlap >= COVERED),
        "winning": winning[winning >= 0],
        "background": np.flatnonzero(overlap == 0),
    }


def errors(
    books: Mapping[str, PatchIndex], database: FeatureSet, groups: Mapping[str, NDArray[np.int64]]
) -> pd.DataFrame:
    """What codebooks lose of vectors, and what they do to their length.

    Args:
        books: training set -> its codebook.
        groups: of :func:`kinds`; of each about :data:`SAMPLED` are taken, evenly spread.

    Returns:
        DataFrame indexed by (training_feature, regions): ``error`` (mean squared length of what is lost; the vectors
        have length 1) and ``length`` (mean length of what is kept).
    """
    sampled = {group: rows[:: max(1, len(rows) // SAMPLED)] for group, rows in groups.items()}
    samples = {group: np.asarray(database.descriptors[rows], np.float32) for group, rows in sampled.items()}
    keys = [(name, group) for name in books for group in samples]
    index = pd.MultiIndex.from_tuples(keys, names=["training_feature", "regions"])
    return pd.DataFrame([_loss(books[name], samples[group]) for name, group in keys], index, ["error", "length"])


def _loss(book: PatchIndex, vectors: NDArray[np.float32]) -> tuple[float, float]:
    """Mean squared length of what a codebook loses, and mean length of what it keeps."""
    with faiss_threads(1):
        kept = book.quantise(vectors)
    lost = ((vectors - kept) ** 2).sum(axis=1).mean()
    return float(lost), float(np.linalg.norm(kept, axis=1).mean())


def claims(
    scores: Mapping[Trial, pd.DataFrame], available: Mapping[str, int], vectors: int, halved: Mapping[int, pd.DataFrame]
) -> dict[str, pd.Series]:
    """What there is to say of training sets, as differences per query for :func:`patchlib.studies.verdicts`.

    Args:
        available: set -> number of its vectors; all are compared with the first one, "L3" also with itself.
        vectors: number of training vectors to compare at.
        halved: m -> table of :func:`own_and_other`; may be empty.
    """
    base, *others = available
    at, most = partial(per_query, scores), min(available["L3"], MOST)
    stated = {}
    for m in sorted({trial.m for trial in scores}):
        for name in others:
            stated[f"{name} above {base} [m = {m}]"] = at(name, vectors, m) - at(base, vectors, m)
        for half, values in halved[m].drop(columns=base).items() if halved else ():
            stated[f"crops of the {half} above {base} [m = {m}]"] = values - halved[m][base]
        stated[f"L3, {most} vectors above {vectors} [m = {m}]"] = at("L3", most, m) - at("L3", vectors, m)
    return stated


def claims_of_lists(
    built: Mapping[str, compression.Result], specs: Mapping[str, compression.IndexSpec]
) -> dict[str, pd.Series]:
    """Every set but "L3" against "L3", each in as many lists as its vectors allow; see :func:`claims`."""
    return {
        f"own lists: {name} ({specs[name].nlist}) above L3 ({specs['L3'].nlist})": bootstrap.paired(
            built["L3"].scores, result.scores
        )
        for name, result in built.items()
        if name != "L3"
    }


def typical(difference: pd.Series, benchmark: Benchmark, quantile: float = 0.75) -> int:
    """Row of the query whose difference, indexed by query_id, is nearest to a quantile of all; the first of several."""
    distance = (difference - difference.quantile(quantile)).abs()
    return int(np.flatnonzero(benchmark.queries["query_id"] == distance.idxmin())[0])


class _Codes:
    """The codes of descriptors, decoded where they are asked for: all of them decoded may not fit into memory."""

    def __init__(self, index: PatchIndex, descriptors: NDArray[np.floating]) -> None:
        self.index, self.shape, self.ndim = index.index, descriptors.shape, descriptors.ndim
        with faiss_threads(1):
            parts = [
                self.index.sa_encode(np.ascontiguousarray(descriptors[start : start + BLOCK], np.float32))
                for start in range(0, len(descriptors), BLOCK)
            ]
        self.codes = np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        with faiss_threads(1):
            return self.index.sa_decode(self.codes[rows])
