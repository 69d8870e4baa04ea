"""Does linear adaptation remove the need for patches? A projection learned on pairs, on whole images and on patches.

ILIAS' baselines send each descriptor through a linear layer that was trained to bring images of one object together.
Here such a layer is learned on one half of a benchmark's instances and judged on the other, or read as published.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import eigh

from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features.feature_set import FeatureSet
from patchlib.studies.bootstrap import paired
from patchlib.studies.cross_fitting import halves
from patchlib.studies.encoder_study import by_level

if TYPE_CHECKING:
    from patchlib.session import Session
    from patchlib.studies.worlds import Visit

LEVELS = (0, 3)  # whole images and the finest patches
SHRINK = 0.1  # of the scatter within pairs towards the sphere of the same trace


@dataclass(frozen=True)
class Projection:
    """``x -> unit(x @ matrix + shift)``: (D, d) and (d,) float32."""

    matrix: NDArray[np.float32]
    shift: NDArray[np.float32]

    def __call__(self, rows: NDArray[np.floating]) -> NDArray[np.float32]:
        """(R, D) -> (R, d) float32 of unit length; rows of zeros, which stand for what could not be read, stay so."""
        projected = np.asarray(rows, np.float32) @ self.matrix + self.shift
        projected /= np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-12)
        return projected * np.any(rows, axis=1, keepdims=True)

    def of(self, features: FeatureSet) -> FeatureSet:
        """The same regions and queries, projected."""
        rows, queries = self(features.descriptors), self(features.query_descriptors)
        return replace(features, descriptors=rows, query_descriptors=queries)


def learn(a: NDArray[np.floating], b: NDArray[np.floating], dim: int | None = None) -> Projection:
    """The directions in which two pictures of an object agree most, for what they differ.

    Args:
        a, b: (P, D) descriptors of two pictures of one object each.
        dim: d, the first so many directions; None = half of D.

    Raises:
        ValueError: shapes that are no pairs, or fewer than two.

    Source: a linear discriminant on pairs, as the learned whitening of Mikolajczyk and Matas (ICCV 2007; Radenovic et
    al., TPAMI 2019), with the scatter within pairs shrunk, since pairs here are few.
    """
    if a.shape != b.shape or a.ndim != 2 or len(a) < 2:
        raise ValueError(f"pairs of descriptors have shapes {a.shape} and {b.shape}, expected (P, D) twice, P >= 2")
    mean, columns = np.concatenate([a, b]).mean(axis=0, dtype=np.float64), a.shape[1]
    a, b = a - mean, b - mean
    within = (a - b).T @ (a - b)
    within += SHRINK * np.trace(within) / columns * np.eye(columns)
    matrix = eigh(a.T @ b + b.T @ a, within)[1][:, ::-1][:, : dim or columns // 2]
    return Projection(matrix.astype(np.float32), (-mean @ matrix).astype(np.float32))


def load_published(path: str | Path) -> Projection:
    """A layer that ILIAS publishes (``patchlib data get ilias-lin-adapt``).

    Args:
        path: torch checkpoint with ``layer.weight`` (d, D) and ``layer.bias``; read without running code in it.

    Raises:
        ValueError: not such a file.

    Source: knn_search of github.com/ilias-vrg/ilias.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return Projection(state["layer.weight"].T.float().numpy(), state["layer.bias"].float().numpy())
    except Exception as error:  # a damaged file fails in many ways
        raise ValueError(
            f"{path} is no linear layer with layer.weight and layer.bias ({type(error).__name__}); fetch it again"
        ) from error


def evaluate(patches: FeatureSet, data: Benchmark, k: int | None = None, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Scores of whole images and patches, as they are and adapted on the other half of the instances.

    Args:
        patches: L3 features.
        data: their benchmark; pairs are a query and a whole image of its object.
        k: depth of AP.
        seed: of the halves.

    Returns:
        "L0", "L3", "L0 adapted", "L3 adapted" -> table of :func:`patchlib.metrics.evaluate`.
    """
    scores, whole = by_level(patches, data, LEVELS, k), patches.at_level(0)
    first = halves(data.queries["instance"], seed)
    adapted: dict[str, list[pd.DataFrame]] = {name: [] for name in scores}
    for taught in (first, ~first):
        projection = learn(*_pairs(whole, data, np.flatnonzero(taught)))
        judged = data.queries["query_id"][~taught]
        for name, table in by_level(projection.of(patches), data, LEVELS, k).items():
            adapted[name].append(table[table["query_id"].isin(judged)])
    return scores | {f"{name} adapted": pd.concat(tables, ignore_index=True) for name, tables in adapted.items()}


def effects(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Whether adaptation helps, and whether patches still add to it, in points of mAP per query."""
    scores = evaluate(run.features("L3", visit.data, visit.encoder), visit.data, run.depth_of(visit.data))
    pairs = [("L0", "L0 adapted"), ("L3", "L3 adapted"), ("L0 adapted", "L3"), ("L0 adapted", "L3 adapted")]
    return {f"{more} above {less}": paired(scores[less], scores[more]) for less, more in pairs}


def _pairs(whole: FeatureSet, data: Benchmark, queries: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    shown = [np.unique(data.relevant(int(query))[0]) for query in queries]
    asked = np.repeat(queries, [len(images) for images in shown])
    return whole.query_descriptors[asked], np.asarray(whole.descriptors[np.concatenate(shown)], np.float32)
