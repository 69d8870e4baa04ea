"""The compression studies against hand arithmetic, faiss' own encoder, and the published numbers."""

import threading
from functools import partial

import numpy as np
import pandas as pd
import pytest
from builders import benchmark_of, feature_set, resembling

from patchlib import metrics, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features.feature_set import FeatureSet
from patchlib.pq.index import PatchIndex
from patchlib.studies import compression
from patchlib.studies.compression import IndexSpec

DIM, IMAGES, PER_IMAGE = 32, 120, 8


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    return resembling(IMAGES, PER_IMAGE, DIM)


@pytest.fixture(scope="module")
def data() -> Benchmark:
    return benchmark_of(IMAGES, 12, [(q, 10 * q, [0, 0, 50, 50]) for q in range(12)])


@pytest.fixture(scope="module")
def index(features: FeatureSet) -> PatchIndex:
    return PatchIndex.build(features, nlist=8, m=4, threads=1)


def scores(ap: list[float], first: int = 0) -> pd.DataFrame:
    table = pd.DataFrame({"query_id": [f"q{first + i}" for i in range(len(ap))], "ap": ap})
    return table.assign(
        loc_score=table["ap"] / 2, mloc_score=0.25, **{f"loc_score_{t}": 0.25 for t in metrics.THRESHOLDS}
    )


@pytest.mark.parametrize(
    ("count", "dim", "lists", "codes"),
    [
        (796_290, 1024, [2048, 4096], [16, 32, 64, 128]),  # the paper's, and 128
        (54_000, 128, [512, 1024], [2, 4, 8, 16]),
        (960, 32, [8, 16], [1, 2, 4]),
        (60, 16, [1], [1, 2]),
        (54_000, 96, [512, 1024], [1, 3, 6, 12]),
        (54_000, 90, [512, 1024], [1, 2, 5, 10]),
    ],
)
def test_grid_is_the_papers_at_full_size(count: int, dim: int, lists: list[int], codes: list[int]) -> None:
    rows = np.broadcast_to(np.float32(1), (count, dim))
    specs = compression.grid(FeatureSet(rows, np.empty((count, 4)), np.array([0, count]), np.ones((1, dim)), {}))
    assert [(s.nlist, s.m) for s in specs] == [(nlist, m) for nlist in lists for m in codes]


def test_worked_example_is_what_faiss_stores(index: PatchIndex, features: FeatureSet) -> None:
    query = features.query_descriptors[3]
    for row in (0, 77, 500):
        vector = np.asarray(features.descriptors[row])
        table = compression.worked_example(index, vector, query)
        # one byte for the number of the list, then the codes
        assert index.ivf.sa_encode(vector[None])[0].tolist() == table["code"].tolist()
        decoded = index.quantise(vector[None])[0]
        assert table["squared_error"][1:].sum() == pytest.approx(((vector - decoded) ** 2).sum(), rel=1e-4)
        assert table["score"].sum() == pytest.approx(query @ decoded, abs=1e-5)
        assert table.index.tolist() == ["list", "1", "2", "3", "4"]


def test_measure_scores_what_a_search_of_all_lists_returns(features: FeatureSet, data: Benchmark) -> None:
    result = compression.measure(features, data, IndexSpec(nlist=8, m=4, seed=3))
    index = PatchIndex.build(features, nlist=8, m=4, seed=3)
    decoded = feature_set(index.quantise(features.descriptors), [PER_IMAGE] * IMAGES, features.query_descriptors)
    oracle = metrics.evaluate(search.rank(features.query_descriptors, decoded), data, features)
    np.testing.assert_allclose(result.scores["ap"], oracle["ap"], atol=1e-9)
    assert (result.code_bytes, result.nbytes) == (4, index.nbytes)


def test_measure_trains_on_what_it_is_given(features: FeatureSet, data: Benchmark) -> None:
    spec = IndexSpec(nlist=4, m=2)
    own = compression.measure(features, data, spec)
    other = np.random.default_rng(1).standard_normal((600, DIM))
    assert own.scores["ap"].mean() > compression.measure(features, data, spec, None, other).scores["ap"].mean()


def test_changes_are_paired_by_query() -> None:
    exact = {"L0": scores([0.2, 0.4]), "L3": scores([0.5, 0.7])}
    shuffled = scores([0.4, 0.1]).iloc[::-1]  # q1 first
    coded = {"L0": compression.Result(shuffled, 1, 1), "L3": compression.Result(scores([0.5, 0.7]), 1, 1)}
    table = compression.changes(exact, coded, resamples=200)
    assert table["mean"].to_dict() == pytest.approx({"L0": (20 - 30) / 2, "L3": 0})
    assert (table.loc["L0", "low"], table.loc["L0", "high"]) == pytest.approx((-30, 20))
    assert compression.changes(exact, coded, "loc_score", 200)["mean"]["L0"] == pytest.approx((10 - 15) / 2)
    shown = compression.summary(exact, coded)
    assert shown.index.tolist() == [("L0", "no"), ("L0", "yes"), ("L3", "no"), ("L3", "yes")]
    assert shown.loc[("L0", "yes")].tolist() == pytest.approx([25, 12.5, 25])


