"""Loader of the photographs: cartons among fruit and vegetables, two kinds of query, two series."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from patchlib import boxes as box_ops
from patchlib.benchmarks import folder, grocery
from patchlib.benchmarks.benchmark import BOX, POSITIVES, Benchmark
from patchlib.benchmarks.image_files import check_choice, published
from patchlib.benchmarks.photographs import shipped
from patchlib.benchmarks.photographs.scenes import compose

SERIES = ("as_shot", "composed")
QUERIES = ("iconic", "natural")
EVERY = 3  # photographs of a product: numbers 0, 3, 6, ... become natural queries


def load(
    root: Path | None = None,
    series: str = "as_shot",
    queries: str = "iconic",
    photos: int | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
) -> Benchmark:
    """Load the shipped photographs, the whole Grocery Store Dataset, or one's own folder.

    Args:
        root: None = what ships; the unpacked Grocery Store Dataset (``python -m patchlib data get grocery``); or a
            folder laid out as :mod:`patchlib.benchmarks.folder` says.
        series: ``"as_shot"``, or ``"composed"`` = each photograph as a part of a larger picture made of others, see
            :func:`patchlib.benchmarks.photographs.scenes.compose`.
        queries: ``"iconic"`` = the product on white (of a folder: its queries); ``"natural"`` = boxes of every third
            boxed photograph of a product, by name, which are then not in the database. Fixed before any scoring.
        photos: at most so many photographs of a product, and as large a share of those without any; None = all.
        workers: processes that compose.
        skip_bad: leave unreadable images of ``root`` out instead of stopping.

    Raises:
        FileNotFoundError, ValueError: a shipped file is missing or changed; an unknown option; ``root`` is neither of
            the two, or holds too little to compose.
    """
    check_choice("series", series, SERIES)
    check_choice("queries", queries, QUERIES)
    place, images, shown, asked = _shipped(queries) if root is None else _own(root, skip_bad)
    if queries == "natural":
        images, shown, asked = _natural(images, shown)
    if photos is not None:
        images, shown = _fewer(images, shown, photos)
    positives = asked[["query_id", "instance"]].merge(shown, on="instance")[POSITIVES]
    options = {"series": series, "queries": queries, "photos": photos}
    meta: dict[str, Any] = {**published("photographs"), "options": options, "found": {}, "skipped": []}
    if root is not None or queries == "natural" or photos is not None:
        del meta["counts"]
    shot = Benchmark("photographs", place, images, asked, positives, meta)
    return shot if series == "as_shot" else compose(shot, spare(), workers)


def _shipped(queries: str) -> tuple[Path, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    asked = shipped.iconic() if queries == "iconic" else pd.DataFrame()
    return shipped.FOLDER, *shipped.photographs(), asked


def _own(root: Path, skip_bad: bool) -> tuple[Path, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Folder, images, what they show (one row a box) and queries of the data under ``root``."""
    if any((root / part).is_dir() for part in ("queries", "database")):
        data = folder.load(root, skip_bad)
    else:
        data = grocery.load(root, classes="all", skip_bad=skip_bad)
        boxed = data.positives.dropna()["query_id"].unique()
        data = data.subset(queries=np.flatnonzero(data.queries["query_id"].isin(boxed)).tolist())
    shown = data.positives.merge(data.queries[["query_id", "instance"]], on="query_id")
    return data.root, data.images, shown[["instance", "image_id", *BOX]].drop_duplicates(), data.queries


def _natural(images: pd.DataFrame, shown: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Images and what they show without the photographs that became queries, and these queries."""
    boxed = shown.dropna().assign(area=lambda rows: box_ops.area(rows[BOX].to_numpy()))
    boxed = boxed.sort_values(["instance", "image_id", "area"]).drop_duplicates(["instance", "image_id"], keep="last")
    products = boxed.groupby("instance")["image_id"]
    boxed = boxed[(products.cumcount() % EVERY == 0) & (products.transform("count") > 1)]
    if boxed.empty:
        raise ValueError("natural queries need a product with boxes on two photographs; there is none")
    boxed = boxed.drop_duplicates("image_id").merge(images[["image_id", "path"]], on="image_id")
    left = [table[~table["image_id"].isin(boxed["image_id"])] for table in (images, shown)]
    return *left, boxed.assign(query_id=boxed["image_id"])[["query_id", "path", "instance", *BOX]]


def _fewer(images: pd.DataFrame, shown: pd.DataFrame, photos: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    pairs = shown[["instance", "image_id"]].drop_duplicates()
    kept = pairs[pairs.groupby("instance").cumcount() < photos]["image_id"]
    others = np.flatnonzero(~images["image_id"].isin(shown["image_id"]))
    others = others[np.linspace(0, len(others) - 1, round(len(others) * len(kept) / len(pairs))).astype(int)]
    wanted = images["image_id"].isin(kept)
    wanted.iloc[others] = True
    return images[wanted], shown[shown["image_id"].isin(kept)]


def spare() -> list[str]:
    """Full paths of the shipped photographs without any product, for folders that have too few of their own."""
    images, shown = shipped.photographs()
    others = images[~images["image_id"].isin(shown["image_id"])]
    return [f"{shipped.FOLDER}/{path}" for path in others["path"]]
