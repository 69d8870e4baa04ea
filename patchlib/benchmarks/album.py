"""A folder of photographs as it is, without queries or labels: it can be searched, not scored.

A folder that says what shows what is :mod:`patchlib.benchmarks.folder`.
"""

from pathlib import Path

import pandas as pd

from patchlib.benchmarks.benchmark import POSITIVES, Benchmark
from patchlib.benchmarks.image_files import SUFFIXES, assemble, find_images, nan_boxes
from patchlib.support.wording import counted


def load(root: Path) -> Benchmark:
    """Every photograph below a folder, in alphabetical order; the first one stands in as the query that a record needs.

    Files whose header cannot be read are left out and named in ``meta["skipped"]``.

    Raises:
        FileNotFoundError: the folder is not there.
        ValueError: it holds no photograph, or none that can be read.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder; expected one with photographs in it")
    photos, others = find_images(root)
    if not photos:
        kinds = ", ".join(sorted(SUFFIXES))
        raise ValueError(f"{root} holds no photograph ({counted(len(others), 'other file')}); it reads {kinds}")
    images = pd.DataFrame({"image_id": photos, "path": photos})
    queries = pd.DataFrame({"query_id": photos, "path": photos, "instance": photos})
    queries[POSITIVES[2:]] = nan_boxes(len(photos))
    none = pd.DataFrame(columns=POSITIVES)
    meta = {"title": root.resolve().name, "options": {}, "found": {"files that are no image": len(others)}}
    return assemble("album", root, images, queries, none, meta, skip_bad=True).subset(queries=[0])
