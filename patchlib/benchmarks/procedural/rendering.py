"""Pictures rendered to files, in this process or in several: those of a procedural benchmark, and derived ones."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.benchmarks.procedural.patterns import stream
from patchlib.benchmarks.procedural.scenes import make_query, make_scene
from patchlib.support import machine, paths, progress, provenance

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
    """Write images of a procedural benchmark below ``root``, each with its box file.

    Raises:
        RuntimeError: a helper process failed; holds what it said.
    """
    in_processes(partial(_write_scene, config, root), jobs, workers, label)


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
        workers: processes; None = one per core. They change the time, not the pictures.

    Returns:
        The folder, and the boxes by path (an empty list where there are none).
    """
    folder = paths.cache() / "derived" / f"{name}-{provenance.config_hash(config)}"
    if not (folder / RECORD).exists():
        boxes = in_processes(partial(_write_derived, folder, make), list(jobs.items()), workers, f"images of {name}")
        provenance.write_json(folder / RECORD, dict(zip(jobs, boxes, strict=True)))
    return folder, provenance.read_json(folder / RECORD)


def in_processes(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int | None, label: str) -> list[Any]:
    """``work(job)`` for each job, with a progress line.

    Helpers are new interpreters: unlike those of ``multiprocessing`` they do not run the caller's script again, so that
    a plain script may load a benchmark at its top level. Few jobs are done in this process.

    Args:
        work: a function of a module, or a ``partial`` of one; what it returns has a form in JSON.
        jobs: what it is called with.
        workers: processes; None = one per core.
        label: of the progress line.

    Raises:
        RuntimeError: a helper failed; holds what it said.
    """
    count = min(workers or machine.cores(), len(jobs) // _WORTH)
    results: list[Any] = [None] * len(jobs)
    with progress.track(label, len(jobs), "image") as bar:
        if count < 2:
            for row, job in enumerate(jobs):
                results[row] = work(job)
                bar.update()
            return results
        with ThreadPoolExecutor(count) as pool:
            shares = [pool.submit(_delegate, work, jobs[k::count], bar) for k in range(count)]
            for k, share in enumerate(shares):
                results[k::count] = share.result()
    return results


def _delegate(work: Callable[[Any], Any], jobs: Sequence[Any], bar: progress.Progress) -> list[Any]:
    """Has a helper do some jobs; it prints a line for each."""
    command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])}
    lines = []
    with tempfile.TemporaryFile() as task, tempfile.TemporaryFile() as said:
        pickle.dump((work, jobs), task)
        task.seek(0)
        with subprocess.Popen(command, stdin=task, stdout=subprocess.PIPE, stderr=said, env=environment) as helper:
            for line in helper.stdout or ():
                lines.append(line)
                bar.update()
        said.seek(0)
        if helper.returncode:
            raise RuntimeError(f"a process that renders ended with {helper.returncode}: {said.read()[-2000:].decode()}")
    return [json.loads(line) for line in lines]


def serve() -> None:
    """What a helper does: reads its task from stdin, prints a line for each job."""
    results, sys.stdout = sys.stdout, sys.stderr
    work, jobs = pickle.load(sys.stdin.buffer)
    for job in jobs:
        print(json.dumps(work(job)), file=results, flush=True)


def _write_scene(config: ProceduralConfig, root: Path, job: Job) -> None:
    """Writes one image; its box file is written before it, so that the image says that both are there."""
    instance, number = job
    path = root / file_of(instance, number)
    if instance is not None and number < 0:
        image, quality = make_query(config, instance), 92
        boxes = np.array([(0, 0, *image.size)])
    else:
        scene = make_scene(config, instance, number)
        key = (_QUALITY, config.seed, config.instances if instance is None else instance, number)
        low, high = config.quality
        image, boxes, quality = scene.image, scene.boxes, int(stream(*key).integers(low, high + 1))
    if instance is not None:
        with provenance.atomic_write(path.with_name(f"{path.stem}_bbox.txt"), "w") as file:
            file.writelines(f"{x0} {y0} {x1 - x0} {y1 - y0}\n" for x0, y0, x1, y1 in boxes.tolist())
    with provenance.atomic_write(path) as file:
        image.save(file, "JPEG", quality=quality)


def _write_derived(folder: Path, make: Callable[[Any], Picture], item: tuple[str, Any]) -> BoxList:
    name, job = item
    image, boxes = make(job)
    with provenance.atomic_write(folder / name) as file:
        if name.endswith(".png"):
            image.save(file, "PNG")
        else:  # colours at full resolution
            image.save(file, "JPEG", quality=95, subsampling=0)
    return [] if boxes is None else np.asarray(boxes, float).tolist()
