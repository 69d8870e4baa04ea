"""Rendering the images of a procedural benchmark to files, in this process or in several.

Helper processes are started as ``python -m patchlib.benchmarks.procedural.rendering``: unlike those of
``multiprocessing`` they do not run the caller's script again, so that a plain script may load the benchmark at its top
level.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from patchlib.benchmarks.procedural.config import ProceduralConfig
from patchlib.benchmarks.procedural.patterns import stream
from patchlib.benchmarks.procedural.scenes import make_query, make_scene
from patchlib.support import machine, progress, provenance

Job = tuple[int | None, int]  # instance (None = distractor), view (-1 = the query)
_QUALITY = 14  # first key of the JPEG qualities' stream
_WORTH = 48  # images from which on a further process pays


def name_of(instance: int) -> str:
    """Folder name of an instance, in the manner of ILIAS."""
    return f"object_{instance:03d}"


def file_of(instance: int | None, view: int) -> str:
    """Path of an image: view -1 of an instance is its query, instance None a distractor."""
    if instance is None:
        return f"distractors/D{view:06d}.jpg"
    folder = f"ilias_core/{name_of(instance)}"
    if view < 0:
        return f"{folder}/query/Q{instance:03d}_00.jpg"
    return f"{folder}/pos/P{instance:03d}_{view:02d}.jpg"


def render(config: ProceduralConfig, root: Path, job: Job) -> None:
    """Writes one image; its box file is written before it, so that the image says that both are there."""
    instance, view = job
    path = root / file_of(instance, view)
    if instance is not None and view < 0:
        image, boxes, quality = make_query(config, instance), None, 92
    else:
        scene = make_scene(config, instance, view)
        low, high = config.quality
        key = (_QUALITY, config.seed, config.instances if instance is None else instance, view)
        image, boxes, quality = scene.image, scene.boxes, int(stream(*key).integers(low, high + 1))
    if instance is not None:
        rows = [(0, 0, *image.size)] if boxes is None else boxes.tolist()
        with provenance.atomic_write(path.with_name(f"{path.stem}_bbox.txt"), "w") as file:
            file.writelines(f"{x0} {y0} {x1 - x0} {y1 - y0}\n" for x0, y0, x1, y1 in rows)
    with provenance.atomic_write(path) as file:
        image.save(file, "JPEG", quality=quality)


def render_all(config: ProceduralConfig, root: Path, jobs: list[Job], workers: int | None, label: str) -> None:
    """Writes many images, with a progress line.

    Args:
        config: settings.
        root: folder of the benchmark.
        jobs: what to render.
        workers: processes; None = one per core. Few images are rendered in this process.
        label: of the progress line.

    Raises:
        RuntimeError: a helper process failed; holds what it said.
    """
    count = min(machine.cores() if workers is None else workers, max(1, len(jobs) // _WORTH))
    if not jobs:
        return
    with progress.track(label, len(jobs), "image") as bar:
        if count < 2:
            for job in jobs:
                render(config, root, job)
                bar.update()
            return
        with ThreadPoolExecutor(count) as pool:
            shares = [pool.submit(_delegate, config, root, jobs[k::count], bar) for k in range(count)]
            for share in shares:
                share.result()


def _delegate(config: ProceduralConfig, root: Path, jobs: list[Job], bar: progress.Progress) -> None:
    """Has a helper process render some jobs; it prints a line for each."""
    package = str(Path(__file__).resolve().parents[3])
    search = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "patchlib.benchmarks.procedural.rendering"]
    task = json.dumps({"config": dataclasses.asdict(config), "root": str(root), "jobs": jobs})
    environment = {**os.environ, "PYTHONPATH": search}
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as said:
        given.write(task)
        given.seek(0)
        with subprocess.Popen(
            command, stdin=given, stdout=subprocess.PIPE, stderr=said, text=True, env=environment
        ) as helper:
            for _ in helper.stdout or ():
                bar.update()
        said.seek(0)
        if helper.returncode:
            raise RuntimeError(f"a process rendering {root} ended with {helper.returncode}: {said.read()[-2000:]}")


def main() -> None:
    """Reads a task from stdin, renders it, prints a line for each image."""
    task = json.load(sys.stdin)
    config = ProceduralConfig(**task["config"])
    for instance, view in task["jobs"]:
        render(config, Path(task["root"]), (instance, view))
        print(flush=True)


if __name__ == "__main__":
    main()
