"""INSTRE with the retrieval protocol of Iscen et al.: 1,250 queries with a box, 27,293 database images.

::

    instre/gnd_instre.mat                  qimlist, imlist: paths; gnd: positives of a query and its box
    instre/INSTRE-S1/01a_canada_book/001.jpg, 001.txt
    instre/INSTRE-S2/...
    instre/INSTRE-M/01/001.jpg, 001.txt    two objects: 01a and 01b of INSTRE-S1

Four things about these files are easily got wrong, and are taken care of here. Indices of positives begin at 1. The box
of a query is ``x1 y1 x2 y2``, but the ``.txt`` beside an image has ``x y width height``. The two lines beside an
INSTRE-M image belong to two objects: the first to the one whose INSTRE-S1 folder carries ``a``, the second to ``b``.
A query from INSTRE-M covers both.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.image_files import around, assemble, check_choice, locate, positives_table, read_xywh
from patchlib.support import paths

GROUND_TRUTH = "gnd_instre.mat"


def load(root: Path | None = None, pair_boxes: str = "each", skip_bad: bool = False) -> Benchmark:
    """Load INSTRE as published.

    Args:
        root: folder with ``gnd_instre.mat`` and the images; None = where ``python -m patchlib data get instre`` puts
            them.
        pair_boxes: ground truth of an INSTRE-M image for a query that covers both objects: ``"each"`` = the two boxes
            (the better one counts), ``"union"`` = the one box around both.
        skip_bad: leave out unreadable images instead of stopping.

    Returns:
        The benchmark; ids are the paths of the ground truth, in its order. ``meta["counts"]`` has the published number
        of database images and the one that the paper's storage table implies.

    Raises:
        FileNotFoundError: the ground truth or an image is missing.
        ValueError: the ground truth or a box file is not as published; names the file and what is wrong.

    Source: Wang and Jiang, TOMM 2015; Iscen et al., CVPR 2017.
    """
    check_choice("pair_boxes", pair_boxes, ("each", "union"))
    root = paths.data() / "instre" if root is None else root
    folders = [root, *sorted(path for path in root.glob("*") if path.is_dir())]
    table = locate(GROUND_TRUTH, folders, "instre") / GROUND_TRUTH
    names, query_names, relevant, query_boxes = _ground_truth(table)
    base = locate(names[0], folders, "instre") if names else root
    queries = pd.DataFrame({"query_id": query_names, "path": query_names})
    queries["instance"] = queries["path"].str.rsplit("/", n=1).str[0]
    queries[BOX] = query_boxes
    positives = _positives(base, names, queries, relevant, pair_boxes)
    parts = pd.Series([name.split("/")[0] for name in names]).value_counts(sort=False)
    meta: dict[str, Any] = {
        "options": {"pair_boxes": pair_boxes},
        "found": {f"images in {part}": int(count) for part, count in parts.items()},
    }
    database = pd.DataFrame({"image_id": names, "path": names})
    return assemble("instre", base, database, queries, positives, meta, skip_bad)


def _ground_truth(table: Path) -> tuple[list[str], list[str], list[NDArray[np.int64]], NDArray[np.float32]]:
    """Database paths, query paths, positives (0-based) and boxes (Q, 4) of the queries."""
    from scipy.io import loadmat

    try:
        content = loadmat(table)
        names, query_names = (_strings(content[key]) for key in ("imlist", "qimlist"))
        pairs = [_pair(item) for item in content["gnd"].ravel()]
    except (NotImplementedError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{table} is not INSTRE's ground truth, or is damaged ({error!r}); fetch it again") from error
    if len(pairs) != len(query_names):
        raise ValueError(f"{table}: {len(query_names)} queries, but ground truth for {len(pairs)}")
    for name, (indices, box) in zip(query_names, pairs, strict=True):
        if indices.size and (indices.min() < 1 or indices.max() > len(names)):
            raise ValueError(
                f"{table}: the positives of {name} are numbered {indices.min()} to {indices.max()}, expected 1 to "
                f"{len(names)} (indices begin at 1)"
            )
        if box.size != 4:
            raise ValueError(f"{table}: the box of {name} has {box.size} numbers, expected x1 y1 x2 y2")
    boxes = np.array([box for _, box in pairs], np.float32).reshape(-1, 4)
    return names, query_names, [indices - 1 for indices, _ in pairs], boxes


def _strings(cells: Any) -> list[str]:
    return [str(np.ravel(cell)[0]).replace("\\", "/") for cell in cells.ravel()]


def _pair(item: Any) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """A record of ``gnd``, a struct or a cell: (positives, box)."""
    fields = item if isinstance(item, np.void) else np.asarray(item, object).ravel()
    return np.ravel(fields[0]).astype(np.int64), np.ravel(fields[1]).astype(np.float32)


def _part(name: str) -> str:
    return name.split("/")[0].upper().removeprefix("INSTRE-")


def _positives(
    base: Path, names: list[str], queries: pd.DataFrame, relevant: list[NDArray[np.int64]], pair_boxes: str
) -> pd.DataFrame:
    """One row per box of a positive, NaN where it has none."""
    shown = np.unique(np.concatenate([*relevant, np.empty(0, np.int64)])).tolist()
    boxes = {image: _boxes(base, names[image]) for image in shown}
    return positives_table(
        (query, names[image], _asked(query, names[image], boxes[image], pair_boxes))
        for query, images in zip(queries["query_id"], relevant, strict=True)
        for image in images.tolist()
    )


def _boxes(base: Path, name: str) -> NDArray[np.float32]:
    path = f"{base}/{name.rsplit('.', 1)[0]}.txt"
    try:
        rows = read_xywh(path)
    except FileNotFoundError:
        warnings.warn(f"instre: {path} is missing, {name} counts for AP only", stacklevel=5)
        return np.empty((0, 4), np.float32)
    if len(rows) != 2 and _part(name) == "M":
        raise ValueError(f"{path}: an INSTRE-M image shows two objects and has two lines, got {len(rows)}")
    return rows


def _letter(query: str) -> str | None:
    """``a`` or ``b`` of an INSTRE-S1 class folder like ``01a_canada_book``; ``M`` for a query that covers both."""
    if _part(query) == "M":
        return "M"
    numbered = re.match(r"\d+([ab])(?![a-z])", query.split("/")[1]) if _part(query) == "S1" else None
    return numbered[1] if numbered else None


def _asked(query: str, image: str, rows: NDArray[np.float32], pair_boxes: str) -> NDArray[np.float32]:
    """Those of an image's boxes that show what the query asks for: all, but for an INSTRE-M image, which has two."""
    if _part(image) != "M" or not len(rows):
        return rows
    letter = _letter(query)
    if letter == "M":
        return rows if pair_boxes == "each" else around(rows)
    if letter is None:
        raise ValueError(
            f"{image} is a positive of {query}, but its two boxes belong to classes of INSTRE-S1 named like '01a_...' "
            "and '01b_...'"
        )
    line = "ab".index(letter)
    return rows[line : line + 1]
