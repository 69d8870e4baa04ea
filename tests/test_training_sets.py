"""What codebooks are trained on: sets, halves, new scenes, and what a codebook keeps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import benchmark_of, benchmark_on_disk, encoder_of, feature_set, mean_colour
from PIL import Image

from patchlib import benchmarks, metrics, regions, search, training_sets
from patchlib.benchmarks.record import BOX
from patchlib.feature_set import FeatureSet
from patchlib.index import PatchIndex
from patchlib.training_sets import Trial

DIM = 16


@pytest.fixture(scope="module")
def database() -> FeatureSet:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return feature_set(rows, [4] * 100, rows[::40])


def small(tmp_path: Path, **options: object) -> benchmarks.Benchmark:
    settings = {"instances": 4, "positives": 2, "distractors": 1, "siblings": 0, "workers": 1}
    return benchmarks.load("procedural", tmp_path, **(settings | options))


def test_crops_show_positives_with_a_box_alone(tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path, n_images=6)
    data.positives.loc[2, BOX] = np.nan  # image 2 has none
    found = training_sets.crops(data, encoder_of(mean_colour, 3), out=tmp_path / "cache")
    assert len(found.descriptors) == 5
    # each region is its image's box, the left half, grown and made square
    widths, heights = data.images.loc[[0, 1, 3, 4, 5], ["width", "height"]].to_numpy(np.float32).T
    expected = [
        regions.ground_truth(np.array([[0, 0, w / 2, h]]), w, h)[0] for w, h in zip(widths, heights, strict=True)
    ]
    np.testing.assert_array_equal(found.boxes, expected)
    bare = dataclasses.replace(data, positives=data.positives.assign(**dict.fromkeys(BOX, np.nan)))
    with pytest.raises(ValueError, match="tiny has no boxes"):
        training_sets.crops(bare, encoder_of(mean_colour, 3), out=tmp_path / "cache")


@pytest.mark.parametrize(("n_instances", "expected"), [(2, [0]), (20, [0, 1, 4, 5, 8, 9, 12, 13, 16, 17])])
def test_halves_share_no_instance(n_instances: int, expected: list[int]) -> None:
    data = benchmark_of(2 * n_instances, 2 * n_instances, [(q, q, None) for q in range(2 * n_instances)])
    names = [f"thing {q // 2}" for q in range(2 * n_instances)]  # two queries each
    data = dataclasses.replace(data, queries=data.queries.assign(instance=names))
    first, second = training_sets.halves(data)
    assert first.queries["instance"].unique().tolist() == [f"thing {i}" for i in expected]
    assert not set(first.queries["instance"]) & set(second.queries["instance"])
    assert set(first.queries["query_id"]) | set(second.queries["query_id"]) == set(data.queries["query_id"])
    assert set(first.positives["query_id"]) == set(first.queries["query_id"])
    assert len(first.images) == len(data.images)


def test_one_instance_cannot_be_halved() -> None:
    with pytest.raises(ValueError, match=r"1 instance\(s\), expected at least 2"):
        training_sets.halves(benchmark_of(2, 2, [(0, 0, None)]))


def test_new_scenes_show_the_same_instances_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    data = small(tmp_path / "data")
    fresh = training_sets.new_scenes(data, workers=1)
    assert (len(fresh.images), len(fresh.queries)) == (4 * 2, 4)
    for query in range(4):
        old, new = (np.asarray(Image.open(b.query_path(query)), int) for b in (data, fresh))
        assert np.abs(old - new).mean() < 4  # the same picture, once more compressed
    known = {Path(data.image_path(i)).stat().st_size for i in range(len(data.images))}
    assert not known & {Path(fresh.image_path(i)).stat().st_size for i in range(len(fresh.images))}
    assert fresh.has_boxes and fresh.positives.groupby("query_id")["image_id"].nunique().tolist() == [2] * 4


def test_other_instances_have_another_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path))
    data = small(tmp_path / "first")
    other = training_sets.other_instances(data, workers=1)
    assert (len(other.images), len(other.queries)) == (4 * 2, 4)
    assert other.meta["options"] == data.meta["options"] | {"seed": 1, "distractors": 0}
    assert Path(other.query_path(0)).read_bytes() != Path(data.query_path(0)).read_bytes()


def test_trials_compare_at_equal_numbers_and_with_all() -> None:
    found = training_sets.trials({"L0": 700, "G.T.": 300, "L3": 50_000}, (300, 600), (4,), 2, least=100)
    expected = {("L0", 300), ("L0", 600), ("L0", 700), ("G.T.", 300), ("L3", 300), ("L3", 600), ("L3", 8192)}
    assert {(t.name, t.vectors) for t in found} == expected
    assert len(found) == len(set(found)) == 2 * len(expected)
    assert training_sets.trials({"few": 99}, (300,), (4,), 2, least=100) == []


def test_coded_database_ranks_as_the_index_does(database: FeatureSet) -> None:
    data = benchmark_of(100, 10, [(q, 10 * q, None) for q in range(10)])
    training = np.random.default_rng(1).standard_normal((600, DIM)).astype(np.float32)
    trial = Trial("noise", 600, 4, 3)
    got = training_sets.score(database, data, training, trial, nlist=2)
    index = PatchIndex.build(database, training, nlist=2, m=4, seed=3, threads=1)
    expected = metrics.evaluate(index.search(database.query_descriptors), data, database)
    np.testing.assert_allclose(got["ap"], expected["ap"], atol=1e-9)


def test_codebook_draws_its_vectors_with_the_seed(database: FeatureSet) -> None:
    training = np.random.default_rng(1).standard_normal((600, DIM)).astype(np.float32)
    kept = [
        training_sets.codebook(training, Trial("noise", 300, 4, seed), 1).quantise(database.descriptors)
        for seed in (0, 0, 1)
    ]
    assert (kept[0] == kept[1]).all() and (kept[0] != kept[2]).any()
    assert training_sets.codebook(training, Trial("noise", 300, 4, 0), 1).meta["training_vectors"] == 300


def test_seeds_are_averaged_by_query_and_spread_by_codebook() -> None:
    def table(ap: list[float]) -> pd.DataFrame:
        return pd.DataFrame({"query_id": ["a", "b"], "ap": ap})

    scores = {Trial("L0", 300, 4, 0): table([0.1, 0.3]), Trial("L0", 300, 4, 1): table([0.3, 0.7]),
              Trial("L0", 300, 8, 0): table([1.0, 1.0])}  # fmt: skip
    assert training_sets.per_query(scores, "L0", 300, 4).to_dict() == pytest.approx({"a": 20, "b": 50})
    with pytest.raises(ValueError, match="no codebook of 300 vectors of 'L1' with m = 4"):
        training_sets.per_query(scores, "L1", 300, 4)
    row = training_sets.by_seed(scores).loc[("L0", 300, 4)]
    # means 20 and 50: standard error 15, Student's t with one degree of freedom 12.7062
    assert row[["mAP", "low", "high"]].tolist() == pytest.approx([35, 35 - 15 * 12.7062, 35 + 15 * 12.7062], abs=1e-2)
    assert row["seeds"] == 2
    assert training_sets.by_seed(scores).loc[("L0", 300, 8), "low":"high"].isna().all()


def test_kinds_of_regions_by_hand() -> None:
    # two images of two regions; image 0 is the positive, its box is the left half
    boxes = [[0, 0, 100, 100], [50, 0, 100, 100], [0, 0, 100, 100], [0, 0, 50, 100]]
    rows = np.eye(4, dtype=np.float32)
    features = feature_set(rows, [2, 2], rows[1:2], boxes)
    data = benchmark_of(2, 1, [(0, 0, [0, 0, 50, 100])])
    found = training_sets.kinds(features, data, search.rank(features.query_descriptors, features))
    assert found["on an instance"].tolist() == [0]  # IoU 1/2
    assert found["winning"].tolist() == [1]
    assert found["background"].tolist() == [1, 2, 3]


def test_errors_by_hand(database: FeatureSet) -> None:
    training = np.asarray(database.descriptors)
    index = training_sets.codebook(training, Trial("own", 400, 4, 0), 1)
    table = training_sets.errors(index, {"own": training, "first": training[:1]})
    kept = index.quantise(training[:1])
    assert table.loc["first", "error"] == pytest.approx(((training[0] - kept[0]) ** 2).sum())
    assert table.loc["first", "length"] == pytest.approx(np.linalg.norm(kept[0]))
    assert table.loc["own", "error"] < 1


def test_typical_query_is_nearest_to_the_quantile() -> None:
    data = benchmark_of(5, 5, [(q, q, None) for q in range(5)])
    difference = pd.Series([0.0, 40.0, 10.0, 30.0, 20.0], index=[f"q{i}" for i in range(5)])
    assert training_sets.typical(difference, data) == 3
    assert training_sets.typical(difference, data, 1.0) == 1
