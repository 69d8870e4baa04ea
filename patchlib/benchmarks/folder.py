"""A person's own photographs as a benchmark.

::

    my_photos/
      queries/   mug.jpg                  the instance "mug": the file name without its ending
                 lamp__front.jpg          the instance "lamp": what stands before "__"
                 lamp__side.jpg           a second query of it
      database/  mug/IMG_0117.jpg         positives of "mug": all images in a sub-folder of that name
                 mug/IMG_0118.jpg
                 lamp__desk.jpg           a positive of "lamp", named as queries are
                 holiday_17.jpg           of no query's instance: a distractor
      boxes.csv          optional: where the object is
      positives.csv      optional: which images show which query, when names cannot say it

``boxes.csv`` has the columns ``image,x0,y0,x1,y1`` and, where an image shows several instances, ``instance``. A row is
one box: the corners in pixels of the upright photograph; several rows for an image are several boxes; ``image`` is the
path inside the folder. A query with a box is cut to it. Positives without a box count for AP only::

    image,x0,y0,x1,y1
    database/mug/IMG_0117.jpg,312,80,640,455
    queries/lamp__front.jpg,20,20,400,700

``positives.csv`` has the columns ``query,image`` and, if it is there, is the only source of positives::

    query,image
    queries/mug.jpg,database/mug/IMG_0117.jpg
"""

import csv
import difflib
import io
from pathlib import Path
from typing import Any

import pandas as pd

from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.image_files import assemble, find_images, to_numbers
from patchlib.support.wording import counted

LAYOUT = "expected queries/ and database/ with photographs in them; see patchlib.benchmarks.folder"


def load(root: Path | None = None, skip_bad: bool = False) -> Benchmark:
    """Load a folder of photographs laid out as the module's text shows.

    Args:
        root: the folder that holds ``queries/`` and ``database/``.
        skip_bad: leave out unreadable images instead of stopping.

    Returns:
        The benchmark; ids are paths relative to ``queries/`` and ``database/``, in alphabetical order.

    Raises:
        FileNotFoundError: the folder, or one of its two sub-folders, is not there.
        ValueError: a table names an unknown photograph, lacks a column, holds something that is no number; or no
            query has a positive.
    """
    if root is None:
        raise ValueError("the folder benchmark needs root=, the folder that holds queries/ and database/")
    queries, other_queries = _scan(root, "queries", "query_id")
    database, other_images = _scan(root, "database", "image_id")
    boxes = _read_boxes(root, queries, database)
    pairs = _pairs(root, queries, database)
    positives = _with_boxes(pairs, boxes[boxes["image"].str.startswith("database/")])
    queries = _query_boxes(root, queries, boxes[boxes["image"].str.startswith("queries/")])
    meta: dict[str, Any] = {
        "title": root.resolve().name,
        "options": {},
        "found": {
            "instances": int(queries["instance"].nunique()),
            "positives with a box": int(positives.dropna().drop_duplicates(["query_id", "image_id"]).shape[0]),
            "files that are no image": len(other_queries) + len(other_images),
        },
    }
    return assemble("folder", root, database.drop(columns="instance"), queries, positives, meta, skip_bad)


def instance_of(path: str) -> str:
    """Instance of a file by its path below ``queries/`` or ``database/``: sub-folder, or file name before ``__``."""
    parts = path.split("/")
    return parts[0] if len(parts) > 1 else Path(path).stem.split("__")[0]


def _scan(root: Path, part: str, identifier: str) -> tuple[pd.DataFrame, list[str]]:
    if not (root / part).is_dir():
        raise FileNotFoundError(f"{root / part} is not a folder; {LAYOUT}")
    photos, others = find_images(root / part)
    if not photos:
        raise ValueError(f"{root / part} holds no photograph ({counted(len(others), 'other file')}); {LAYOUT}")
    rows = [(path, f"{part}/{path}", instance_of(path)) for path in photos]
    return pd.DataFrame(rows, columns=[identifier, "path", "instance"]), others


