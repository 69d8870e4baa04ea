"""A whole evaluation at INSTRE's size."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from builders import benchmark_of, feature_set
from pytest_benchmark.fixture import BenchmarkFixture

from patchlib import metrics
from patchlib.benchmarks.record import BOX, Benchmark
from patchlib.search import Ranking

QUERIES, IMAGES, POSITIVES, REGIONS = 1250, 26_543, 20, 30


def test_evaluate_at_instres_size(benchmark: BenchmarkFixture) -> None:
    rng = np.random.default_rng(0)
    images = np.stack([rng.permutation(IMAGES).astype(np.int32) for _ in range(QUERIES)])
    regions = images * REGIONS + rng.integers(0, REGIONS, images.shape, dtype=np.int32)
    ranking = Ranking(images, np.zeros(images.shape, np.float32), regions)
    boxes = np.array([0, 0, 10, 10]) + rng.integers(0, 90, (IMAGES * REGIONS, 1))
    features = feature_set(np.ones((IMAGES * REGIONS, 1)), [REGIONS] * IMAGES, np.ones((QUERIES, 1)), boxes)
    chosen = np.stack([rng.permutation(IMAGES)[:POSITIVES] for _ in range(QUERIES)])
    tables = benchmark_of(IMAGES, QUERIES, [])
    positives = pd.DataFrame(
        {"query_id": np.repeat(tables.queries["query_id"], POSITIVES), "image_id": [f"i{i}" for i in chosen.ravel()]}
    )
    positives[BOX] = np.array([0, 0, 10, 10]) + rng.integers(0, 90, (len(positives), 1))

    def evaluate() -> pd.DataFrame:
        # a fresh record each time: grouping the positives belongs to it
        data = Benchmark("size of INSTRE", tables.root, tables.images, tables.queries, positives)
        return metrics.evaluate(ranking, data, features)

    start = time.process_time()
    table = evaluate()
    busy = time.process_time() - start
    benchmark.pedantic(evaluate, rounds=3)
    assert len(table) == QUERIES and table["ap"].gt(0).all()
    print(f"\nwhole evaluation: {benchmark.stats.stats.min:.2f} s (to be < 3), {busy:.2f} s of one core")
