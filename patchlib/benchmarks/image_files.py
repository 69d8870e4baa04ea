"""What the loaders share: finding images, their sizes, box files beside them, and the assembly of the benchmark."""

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from patchlib import images
from patchlib.benchmarks.benchmark import BOX, POSITIVES, Benchmark, clipped_boxes
from patchlib.support import paths
from patchlib.support.provenance import atomic_write, config_hash
from patchlib.support.wording import counted

HEIF = (".heic", ".heif")  # photographs of phones, which Pillow reads with a package more
SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"))
SUFFIXES |= {*HEIF} if images.HEIF else set()
PHONES = (*HEIF, ".avif")  # left out with a word where they are not read
SMALLEST = 4  # pixels of a side, for the cells of L3
STAMP, SIZE = ["bytes", "modified"], ["width", "height"]
CACHE_FROM = 1000  # below that many images, reading the headers again is faster than a person notices


def locate(part: str, folders: Sequence[Path], name: str) -> Path:
    """The first of some folders that holds ``part``, a file or folder; ``name`` of the manifest's entry it comes from.

    Raises:
        NotFetched: none holds it; says where it was looked for, and which command fetches it.
    """
    for folder in folders:
        if (folder / part).exists():
            return folder
    raise NotFetched(f"no {part} in {first_three([str(folder) for folder in folders])}", name)


class NotFetched(FileNotFoundError):
    """Files of a benchmark are not there; ``entry`` of ``data_manifest.yaml`` says where they can be had."""

    def __init__(self, problem: str, entry: str) -> None:
        remedy = f"fetch it with `python -m patchlib data get {entry}`"
        super().__init__(f"{problem}; {remedy}; `--from FILE` takes an archive that is there already")
        self.entry = entry


def check_choice(option: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse an option's value that is not among the allowed ones."""
    if value not in allowed:
        raise ValueError(f"{option} is {value!r}, expected {' or '.join(map(repr, allowed))}")


def find_images(folder: Path) -> tuple[list[str], list[str]]:
    """Image files below a folder, and the other files, but hidden ones: POSIX paths below it, in alphabetical order."""
    pictures: list[str] = []
    others: list[str] = []
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith("."):
                path = (Path(base) / name).relative_to(folder).as_posix()
                (pictures if Path(name).suffix.lower() in SUFFIXES else others).append(path)
    if unread := sorted(path for path in others if path.lower().endswith(PHONES)):
        known = any(path.lower().endswith(HEIF) for path in unread)
        remedy = "pip install pillow-heif, or save them as JPEG" if known else "save them as JPEG"
        told = f"{counted(len(unread), 'photograph')} left out, of a format that is not read: {first_three(unread)}"
        warnings.warn(f"{folder}: {told}; {remedy}", stacklevel=3)
    return sorted(pictures), sorted(others)


def read_xywh(path: str | Path) -> NDArray[np.float32]:
    """Read a box file as INSTRE and ILIAS publish them: one line a box, ``x y width height`` in pixels.

    Returns:
        (B, 4) float32 boxes as xyxy; (0, 4) for an empty file.

    Raises:
        ValueError: a line is not four numbers, or its width or height is not positive; names the file and line.
        FileNotFoundError: there is no such file.
    """
    rows = []
    # open(), not pathlib, which would take half of the time over tens of thousands of files
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = file.read().splitlines()
    for number, line in enumerate(lines, 1):
        values = line.replace(",", " ").split()
        if not values:
            continue
        try:
            x, y, width, height = map(float, values)
        except ValueError:
            raise ValueError(f"{path}, line {number}: got {line.strip()!r}, expected 'x y width height'") from None
        if not (width > 0 and height > 0):
            raise ValueError(f"{path}, line {number}: width {width:g} and height {height:g}, expected both > 0")
        rows.append((x, y, x + width, y + height))
    return np.asarray(rows, np.float32).reshape(-1, 4)


def image_sizes(root: Path, files: Sequence[str]) -> NDArray[np.int32]:
    """Width and height of upright images, (N, 2) in pixels; (0, 0) where the header cannot be read.

    The sizes of a large benchmark are kept in a small table in the cache. A row of it counts only while the file's
    length and modification time are what they were.

    Raises:
        FileNotFoundError: names the first files that are not there, and how many they are.
    """
    rows = pd.DataFrame([(path, *_stamp(f"{root}/{path}")) for path in files], columns=["path", *STAMP])
    missing = rows["path"][rows["bytes"] < 0].tolist()
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(files)} images are not under {root}: {first_three(missing)}. "
            "Fetch them again, or ask `python -m patchlib data verify` what misses"
        )
    table = paths.cache() / "image_sizes" / f"{root.name}-{config_hash(root.resolve())}.csv"
    known = pd.DataFrame(columns=["path", *STAMP, *SIZE]).astype(dict.fromkeys((*STAMP, *SIZE), np.int64))
    if len(files) >= CACHE_FROM and table.exists():
        known = pd.read_csv(table, keep_default_na=False, dtype={"path": str})
    rows = rows.merge(known, on=["path", *STAMP], how="left")
    unseen = rows["width"].isna()
    if unseen.any():
        rows.loc[unseen, SIZE] = [size_or_zero(f"{root}/{path}") for path in rows["path"][unseen]]
        rows = rows.astype(dict.fromkeys(SIZE, np.int64))
        if len(files) >= CACHE_FROM:
            with atomic_write(table, "w") as file:
                pd.concat([known, rows]).drop_duplicates("path", keep="last").to_csv(file, index=False)
    return rows[SIZE].to_numpy(np.int32)


