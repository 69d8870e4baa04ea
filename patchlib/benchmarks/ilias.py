"""ILIAS in its published layout; also what the procedural benchmark writes.

::

    ilias/ilias_core/<name_xxx>/query/Qxxx_yy.jpg, Qxxx_yy_bbox.txt, Txxx.txt
    ilias/ilias_core/<name_xxx>/pos/Pxxx_zz.jpg, Pxxx_zz_bbox.txt
    ilias/image_ids/*.txt                     optional; without them the folders say what there is
    ilias/yfcc100m/*.tar                      optional; distractors, read in place

A box file has one line a box, ``x y width height``, and often several. An id list may say more after each id.

The 100 million distractors of the full set are never one table. :func:`parts` yields one benchmark a shard, for
extraction and indexing shard by shard, here or on many machines; :func:`load` refuses more than ten million images.
"""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.benchmarks.image_files import (
    NotFetched,
    around,
    assemble,
    check_choice,
    find_images,
    first_three,
    image_sizes,
    locate,
    nan_boxes,
    positives_table,
    read_xywh,
)
from patchlib.benchmarks.tar_shards import count_missing, read_distractors, read_keys
from patchlib.support import paths

CORE = "ilias_core"
MAX_IMAGES = 10_000_000


def load(
    root: Path | None = None, distractors: str | Path = "none", query_box: str = "box", skip_bad: bool = False
) -> Benchmark:
    """Load ILIAS: the core, alone or with distractors.

    Args:
        root: folder that holds ``ilias_core/``; None = where ``python -m patchlib data get ilias-core`` puts it.
        distractors: ``"none"``; ``"mini"`` = what the shards in ``yfcc100m/`` hold of mini-ILIAS; ``"full"`` = all they
            hold; or a folder (of tar shards, or of loose images) or one shard, relative to ``root`` or absolute.
        query_box: ``"box"`` = a query is cut to its box (the one around all, if there are several); ``"whole"`` = the
            whole image, as the publishers' baselines describe it.
        skip_bad: leave out unreadable images instead of stopping.

    Returns:
        The benchmark, positives first; ``meta["k"]`` is 1000. Text queries are counted in ``meta["found"]``;
        :func:`with_text_queries` asks by them.

    Raises:
        FileNotFoundError: the core, an image, an id list or the shards are missing.
        ValueError: an unknown option, a malformed list or box file, or more than ten million images.

    Source: Kordopatis-Zilos et al., CVPR 2025; github.com/ilias-vrg/ilias.
    """
    root, core, queries, positives, meta = _core(root, query_box, distractors)
    tables, keys = [core], _keys(root, distractors)
    for table in _distractors(root, distractors, keys):
        tables.append(table)
        if sum(map(len, tables)) > MAX_IMAGES:
            raise ValueError(
                f"more than {MAX_IMAGES:,} images: too many for one table. Go through them shard by shard with "
                f"patchlib.benchmarks.ilias.parts({str(root)!r}, {str(distractors)!r})"
            )
    images = pd.concat(tables, ignore_index=True) if len(tables) > 1 else core
    meta["found"]["distractors"] = len(images) - len(core)
    if keys is not None and (missing := count_missing(keys, images["image_id"][len(core) :].tolist())):
        meta["found"]["mini-ILIAS distractors that are in no shard here"] = missing
        warnings.warn(f"ilias: {missing:,} of {len(keys):,} mini-ILIAS distractors are in no shard here", stacklevel=2)
    return assemble("ilias", root, images, queries, positives, meta, skip_bad)


def parts(
    root: Path | None = None, distractors: str | Path = "full", query_box: str = "box", skip_bad: bool = False
) -> Iterator[Benchmark]:
    """The same, one shard after the other: first the core, then each shard (or loose folder) without positives.

    Args:
        As :func:`load`. A machine that is to do one shard gives that shard as ``distractors`` and takes the last part.

    Yields:
        Benchmarks with the same queries; all images of all parts are the database.
    """
    root, core, queries, positives, meta = _core(root, query_box, distractors)
    yield assemble("ilias", root, core, queries, positives, meta, skip_bad)
    for table in _distractors(root, distractors, _keys(root, distractors)):
        if len(table):
            yield assemble("ilias", root, table, queries, positives[:0], meta, skip_bad)


def with_text_queries(data: Benchmark) -> Benchmark:
    """The same database asked by texts: a query an object, its ``text`` in a column of ``queries``.

    Args:
        data: of :func:`load`.

    Returns:
        A benchmark whose queries have ids and paths of the ``T*.txt`` files and no box; positives are the object's.
        Descriptors come from :func:`patchlib.encoders.encode_text`: give them to ``FeatureSet`` as its queries.

    Raises:
        FileNotFoundError: no text lies beside the image queries.
    """
    root = data.root
    on_disk = {encoded(path): path for path in _texts(find_images(root / CORE)[1])}
    if not on_disk:
        raise NotFetched(f"no text queries in {root / CORE}", "ilias-core")
    queries = _rows(root, _ids(root, "text_query_ids.txt", on_disk, "query"), on_disk, "query_id")
    queries["instance"] = queries["query_id"].str.split("/").str[0]
    queries["text"] = [Path(root, path).read_text(encoding="utf-8").strip() for path in queries["path"]]
    queries[BOX] = nan_boxes(len(queries))
    core = data.images[data.images["image_id"].isin(data.positives["image_id"])]
    return replace(data, queries=queries, positives=_positives(root, core, queries))


