"""The shipped photographs: two tar files, read in place, and one list of what they show.

The iconic pictures lie apart: they come from the retailer's web shop, and all else works without them.
"""

from pathlib import Path, PurePosixPath

import pandas as pd

from patchlib.benchmarks.benchmark import BOX, IMAGES
from patchlib.benchmarks.image_files import published
from patchlib.images import MEMBER
from patchlib.support.provenance import sha256_file

FOLDER = Path(__file__).parent
LIST, PHOTOGRAPHS, ICONIC = "photographs.csv", "photographs.tar", "iconic.tar"


def member(path: str) -> str:
    """Name in its tar file of what the dataset calls ``path``."""
    return PurePosixPath(path).with_suffix(".webp").as_posix()


def photographs() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The photographs and which product they show.

    Returns:
        DataFrame[image_id, path, width, height] of cartons and produce; DataFrame[instance, image_id, x0, y0, x1, y1],
        one row a box of a carton.

    Raises:
        FileNotFoundError, ValueError: a file is missing, or is not the one that was published.
    """
    rows = _rows(PHOTOGRAPHS, ["carton", "produce"])
    cartons = rows[rows["role"] == "carton"].rename(columns={"product": "instance"})
    return rows[IMAGES].drop_duplicates().reset_index(drop=True), cartons[["instance", "image_id", *BOX]]


def iconic() -> pd.DataFrame:
    """The iconic pictures as queries: DataFrame[query_id, path, instance, x0, y0, x1, y1]; raises as the others do."""
    rows = _rows(ICONIC, ["iconic"])
    return rows.assign(query_id=rows["product"], instance=rows["product"])[["query_id", "path", "instance", *BOX]]


def _rows(tar: str, roles: list[str]) -> pd.DataFrame:
    """Rows of the list whose photographs a tar file holds, with ``path`` leading into it."""
    for name in (LIST, tar):
        _check(name)
    rows = pd.read_csv(FOLDER / LIST)
    rows = rows[rows["role"].isin(roles)].rename(columns={"path": "image_id"})
    return rows.assign(path=[f"{tar}{MEMBER}{member(path)}" for path in rows["image_id"]])


def _check(name: str) -> None:
    file = FOLDER / name
    again = "restore it with git, or install patchlib again"
    if not file.is_file():
        otherwise = '; queries="natural" does without it' if name == ICONIC else ""
        raise FileNotFoundError(f"{file} is not there; {again}{otherwise}")
    digest = sha256_file(file)
    if digest != published("photographs")["sha256"][name]:
        raise ValueError(f"{file} was changed, or photographs were removed (sha256 {digest[:12]}...); {again}")
