"""Shards of an extraction: which there are, and who makes them: this process's threads, or a cluster's workers.

A shard's batches depend on the shard alone, so neither the number of workers nor an interruption changes a byte. Its
file name holds a fingerprint of its image files: where one of them was replaced, that shard alone is made again.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import socket
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patchlib import images
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.encoders import Encoder
from patchlib.features import cluster
from patchlib.features.shard_work import Shard, Work, done, make
from patchlib.support import progress

if TYPE_CHECKING:
    from dask.distributed import Client

SHARD_REGIONS = 2048  # at most
SHARDS = 32  # at least, where that leaves a batch for each: else workers would wait for the last one
TASKS = 4  # on a cluster: tasks per thread at least, for the same reason
TASK_SHARDS = 64  # and shards of one tar file in a task at most: megabytes of boxes
MALLOC = {-1: 1 << 30, -3: 32 << 20}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD (its maximum) in bytes
VISIBLE = 60.0  # seconds until a file that one machine wrote shows on another


@dataclass(frozen=True)
class Job:
    """Everything one extraction needs; ``boxes`` (NaN = whole image) and ``offsets`` by kind."""

    folder: Path
    benchmark: Benchmark
    encoder: Encoder
    boxes: dict[str, NDArray[np.float32]]
    offsets: dict[str, NDArray[np.int64]]
    dtype: str
    batch: int
    meta: dict[str, Any]

    def shards(self) -> Iterator[Shard]:
        """All shards in a fixed order, queries first."""
        for kind, offsets in self.offsets.items():
            size = max(self.batch, min(SHARD_REGIONS, int(offsets[-1]) // SHARDS))
            first = 0
            while first < len(offsets) - 1:
                last = int(np.searchsorted(offsets, offsets[first] + size, side="right")) - 1
                last = min(max(last, first + 1), len(offsets) - 1)
                files = fingerprint(self.file(kind, index) for index in range(first, last))
                yield Shard(kind, first, last, self.folder / "shards" / f"{kind}-{first:08d}-{last:08d}-{files}.npy")
                first = last

    def file(self, kind: str, index: int) -> str:
        """Full path of an image or query."""
        return self.benchmark.image_path(index) if kind == "image" else self.benchmark.query_path(index)

    def rows(self, shard: Shard) -> slice:
        """Rows of the shard within all regions of its kind."""
        return slice(int(self.offsets[shard.kind][shard.first]), int(self.offsets[shard.kind][shard.last]))

    def work(self, shard: Shard, skip_bad: bool) -> Work:
        """A shard with its part of the job."""
        of_image = shard.kind == "image"
        sizes = self.benchmark.images[["width", "height"]].iloc[shard.first : shard.last].to_numpy(np.int64)
        offsets = self.offsets[shard.kind][shard.first : shard.last + 1]
        return Work(
            shard=shard,
            files=[self.file(shard.kind, index) for index in range(shard.first, shard.last)],
            sizes=sizes if of_image else None,
            boxes=self.boxes[shard.kind][self.rows(shard)],
            offsets=offsets - offsets[0],
            dtype=self.dtype if of_image else "float32",
            batch=self.batch,
            skip_bad=skip_bad,
        )


def fingerprint(files: Iterable[str]) -> str:
    """Hash of the files' sizes and times: features of a photo that was replaced must not be used again."""
    digest = hashlib.sha256()
    for name in dict.fromkeys(file.split(images.MEMBER)[0] for file in files):
        try:
            status = os.stat(name)
        except OSError:
            digest.update(b"missing\n")
            continue  # reading it will fail with a better message
        digest.update(f"{status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer per folder, which is made if absent; the operating system frees the lock of a killed run."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another run that is writing {folder.name}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_missing(
    job: Job, shards: list[Shard], workers: int, skip_bad: bool, executor: Client | None = None
) -> list[str]:
    """Write all missing shards on ``workers`` threads, or on a cluster; returns a message for every unusable image.

    Raises:
        FileNotFoundError: a shard that was written is not there.
    """
    messages: set[str] = set()
    todo = [job.work(shard, skip_bad) for shard in shards if not done(shard, skip_bad)]
    total = sum(shard.last - shard.first for shard in shards)
    label = f"{job.meta['regions']} of {job.meta['benchmark']} with {job.meta['encoder']}"
    with progress.track(label, total, "image") as bar:
        bar.update(total - sum(len(work.files) for work in todo))
        made = _on_threads(job.encoder, todo, workers) if executor is None else _on_cluster(job, todo, executor)
        with closing(made):
            for images_done, found in made:
                messages.update(found)
                bar.update(images_done)
    if skip_bad or not messages:
        _require(shards, patience=0 if executor is None else VISIBLE)
    return sorted(messages)


def _on_threads(encoder: Encoder, todo: list[Work], workers: int) -> Generator[tuple[int, list[str]]]:
    pool = ThreadPoolExecutor(workers, initializer=_prepare_thread)
    with _torch_threads_restored():
        try:
            futures = {pool.submit(make, encoder, work): work for work in todo}
            for future in as_completed(futures):
                yield len(futures[future].files), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            _glibc("malloc_trim", 0)


def _on_cluster(job: Job, todo: list[Work], client: Client) -> Generator[tuple[int, list[str]]]:
    most = min(TASK_SHARDS, math.ceil(len(todo) / (TASKS * cluster.threads(client))))
    tasks = list(_tasks(todo, most))
    (job.folder / "shards").mkdir(exist_ok=True)
    for task, found in cluster.run(client, _write_there, job.encoder, tasks, f"shard of {job.folder.name}"):
        yield sum(len(work.files) for work in task), found


def _tasks(todo: list[Work], most: int) -> Iterator[list[Work]]:
    """Loose images: a shard each. Images of a tar file: up to ``most`` shards, as its headers must be read first."""
    task: list[Work] = []
    for work in todo:
        tar, _, member = work.files[0].partition(images.MEMBER)
        if task and (len(task) == most or not member or not task[0].files[0].startswith(tar + images.MEMBER)):
            yield task
            task = []
        task.append(work)
    if task:
        yield task


def _write_there(encoder: Encoder, task: list[Work]) -> list[str]:
    """What a worker of a cluster does; shards that are there come from one that died."""
    _prepare_thread()
    messages = []
    for work in task:
        folder = work.shard.path.parent
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{socket.gethostname()} sees no folder {folder}; the workers need the output folder under the path "
                "it has here: set PATCHLIB_CACHE (or out) to a drive that all machines share"
            )
        if not done(work.shard, work.skip_bad):
            messages += make(encoder, work)
    return messages


def _require(shards: list[Shard], patience: float) -> None:
    """Check that all shards are there; a network drive may show other machines' files with a delay."""
    start = time.monotonic()
    for shard in shards:
        while not shard.path.exists():
            if time.monotonic() - start >= patience:
                raise FileNotFoundError(f"shard {shard.path} was written but has disappeared; run again to make it")
            time.sleep(0.5)


def _prepare_thread() -> None:
    """One torch thread for each of ours, and freed memory kept for the next batch.

    glibc hands large blocks back at once, Dask's workers still sooner; mapping and clearing them anew takes a quarter
    to half of a small network's time.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    for parameter, size in MALLOC.items():
        _glibc("mallopt", parameter, size)


def _glibc(name: str, *arguments: int) -> None:
    """Call a function of glibc where that is what we run on."""
    function = getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
    if function is not None:
        function(*arguments)


@contextmanager
def _torch_threads_restored() -> Iterator[None]:
    """The workers set torch to one thread each; part of that setting is shared with the caller."""
    if "torch" not in sys.modules:
        yield
        return
    torch = sys.modules["torch"]
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
