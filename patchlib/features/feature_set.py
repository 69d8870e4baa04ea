"""The ``FeatureSet`` record: the descriptors of a benchmark's regions and queries, and where each belongs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from patchlib import regions
from patchlib.support import provenance


@dataclass(frozen=True)
class FeatureSet:
    """Descriptors of all regions of a benchmark, and of its queries.

    Attributes:
        descriptors: (R, D) float16 or float32 unit rows, often memory-mapped; the regions of image 0, then image 1, ...
        boxes: (R, 4) float32 xyxy, pixels of the original image.
        offsets: (N+1,) int64; image i owns rows ``offsets[i]:offsets[i+1]``.
        query_descriptors: (Q, D) float32 unit rows; a zero row is a query whose image could not be read.
        meta: name, hash, benchmark and encoder identities, region strategy, images and queries that were skipped.

    Raises:
        ValueError: shapes that do not belong together.
    """

    descriptors: NDArray[np.floating]
    boxes: NDArray[np.float32]
    offsets: NDArray[np.int64]
    query_descriptors: NDArray[np.float32]
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, columns = self.descriptors.shape
        ascending = self.offsets[0] == 0 and self.offsets[-1] == rows and (np.diff(self.offsets) >= 0).all()
        if self.boxes.shape != (rows, 4) or not ascending:
            raise ValueError(
                f"descriptors {self.descriptors.shape}, boxes {self.boxes.shape} and offsets from {self.offsets[0]} to "
                f"{self.offsets[-1]} do not belong together; expected (R, D), (R, 4), and 0 ascending to R"
            )
        if self.query_descriptors.ndim != 2 or self.query_descriptors.shape[1] != columns:
            raise ValueError(f"query descriptors {self.query_descriptors.shape}, expected (Q, {columns})")

    @property
    def n_images(self) -> int:
        """N."""
        return len(self.offsets) - 1

    def rows(self, image: int) -> slice:
        """Rows of the regions of one image."""
        return slice(int(self.offsets[image]), int(self.offsets[image + 1]))

    def image_of(self) -> NDArray[np.int64]:
        """(R,) image index of every region."""
        return np.repeat(np.arange(self.n_images), np.diff(self.offsets))

    def number_in_image(self) -> NDArray[np.int64]:
        """(R,) number of every region among those of its image, from 0."""
        return np.arange(len(self.boxes)) - self.offsets[self.image_of()]

    def at_level(self, level: int) -> FeatureSet:
        """The features of a coarser level, out of a finer one's: a level's patches come first in the next one's.

        Raises:
            ValueError: these are not grid features, or of a coarser level than asked for.
        """
        name = str(self.meta.get("regions"))
        if not name.startswith("L") or not name[1:].isdigit() or not 0 <= level <= int(name[1:]):
            raise ValueError(f"level L{level} cannot be taken out of the regions {name!r}")
        if name == f"L{level}":
            return self
        return self.keep(np.flatnonzero(self.number_in_image() < regions.patch_count(level)), f"L{level}")

    def keep(self, rows: NDArray[np.int64], name: str) -> FeatureSet:
        """Some of the regions, by ascending row; ``name`` is what their strategy is called."""
        digest = provenance.config_hash([self.meta.get("hash"), name])
        meta = {**self.meta, "regions": name, "hash": digest}
        meta["name"] = set_name(meta)
        offsets = np.searchsorted(rows, self.offsets)
        return FeatureSet(self.descriptors[rows], self.boxes[rows], offsets, self.query_descriptors, meta)


def set_name(meta: dict[str, Any]) -> str:
    """Readable and unique: ``<benchmark>-<regions>-<encoder>-<hash>``."""
    return "-".join(str(meta.get(key)) for key in ("benchmark", "regions", "encoder", "hash"))


def load(folder: str | Path) -> FeatureSet:
    """Open a feature set of :func:`patchlib.features.extract`; FileNotFoundError where there is none, or unfinished."""
    folder = Path(folder)
    if not (folder / "meta.json").exists():
        raise FileNotFoundError(f"{folder} holds no finished feature set; run features.extract again")
    return FeatureSet(
        descriptors=np.load(folder / "descriptors.npy", mmap_mode="r"),
        boxes=np.load(folder / "boxes.npy", mmap_mode="r"),
        offsets=np.load(folder / "offsets.npy"),
        query_descriptors=np.load(folder / "query_descriptors.npy"),
        meta=provenance.read_json(folder / "meta.json"),
    )


def consecutive_runs(offsets: NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    """Items as consecutive runs ``start:stop`` of at most ``most`` rows each, but at least one item.

    ``offsets``: (N+1,) item i owns rows ``offsets[i]:offsets[i+1]``.
    """
    runs, start, count = [], 0, len(offsets) - 1
    while start < count:
        stop = int(np.searchsorted(offsets, offsets[start] + most, side="right")) - 1
        runs.append((start, min(max(stop, start + 1), count)))
        start = runs[-1][1]
    return runs
