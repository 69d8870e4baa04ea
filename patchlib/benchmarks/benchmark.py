"""The ``Benchmark`` that every loader returns: three tables and a few facts."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import boxes as box_ops
from patchlib.images import MEMBER
from patchlib.support.suggest import unknown_name
from patchlib.support.wording import counted

BOX = ["x0", "y0", "x1", "y1"]
IMAGES = ["image_id", "path", "width", "height"]
QUERIES = ["query_id", "path", "instance", *BOX]
POSITIVES = ["query_id", "image_id", *BOX]


@dataclass(frozen=True)
class Benchmark:
    """Images, queries and which images are positives of which query.

    Attributes:
        name: short name, e.g. ``"procedural"``.
        root: folder the paths are relative to.
        images: DataFrame[image_id, path, width, height]; the database, its order is the image index 0..N-1.
        queries: DataFrame[query_id, path, instance, x0, y0, x1, y1]; a NaN box means the whole image.
        positives: DataFrame[query_id, image_id, x0, y0, x1, y1]; one row per box, NaN = box unknown.
        meta: title, licence, citation, k (depth of AP, None = whole ranking), options, counts, notes; some have junk.

    Boxes are float32 xyxy in pixels of the upright original image. Paths are POSIX, relative to ``root``; a path
    ``shard.tar::member`` is read from inside a tar file.

    Raises:
        ValueError: columns missing, ids repeated or unknown, a box inverted, no image or no query.
    """

    name: str
    root: Path
    images: pd.DataFrame
    queries: pd.DataFrame
    positives: pd.DataFrame
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images = _table(self, "images", IMAGES, "image_id")
        queries = _table(self, "queries", QUERIES, "query_id")
        positives = _table(self, "positives", POSITIVES, None)
        _known(self.name, positives, "query_id", queries)
        _known(self.name, positives, "image_id", images)
        sizes = images.set_index("image_id").loc[positives["image_id"], ["width", "height"]].to_numpy(np.float32)
        positives[BOX] = clipped_boxes(self.name, positives, sizes, "image_id")
        _refuse_bad(self.name, queries)
        for key, table in (("images", images), ("queries", queries), ("positives", positives)):
            object.__setattr__(self, key, table)
        object.__setattr__(self, "root", Path(self.root))

    @cached_property
    def hash(self) -> str:
        """Eight hex digits of the three tables: ids, order, paths, sizes and boxes."""
        digest = hashlib.sha256(self.name.encode())
        for table in (self.images, self.queries, self.positives):
            digest.update(table.to_csv(index=False, float_format="%.4f").encode())
        return digest.hexdigest()[:8]

    @cached_property
    def _relevance(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """Rows of positives grouped by query: query row, image row, box; and the offsets of each query's block."""
        query = pd.Index(self.queries["query_id"]).get_indexer(self.positives["query_id"])
        image = pd.Index(self.images["image_id"]).get_indexer(self.positives["image_id"])
        order = np.lexsort((image, query))
        offsets = np.searchsorted(query[order], np.arange(len(self.queries) + 1))
        return query[order], image[order], self.positives[BOX].to_numpy(np.float32)[order], offsets

    def relevant(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Positives of one query, by row number of ``queries``.

        Returns:
            images (B,): image indices, ascending, repeated where an image has several boxes; boxes (B, 4), NaN where
            unknown.
        """
        _, images, boxes, offsets = self._relevance
        block = slice(offsets[query], offsets[query + 1])
        return images[block], boxes[block]

    @cached_property
    def junk(self) -> dict[int, NDArray[np.int64]]:
        """Query row -> images that are neither its positives nor its negatives and take no rank (``meta["junk"]``)."""
        images, junk = pd.Index(self.images["image_id"]), self.meta.get("junk", {})
        return {
            row: images.get_indexer(junk[name]) for row, name in enumerate(self.queries["query_id"]) if name in junk
        }

    @cached_property
    def has_boxes(self) -> bool:
        """Whether at least one positive has a box, so that localisation can be measured."""
        return bool(self.positives["x0"].notna().any())

    def image_path(self, index: int) -> str:
        """Full path of database image ``index`` (with ``::member`` inside a tar shard)."""
        return self._full(self.images["path"].iloc[index])

    def query_row(self, query_id: str) -> int:
        """Row number of a query in ``queries``; a ValueError where no query has this id."""
        rows = np.flatnonzero(self.queries["query_id"] == query_id)
        if not len(rows):
            raise ValueError(unknown_name("query", query_id, self.queries["query_id"]))
        return int(rows[0])

    def query_path(self, index: int) -> str:
        """Full path of query ``index``."""
        return self._full(self.queries["path"].iloc[index])

    def query_box(self, index: int) -> NDArray[np.float32] | None:
        """Box of query ``index``, or None when the whole image is the query."""
        box = self.queries[BOX].iloc[index].to_numpy(np.float32)
        return None if np.isnan(box).any() else box

    def subset(self, images: Sequence[int] | None = None, queries: Sequence[int] | None = None) -> Benchmark:
        """A smaller benchmark of the given image and query rows; positives of what is left out go as well."""
        kept_images = self.images if images is None else self.images.iloc[list(images)]
        kept_queries = self.queries if queries is None else self.queries.iloc[list(queries)]
        known = self.positives["image_id"].isin(kept_images["image_id"])
        known &= self.positives["query_id"].isin(kept_queries["query_id"])
        return Benchmark(self.name, self.root, kept_images, kept_queries, self.positives[known], self.meta)

    def summary(self) -> pd.Series:
        """Counts that a reader checks first."""
        # first() takes the first box that is known
        pairs = self.positives.groupby(["query_id", "image_id"], as_index=False)["x0"].first()
        with_positives = self.queries["query_id"].isin(pairs["query_id"])
        return pd.Series(
            {
                "images": len(self.images),
                "queries": len(self.queries),
                "queries without positives": int((~with_positives).sum()),
                "positives": len(pairs),
                "positives with a box": int(pairs["x0"].notna().sum()),
                "boxes": int(self.positives["x0"].notna().sum()),
                "images that are no query's positive": int((~self.images["image_id"].isin(pairs["image_id"])).sum()),
            },
            name=self.name,
        )

    def _full(self, path: str) -> str:
        return str(self.root / path) if MEMBER not in path else f"{self.root}/{path}"


def _table(benchmark: Benchmark, key: str, columns: list[str], index: str | None) -> pd.DataFrame:
    table = getattr(benchmark, key)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"{benchmark.name}.{key} lacks the columns {missing}; expected {columns}")
    table = table.reset_index(drop=True).copy()
    if index is not None:
        if table.empty:
            raise ValueError(f"{benchmark.name} has no {key} under {benchmark.root}; expected at least one")
        repeated = table[index][table[index].duplicated()]
        if len(repeated):
            raise ValueError(f"{benchmark.name}.{key} repeats {index} {repeated.iloc[0]!r}; ids must be unique")
    floats = [column for column in BOX if column in columns]
    return table.astype(dict.fromkeys(floats, np.float32))


def _known(name: str, positives: pd.DataFrame, column: str, table: pd.DataFrame) -> None:
    unknown = positives[column][~positives[column].isin(table[column])]
    if len(unknown):
        raise ValueError(f"{name}.positives names {len(unknown)} unknown {column}, first {unknown.iloc[0]!r}")


def _refuse_bad(name: str, table: pd.DataFrame) -> None:
    missing = table[BOX].isna()
    _refuse(name, table, missing.any(axis=1) & ~missing.all(axis=1), "is incomplete; give four numbers or none")
    inverted = (table["x1"] <= table["x0"]) | (table["y1"] <= table["y0"])
    _refuse(name, table, inverted, "is inverted or empty; expected x0 < x1 and y0 < y1")


def _refuse(name: str, table: pd.DataFrame, bad: pd.Series, problem: str) -> None:
    if bad.any():
        row = table[bad].astype(object).iloc[0]  # ids that are numbers stay whole
        owner = " / ".join(str(row[key]) for key in ("query_id", "image_id") if key in row)
        box = [float(row[side]) for side in BOX]
        raise ValueError(f"{name}: box {box} of {owner} {problem} ({counted(int(bad.sum()), 'such box')})")


def clipped_boxes(name: str, table: pd.DataFrame, sizes: NDArray[Any], owner: str) -> NDArray[np.float32]:
    """Boxes (B, 4) of a table, cut at the image border, with one warning for all of them.

    Args:
        name: of the benchmark.
        table: with the columns of BOX.
        sizes: (B, 2) width and height of the image of each row, pixels.
        owner: the column that the warning quotes.

    Raises:
        ValueError: a box is incomplete, inverted, or wholly outside its image.
    """
    _refuse_bad(name, table)
    boxes = table[BOX].to_numpy(np.float32)
    clipped = box_ops.clip(boxes, sizes[:, 0], sizes[:, 1])
    gone = (clipped[:, 0] >= clipped[:, 2]) | (clipped[:, 1] >= clipped[:, 3])
    _refuse(name, table, pd.Series(gone, table.index), "lies wholly outside the image")
    outside = (np.abs(clipped - boxes) > 0).any(axis=1)
    if outside.any():
        first = table[owner][outside].iloc[0]
        message = f"{counted(int(outside.sum()), 'box')} clipped to the image, reaching beyond it, first in {first}"
        warnings.warn(f"{name}: {message}", stacklevel=4)
    return clipped