def _pairs(root: Path, queries: pd.DataFrame, database: pd.DataFrame) -> pd.DataFrame:
    """Which image shows which query: DataFrame[query_id, instance, image_id]."""
    columns = ["query_id", "instance", "image_id"]
    table = root / "positives.csv"
    if table.exists():
        named = _read_csv(table, ["query", "image"]).drop_duplicates(["query", "image"])
        for column, known in (("query", queries), ("image", database)):
            _check_known(table, named[column], known["path"])
        pairs = named.merge(queries, left_on="query", right_on="path")
        return pairs.merge(database[["image_id", "path"]], left_on="image", right_on="path")[columns]
    pairs = queries[["query_id", "instance"]].merge(database[["image_id", "instance"]], on="instance")
    if pairs.empty:
        got = ", ".join(sorted(set(queries["instance"]))[:4]), ", ".join(sorted(set(database["instance"]))[:4])
        raise ValueError(
            f"no image of {root / 'database'} belongs to a query: the queries are of the instances {got[0]}, the "
            f"images of {got[1]}. Name sub-folders or files alike (before '__'), or write {table}"
        )
    return pairs[columns]


def _read_boxes(root: Path, queries: pd.DataFrame, database: pd.DataFrame) -> pd.DataFrame:
    table = root / "boxes.csv"
    if not table.exists():
        return pd.DataFrame(columns=["image", *BOX, "instance"]).astype({"image": str})
    boxes = _read_csv(table, ["image", *BOX])
    _check_known(table, boxes["image"], pd.concat([queries["path"], database["path"]]))
    to_numbers(boxes, BOX, table)
    boxes[BOX] = boxes[BOX].astype("float32")
    if "instance" in boxes:
        given = boxes["instance"].dropna()
        _check_known(table, given, pd.concat([queries["instance"], database["instance"]]), "instance")
    else:
        boxes["instance"] = None
    return boxes


def _read_csv(table: Path, columns: list[str]) -> pd.DataFrame:
    """Rows as text, NaN where a cell is empty, indexed by their line in the file."""
    content = table.read_bytes()
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), skipinitialspace=True, strict=True)
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{table}, line {line}: this is no UTF-8 text; save the table as CSV UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{table}, line {reader.line_num}: {error}; is a quote not closed?") from error
    (_, first), *lines = rows or [(0, [])]
    head = [name.strip() for name in first]
    for line, row in lines:
        if any(row[len(head) :]):
            raise ValueError(f"{table}, line {line}: {len(row)} values, expected {len(head)}")
    cells = [(row + [""] * len(head))[: len(head)] for _, row in lines]
    frame = pd.DataFrame(cells, [line for line, _ in lines], head, dtype=object).replace("", float("nan"))
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ValueError(
            f"{table} lacks {', '.join(missing)}: its first line is {','.join(frame.columns)!r}, "
            f"expected {','.join(columns)!r}, separated by commas"
        )
    for column in {"query", "image"} & set(frame.columns):
        frame[column] = frame[column].fillna("").str.strip().str.replace("\\", "/").str.removeprefix("./")
    return frame


def _check_known(table: Path, values: pd.Series, known: pd.Series, what: str = "photograph") -> None:
    unknown = values[~values.isin(known)]
    if len(unknown):
        near = difflib.get_close_matches(str(unknown.iloc[0]), list(known.unique()), n=2)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; expected for example {known.iloc[0]}"
        raise ValueError(f"{table}, line {unknown.index[0]}: there is no {what} {unknown.iloc[0]!r}{hint}")


def _with_boxes(pairs: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """One row per box of a pair, NaN where it has none; a box with an instance counts for that instance's queries."""
    boxes = boxes.assign(image_id=boxes["image"].str.removeprefix("database/")).drop(columns="image")
    shown = pairs.merge(boxes.rename(columns={"instance": "of"}), on="image_id")
    shown = shown[shown["of"].isna() | (shown["of"] == shown["instance"])]
    keys = ["query_id", "image_id"]
    table = pairs[keys].merge(shown[[*keys, *BOX]], on=keys, how="left")
    return table.sort_values(keys, kind="stable", ignore_index=True)


def _query_boxes(root: Path, queries: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    repeated = boxes["image"][boxes["image"].duplicated()]
    if len(repeated):
        raise ValueError(f"{root / 'boxes.csv'} has several boxes for {repeated.iloc[0]}; a query has at most one")
    return queries.merge(boxes[["image", *BOX]].set_axis(["path", *BOX], axis=1), on="path", how="left")
