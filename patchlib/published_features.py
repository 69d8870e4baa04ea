"""Descriptors as ILIAS publishes them: read, write, and adapt linearly.

Their HDF5 files hold two datasets, ``index`` (ids) and ``features`` (one row an image). Ids, not positions, decide
which row belongs to which image: published columns have been misaligned before (github.com/ilias-vrg/ilias, issue 4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib.benchmarks.ilias import encoded
from patchlib.benchmarks.record import Benchmark
from patchlib.feature_set import FeatureSet, set_name
from patchlib.provenance import atomic_write, config_hash, write_json

BLOCK = 1 << 16  # rows read, or adapted, at once
DISTRACTORS_PER_FILE = 1_000_000


@dataclass(frozen=True)
class LinearAdaptation:
    """A linear layer applied to descriptors, whose output is L2-normalised.

    Attributes:
        weight: (E, D) float32.
        bias: (E,) float32.
        name: of the file it came from.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    name: str

    @property
    def hash(self) -> str:
        """SHA-256 of weight and bias."""
        return hashlib.sha256(self.weight.tobytes() + self.bias.tobytes()).hexdigest()

    def __call__(self, descriptors: NDArray[np.floating]) -> NDArray[np.float32]:
        """(R, D) -> (R, E) float32 unit rows."""
        if descriptors.shape[1] != self.weight.shape[1]:
            raise ValueError(
                f"descriptors have {descriptors.shape[1]} dimensions, but {self.name} takes {self.weight.shape[1]}; "
                "it belongs to another model"
            )
        return _normalised(np.asarray(descriptors, np.float32) @ self.weight.T + self.bias)


def read_adaptation(path: Path) -> LinearAdaptation:
    """Read a published linear-adaptation layer: a torch checkpoint with ``layer.weight`` and ``layer.bias``.

    Raises:
        FileNotFoundError: the file is missing; says how to fetch it.
        ValueError: the file is no such checkpoint (it is read without running any code it may hold).

    Source: ILIAS, Sec. 5 (linear adaptation); the rows marked with a dagger in the paper's comparison.
    """
    import pickle

    import torch

    if not path.is_file():
        raise FileNotFoundError(
            f"no {path}; fetch it with `python -m patchlib data get ilias-lin-adapt --only '*NAME*'`"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        weight, bias = (state[f"layer.{key}"].to(torch.float32).numpy() for key in ("weight", "bias"))
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} is not a linear layer as ILIAS publishes them ({error})") from error
    if weight.ndim != 2 or bias.shape != weight.shape[:1]:
        raise ValueError(f"{path}: weight {weight.shape} and bias {bias.shape}, expected (E, D) and (E,)")
    return LinearAdaptation(weight, bias, path.name)


def adapt(features: FeatureSet, layer: LinearAdaptation) -> FeatureSet:
    """The same regions with adapted descriptors, of regions and queries alike.

    Returns:
        FeatureSet in memory, float32, whose ``meta`` names the layer.
    """
    rows = features.descriptors
    blocks = [layer(rows[start : start + BLOCK]) for start in range(0, len(rows), BLOCK)]
    descriptors = np.concatenate(blocks) if blocks else np.empty((0, len(layer.bias)), np.float32)
    meta = features.meta | {
        "encoder": f"{features.meta.get('encoder')} + {layer.name}",
        "hash": config_hash([features.meta.get("hash"), layer.hash]),
    }
    meta["name"] = set_name(meta)
    return FeatureSet(descriptors, features.boxes, features.offsets, layer(features.query_descriptors), meta)


def import_features(
    benchmark: Benchmark, queries: Path, images: Sequence[Path], encoder: str, out: Path | None = None
) -> FeatureSet:
    """Published global descriptors as a feature set of one region, the whole image, per image.

    Args:
        benchmark: whose ids say which rows are wanted, and in which order.
        queries: HDF5 file of the image queries.
        images: HDF5 files of the database: positives, then distractors.
        encoder: name of the model they were made with.
        out: folder for the result, which then is memory-mapped float16 and can be opened with ``features.load``; None =
            in memory, float32.

    Returns:
        FeatureSet with unit rows; ``meta["unused"]`` counts rows of the files that the benchmark does not know.

    Raises:
        ValueError: a file is not in this format, has an id twice, or ids of the benchmark are in no file.
    """
    found, _ = _rows([queries], benchmark.queries["query_id"], None)
    target = None if out is None else out / "descriptors.npy"
    rows, unused = _rows(images, benchmark.images["image_id"], target)
    boxes = np.zeros((len(rows), 4), np.float32)
    boxes[:, 2:] = benchmark.images[["width", "height"]].to_numpy(np.float32)
    config = {
        "benchmark": benchmark.hash,
        "encoder": encoder,
        "files": [f"{path.name} {path.stat().st_size}" for path in (queries, *images)],
    }
    meta: dict[str, Any] = {
        "hash": config_hash(config),
        "config": config,
        "benchmark": benchmark.name,
        "benchmark_hash": benchmark.hash,
        "regions": "L0",
        "encoder": encoder,
        "image_ids": config_hash(benchmark.images["image_id"].tolist()),
        "unused": unused,
    }
    meta["name"] = set_name(meta)
    offsets = np.arange(len(rows) + 1, dtype=np.int64)
    if out is not None:
        for name, array in (("boxes", boxes), ("offsets", offsets), ("query_descriptors", found)):
            with atomic_write(out / f"{name}.npy") as file:
                np.save(file, array)
        write_json(out / "meta.json", meta)
    return FeatureSet(rows, boxes, offsets, np.asarray(found, np.float32), meta)


