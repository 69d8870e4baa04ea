"""Extraction on a Dask cluster: the bytes of a run without, whatever dies; what is lost is named, what is done kept."""

import os
import pickle
import signal
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import dask
import numpy as np
import pytest
from builders import benchmark_on_disk, encoder_of, mean_colour
from dask.distributed import Client, LocalCluster

from patchlib import encoders, features
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.encoders import Encoder
from patchlib.features import cluster, extraction
from patchlib.features import shards as feature_shards

COLOUR = encoder_of(mean_colour, 3)
SETTINGS = {"distributed.comm.timeouts.connect": "2s", "distributed.worker.memory.terminate": False}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images of L1 a shard."""
    monkeypatch.setattr(feature_shards, "SHARD_REGIONS", 10)
    monkeypatch.setattr(feature_shards, "SHARDS", 1)


@contextmanager
def small_cluster(**options: Any) -> Iterator[Client]:
    """A cluster on this machine, of one worker process unless told otherwise; its dashboard takes any free port."""
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"} | options
    with LocalCluster(**options) as local, Client(local) as client:
        yield client


@pytest.fixture
def tiny(tmp_path: Path) -> Benchmark:
    return benchmark_on_disk(tmp_path / "data", n_images=20, n_queries=3)


def dying(crops: np.ndarray, left: Path) -> np.ndarray:
    """Ends its own process, as a power cut would, while there is a file in the folder ``left``; takes one file away."""
    for life in left.iterdir():
        life.unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return mean_colour(crops)


def slow(crops: np.ndarray, seconds: float) -> np.ndarray:
    time.sleep(seconds)
    return mean_colour(crops)


def content(folder: Path) -> dict[str, bytes]:
    """Files of the one feature set in a folder; none but finished ones may be left."""
    (found,) = folder.iterdir()
    return {path.name: path.read_bytes() for path in found.iterdir() if path.name != ".lock"}


def extract(tiny: Benchmark, encoder: Encoder, out: Path, **options: Any) -> dict[str, bytes]:
    features.extract(tiny, "L1", encoder, out, batch=4, **options)
    return content(out)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_cluster_writes_the_bytes_of_a_run_without(
    dtype: str, client: Client, tiny: Benchmark, tmp_path: Path
) -> None:
    here = extract(tiny, COLOUR, tmp_path / "here", dtype=dtype)
    there = extract(tiny, COLOUR, tmp_path / "there", dtype=dtype, executor=client)
    assert there == here and set(here) >= {"descriptors.npy", "meta.json"}


@pytest.mark.parametrize("deaths", [1, 2])
def test_workers_that_are_killed_lose_nothing_and_change_no_byte(deaths: int, tiny: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    for life in range(deaths):
        (tmp_path / "left" / str(life)).touch()
    mortal = encoder_of(partial(dying, left=tmp_path / "left"), 3)
    with small_cluster(n_workers=2) as client:
        there = extract(tiny, mortal, tmp_path / "there", executor=client)
    assert not list((tmp_path / "left").iterdir())  # so many processes ended in mid-shard
    assert there == extract(tiny, COLOUR, tmp_path / "here")


def test_a_task_that_ends_its_workers_is_given_up_and_the_rest_resumed(tiny: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "0").touch()
    mortal = encoder_of(partial(dying, left=tmp_path / "left"), 3)
    message = r"ended 1 worker one after another(.|\n)*run again"
    with (
        dask.config.set(SETTINGS | {"distributed.scheduler.allowed-failures": 0}),
        small_cluster() as client,
        pytest.raises(cluster.ClusterError, match=message),
    ):
        extract(tiny, mortal, tmp_path / "there", executor=client)
    assert extract(tiny, COLOUR, tmp_path / "there") == extract(tiny, COLOUR, tmp_path / "here")


def test_unreadable_images_are_listed_and_the_rest_is_kept(client: Client, tiny: Benchmark, tmp_path: Path) -> None:
    good = (tiny.root / "database/005.png").read_bytes()
    for number in (5, 12):
        (tiny.root / f"database/{number:03d}.png").write_bytes(b"no image")
    with pytest.raises(features.BadImages, match=r"2 images cannot be read(.|\n)*005\.png(.|\n)*012\.png"):
        extract(tiny, COLOUR, tmp_path / "there", executor=client)
    kept = list((tmp_path / "there").glob("*/shards/image-*.npy"))
    assert len(kept) == 10 - 2
    (tiny.root / "database/005.png").write_bytes(good)
    times = {path: path.stat().st_mtime_ns for path in kept}
    with pytest.raises(features.BadImages, match=r"1 image "):
        extract(tiny, COLOUR, tmp_path / "there", executor=client)
    assert {path: path.stat().st_mtime_ns for path in kept} == times  # only what was missing was made
    there = extract(tiny, COLOUR, tmp_path / "there", executor=client, skip_bad=True)
    assert there == extract(tiny, COLOUR, tmp_path / "here", skip_bad=True)


def test_an_error_of_the_encoder_arrives_as_itself(client: Client, tiny: Benchmark, tmp_path: Path) -> None:
    broken = encoder_of(partial(constant, value=np.nan), 3)
    with pytest.raises(ValueError, match="encoder stub gave NaN") as caught:
        extract(tiny, broken, tmp_path / "there", executor=client)
    assert "on a worker of the cluster; what is finished is kept" in caught.value.__notes__[0]


def constant(crops: np.ndarray, value: float) -> np.ndarray:
    return np.full((len(crops), 3), value, np.float32)


def test_a_folder_that_workers_do_not_see_is_named(client: Client, tiny: Benchmark, tmp_path: Path) -> None:
    job = extraction._plan(tiny, "L1", COLOUR, tmp_path / "nowhere", "float32", 4)
    with pytest.raises(FileNotFoundError, match=r"sees no folder .*nowhere.*a drive that all machines share"):
        list(cluster.run(client, feature_shards._write_there, COLOUR, [list(job.shards())[:1]]))


def test_a_shard_that_disappears_is_named(
    client: Client, tiny: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = cluster.run

    def losing(*arguments: Any) -> Iterator[Any]:
        yield from run(*arguments)
        sorted((tmp_path / "there").glob("*/shards/image-*.npy"))[3].unlink()

    monkeypatch.setattr(feature_shards, "VISIBLE", 0.1)
    monkeypatch.setattr(cluster, "run", losing)
    with pytest.raises(FileNotFoundError, match=r"shard .*image-00000006-00000008.* has disappeared; run again"):
        extract(tiny, COLOUR, tmp_path / "there", executor=client)


def test_no_worker_at_all(tiny: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    message = "has had no worker for .* s; what is finished is kept"
    with small_cluster(n_workers=0) as client, pytest.raises(cluster.ClusterError, match=message):
        extract(tiny, COLOUR, tmp_path / "there", executor=client)


def test_a_scheduler_that_goes_away_in_mid_run(tiny: Benchmark, tmp_path: Path) -> None:
    with dask.config.set(SETTINGS), small_cluster(processes=False) as client:
        closing = Thread(target=lambda: (_until(tmp_path / "there", shards=3), client.cluster.close()))
        closing.start()
        with pytest.raises(cluster.ClusterError, match=r"scheduler.*what is finished is kept"):
            extract(tiny, encoder_of(partial(slow, seconds=0.1), 3), tmp_path / "there", executor=client)
        closing.join()
    assert len(list((tmp_path / "there").glob("*/shards/*.npy"))) >= 3
    assert extract(tiny, COLOUR, tmp_path / "there") == extract(tiny, COLOUR, tmp_path / "here")


def _until(folder: Path, shards: int) -> None:
    while len(list(folder.glob("*/shards/*.npy"))) < shards:
        time.sleep(0.02)


@pytest.mark.parametrize(("executor", "message"), [
    ("tcp://1.2.3.4:8786", "executor is str, expected a dask.distributed.Client"),
    (lambda: None, "executor is function"),
])  # fmt: skip
def test_what_is_no_client(executor: Any, message: str, tiny: Benchmark, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        extract(tiny, COLOUR, tmp_path / "there", executor=executor)


def test_a_created_encoder_travels_by_name_and_gives_the_same_bytes(
    client: Client, tiny: Benchmark, tmp_path: Path
) -> None:
    encoder = encoders.create("cnn-small")
    assert len(pickle.dumps(encoder)) < 1000
    assert extract(tiny, encoder, tmp_path / "there", executor=client) == extract(tiny, encoder, tmp_path / "here")


def test_an_encoder_that_is_another_one_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = pickle.dumps(encoders.create("colour-histogram"))
    assert pickle.loads(content).config == encoders.create("colour-histogram").config
    monkeypatch.setattr("patchlib.encoders.encoder.HISTOGRAM_BINS", 4)
    create = encoders.create
    monkeypatch.setattr(
        "patchlib.encoders.encoder.create",
        lambda *arguments: Encoder(**{**vars(create(*arguments)), "config": {"other": 1}}),
    )
    with pytest.raises(ValueError, match="encoder colour-histogram has other weights or settings on this machine"):
        pickle.loads(content)


@pytest.mark.parametrize("most", [1, 3, 100])
def test_a_task_holds_images_of_one_tar_file_and_loose_images_go_shard_by_shard(most: int, tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path / "data", n_images=12, n_queries=2)
    paths = [f"s{i // 6}.tar::{i:03d}.png" if i < 11 else data.images["path"][i] for i in range(12)]
    for shard in ("s0", "s1"):
        with tarfile.open(data.root / f"{shard}.tar", "w") as archive:
            for i, path in enumerate(paths):
                if path.startswith(shard):
                    archive.add(data.root / f"database/{i:03d}.png", f"{i:03d}.png")
    packed = Benchmark("packed", data.root, data.images.assign(path=paths), data.queries, data.positives)
    job = extraction._plan(packed, "L0", COLOUR, tmp_path / "out", "float32", 1)
    shards = list(job.shards())
    tasks = list(feature_shards._tasks(shards, most))
    assert [shard for task in tasks for shard in task] == shards
    for task in tasks:
        files = [file for shard in task for file in shard.files[:1]]
        assert len({file.split("::")[0] for file in files}) == 1 and len(task) <= most
        assert len(task) == 1 or "::" in files[0]


def test_tar_files_on_a_cluster(client: Client, tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path / "data", n_images=9, n_queries=2)
    with tarfile.open(data.root / "all.tar", "w") as archive:
        archive.add(data.root / "database", "database")
    packed = data.images.assign(path="all.tar::" + data.images["path"])
    packed = Benchmark("packed", data.root, packed, data.queries, data.positives)
    there = features.extract(packed, "L1", COLOUR, tmp_path / "there", executor=client)
    here = features.extract(data, "L1", COLOUR, tmp_path / "here")
    np.testing.assert_array_equal(there.descriptors, here.descriptors)
