"""Pictures of derived benchmarks: rendered once into the cache, read back afterwards."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from patchlib.benchmarks.image_files import image_sizes
from patchlib.support import machine, paths, progress, provenance

RECORD = "boxes.json"  # written last: its presence says that everything is there
QUALITY = 95  # of JPEG files, colours at full resolution
BLOCK = 16  # images a process takes at a time

Picture = tuple[Image.Image, NDArray[Any] | None]  # image, (B, 4) boxes in it or None
Render = Callable[[Any], Picture]
Block = tuple[Path, list[tuple[str, Any]], Render]


def render(
    name: str, config: Mapping[str, Any], jobs: Mapping[str, Any], make: Render, workers: int | None = None
) -> tuple[Path, dict[str, list[list[float]]]]:
    """Write the pictures of a derived benchmark, unless they are there already.

    Args:
        name: first part of the folder's name.
        config: everything that decides the pictures; its hash is the rest of the folder's name.
        jobs: relative path of a picture (``.jpg`` or, without loss, ``.png``) -> what ``make`` needs for it.
        make: a function of a module, for it is called in other processes; (job) -> image and boxes.
        workers: processes; None = one per core. They change the time, not the pictures.

    Returns:
        The folder, and the boxes by path (an empty list where there are none).
    """
    folder = paths.cache() / "derived" / f"{name}-{provenance.config_hash(config)}"
    if not (folder / RECORD).exists():
        items = list(jobs.items())
        blocks = [(folder, items[i : i + BLOCK], make) for i in range(0, len(items), BLOCK)]
        boxes: dict[str, list[list[float]]] = {}
        with progress.track(f"images of {name}", len(items), "image") as bar:
            for done in _mapped(blocks, min(workers or machine.cores(), len(blocks) // 4)):
                boxes |= done
                bar.update(len(done))
        provenance.write_json(folder / RECORD, boxes)
    return folder, provenance.read_json(folder / RECORD)


def image_table(folder: Path, files: list[str]) -> pd.DataFrame:
    """The ``images`` table of a benchmark of these files; a path is its own id."""
    sizes = image_sizes(folder, files)
    return pd.DataFrame({"image_id": files, "path": files, "width": sizes[:, 0], "height": sizes[:, 1]})


def _mapped(blocks: list[Block], workers: int) -> Iterator[dict[str, list[list[float]]]]:
    if workers < 2:
        yield from map(_write, blocks)
        return
    # spawn: a forked child of a process that has used threads (torch) can hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_write, blocks)


def _write(block: Block) -> dict[str, list[list[float]]]:
    folder, items, make = block
    found = {}
    for file, job in items:
        image, boxes = make(job)
        with provenance.atomic_write(folder / file) as target:
            if file.endswith(".png"):
                image.save(target, "PNG")
            else:
                image.save(target, "JPEG", quality=QUALITY, subsampling=0)
        found[file] = [] if boxes is None else np.asarray(boxes, float).tolist()
    return found