def export_features(features: FeatureSet, benchmark: Benchmark, folder: Path) -> list[Path]:
    """Write global descriptors in the published format, for ILIAS' own search and evaluation code.

    Args:
        features: one region an image (``features.at_level(0)`` of grid features).
        benchmark: of the same images; gives the ids.
        folder: gets ``features_image_queries.hdf5``, ``features_positives.hdf5`` and, if there are any,
            ``features_distractors_00000.hdf5`` with a million rows each.

    Returns:
        The files written, in this order.

    Raises:
        ValueError: several regions an image, or features of another benchmark.
    """
    if len(features.descriptors) != features.n_images:
        raise ValueError(
            f"{len(features.descriptors)} regions of {features.n_images} images; the format has one row an image. "
            "Export features.at_level(0)"
        )
    ids = benchmark.images["image_id"]
    if len(ids) != features.n_images or len(benchmark.queries) != len(features.query_descriptors):
        raise ValueError(
            f"features of {features.n_images} images and {len(features.query_descriptors)} queries, but "
            f"{benchmark.name} has {len(ids)} and {len(benchmark.queries)}"
        )
    shown = ids.isin(benchmark.positives["image_id"]).to_numpy()
    groups = [("image_queries", benchmark.queries["query_id"], features.query_descriptors)]
    groups.append(("positives", ids[shown], features.descriptors[shown]))
    rest = np.flatnonzero(~shown)
    for number, start in enumerate(range(0, len(rest), DISTRACTORS_PER_FILE)):
        block = rest[start : start + DISTRACTORS_PER_FILE]
        groups.append((f"distractors_{number:05d}", ids.iloc[block], features.descriptors[block]))
    return [_write(folder / f"features_{name}.hdf5", names, rows) for name, names, rows in groups]


def _write(path: Path, ids: pd.Series, rows: NDArray[np.floating]) -> Path:
    import h5py

    with atomic_write(path, "w+b") as file, h5py.File(file, "w") as target:
        names = [encoded(name) for name in ids]
        target.create_dataset("index", data=names, dtype=h5py.string_dtype(encoding="ascii"), shape=(len(names),))
        target.create_dataset("features", data=rows)
    return path


def _rows(files: Sequence[Path], ids: pd.Series, target: Path | None) -> tuple[NDArray[np.floating], int]:
    """Unit rows in the order of ``ids``, (len(ids), D); and how many rows of the files are not asked for."""
    wanted = pd.Index([encoded(name) for name in ids])
    rows: NDArray[np.floating] | None = None
    seen, unused = np.zeros(len(wanted), bool), 0
    for path in files:
        for names, block in _blocks(path):
            if rows is None:
                rows = _empty((len(wanted), block.shape[1]), target)
            if block.shape[1] != rows.shape[1]:
                raise ValueError(f"{path} has {block.shape[1]} dimensions, the files before it {rows.shape[1]}")
            place = wanted.get_indexer(names)
            known = place >= 0
            place, unused = place[known], unused + int((~known).sum())
            if seen[place].any() or len(np.unique(place)) < len(place):
                raise ValueError(f"{path} holds ids that came before, for example {wanted[place[0]]!r}")
            seen[place] = True
            rows[place] = _normalised(block[known].astype(np.float32))
    if rows is None or not seen.all():
        missing = wanted[~seen]
        raise ValueError(
            f"{len(missing)} of {len(wanted)} ids are in none of {', '.join(path.name for path in files)}, first "
            f"{missing[0]!r}; give all files, those of the distractors too"
        )
    return rows, unused


def _blocks(path: Path) -> Any:
    """Pairs of ids and descriptors, some rows at a time."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            index, features = file["index"], file["features"]
            if features.ndim != 2 or index.shape != features.shape[:1]:
                raise ValueError(f"{path}: index {index.shape} and features {features.shape}, expected (N,) and (N, D)")
            for start in range(0, len(index), BLOCK):
                block = slice(start, start + BLOCK)
                yield index.asstr()[block], features[block]
    except (KeyError, OSError, TypeError) as error:
        raise ValueError(f"{path} is not a file of published descriptors, or is damaged ({error})") from error


def _empty(shape: tuple[int, int], target: Path | None) -> NDArray[np.floating]:
    if target is None:
        return np.zeros(shape, np.float32)
    target.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(target, mode="w+", dtype=np.float16, shape=shape)


def _normalised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
