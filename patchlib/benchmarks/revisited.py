"""Revisited Oxford and Paris: 70 queries with a box each, positives in three settings, junk that counts as nothing.

::

    roxford5k/gnd_roxford5k.pkl            imlist, qimlist: names; gnd: box of a query, its easy, hard and junk images
    roxford5k/jpg/all_souls_000013.jpg     in any folder below: the archives of Paris have some

Every image is labelled for every query: easy, hard, junk, or negative. A *setting* says which labels are positives; the
remaining ones among the three are junk with it, so that an image which is hard to recognise does no harm as "easy" is
measured. Junk takes no rank (:attr:`Benchmark.junk`).

The ground truth is a pickle, and a pickle can run code when it is read. This one is read by an unpickler that knows
lists, texts, numbers and numpy arrays; anything else in it is refused, unread.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.image_files import (
    NotFetched,
    assemble,
    check_choice,
    find_images,
    first_three,
    locate,
    nan_boxes,
    positives_table,
)
from patchlib.support import paths

SETTINGS = {"easy": ("easy",), "medium": ("easy", "hard"), "hard": ("hard",)}  # labels that are positives
LABELS = ("easy", "hard", "junk")
ARRAYS = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
ALLOWED = {
    (module, name) for module in ARRAYS for name in ("ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer")
}
ALLOWED |= {("_codecs", "encode"), ("__builtin__", "bytes"), ("builtins", "bytes")}  # how old protocols write bytes


def load(
    name: str, root: Path | None = None, setting: str = "medium", query_box: str = "box", skip_bad: bool = False
) -> Benchmark:
    """Load one of the two, in one setting.

    Args:
        name: ``"roxford5k"`` or ``"rparis6k"``.
        root: folder with the ground truth and the images, or the one above; None = where
            ``python -m patchlib data get <name>`` puts them.
        setting: ``"easy"``, ``"medium"`` (easy and hard images are positives) or ``"hard"``.
        query_box: ``"box"`` = a query is cut to its box, as the protocol says; ``"whole"`` = the whole image.
        skip_bad: leave out unreadable images instead of stopping.

    Returns:
        The benchmark; ids are the names of the ground truth, in its order. ``meta["labels"]`` is {query: {label:
        images}}, ``meta["junk"]`` {query: images}. A query without positives in the setting stays, and counts in no
        mean. Positives have no box.

    Raises:
        FileNotFoundError: the ground truth or an image is missing.
        ValueError: an unknown option, or a ground truth that holds code, is of another version, or not as published.

    Source: Radenovic et al., CVPR 2018, arXiv 1803.11285; github.com/filipradenovic/revisitop.
    """
    check_choice("setting", setting, tuple(SETTINGS))
    check_choice("query_box", query_box, ("box", "whole"))
    root = paths.data() / name if root is None else root
    file = f"gnd_{name}.pkl"
    base = locate(file, [root, root / name], name)
    images, query_names, labels, boxes = _ground_truth(base / file)
    places = {Path(path).stem: path for path in find_images(base)[0]}
    missing = [image for image in (*images, *query_names) if image not in places]
    if missing:
        told = f"{len(missing)} of {len(images) + len(query_names)} images of {base / file} are not under {base}"
        raise NotFetched(f"{told}: {first_three(missing)}", name)
    queries = pd.DataFrame({"query_id": query_names, "path": [places[query] for query in query_names]})
    queries["instance"] = queries["query_id"].str.rsplit("_", n=1).str[0]
    queries[BOX] = boxes if query_box == "box" else nan_boxes(len(boxes))
    positive = SETTINGS[setting]
    positives = positives_table(
        (query, image, nan_boxes(0)) for query in query_names for label in positive for image in labels[query][label]
    )
    junk = {q: [image for label in LABELS if label not in positive for image in labels[q][label]] for q in query_names}
    database = pd.DataFrame({"image_id": images, "path": [places[image] for image in images]})
    meta = {"options": {"setting": setting, "query_box": query_box}, "found": {}, "labels": labels, "junk": junk}
    return assemble(name, base, database, queries, positives, meta, skip_bad)


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which could run code")
        return super().find_class(module, name)


def _ground_truth(file: Path) -> tuple[list[str], list[str], dict[str, dict[str, list[str]]], NDArray[np.float32]]:
    """Names of the database and of the queries, query -> label -> images, and the queries' boxes."""
    try:
        with open(file, "rb") as stream:
            content = _Plain(stream).load()
    except Exception as error:  # a damaged pickle fails in many ways
        raise ValueError(f"{file} is not the published ground truth ({error}); fetch it again") from error
    try:
        images, query_names = ([str(name) for name in content[key]] for key in ("imlist", "qimlist"))
        boxes = [np.asarray(row["bbx"], np.float32).ravel() for row in content["gnd"]]
        rows = [{label: np.asarray(row[label], np.int64).ravel() for label in LABELS} for row in content["gnd"]]
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(
            f"{file} is of another version: expected imlist, qimlist and gnd with bbx, easy, hard and junk (the "
            f"original Oxford and Paris have ok and junk), but {error} is missing or of another kind"
        ) from error
    shared = len(set(images) & set(query_names))
    if len(rows) != len(query_names) or shared:
        raise ValueError(
            f"{file} is of another version: {len(query_names)} queries, ground truth for {len(rows)}, {shared} queries "
            "in the database; the revisited lists hold each image once"
        )
    for query, box, row in zip(query_names, boxes, rows, strict=True):
        numbers = np.concatenate(list(row.values()))
        if box.size != 4:
            raise ValueError(f"{file}: the box of {query} has {box.size} numbers, expected x1 y1 x2 y2")
        if len(np.unique(numbers)) < numbers.size or not np.isin(numbers, np.arange(len(images))).all():
            raise ValueError(f"{file}: images of {query} have two labels, or numbers beyond 0 to {len(images) - 1}")
    labels = {
        query: {label: [images[number] for number in numbers] for label, numbers in row.items()}
        for query, row in zip(query_names, rows, strict=True)
    }
    return images, query_names, labels, np.array(boxes, np.float32).reshape(-1, 4)
