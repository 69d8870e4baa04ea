"""Grocery Store Dataset: smartphone photographs of products in shops, one iconic picture a class as the query.

The dataset has no boxes. ``grocery_boxes.csv`` beside this file holds ours: 359 boxes on 310 photographs of the
training split (10 of each of 31 cartons; x0, y0, x1, y1 in pixels of a photograph of the stated width and height, one
row a visible product), so that LocScore can be measured there. The other positives have no box and count for AP only.
"""

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from patchlib.benchmarks.benchmark import BOX, IMAGES, Benchmark
from patchlib.benchmarks.image_files import assemble, check_choice, image_sizes, locate, nan_boxes
from patchlib.support import paths

SPLITS = ("train", "val", "test")
PHOTOS = {"train": 2640, "val": 296, "test": 2485}  # of all classes
DRAWN_BOXES = Path(__file__).with_name("grocery_boxes.csv")


def load(root: Path | None = None, classes: str = "packages", split: str = "all", skip_bad: bool = False) -> Benchmark:
    """Load the dataset in its published layout: iconic images as queries, natural photographs as database.

    Args:
        root: folder with the unpacked archive; None = where ``python -m patchlib data get grocery`` puts it.
        classes: ``"packages"`` (cartons, which are instances) or ``"all"`` (with fruit and vegetables, which are
            kinds).
        split: ``"train"``, ``"val"``, ``"test"``, or ``"all"`` = those whose list is there.
        skip_bad: leave out unreadable images instead of stopping.

    Returns:
        The benchmark. A class with an iconic image but without a photograph in the split is left out and counted.

    Raises:
        FileNotFoundError: the dataset, a list or an image is missing.
        ValueError: an unknown option, or a list that is not "path, fine label, coarse label".

    Source: Klasson et al., WACV 2019; github.com/marcusklasson/GroceryStoreDataset.
    """
    check_choice("classes", classes, ("packages", "all"))
    check_choice("split", split, (*SPLITS, "all"))
    root = paths.data() / "grocery" if root is None else root
    folders = [root, root / "dataset", *sorted(root.glob("GroceryStoreDataset*/dataset"))]
    base = locate("classes.csv", folders, "grocery")
    photos, splits = _photos(base, split)
    iconic = _classes(base)
    photos["instance"] = photos["label"].map(iconic["name"])
    if photos["instance"].isna().any():
        row = photos[photos["instance"].isna()].iloc[0]
        raise ValueError(f"{base / 'classes.csv'} has no class {row['label']}, the label of {row['path']}")
    if classes == "packages":
        photos = photos[photos["path"].str.split("/").str[1] == "Packages"]
        iconic = iconic[iconic["path"].str.split("/").str[1] == "Packages"]
        if photos.empty:
            raise ValueError(f"no photograph of a package in {', '.join(splits)} under {base}; try classes='all'")
    queries = _queries(iconic, photos)
    photos[["width", "height"]] = image_sizes(base, photos["path"].tolist())
    positives = _positives(photos)
    boxed = positives.dropna().drop_duplicates(["query_id", "image_id"])
    meta = {
        "title": "Grocery Store Dataset" + (" (cartons)" if classes == "packages" else ""),
        "options": {"classes": classes, "split": split},
        "counts": _published(classes, splits),
        "found": {
            "splits": {name: int((photos["split"] == name).sum()) for name in splits},
            "positives with a box": len(boxed),
            "boxes": int(positives["x0"].notna().sum()),
            "classes without a photograph": int((~iconic.index.isin(photos["label"])).sum()),
        },
    }
    return assemble("grocery", base, photos[IMAGES], queries, positives, meta, skip_bad)


def _published(classes: str, splits: list[str]) -> dict[str, int]:
    """Counts that are known beforehand, under the names of ``Benchmark.summary``."""
    counts = {"positives with a box": 310, "boxes": 359} if "train" in splits else {}
    if classes == "all":
        counts["images"] = sum(PHOTOS[name] for name in splits)
    return counts


def _photos(base: Path, split: str) -> tuple[pd.DataFrame, list[str]]:
    """Photographs in the order of the lists: DataFrame[image_id, path, label, split]; and the splits read."""
    there = [name for name in SPLITS if (base / f"{name}.txt").is_file()]
    splits = there if split == "all" else [name for name in there if name == split]
    if not splits:
        raise FileNotFoundError(f"{base / (split + '.txt')} is not there; splits there: {', '.join(there) or 'none'}")
    rows = []
    for name in splits:
        table = base / f"{name}.txt"
        for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            fields = [field.strip() for field in line.split(",")]
            if len(fields) != 3 or not fields[1].isdigit():
                raise ValueError(f"{table}, line {number}: got {line!r}, expected 'path, fine label, coarse label'")
            rows.append((fields[0], fields[0], int(fields[1]), name))
    return pd.DataFrame(rows, columns=["image_id", "path", "label", "split"]), splits


def _classes(base: Path) -> pd.DataFrame:
    """Fine label -> name and path of the iconic image."""
    with open(base / "classes.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    try:
        records = [(int(row[1]), row[0].strip(), row[4].strip().lstrip("/")) for row in rows[1:] if row]
    except (IndexError, ValueError):
        raise ValueError(
            f"{base / 'classes.csv'} is not the published table: expected name, id, coarse name, coarse id, iconic "
            f"image, description; its first line is {rows[:1]}"
        ) from None
    return pd.DataFrame(records, columns=["label", "name", "path"]).set_index("label")


def _queries(iconic: pd.DataFrame, photos: pd.DataFrame) -> pd.DataFrame:
    shown = iconic.loc[np.sort(photos["label"].unique())]
    queries = pd.DataFrame({"query_id": shown["name"], "path": shown["path"], "instance": shown["name"]})
    queries[BOX] = nan_boxes(len(queries))
    return queries.reset_index(drop=True)


def _positives(photos: pd.DataFrame) -> pd.DataFrame:
    # a photograph of another size than the one the boxes were drawn on is another photograph
    boxes = pd.read_csv(DRAWN_BOXES).rename(columns={"image": "image_id"})
    pairs = photos[["instance", "image_id", "width", "height"]].rename(columns={"instance": "query_id"})
    return pairs.merge(boxes, on=["image_id", "width", "height"], how="left")[["query_id", "image_id", *BOX]]
