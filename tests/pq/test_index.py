"""PatchIndex: training, exact ranking, bytes on disk, and what goes wrong."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from builders import feature_set

from patchlib import search
from patchlib.features.feature_set import FeatureSet
from patchlib.pq import file_size, training
from patchlib.pq.index import PatchIndex
from patchlib.pq.training import IndexSpec, default_spec

DIM = 32


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clustered(n_images: int = 200, per_image: int = 10, dim: int = DIM, seed: int = 0, **options: str) -> FeatureSet:
    """Images whose regions resemble each other, and queries close to a region of images 0, 7, 14, ..."""
    rng = np.random.default_rng(seed)
    own = rng.standard_normal((n_images, 1, dim)) + rng.standard_normal((n_images, per_image, dim))
    rows = unit(own.reshape(-1, dim))
    queries = unit(rows[:: 7 * per_image] + 0.05 * rng.standard_normal((len(rows[:: 7 * per_image]), dim)))
    return feature_set(rows, [per_image] * n_images, queries, hash=f"seed{seed}", **options)


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    return clustered()


@pytest.fixture(scope="module")
def index(features: FeatureSet) -> PatchIndex:
    return PatchIndex.build(features, nlist=8, m=8)


def brute_force(index: PatchIndex, features: FeatureSet) -> search.Ranking:
    """Exact search over the decoded vectors of all regions."""
    decoded = index.quantise(np.asarray(features.descriptors, np.float32))
    return search.rank(features.query_descriptors, dataclasses.replace(features, descriptors=decoded))


@pytest.mark.parametrize(
    "factory", [training.PLAIN, f"OPQ{{m}},{training.PLAIN}", "IVF{nlist},SQ8", "PCA16,IVF{nlist},SQ4"]
)
def test_scores_are_those_of_decoded_vectors(features: FeatureSet, factory: str) -> None:
    index = PatchIndex.build(features, nlist=8, m=8, nbits=5, factory=factory)
    got, expected = index.search(features.query_descriptors), brute_force(index, features)
    # faiss adds table entries, the oracle multiplies vectors: equal up to rounding, so compare scores rank by rank
    np.testing.assert_allclose(got.scores, expected.scores, atol=2e-6)
    assert (got.images == expected.images).mean() > 0.99
    decoded = index.quantise(features.descriptors)
    own = np.einsum("qkd,qd->qk", decoded[got.regions], features.query_descriptors)
    np.testing.assert_allclose(own, got.scores, atol=2e-6)
    assert (features.image_of()[got.regions] == got.images).all()


@pytest.mark.parametrize("nprobe", [1, 3, 8])
def test_any_depth_is_the_head_of_the_whole_ranking(index: PatchIndex, features: FeatureSet, nprobe: int) -> None:
    whole = index.search(features.query_descriptors, nprobe=nprobe)
    assert (np.sort(whole.images, axis=1) == np.arange(200)).all()
    for k in (1, 4, 50, 1000):
        head, expected = index.search(features.query_descriptors, k, nprobe), whole.head(k)
        np.testing.assert_array_equal(head.images, expected.images)
        np.testing.assert_array_equal(head.regions, expected.regions)


def test_images_outside_the_probed_lists_come_last(index: PatchIndex, features: FeatureSet) -> None:
    ranking = index.search(features.query_descriptors, nprobe=1)
    unreached = ranking.regions == -1
    assert unreached.any() and (np.isneginf(ranking.scores) == unreached).all()
    for images, missing in zip(ranking.images, unreached, strict=True):
        assert (np.diff(missing.astype(int)) >= 0).all()
        assert (np.diff(images[missing]) > 0).all()


def test_duplicate_images_tie_by_index(features: FeatureSet) -> None:
    twice = np.concatenate([features.descriptors, features.descriptors])
    doubled = feature_set(twice, [10] * 400, features.query_descriptors)
    ranking = PatchIndex.build(doubled, nlist=8, m=8).search(features.query_descriptors)
    first, second = ranking.images[:, 0::2], ranking.images[:, 1::2]
    np.testing.assert_array_equal(second, first + 200)
    np.testing.assert_array_equal(ranking.scores[:, 0::2], ranking.scores[:, 1::2])
    assert (ranking.regions[:, 1::2] == ranking.regions[:, 0::2] + 2000).all()


def test_finds_the_right_image(index: PatchIndex, features: FeatureSet) -> None:
    found = index.search(features.query_descriptors, 1).images[:, 0]
    assert (found == np.arange(0, 200, 7)).mean() > 0.9


def test_saved_bytes_are_the_formula(index: PatchIndex, features: FeatureSet, tmp_path: Path) -> None:
    path = index.save(tmp_path / "new" / "a.index")
    assert path.stat().st_size == index.nbytes
    tail = 8 * 201 + len(json.dumps(index.meta, separators=(",", ":"))) + 32
    assert index.nbytes == file_size.index_bytes(2000, DIM, m=8, nlist=8) + tail
    loaded = PatchIndex.load(path, features)
    assert loaded.nbytes == index.nbytes
    assert loaded.save(tmp_path / "b.index").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("factory", [training.PLAIN, "IVF{nlist},SQ8", "IVF{nlist},RaBitQ", f"OPQ8,{training.PLAIN}"])
def test_loaded_index_answers_alike_from_a_memory_map(features: FeatureSet, tmp_path: Path, factory: str) -> None:
    index = PatchIndex.build(features, nlist=64, m=8, nbits=5, factory=factory)
    path = index.save(tmp_path / "a.index")
    loaded = PatchIndex.load(path, features)
    assert path.stat().st_size == index.nbytes == loaded.nbytes
    assert type(faiss.downcast_InvertedLists(loaded.ivf.invlists)) is faiss.OnDiskInvertedLists
    for nprobe in (2, 64):
        expected, got = (i.search(features.query_descriptors, 20, nprobe) for i in (index, loaded))
        np.testing.assert_array_equal(got.images, expected.images)
        np.testing.assert_array_equal(got.scores, expected.scores)
        np.testing.assert_array_equal(got.regions, expected.regions)


def test_same_arguments_same_bytes(features: FeatureSet, tmp_path: Path) -> None:
    paths = [
        PatchIndex.build(features, nlist=8, m=4, seed=s).save(tmp_path / n) for s, n in ((3, "a"), (3, "b"), (4, "c"))
    ]
    a, b, c = (path.read_bytes() for path in paths)
    assert a == b and a != c


def test_float16_features_and_threads(features: FeatureSet) -> None:
    half = dataclasses.replace(features, descriptors=features.descriptors.astype(np.float16))
    before = faiss.omp_get_max_threads()
    index = PatchIndex.build(half, nlist=8, m=8, nbits=5, threads=before + 1)
    ranking = index.search(features.query_descriptors, 5, threads=1)
    assert faiss.omp_get_max_threads() == before
    assert (ranking.images[:, 0] == np.arange(0, 200, 7)).mean() > 0.9


def test_training_vectors_decide_the_codebook(features: FeatureSet) -> None:
    near = unit(
        np.repeat(features.query_descriptors, 20, axis=0) + 0.05 * np.random.default_rng(0).standard_normal((580, DIM))
    )
    elsewhere = clustered(seed=9)
    errors = []
    for source in (near, elsewhere, elsewhere.descriptors):
        index = PatchIndex.build(features, train_on=source, nlist=4, m=4, nbits=6)
        errors.append(((near - index.quantise(near)) ** 2).sum(axis=1).mean())
    assert errors[0] < 0.5 * errors[1]
    assert errors[1] == errors[2]


@pytest.mark.parametrize(
    "count, dim, expected",
    [
        (796290, 1024, (4096, 64)),
        (40 * 4096, 1024, (4096, 64)),
        (40 * 4096 - 1, 1024, (2048, 64)),
        (54000, 128, (1024, 8)),
        (600, 128, (8, 8)),
        (39, 128, (1, 8)),
        (10**6, 768, (4096, 48)),
        (10**6, 4096, (4096, 64)),
        (10**6, 100, (4096, 5)),
        (100, 7, (2, 1)),
    ],
)
def test_small_sets_get_a_smaller_index(count: int, dim: int, expected: tuple[int, int]) -> None:
    assert default_spec(count, dim) == IndexSpec(nlist=expected[0], m=expected[1])


def test_training_rests_on_a_bounded_sample(monkeypatch: pytest.MonkeyPatch, features: FeatureSet) -> None:
    sizes = []
    original = training.checked
    monkeypatch.setattr(training, "checked", lambda rows, *rest: sizes.append(len(rows)) or original(rows, *rest))
    monkeypatch.setattr(training, "VECTORS_PER_LIST", 40)
    monkeypatch.setattr(training, "VECTORS_PER_CODE", 2)
    training.train(features.descriptors, IndexSpec(nlist=16, m=8))
    assert sizes[-2:] == [1024, 512] and max(sizes) == 1024


@pytest.mark.parametrize(
    "change, message",
    [
        ({"m": 12}, r"m is 12, expected a divisor of the 32 dimensions: 1, 2, 4, 8, 16, 32"),
        ({"m": 0}, "m is 0"),
        ({"nlist": 0}, "nlist is 0"),
        ({"nlist": 4000}, r"2000 training vectors are too few: nlist=4000.*need at least 4000.*nlist=32"),
        ({"nbits": 12}, r"2000 training vectors are too few: nlist=32 lists and 4096 codes"),
        ({"nbits": 0}, "nbits is 0"),
        ({"factory": "HNSW32"}, "faiss makes no index with inverted lists of 'HNSW32'"),
        ({"factory": "IVF{nlist},PQQ"}, "faiss makes no index"),
        ({"train_on": np.ones((500, 16), np.float32)}, r"training vectors have shape \(500, 16\), expected \(T, 32\)"),
        ({"train_on": np.ones(32, np.float32)}, "training vectors have shape"),
        ({"train_on": np.zeros((500, 32), np.float32)}, "training vector 0 is zero"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_bad_settings(features: FeatureSet, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PatchIndex.build(features, **change)


@pytest.mark.parametrize("value, word", [(0, "zero"), (np.nan, "NaN"), (np.inf, "infinite")])
def test_bad_descriptors_are_named(features: FeatureSet, value: float, word: str) -> None:
    rows = np.array(features.descriptors)
    rows[1234] = value
    broken = dataclasses.replace(features, descriptors=rows)
    with pytest.raises(ValueError, match=f"descriptor of region 1234 is .*{word}.*extract"):
        PatchIndex.build(broken, train_on=features, nlist=4)


@pytest.mark.parametrize(
    "queries, options, message",
    [
        (np.ones((2, 16)), {}, r"shape \(2, 16\), expected \(Q, 32\)"),
        (np.full((2, 32), np.nan), {}, "NaN"),
        (np.ones((2, 32)), {"k": 0}, "k is 0"),
        (np.ones((2, 32)), {"nprobe": 9}, "nprobe is 9, expected 1 to 8"),
        (np.ones((2, 32)), {"nprobe": 0}, "nprobe is 0"),
    ],
)
def test_bad_queries(index: PatchIndex, queries: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        index.search(queries, **options)


def test_no_queries_and_unreadable_ones(index: PatchIndex) -> None:
    assert index.search(np.empty((0, DIM)), 5).images.shape == (0, 5)
    assert (index.search(np.zeros((1, DIM)), 5).scores == 0).all()


def test_files_that_do_not_fit(index: PatchIndex, features: FeatureSet, tmp_path: Path) -> None:
    path = index.save(tmp_path / "a.index")
    with pytest.raises(ValueError, match=r"a\.index indexes other features .*build the index again"):
        PatchIndex.load(path, clustered(seed=1))
    data = path.read_bytes()
    for broken in (b"", data[:10], data[:-1], data[: len(data) // 2]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"a\.index is truncated or no index"):
            PatchIndex.load(path)
    path.write_bytes(data[1000:])
    with pytest.raises(ValueError, match=rf"a\.index has {len(data) - 1000} bytes, expected {len(data)}"):
        PatchIndex.load(path)
    path.write_bytes(b"XXXX" + data[4:])
    with pytest.raises(ValueError, match=r"a\.index is damaged"):
        PatchIndex.load(path)
    with pytest.raises(FileNotFoundError):
        PatchIndex.load(tmp_path / "none.index")


PEAK = """
import ctypes, sys, threading, time
import numpy as np
from patchlib.pq import index, training
from patchlib.features import FeatureSet
def anonymous():
    return 1024 * int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("RssAnon")))
