"""Codebooks on trial, against the index itself and hand arithmetic."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import benchmark_of, feature_set

from patchlib import metrics
from patchlib.features.feature_set import FeatureSet
from patchlib.pq.index import PatchIndex
from patchlib.studies import compression, pq_training
from patchlib.studies.pq_training import Trial

DIM = 16


@pytest.fixture(scope="module")
def database() -> FeatureSet:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return feature_set(rows, [4] * 100, rows[::40])


def test_trials_compare_at_equal_numbers_and_with_all() -> None:
    found = pq_training.trials({"L0": 700, "G.T.": 300, "L3": 50_000}, (300, 600), (4,), 2)
    expected = {("L0", 300), ("L0", 600), ("L0", 700), ("G.T.", 300), ("L3", 300), ("L3", 600), ("L3", 8192)}
    assert {(t.name, t.vectors) for t in found} == expected
    assert len(found) == len(set(found)) == 2 * len(expected)


def test_coded_database_ranks_as_the_index_does(database: FeatureSet) -> None:
    data = benchmark_of(100, 10, [(q, 10 * q, None) for q in range(10)])
    training = np.random.default_rng(1).standard_normal((600, DIM)).astype(np.float32)
    trial = Trial("noise", 600, 4, 3)
    got = pq_training.score(database, data, {"noise": training}, trial, nlist=2)
    index = PatchIndex.build(database, training, nlist=2, m=4, seed=3, threads=1)
    expected = metrics.evaluate(index.search(database.query_descriptors), data, database)
    np.testing.assert_allclose(got["ap"], expected["ap"], atol=1e-9)


def test_a_trial_is_scored_once(database: FeatureSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path))
    data = benchmark_of(100, 10, [(q, 10 * q, (0, 0, 50, 50)) for q in range(10)])
    rows = {"noise": np.random.default_rng(1).standard_normal((600, DIM)).astype(np.float32)}
    first = pq_training.score(database, data, rows, Trial("noise", 600, 4, 3), nlist=2)
    ranked, rank = [], pq_training.rank
    monkeypatch.setattr(pq_training, "rank", lambda *given: ranked.append(given) or rank(*given))
    again = pq_training.score(database, data, rows, Trial("noise", 600, 4, 3), nlist=2)
    pd.testing.assert_frame_equal(again, first, check_exact=True)
    direct = metrics.evaluate(rank(database, pq_training.codebook(rows, Trial("noise", 600, 4, 3), 2)), data, database)
    pd.testing.assert_frame_equal(again, direct, check_exact=True)
    assert not ranked
    turned = dataclasses.replace(database, query_descriptors=database.query_descriptors[::-1])
    for other in (
        (turned, data, rows, Trial("noise", 600, 4, 3), 2),
        (database, data, rows, Trial("noise", 600, 4, 4), 2),
    ):
        pq_training.score(*other)
    pq_training.score(database, data, rows, Trial("noise", 600, 4, 3), nlist=2, k=10)
    assert len(ranked) == 3


def test_codebook_draws_its_vectors_with_the_seed(database: FeatureSet) -> None:
    training = np.random.default_rng(1).standard_normal((600, DIM)).astype(np.float32)
    kept = [
        pq_training.codebook({"noise": training}, Trial("noise", 300, 4, seed), 1).quantise(database.descriptors)
        for seed in (0, 0, 1)
    ]
    assert (kept[0] == kept[1]).all() and (kept[0] != kept[2]).any()
    assert pq_training.codebook({"noise": training}, Trial("noise", 300, 4, 0), 1).meta["training_vectors"] == 300


def test_seeds_are_averaged_by_query_and_spread_by_codebook() -> None:
    def table(ap: list[float]) -> pd.DataFrame:
        return pd.DataFrame({"query_id": ["a", "b"], "ap": ap})

    scores = {Trial("L0", 300, 4, 0): table([0.1, 0.3]), Trial("L0", 300, 4, 1): table([0.3, 0.7]),
              Trial("L0", 300, 8, 0): table([1.0, 1.0])}  # fmt: skip
    assert pq_training.per_query(scores, "L0", 300, 4).to_dict() == pytest.approx({"a": 20, "b": 50})
    with pytest.raises(ValueError, match="no codebook of 300 vectors of 'L1' with m = 4"):
        pq_training.per_query(scores, "L1", 300, 4)
    row = pq_training.by_seed(scores).loc[("L0", 300, 4)]
    # means 20 and 50: standard error 15, Student's t with one degree of freedom 12.7062
    assert row[["mAP", "low", "high"]].tolist() == pytest.approx([35, 35 - 15 * 12.7062, 35 + 15 * 12.7062], abs=1e-2)
    assert row["seeds"] == 2
    assert pq_training.by_seed(scores).loc[("L0", 300, 8), "low":"high"].isna().all()
    shown = pq_training.compared(pq_training.by_seed(scores), ["G.T.", "L0"], 300)
    assert shown.columns.tolist() == [(m, column) for m in (4, 8) for column in ("mAP", "low", "high")]
    assert shown.loc["L0", (8, "mAP")] == 100 and shown.loc["G.T."].isna().all()


def test_own_half_and_the_other_by_hand() -> None:
    data = benchmark_of(2, 2, [(0, 0, None), (1, 1, None)])
    scores = {
        Trial(name, 300, 4, 0): pd.DataFrame({"query_id": ["q0", "q1"], "ap": ap})
        for name, ap in (("first half", [0.9, 0.1]), ("second half", [0.3, 0.8]), ("L0", [0.2, 0.4]))
    }
    table = pq_training.own_and_other(scores, data.subset(queries=[0]), "L0", 300, 4)
    assert table["own half"].to_dict() == pytest.approx({"q0": 90, "q1": 80})
    assert table["other half"].to_dict() == pytest.approx({"q0": 30, "q1": 10})
    assert table["L0"].to_dict() == pytest.approx({"q0": 20, "q1": 40})


def test_claims_by_hand() -> None:
    def table(ap: float) -> pd.DataFrame:
        return pd.DataFrame({"query_id": ["q0"], "ap": [ap]})

    aps = {("L0", 300): 0.4, ("L3", 300): 0.3, ("L3", 8192): 0.35, ("G.T.", 300): 0.6}
    scores = {Trial(*key, 4, 0): table(ap) for key, ap in aps.items()}
    halved = {4: pd.DataFrame({"own half": [50.0], "other half": [45.0], "L0": [40.0]}, ["q0"])}
    stated = pq_training.claims(scores, {"L0": 300, "L3": 9000, "G.T.": 400}, 300, halved)
    expected = {
        "L3 above L0 [m = 4]": -10, "G.T. above L0 [m = 4]": 20, "crops of the own half above L0 [m = 4]": 10,
        "crops of the other half above L0 [m = 4]": 5, "L3, 8192 vectors above 300 [m = 4]": 5,
    }  # fmt: skip
    assert {name: float(values.iloc[0]) for name, values in stated.items()} == pytest.approx(expected)
    results = {name: compression.Result(table(ap), 1, 1) for name, ap in (("L0", 0.4), ("L3", 0.3))}
    specs = {name: compression.IndexSpec(nlist=nlist, m=4) for name, nlist in (("L0", 8), ("L3", 16))}
    ((text, values),) = pq_training.claims_of_lists(results, specs).items()
    assert text == "own lists: L0 (8) above L3 (16)" and values["q0"] == pytest.approx(10)


def test_kinds_of_regions_by_hand() -> None:
    # two images of two regions; image 0 is the positive, its box is the left half
    boxes = [[0, 0, 100, 100], [50, 0, 100, 100], [0, 0, 100, 100], [0, 0, 50, 100]]
    rows = np.eye(4, dtype=np.float32)
    features = feature_set(rows, [2, 2], rows[1:2], boxes)
    data = benchmark_of(2, 1, [(0, 0, [0, 0, 50, 100])])
    found = pq_training.kinds(features, data)
    assert found["on an instance"].tolist() == [0]  # IoU 1/2
    assert found["winning"].tolist() == [1]
    assert found["background"].tolist() == [1, 2, 3]
    assert pq_training.kinds(features, benchmark_of(2, 1, [(0, 0, None)])) == {}


def test_errors_by_hand(database: FeatureSet) -> None:
    training = np.asarray(database.descriptors)
    book = pq_training.codebook({"own": training}, Trial("own", 400, 4, 0), 1)
    table = pq_training.errors({"own": book}, database, {"all": np.arange(400), "first": np.array([0])})
    kept = book.quantise(training[:1])
    assert table.loc[("own", "first"), "error"] == pytest.approx(((training[0] - kept[0]) ** 2).sum())
    assert table.loc[("own", "first"), "length"] == pytest.approx(np.linalg.norm(kept[0]))
    assert table.loc[("own", "all"), "error"] < 1
    assert pq_training.errors({"own": book}, database, {}).unstack("regions").empty


def test_typical_query_is_nearest_to_the_quantile() -> None:
    data = benchmark_of(5, 5, [(q, q, None) for q in range(5)])
    difference = pd.Series([0.0, 40.0, 10.0, 30.0, 20.0], index=[f"q{i}" for i in range(5)])
    assert pq_training.typical(difference, data) == 3
    assert pq_training.typical(difference, data, 1.0) == 1
