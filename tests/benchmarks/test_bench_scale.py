"""A million images x L1: an index in a file, searched with and without a budget of memory, beside faiss' own search.

Ten million images are measured by ``make scale``, which takes an hour or more.
"""

from pathlib import Path

import faiss
import numpy as np
import pytest
from builders import patches_of
from pytest_benchmark.fixture import BenchmarkFixture

from patchlib.pq import disk_files
from patchlib.pq.index import PatchIndex
from patchlib.pq.on_disk import DiskIndex
from patchlib.scale import curves, replicate

POOL, COPIES, PATCHES, NPROBE = 10_000, 100, 5, 16


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> DiskIndex:
    rng = np.random.default_rng(0)
    themes = rng.standard_normal((500, 64), np.float32)
    images = unit(themes[rng.integers(0, 500, (POOL, PATCHES))] + rng.standard_normal((POOL, PATCHES, 64), np.float32))
    source = PatchIndex.build(patches_of(images, images[:40, 0]), nlist=1024, m=16)
    folder = tmp_path_factory.mktemp("large")
    np.save(folder / "queries.npy", images[:40, 0])
    return replicate.replicate_codes(source, PATCHES, 0, COPIES, folder)


@pytest.mark.parametrize("memory", [None, 16_000_000], ids=["all in the cache", "16 MB of lists"])
def test_search(large: DiskIndex, memory: int | None, benchmark: BenchmarkFixture) -> None:
    queries = np.load(large.folder / "queries.npy")
    found = benchmark.pedantic(lambda: large.search(queries, 100, NPROBE, memory=memory), rounds=3, warmup_rounds=1)
    alone = curves.latency(lambda rows: large.search(rows, 100, NPROBE, memory=memory), queries)
    plain = curves.latency(lambda rows: _faiss(large, rows), queries)
    print(f"\n{large.ivf.ntotal:,} codes, {large.nbytes / 1e6:.0f} MB: {alone:.1f} ms; faiss alone {plain:.1f} ms")
    assert (found.images == large.search(queries, 100, NPROBE).images).all()


def _faiss(index: DiskIndex, queries: np.ndarray) -> np.ndarray:
    return index.ivf.search(queries, 100, params=faiss.SearchParametersIVF(nprobe=NPROBE))[1]


def test_reading_lists_of_a_file(large: DiskIndex, benchmark: BenchmarkFixture) -> None:
    folder: Path = large.folder
    benchmark.pedantic(disk_files.read, (folder,), rounds=5)
