"""Codes beside product quantization: by their true bytes, what they find, how fast; and why a projection may help."""

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib.features.feature_set import FeatureSet
from patchlib.pq.training import IndexSpec
from patchlib.search import Ranking, recall
from patchlib.studies import bootstrap, claims
from patchlib.studies.compression import Result, lists_probed
from patchlib.support import machine

RABITQ_FACTORS = 8  # bytes beside one bit a dimension: two floats that correct a score
TIMED = ("PQ", "OPQ+PQ", "SQ4", "RaBitQ")  # one of each kind
Key = tuple[int, str]  # bytes of a vector's code, name of the codec


def specs(sizes: Iterable[int], dim: int, nlist: int) -> dict[Key, IndexSpec]:
    """Indexes by the bytes of a vector's code, divisors of D, in equally many lists.

    Scalar codes need more bytes at D dimensions, so they stand behind a PCA to as many dimensions as the bytes pay for.
    PQ behind a PCA keeps four dimensions a byte, as SQ4 keeps two, to tell what the PCA does for the scalar codes from
    what they do themselves. RaBitQ keeps one bit of every dimension, and its correction factors.

    Raises:
        ValueError: a size does not divide D.
    """
    by_key = {(size, name): factory for size in sizes for name, factory in _factories(size, dim).items()}
    by_key[(dim + 7) // 8 + RABITQ_FACTORS, "RaBitQ"] = "IVF{nlist},RaBitQ"
    return {key: IndexSpec(nlist=nlist, m=key[0], factory=factory) for key, factory in sorted(by_key.items())}


def _factories(size: int, dim: int) -> dict[str, str]:
    if size < 1 or dim % size:
        raise ValueError(f"size is {size} bytes, expected a divisor of the {dim} dimensions")

    def behind_pca(dimensions: int, code: str) -> str:
        return ("" if dimensions >= dim else f"PCA{dimensions},") + f"IVF{{nlist}},{code}"

    factories = {"PQ": f"IVF{{nlist}},PQ{size}", "OPQ+PQ": f"OPQ{size},IVF{{nlist}},PQ{size}"}
    factories |= {f"SQ{bits}": behind_pca(8 * size // bits, f"SQ{bits}") for bits in (8, 4) if 8 * size // bits <= dim}
    if 4 * size < dim:
        factories["PCA+PQ"] = behind_pca(4 * size, f"PQ{size}")
    return factories


def table(results: Mapping[Key, Result], exact: Ranking, top: int = 10, resamples: int = 1000) -> pd.DataFrame:
    """Codes by their size.

    Args:
        results: of :func:`patchlib.studies.compression.measure`.
        exact: ranking without any compression.

    Returns:
        DataFrame indexed by (bytes, codec): ``mAP``, ``low``, ``high``, and ``recall`` of the first ``top`` images of
        the exact search, in percent.
    """
    rows = {
        key: [*bootstrap.bootstrap(100 * result.scores["ap"], resamples)[:3], 100 * recall(result.ranking, exact, top)]
        for key, result in results.items()
        if result.ranking is not None
    }
    index = pd.MultiIndex.from_tuples(rows, names=["bytes", "codec"])
    return pd.DataFrame(rows.values(), index, ["mAP", "low", "high", "recall"])


def best(results: Mapping[Key, Result], resamples: int = 1000) -> str:
    """A sentence: the best codec of each size, or the two best where their paired difference is uncertain."""
    told = []
    for size in sorted({size for size, _ in results}):
        rivals = {name: result.scores for (of_bytes, name), result in results.items() if of_bytes == size}
        ranked = sorted(rivals, key=lambda name: -rivals[name]["ap"].mean())[:2]
        if len(ranked) > 1:
            first, second = ranked
            apart = claims.verdicts({"": bootstrap.paired(rivals[second], rivals[first])}, resamples)
            told.append(f"{first if apart['holds'].iloc[0] == 'yes' else f'{first} or {second}'} at {size} bytes")
    return f"Best of their size: {', '.join(told)}."


def speed(
    results: Mapping[Key, Result],
    queries: NDArray[np.floating],
    exact: Ranking,
    size: int,
    top: int,
    watch: machine.Stopwatch,
) -> pd.DataFrame:
    """What the codecs of :data:`TIMED` find at what speed, one search at a time on one thread.

    Args:
        results, exact: as of :func:`table`.
        queries: (Q, D) unit rows.
        size: bytes of the codes; RaBitQ has its own.
        watch: of a session, which knows what was timed before.

    Returns:
        DataFrame indexed by bytes, codec and nprobe (powers of four, and all lists): ``recall`` of the first ``top``
        images of the exact search in percent, ``per_second``: queries, which depends on the machine.
    """
    rows = {}
    for key, result in results.items():
        if result.built is None or key[1] not in TIMED or (key[0] != size and key[1] != "RaBitQ"):
            continue
        nlist = result.built.ivf.nlist
        for nprobe in lists_probed(nlist):
            search = partial(result.built.search, queries, top, nprobe, threads=1)
            name = f"{key[1]} of {key[0]} bytes, {nprobe} lists"
            per_query = watch.take(name, machine.milliseconds, search, max(len(queries), 1))
            rows[*key, nprobe] = {"recall": 100 * recall(search(), exact, top), "per_second": 1000 / per_query}
    return pd.DataFrame(rows).T.rename_axis(["bytes", "codec", "nprobe"])


def spectrum(features: FeatureSet, most: int = 5_000) -> NDArray[np.float64]:
    """(D,) share in percent of the descriptors' energy that lies in their first 1 .. D principal directions.

    Directions are those of inner products, without centring; at most ``most`` evenly spread rows are looked at.
    """
    rows = np.asarray(features.descriptors[:: -(-len(features.descriptors) // most)], np.float64)
    energy = np.linalg.eigvalsh(rows.T @ rows)[::-1]
    return 100 * energy.cumsum() / energy.sum()


def directions(spectra: Mapping[str, NDArray[np.float64]], share: float = 95) -> str:
    """A sentence: how many directions hold so many percent of the energy, by encoder; of :func:`spectrum`."""
    counts = {name: np.searchsorted(values, share) + 1 for name, values in spectra.items()}
    told = ", ".join(f"{count} of {len(spectra[name])} directions ({name})" for name, count in counts.items())
    return f"{share:g} % of the energy lies in {told}."
