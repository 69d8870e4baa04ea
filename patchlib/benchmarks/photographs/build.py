"""How the shipped photographs were made: ``python -m patchlib.benchmarks.photographs.build FOLDER``.

``photographs.csv`` says which files of the Grocery Store Dataset there are; FOLDER holds them in the published layout
(``python -m patchlib data get grocery``). Each is made smaller and re-encoded, its boxes go along. To ship others,
change the column ``path`` and run this again: it prints the hashes that ``published.yaml`` pins.
"""

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from patchlib import images
from patchlib.benchmarks import grocery
from patchlib.benchmarks.benchmark import BOX
from patchlib.benchmarks.photographs.shipped import FOLDER, ICONIC, LIST, PHOTOGRAPHS, member
from patchlib.support.provenance import atomic_write, sha256_file

SIDE = 224  # at most, pixels
QUALITY = 70  # of WebP


def build(dataset: Path, folder: Path = FOLDER) -> None:
    """Write the tar files and the list anew from the photographs that the list names, relative to ``dataset``.

    Raises:
        images.ImageError: a photograph is missing.
        KeyError: a carton has no box.
    """
    chosen = pd.read_csv(folder / LIST)["path"].drop_duplicates().sort_values()
    drawn = pd.read_csv(grocery.DRAWN_BOXES).set_index("image")
    rows: list[tuple[object, ...]] = []
    contents: dict[str, dict[str, bytes]] = {ICONIC: {}, PHOTOGRAPHS: {}}
    for path in chosen:
        photo = images.read(dataset / path)
        small = photo.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        role = role_of(path)
        with io.BytesIO() as encoded:
            small.save(encoded, "WEBP", quality=QUALITY, method=6)
            contents[ICONIC if role == "iconic" else PHOTOGRAPHS][member(path)] = encoded.getvalue()
        ratio = np.array([small.width / photo.width, small.height / photo.height] * 2)
        boxes = drawn.loc[[path], BOX].to_numpy() * ratio if role == "carton" else np.full((1, 4), np.nan)
        rows += [(path, role, Path(path).parent.name, *small.size, *box) for box in boxes]
    for name, photographs in contents.items():
        _write_tar(folder / name, photographs)
    with atomic_write(folder / LIST, "w") as file:
        columns = ["path", "role", "product", "width", "height", *BOX]
        pd.DataFrame(rows, columns=columns).to_csv(file, index=False, float_format="%.2f")


def role_of(path: str) -> str:
    """What a photograph of the dataset is here: ``"iconic"``, ``"carton"`` or ``"produce"``."""
    if path.startswith("iconic"):
        return "iconic"
    return "carton" if "/Packages/" in path else "produce"


def _write_tar(path: Path, photographs: dict[str, bytes]) -> None:
    """Members in the given order, without times and owners: the same photographs give the same bytes."""
    with atomic_write(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in photographs.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
    for name in (LIST, PHOTOGRAPHS, ICONIC):
        print(f"{name}: {sha256_file(FOLDER / name)}")
