"""Speed of re-ranking: the whole grid at ILIAS' size, and pairs scored in batches against one at a time."""

import time
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from ratios import Best, Ratios

torch = pytest.importorskip("torch")

from patchlib import metrics  # noqa: E402
from patchlib.reranking import AMES, fusion, rerank  # noqa: E402
from patchlib.reranking.local_features import LocalFeatures  # noqa: E402

QUERIES, SHORTLIST = 1232, 400  # ILIAS; what is scored here is a share of it


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def local(count: int, n: int, dim: int = 768) -> LocalFeatures:
    descriptors = np.random.default_rng(n).normal(size=(count, n, dim)).astype(np.float16)
    return LocalFeatures(descriptors, np.full(count, n), [""] * count, {})


@pytest.mark.parametrize("positives", [4, 20])
def test_the_papers_grid_over_all_queries_of_ilias(positives: int) -> None:
    """6 x 11 x 12 cells, 1,232 queries, 1,000 candidates, on one core: under 20 s."""
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.random((QUERIES, 1000)), axis=1)
    images = rng.permuted(np.tile(np.arange(1000), (QUERIES, 1)), axis=1)
    relevant = rng.random((QUERIES, 1000)) < positives / 1000
    logits = rng.normal(0, 2, (QUERIES, 1000))
    taken = seconds(lambda: fusion.grid_search(images, scores, logits, relevant, relevant.sum(axis=1), k=1000))
    print(f"\n792 cells x {QUERIES} queries x 1000 candidates, {positives} positives a query: {taken:.1f} s")
    assert taken < 20


def test_the_grid_against_a_sort_per_cell(ratios: Ratios, best: Best) -> None:
    """The grid on a share of the queries beside fusing, sorting and averaging for each cell."""
    rng, queries = np.random.default_rng(1), 32
    scores = -np.sort(-rng.random((queries, 1000)), axis=1)
    images = np.tile(np.arange(1000), (queries, 1))
    relevant, logits = rng.random((queries, 1000)) < 0.01, rng.normal(0, 2, (queries, 1000))
    positives = relevant.sum(axis=1) + 1
    cells = list(product(fusion.SHORTLISTS, fusion.LAMBDAS, fusion.GAMMAS))

    def plainly() -> np.ndarray:
        rows = []
        for m, lambda_, gamma in cells:
            order = np.argsort(-fusion.fuse(scores, logits, lambda_, gamma, m), axis=1, kind="stable")
            rows.append(metrics.average_precision(np.take_along_axis(relevant, order, axis=1), positives, k=1000))
        return np.stack(rows)

    def ours() -> np.ndarray:
        return fusion.grid_search(images, scores, logits, relevant, positives, k=1000).to_numpy()

    np.testing.assert_allclose(ours(), plainly(), atol=1e-9)
    own, theirs = best(ours, plainly, rounds=2)
    obvious = "numpy: fuse, argsort and average precision for each cell"
    ratios.add(f"re-ranking grid, {len(cells)} cells", own, theirs, queries, "queries", obvious)


def test_pairs_in_batches_against_one_at_a_time() -> None:
    """A large network keeps a core busy with one pair already; a small one and Chamfer gain from batches."""
    torch.manual_seed(0)
    large = AMES("float").eval()
    small = AMES("float", local_dim=128, dim=64, layers=3, feedforward=128).eval()
    cases = [
        ("AMES, 600 x 50", large, local(2, 600), local(24, 50)),
        ("AMES, 50 x 50", large, local(2, 50), local(64, 50)),
        ("a small AMES, 32 x 32", small, local(2, 32, 128), local(256, 32, 128)),
        ("Chamfer, 50 x 50", rerank.chamfer, local(4, 50), local(256, 50)),
    ]
    gains = {}
    for name, scorer, queries, database in cases:
        rows = np.tile(np.arange(len(database.counts)), (len(queries.counts), 1))
        rerank.score_shortlist(scorer, queries, database, rows[:, :8])  # first calls plan their kernels
        batched = seconds(lambda s=scorer, q=queries, d=database, r=rows: rerank.score_shortlist(s, q, d, r))
        single = seconds(lambda s=scorer, q=queries, d=database, r=rows: rerank.score_shortlist(s, q, d, r, batch=1))
        gains[name] = single / batched
        minutes = QUERIES * SHORTLIST * batched / rows.size / 60
        print(f"\n{name}: {rows.size / batched:.0f} pairs/s, {gains[name]:.1f}x one at a time; ", end="")
        print(f"{QUERIES} x {SHORTLIST} pairs take {minutes:.0f} min on this CPU")
    assert gains["a small AMES, 32 x 32"] > 1.5 and gains["Chamfer, 50 x 50"] > 1.2


@pytest.mark.gpu
def test_shortlists_of_ilias_on_a_gpu() -> None:
    """1,232 queries x 400 candidates with the published sizes: 600 query and 50 database descriptors."""
    model = AMES("binary").eval().cuda()
    queries, database = local(16, 600), local(SHORTLIST, 50)
    rows = np.tile(np.arange(SHORTLIST), (16, 1))
    rerank.score_shortlist(model, queries, database, rows[:, :64], device="cuda")
    taken = seconds(lambda: rerank.score_shortlist(model, queries, database, rows, device="cuda"))
    single = seconds(lambda: rerank.score_shortlist(model, queries, database, rows[:, :8], batch=1, device="cuda"))
    ratio = single / (16 * 8) / (taken / rows.size)
    minutes = taken * QUERIES / 16 / 60
    print(f"\n{rows.size / taken:.0f} pairs/s, {ratio:.0f}x one at a time; all of ILIAS takes {minutes:.1f} min")
    assert ratio > 1
