"""Pictures rendered to files, in this process or in several: those of a procedural benchmark, and derived ones."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.benchmarks.procedural.patterns import stream
from patchlib.benchmarks.procedural.scenes import make_query, make_scene
from patchlib.support import files, machine, paths, progress, provenance

RECORD = "boxes.json"  # of derived pictures; written last: its presence says that everything is there
_QUALITY = 14  # first key of the JPEG qualities' stream
_WORTH = 48  # images from which on a further process pays

BoxList = list[list[float]]
Job = tuple[int | None, int]  # instance (None = distractor), number of its scene (-1 = the query)
Picture = tuple[Image.Image, NDArray[Any] | None]  # image, (B, 4) boxes in it or None


def name_of(instance: int) -> str:
    """Folder name of an instance, in the manner of ILIAS."""
    return f"object_{instance:03d}"


def file_of(instance: int | None, number: int) -> str:
    """Path of an image: number -1 of an instance is its query, instance None a distractor."""
    if instance is None:
        return f"distractors/D{number:06d}.jpg"
    folder = f"ilias_core/{name_of(instance)}"
    return f"{folder}/query/Q{instance:03d}_00.jpg" if number < 0 else f"{folder}/pos/P{instance:03d}_{number:02d}.jpg"


def render_all(config: ProceduralConfig, root: Path, jobs: Sequence[Job], workers: int | None, label: str) -> None:
    """Write those images of a procedural benchmark that are not below ``root`` yet, each with its box file."""
    missing = [job for job in jobs if not (root / file_of(*job)).exists()]
    in_processes(partial(_write_scene, config, root), missing, workers, label)


def render_derived(
    name: str,
    config: Mapping[str, Any],
    jobs: Mapping[str, Any],
    make: Callable[[Any], Picture],
    workers: int | None = None,
) -> tuple[Path, dict[str, BoxList]]:
    """Write the pictures of a derived benchmark into the cache, unless they are there already.

    Args:
        name: first part of the folder's name.
        config: everything that decides the pictures; its hash is the rest of the folder's name.
        jobs: relative path of a picture (``.jpg`` or, without loss, ``.png``) -> what ``make`` needs for it.
        make: a function of a module, for it is called in other processes; (job) -> image and boxes.
        workers: processes; they change the time, not the pictures.

    Returns:
        The folder, and the boxes by path (an empty list where there are none).
    """
    folder = paths.cache() / "derived" / f"{name}-{provenance.config_hash(config)}"
    with files.made_once(folder / RECORD) as missing:
        if missing:
            work = partial(_write_derived, folder, make)
            boxes = in_processes(work, list(jobs.items()), workers, f"images of {name}")
            provenance.write_json(folder / RECORD, dict(zip(jobs, boxes, strict=True)))
    return folder, provenance.read_json(folder / RECORD)


def in_processes(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int | None, label: str) -> list[Any]:
    """``work(job)`` for each job, with a progress line. Few jobs are done in this process.

    ``work`` is a function of a module, or a ``partial`` of one. Other processes are joblib's: unlike those of
    ``multiprocessing`` they do not run the caller's script again, so that a plain script may load a benchmark at its
    top level.
    """
    from joblib import Parallel, delayed

    count = max(1, min(workers or machine.cores(), len(jobs) // _WORTH))
    results = []
    with progress.track(label, len(jobs), "image") as bar:
        for result in Parallel(count, return_as="generator")(delayed(work)(job) for job in jobs):
            results.append(result)
            bar.update()
    return results


def jpeg(config: ProceduralConfig, instance: int | None, number: int) -> tuple[bytes, NDArray[Any]]:
    """The content of :func:`file_of`, and the (B, 4) boxes of the instance in it."""
    if instance is not None and number < 0:
        image, quality = make_query(config, instance), 92
        boxes = np.array([(0, 0, *image.size)])
    else:
        scene = make_scene(config, instance, number)
        key = (_QUALITY, config.seed, config.instances if instance is None else instance, number)
        low, high = config.quality
        image, boxes, quality = scene.image, scene.boxes, int(stream(*key).integers(low, high + 1))
    image.save(content := io.BytesIO(), "JPEG", quality=quality)
    return content.getvalue(), boxes


def _write_scene(config: ProceduralConfig, root: Path, job: Job) -> None:
    """Writes one image; its box file is written before it, so that the image says that both are there."""
    path = root / file_of(*job)
    content, boxes = jpeg(config, *job)
    if job[0] is not None:
        with provenance.atomic_write(path.with_name(f"{path.stem}_bbox.txt"), "w") as file:
            file.writelines(f"{x0} {y0} {x1 - x0} {y1 - y0}\n" for x0, y0, x1, y1 in boxes.tolist())
    with provenance.atomic_write(path) as file:
        file.write(content)


def _write_derived(folder: Path, make: Callable[[Any], Picture], item: tuple[str, Any]) -> BoxList:
    name, job = item
    image, boxes = make(job)
    with provenance.atomic_write(folder / name) as file:
        if name.endswith(".png"):
            image.save(file, "PNG")
        else:  # colours at full resolution
            image.save(file, "JPEG", quality=95, subsampling=0)
    return [] if boxes is None else np.asarray(boxes, float).tolist()