descriptors = np.load(sys.argv[1], mmap_mode="r")
rows, dim = descriptors.shape
features = FeatureSet(descriptors, np.empty((rows, 4), np.float32), np.arange(0, rows + 1, 20), np.ones((1, dim)))
small = FeatureSet(descriptors[:4000], features.boxes[:4000], features.offsets[:201], features.query_descriptors)
index.PatchIndex.build(small, nlist=16, m=4)
ctypes.CDLL(None).malloc_trim(0)  # what the libraries keep for themselves is there now, and nothing else
peak, done, start = 0, False, anonymous()
def watch():
    global peak
    while not done:
        peak = max(peak, anonymous()); time.sleep(0.002)
thread = threading.Thread(target=watch); thread.start()
built = index.PatchIndex.build(features, nlist=64, m=16)
done = True; thread.join(); peak = max(peak, anonymous())
print(peak - start, built.nbytes, training.sample_rows(64, 8) * dim * 4, descriptors.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, glibc")
def test_peak_memory_is_under_twice_the_index_and_one_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float16, (400_000, 64))
    for start in range(0, len(rows), 50_000):
        rows[start : start + 50_000] = rng.standard_normal((50_000, 64), np.float32)
    rows.flush()
    command = [sys.executable, "-c", PEAK, str(tmp_path / "rows.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, size, block, features = map(int, done.stdout.split()[-4:])
    assert features > 2 * size  # so that reading the features whole would fail
    assert peak < 2 * size + block


def test_an_index_is_trained_once(features: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path))
    spec, rows = IndexSpec(nlist=4, m=8, factory="OPQ8,IVF{nlist},PQ{m}"), np.asarray(features.descriptors)
    first = faiss.serialize_index(training.train(rows, spec))
    trained = []
    monkeypatch.setattr(training, "_train", lambda *given: trained.append(given))
    assert (faiss.serialize_index(training.train(rows, spec)) == first).all() and not trained
    training.train(rows, dataclasses.replace(spec, seed=1))
    training.train(rows[::-1], spec)
    assert len(trained) == 2
    for path in tmp_path.rglob("*.faiss"):
        path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="faiss is damaged; remove it"):
        training.train(rows, spec)