def image_table(root: Path, files: Sequence[str]) -> pd.DataFrame:
    """DataFrame[image_id, path, width, height] of files below ``root``; a path is its own id."""
    sizes = image_sizes(root, files)
    return pd.DataFrame({"image_id": files, "path": files, "width": sizes[:, 0], "height": sizes[:, 1]})


def assemble(
    name: str,
    root: Path,
    database: pd.DataFrame,
    queries: pd.DataFrame,
    positives: pd.DataFrame,
    meta: dict[str, Any],
    skip_bad: bool = False,
) -> Benchmark:
    """Make the benchmark: read image sizes, refuse or leave out unreadable images, clip query boxes.

    Args:
        name, root, queries, positives: as in :class:`Benchmark`.
        meta: what was asked for ("options") and found ("found"), beside what :func:`published` says.
        database: DataFrame[image_id, path]; a ``width`` and ``height`` already there are kept.
        skip_bad: leave out images without a readable header and name them in ``meta["skipped"]``.

    Returns:
        The benchmark; ``meta["options"]`` has ``skip_bad``, ``meta["found"]`` the positives without a box as well.

    Raises:
        images.ImageError: some images are unreadable and ``skip_bad`` is False.
        FileNotFoundError: some images are missing.
    """
    database, queries = database.reset_index(drop=True), queries.reset_index(drop=True)
    unboxed = int(positives["x0"].isna().sum())
    if "width" not in database:
        database[["width", "height"]] = image_sizes(root, database["path"].tolist())
    query_sizes = image_sizes(root, queries["path"].tolist())
    unreadable = (database["width"] == 0).to_numpy(), query_sizes[:, 0] == 0
    bad = [*database["path"][unreadable[0]], *queries["path"][unreadable[1]]]
    if bad:
        if not skip_bad:
            listing = "".join(f"\n  {root / path}" for path in bad[:10]) + ("\n  ..." if bad[10:] else "")
            raise images.ImageError(
                f"{counted(len(bad), 'image')} of {name} cannot be read, or are below {SMALLEST} pixels a side:"
                f"{listing}\nReplace them, or leave them out with skip_bad=True (--skip-bad)"
            )
        database, queries = database[~unreadable[0]], queries[~unreadable[1]].copy()
        query_sizes = query_sizes[~unreadable[1]]
        positives = positives[positives["image_id"].isin(database["image_id"])]
        positives = positives[positives["query_id"].isin(queries["query_id"])]
    queries[BOX] = clipped_boxes(name, queries, query_sizes, "path")
    meta = {
        **published(name),
        **meta,
        "options": {**meta["options"], "skip_bad": skip_bad},
        "found": {**meta["found"], "positives without a box": unboxed},
        "skipped": bad,
    }
    return Benchmark(name, root, database, queries, positives, meta)


def published(name: str) -> dict[str, Any]:
    """What is stated about a benchmark beforehand: title, licence, citation, depth of AP, counts."""
    return yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))[name]


def first_three(names: Sequence[str]) -> str:
    """Some of the names, for a message."""
    return ", ".join(names[:3]) + (", ..." if names[3:] else "")


def to_numbers(rows: pd.DataFrame, columns: Sequence[str], table: Path) -> None:
    """Make numbers of text, in place; the index holds the lines of the table.

    Raises:
        ValueError: one is no finite number; names the table, the line and the column.
    """
    for column in columns:
        values = pd.to_numeric(rows[column], errors="coerce")
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            got = rows[column].iloc[bad[0]]
            raise ValueError(f"{table}, line {rows.index[bad[0]]}: {column} is {got!r}, expected a number")
        rows[column] = values


def around(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1, 4), the box around all of (B, 4); NaN where B is 0."""
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])[None] if len(boxes) else nan_boxes(1)


def positives_table(shown: Iterable[tuple[str, str, NDArray[np.float32]]]) -> pd.DataFrame:
    """Positives of a benchmark from (query, image, (B, 4) boxes): a row a box, or one of NaN where B is 0."""
    known = ((query, image, boxes if len(boxes) else nan_boxes(1)) for query, image, boxes in shown)
    return pd.DataFrame(
        [(query, image, *box) for query, image, boxes in known for box in boxes.tolist()], columns=POSITIVES
    )


def nan_boxes(count: int) -> NDArray[np.float32]:
    """(count, 4) boxes that say "unknown"."""
    return np.full((count, 4), np.nan, np.float32)


def _stamp(path: str) -> tuple[int, int]:
    """Length and modification time of a file, -1 where there is none; 0 of a link that leads nowhere."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return (0, 0) if os.path.islink(path) else (-1, -1)
    return status.st_size, status.st_mtime_ns


def size_or_zero(path: str) -> tuple[int, int]:
    """Width and height of an image, (0, 0) where its header cannot be read or a side has too few pixels."""
    try:
        width, height = images.size(path)
        return (width, height) if min(width, height) >= SMALLEST else (0, 0)
    except images.ImageError:
        return 0, 0