def test_probing_all_lists_loses_nothing(index: PatchIndex, features: FeatureSet, data: Benchmark) -> None:
    exact = search.rank(features.query_descriptors, features)
    table = compression.probing(index, features, data, exact, top=5, workers=2)
    assert table.index.tolist() == [1, 4, 8]
    assert table.loc[8, ["scanned", "of_codes"]].tolist() == [100, 100]
    assert table["scanned"].is_monotonic_increasing and table["of_codes"][1] < 100
    # share of codes in the nearest list, counted from the lists that the queries fall into
    nearest = index.ivf.quantizer.search(features.query_descriptors, 1)[1][:, 0]
    own = index.ivf.quantizer.search(np.asarray(features.descriptors), 1)[1][:, 0]
    assert table["scanned"][1] == pytest.approx(100 * np.mean([(own == n).mean() for n in nearest]))
    whole = metrics.evaluate(index.search(features.query_descriptors), data, features)
    assert table["mAP"][8] == pytest.approx(100 * whole["ap"].mean())


def test_tables_and_claims_by_hand() -> None:
    def result(ap: list[float], nbytes: int = 1) -> compression.Result:
        return compression.Result(scores(ap), 1, nbytes)

    exact = {"L0": scores([0.2, 0.4]), "L3": scores([0.5, 0.7])}
    coded = {"L0": result([0.1, 0.3]), "L3": result([0.3, 0.5])}
    cells = {(8, 4): result([0.3, 0.5], 3_000_000), (4, 2): result([0.9, 0.9]), (8, 2): result([0.2, 0.5])}
    codes = {(2, "PQ"): result([0.1, 0.2]), (2, "SQ8"): result([0.0, 0.4]), (4, "PQ"): result([0.5, 0.5])}
    codes |= {(3, "RaBitQ"): result([0.3, 0.1]), (8, "SQ8"): result([0.6, 0.4])}
    overview = compression.overview(cells).rename_axis(["nlist", "m"])
    assert overview.loc[(8, 4)].tolist() == pytest.approx([40, 3])
    curves = compression.level_intervals(exact, coded, 100)
    assert curves["PQ"]["mean"].to_dict() == pytest.approx({"L0": 20, "L3": 40})
    stated = compression.claims(exact, coded, cells, codes)
    assert {name: values.tolist() for name, values in stated.items()} == {
        "L0: exact above PQ": pytest.approx([10, 10]),
        "L3: exact above PQ": pytest.approx([20, 20]),
        "PQ costs L3 more than L0": pytest.approx([10, 10]),
        "L3 with PQ above L0 without": pytest.approx([10, 10]),
        "m = 4 above m = 2": pytest.approx([10, 0]),
        "2 bytes: SQ8 above PQ": pytest.approx([-10, 20]),
        # of another size there is no PQ: the next ones stand in
        "3 bytes: RaBitQ above PQ of 2 bytes": pytest.approx([20, -10]),
        "3 bytes: RaBitQ above PQ of 4 bytes": pytest.approx([-20, -40]),
        "8 bytes: SQ8 above PQ of 4 bytes": pytest.approx([10, -10]),
    }


def test_a_level_with_too_few_patches_is_trained_on_the_finest(features: FeatureSet, data: Benchmark) -> None:
    part = feature_set(np.eye(2)[:1].repeat(400, axis=0), [400], np.eye(2)[:1])
    assert compression.enough(part, IndexSpec(nlist=10, m=1, nbits=3))  # 40 x 10
    assert not compression.enough(part, IndexSpec(nlist=11, m=1, nbits=3))
    assert not compression.enough(part, IndexSpec(nlist=1, m=1, nbits=4))  # 40 x 16
    other = feature_set(np.random.default_rng(1).standard_normal((600, DIM)), [600], np.eye(DIM)[:1])
    many, few = IndexSpec(nlist=30, m=2), IndexSpec(nlist=4, m=2, nbits=3)  # of 960 vectors
    for spec, trained in ((many, 600), (few, 960)):
        built = compression.measure(features, data, spec, finest=other).built
        assert built is not None and built.meta["training_vectors"] == trained


def test_jobs_run_at_the_same_time_and_keep_their_names() -> None:
    meet = threading.Barrier(2, timeout=20)

    def wait(value: int) -> int:
        meet.wait()
        return value

    assert compression.run({"a": partial(wait, 1), "b": partial(wait, 2)}, workers=2) == {"a": 1, "b": 2}


def test_a_failing_job_is_not_swallowed(features: FeatureSet, data: Benchmark) -> None:
    with pytest.raises(ValueError, match="m is 5, expected a divisor"):
        compression.run({"bad": lambda: compression.measure(features, data, IndexSpec(nlist=2, m=5))}, 2)
