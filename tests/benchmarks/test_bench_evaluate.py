"""A whole evaluation at INSTRE's size, beside scikit-learn and a loop."""

import numpy as np
import pandas as pd
from builders import benchmark_of, feature_set
from ratios import Best, Ratios
from sklearn.metrics import average_precision_score

from patchlib import metrics
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.search import Ranking

QUERIES, IMAGES, POSITIVES, REGIONS = 1250, 26_543, 20, 30


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_evaluate_at_instres_size(ratios: Ratios, best: Best) -> None:
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
    truth = positives[BOX].to_numpy(float).reshape(QUERIES, POSITIVES, 4)

    def evaluate() -> pd.DataFrame:
        # a fresh record each time: grouping the positives belongs to it
        data = Benchmark("size of INSTRE", tables.root, tables.images, tables.queries, positives)
        return metrics.evaluate(ranking, data, features)

    def plainly() -> np.ndarray:
        """AP and LocScore; the thresholds of LocScore are left out."""
        scores = []
        for query in range(QUERIES):
            relevant = np.isin(images[query], chosen[query])
            box_of = dict(zip(chosen[query].tolist(), truth[query], strict=True))
            found = [
                (number / (rank + 1)) * iou(features.boxes[regions[query, rank]], box_of[images[query, rank]])
                for number, rank in enumerate(np.flatnonzero(relevant), 1)
            ]
            scores.append((average_precision_score(relevant, -np.arange(IMAGES)), sum(found) / POSITIVES))
        return np.array(scores)

    np.testing.assert_allclose(evaluate()[["ap", "loc_score"]].to_numpy(), plainly(), atol=1e-6)
    ours, theirs = best(evaluate, plainly, rounds=2)
    obvious = "scikit-learn's average precision per query, a loop over boxes; AP and LocScore alone"
    ratios.add("evaluation", ours, theirs, QUERIES, "queries", obvious)
