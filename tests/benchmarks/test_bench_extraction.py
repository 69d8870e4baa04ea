"""Extraction at L3 beside what its two parts allow, and beside the plain loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import benchmark_on_disk
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from patchlib import encoders, feature_shards, features, images, regions
from patchlib.benchmarks.record import Benchmark
from patchlib.encoders import Encoder

IMAGES, WORKERS = 96, min(2, os.cpu_count() or 1)
PATCHES = 30


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    built_in = [name for name in encoders.names() if encoders.spec(name).built_in]
    return encoders.create(built_in[0])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return benchmark_on_disk(tmp_path_factory.mktemp("photos"), IMAGES, 1, [(640, 480), (480, 640)])


def on_all_workers(task: Callable[[int], None], tasks: int) -> float:
    """Seconds for all tasks, on threads that give torch one thread each as the extraction's do."""
    with ThreadPoolExecutor(WORKERS, initializer=lambda: torch.set_num_threads(1)) as pool:
        list(pool.map(lambda _: torch.zeros(1), range(WORKERS)))
        start = time.perf_counter()
        list(pool.map(task, range(tasks)))
        return time.perf_counter() - start


def decode_and_cut(tables: Benchmark, encoder: Encoder, index: int) -> None:
    image = images.read(tables.image_path(index))
    for _ in feature_shards.cut(image, regions.grid(*image.size, 3), encoder):
        pass


def plain(tables: Benchmark, encoder: Encoder, index: int) -> None:
    image = Image.open(tables.image_path(index)).convert("RGB")
    size, resample = (encoder.input_size,) * 2, feature_shards.RESAMPLE[encoder.interpolation]
    boxes = regions.grid(*image.size, 3).astype(int).tolist()
    encoder.encode(np.stack([np.asarray(image.crop(box).resize(size, resample)) for box in boxes]))


def test_against_the_two_parts_and_the_plain_loop(
    tables: Benchmark, encoder: Encoder, tmp_path: Path, benchmark: BenchmarkFixture
) -> None:
    batch = np.zeros((features.BATCH_CPU, encoder.input_size, encoder.input_size, 3), np.uint8)
    batches = round(IMAGES * PATCHES / len(batch))
    folder = count()

    def extract() -> None:
        features.extract(tables, "L3", encoder, tmp_path / str(next(folder)), workers=WORKERS)

    def loop() -> None:
        for index in range(IMAGES):
            plain(tables, encoder, index)

    benchmark.pedantic(extract, rounds=1, warmup_rounds=1)
    seconds: dict[str, list[float]] = {"cut": [], "forward": [], "extract": [], "loop": []}
    for _ in range(3):  # interleaved, so that a busy machine is unfair to none of them
        seconds["cut"].append(on_all_workers(lambda i: decode_and_cut(tables, encoder, i), IMAGES))
        seconds["forward"].append(on_all_workers(lambda _: encoder.encode(batch) is None, batches))
        for name, function in (("extract", extract), ("loop", loop)):
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    best = {name: min(times) for name, times in seconds.items()}
    allowed, rate = (IMAGES / total for total in (best["cut"] + best["forward"], best["extract"]))
    print(f"\n{encoder.name}, {WORKERS} cores: decode + cut {IMAGES / best['cut']:.0f} images/s, ", end="")
    print(f"forward {IMAGES / best['forward']:.0f}/s, together they allow {allowed:.1f}/s")
    print(f"extraction {rate:.1f} images/s: {rate / allowed:.0%} of that (to be >= 90 %), ", end="")
    print(f"{rate * best['loop'] / IMAGES:.1f} times the plain loop ({IMAGES / best['loop']:.1f}/s)")
