"""Image-level search over a million codes beside faiss with a fixed k and de-duplication in Python.

Images have the 30 patches of L3: sixteen cells that share a scene, and the averages that coarser patches see, so that
patches of one image resemble each other as real ones do. Both sides have the same threads.
"""

import time
from pathlib import Path

import faiss
import numpy as np
import pytest
from builders import feature_set
from ratios import Best, Ratios

from patchlib import regions
from patchlib.features.feature_set import FeatureSet
from patchlib.pq.index import PatchIndex

IMAGES, DIM, QUERIES, NPROBE, THREADS = 33_334, 128, 200, 16, 2


def pooling() -> np.ndarray:
    """(30, 16) how much of each of 4x4 cells an L3 patch sees."""
    cells, patches = regions.grid(48, 48, 3)[14:], regions.grid(48, 48, 3)
    low = np.maximum(cells[None, :, :2], patches[:, None, :2])
    high = np.minimum(cells[None, :, 2:], patches[:, None, 2:])
    return np.clip(high - low, 0, None).prod(axis=2).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    """A million float16 descriptors in a memory map, and queries that show one cell of an image."""
    rng = np.random.default_rng(0)
    themes = rng.standard_normal((500, DIM), np.float32)
    path = tmp_path_factory.mktemp("features") / "descriptors.npy"
    rows = np.lib.format.open_memmap(path, "w+", np.float16, (IMAGES * 30, DIM))
    queries = []
    for start in range(0, IMAGES, 2000):
        count = min(2000, IMAGES - start)
        scene = themes[rng.integers(0, 500, (count, 1))] + 0.7 * rng.standard_normal((count, 1, DIM), np.float32)
        cells = unit(
            scene + themes[rng.integers(0, 500, (count, 16))] + rng.standard_normal((count, 16, DIM), np.float32)
        )
        rows[start * 30 : (start + count) * 30] = unit(pooling() @ cells).reshape(-1, DIM)
        queries.append(cells[: QUERIES // 16, 5])
    chosen = np.concatenate(queries)[:QUERIES]
    chosen = unit(chosen + 0.5 * unit(rng.standard_normal(chosen.shape, np.float32)))
    return feature_set(np.lib.format.open_memmap(path, "r"), [30] * IMAGES, chosen, np.zeros((len(rows), 4)), "float16")


@pytest.fixture(scope="module")
def index(features: FeatureSet) -> PatchIndex:
    start = time.perf_counter()
    index = PatchIndex.build(features, nlist=1024, m=16, threads=THREADS)
    seconds = time.perf_counter() - start
    print(f"\n{index.ivf.ntotal} codes of 16 bytes built in {seconds:.0f} s, {index.nbytes / 1e6:.1f} MB")
    return index


def deduplicated(index: PatchIndex, queries: np.ndarray, patches: int, depth: int) -> list[list[int]]:
    parameters = faiss.SearchParametersIVF(nprobe=NPROBE)
    _, rows = index.ivf.search(queries, patches, params=parameters)
    return [list(dict.fromkeys(index.image_of[row[row >= 0]].tolist()))[:depth] for row in rows]


def recall(found: list[list[int]], exact: list[list[int]]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, exact, strict=True)]))


@pytest.mark.parametrize("depth", [100, 1000])
def test_against_a_fixed_k(index: PatchIndex, features: FeatureSet, depth: int, ratios: Ratios, best: Best) -> None:
    """Two fixed k: the one that is safe beforehand, 30 per image, and the smallest that turns out to be enough."""
    queries = features.query_descriptors

    def ours() -> list[list[int]]:
        return index.search(queries, depth, NPROBE, threads=THREADS).images.tolist()

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(THREADS)
    try:
        exact, enough = ours(), depth
        while enough < 30 * depth and recall(deduplicated(index, queries, enough, depth), exact) < 1:
            enough = min(int(1.25 * enough), 30 * depth)
        ks = (30 * depth, enough)
        own, safe, least = best(ours, *(lambda k=k: deduplicated(index, queries, k, depth) for k in ks))
    finally:
        faiss.omp_set_num_threads(before)
    obvious = f"faiss with k = {ks[0]:,}, a loop that drops repeated images"
    ratios.add(f"PQ search, first {depth} images", own, safe, QUERIES, "queries", obvious)
    print(
        f"\nK={depth}: ours {1000 * own / QUERIES:.2f} ms a query, faiss with the smallest k that is enough, ", end=""
    )
    print(f"known afterwards ({enough}), {1000 * least / QUERIES:.2f} ms")


def test_opening_a_saved_index(index: PatchIndex, tmp_path: Path, best: Best) -> None:
    path = index.save(tmp_path / "million.index")
    (opening,) = best(lambda: PatchIndex.load(path), rounds=5)
    print(f"\nan index of {path.stat().st_size / 1e6:.0f} MB opens in {1000 * opening:.1f} ms")
    assert path.stat().st_size == index.nbytes