def _texts(files: list[str]) -> list[str]:
    return [path for path in files if _kind(path) == "query" and path.rsplit("/", 1)[1].startswith("T")]


def encoded(name: str) -> str:
    """An id as the publishers' lists and feature files write it: what is not ASCII becomes ``#Uxxxx``."""
    return "".join(character if character.isascii() else f"#U{ord(character):04x}" for character in name)


def _core(
    root: Path | None, query_box: str, distractors: str | Path
) -> tuple[Path, pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Root folder, images [image_id, path, width, height], queries, positives and meta of the core."""
    check_choice("query_box", query_box, ("box", "whole"))
    root = paths.data() / "ilias" if root is None else root
    root = locate(CORE, [root, root.parent] if root.name == CORE else [root], "ilias-core")
    files, others = find_images(root / CORE)
    on_disk = {encoded(path): path for path in files}
    images = _rows(root, _ids(root, "positive_ids.txt", on_disk, "pos"), on_disk, "image_id")
    queries = _rows(root, _ids(root, "image_query_ids.txt", on_disk, "query"), on_disk, "query_id")
    queries["instance"] = queries["query_id"].str.split("/").str[0]
    queries[BOX] = nan_boxes(len(queries))
    if query_box == "box":
        queries[BOX] = np.concatenate([around(_boxes(root, path)) for path in queries["path"]])
    positives = _positives(root, images, queries)
    meta: dict[str, Any] = {
        "options": {"query_box": query_box, "distractors": str(distractors)},
        "found": {
            "text queries": len(_texts(others)),
            "images in pos/ that no id list names": sum(_kind(name) == "pos" for name in on_disk) - len(images),
        },
    }
    images[["width", "height"]] = image_sizes(root, images["path"].tolist())
    return root, images, queries, positives, meta


def _kind(name: str) -> str:
    """``query``, ``pos`` or something else: the folder a file of the core lies in."""
    parts = name.split("/")
    return parts[1] if len(parts) == 3 else ""


def _ids(root: Path, name: str, on_disk: Iterable[str], kind: str) -> list[str]:
    """Ids of an id list, the first column of its table, else those of this kind found on disk; sorted."""
    table = root / "image_ids" / name
    if not table.is_file():
        return sorted(found for found in on_disk if _kind(found) == kind)
    ids = pd.read_csv(table, header=None, dtype=str, skipinitialspace=True)[0]
    if ids.isna().any():
        raise ValueError(f"{table}: expected lines that begin with an id, followed by a comma or nothing")
    return sorted(ids)


def _rows(root: Path, ids: list[str], on_disk: dict[str, str], column: str) -> pd.DataFrame:
    """Ids with their paths; an id may have ``#Uxxxx`` where the file name has the character itself."""
    missing = [name for name in ids if encoded(name) not in on_disk]
    if missing:
        absent = f"{len(missing)} of {len(ids)} images that the id list names are not in {root / CORE}"
        raise NotFetched(f"{absent}: {first_three(missing)}", "ilias-core")
    return pd.DataFrame({column: ids, "path": [f"{CORE}/{on_disk[encoded(name)]}" for name in ids]})


def _boxes(root: Path, path: str) -> NDArray[np.float32]:
    try:
        return read_xywh(f"{root}/{path.rsplit('.', 1)[0]}_bbox.txt")
    except FileNotFoundError:
        return nan_boxes(0)


def _positives(root: Path, images: pd.DataFrame, queries: pd.DataFrame) -> pd.DataFrame:
    """A query's positives are the images of its instance."""
    boxes = {image: _boxes(root, path) for image, path in images[["image_id", "path"]].itertuples(index=False)}
    instances = images[["image_id"]].assign(instance=images["image_id"].str.split("/").str[0])
    pairs = queries[["query_id", "instance"]].merge(instances, on="instance")
    return positives_table((row.query_id, row.image_id, boxes[row.image_id]) for row in pairs.itertuples())


def _keys(root: Path, distractors: str | Path) -> NDArray[np.bytes_] | None:
    if distractors != "mini":
        return None
    path = root / "image_ids" / "mini_ilias_yfcc100m_ids.txt"
    if not path.is_file():
        raise NotFetched(f"{path} is not there", "mini-ilias-ids")
    return read_keys(path)


def _distractors(root: Path, distractors: str | Path, keys: NDArray[np.bytes_] | None) -> Iterator[pd.DataFrame]:
    """Tables [image_id, path, width, height], one a shard or one of a folder of loose images."""
    if distractors == "none":
        return
    published = distractors in ("mini", "full")
    folder = root / ("yfcc100m" if published else Path(distractors).expanduser())
    empty = True
    for table in read_distractors(folder, root, keys):
        empty = False
        yield table
    if empty:
        problem = f"no distractors in {folder} (neither tar shards nor images)"
        if published:
            raise NotFetched(problem, "ilias-yfcc100m")
        raise FileNotFoundError(f"{problem}; expected 'none', 'mini', 'full' or a folder")
