"""What codebooks are trained on: sets, halves, new scenes, and what a codebook keeps."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from builders import benchmark_of, benchmark_on_disk, encoder_of, mean_colour
from PIL import Image

from patchlib import benchmarks, features, regions
from patchlib.benchmarks.benchmark import BOX
from patchlib.studies import pq_training_sets


def small(tmp_path: Path, **options: object) -> benchmarks.Benchmark:
    settings = {"instances": 4, "positives": 2, "distractors": 1, "siblings": 0, "workers": 1}
    return benchmarks.load("procedural", tmp_path, **(settings | options))


def extract(strategy: regions.Strategy, data: benchmarks.Benchmark) -> features.FeatureSet:
    return features.extract(data, strategy, encoder_of(mean_colour, 3))


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path / "data"))


def test_crops_show_positives_with_a_box_alone(tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path, n_images=6)
    data.positives.loc[2, BOX] = np.nan  # image 2 has none
    owner, found = pq_training_sets.crops(data, extract)
    assert owner.images["image_id"].tolist() == ["d0", "d1", "d3", "d4", "d5"]
    assert len(found.descriptors) == 5
    # each region is its image's box, the left half, grown and made square
    widths, heights = data.images.loc[[0, 1, 3, 4, 5], ["width", "height"]].to_numpy(np.float32).T
    expected = [
        regions.ground_truth(np.array([[0, 0, w / 2, h]]), w, h)[0] for w, h in zip(widths, heights, strict=True)
    ]
    np.testing.assert_array_equal(found.boxes, expected)
    bare = dataclasses.replace(data, positives=data.positives.assign(**dict.fromkeys(BOX, np.nan)))
    with pytest.raises(ValueError, match="tiny has no boxes"):
        pq_training_sets.crops(bare, extract)
    assert pq_training_sets.half_crops(bare, extract) == {}


@pytest.mark.parametrize(("n_instances", "expected"), [(2, [0]), (20, [0, 1, 4, 5, 8, 9, 12, 13, 16, 17])])
def test_halves_share_no_instance(n_instances: int, expected: list[int]) -> None:
    data = benchmark_of(2 * n_instances, 2 * n_instances, [(q, q, None) for q in range(2 * n_instances)])
    names = [f"thing {q // 2}" for q in range(2 * n_instances)]  # two queries each
    data = dataclasses.replace(data, queries=data.queries.assign(instance=names))
    first, second = pq_training_sets.halves(data)
    assert first.queries["instance"].unique().tolist() == [f"thing {i}" for i in expected]
    assert not set(first.queries["instance"]) & set(second.queries["instance"])
    assert set(first.queries["query_id"]) | set(second.queries["query_id"]) == set(data.queries["query_id"])
    assert set(first.positives["query_id"]) == set(first.queries["query_id"])
    assert len(first.images) == len(data.images)


def test_one_instance_cannot_be_halved() -> None:
    with pytest.raises(ValueError, match=r"1 instance, expected at least 2"):
        pq_training_sets.halves(benchmark_of(2, 2, [(0, 0, None)]))


def test_new_scenes_show_the_same_instances_elsewhere(tmp_path: Path) -> None:
    data = small(tmp_path / "data")
    fresh = pq_training_sets.new_scenes(data, workers=1)
    assert (len(fresh.images), len(fresh.queries)) == (4 * 2, 4)
    for query in range(4):
        old, new = (np.asarray(Image.open(b.query_path(query)), int) for b in (data, fresh))
        assert np.abs(old - new).mean() < 4  # the same picture, once more compressed
    known = {Path(data.image_path(i)).stat().st_size for i in range(len(data.images))}
    assert not known & {Path(fresh.image_path(i)).stat().st_size for i in range(len(fresh.images))}
    assert fresh.has_boxes and fresh.positives.groupby("query_id")["image_id"].nunique().tolist() == [2] * 4


def test_other_instances_have_another_seed(tmp_path: Path) -> None:
    data = small(tmp_path / "first")
    other = pq_training_sets.other_instances(data, workers=1)
    assert (len(other.images), len(other.queries)) == (4 * 2, 4)
    assert other.meta["options"] == data.meta["options"] | {"seed": 1, "distractors": 0}
    assert Path(other.query_path(0)).read_bytes() != Path(data.query_path(0)).read_bytes()


def test_collected_sets_depend_on_what_the_benchmark_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pq_training_sets, "CODEWORDS", 9)
    data = small(tmp_path / "first", second=0)
    patches = extract("L3", data)
    found = pq_training_sets.collect(data, patches, extract, workers=1)
    assert {name: len(part.descriptors) for name, (_, part) in found.items() if "G" not in name} == {
        "L0": 9, "L1": 45, "L2": 126, "L3": 270}  # fmt: skip
    assert "G.T." not in found  # eight crops are fewer than nine
    monkeypatch.setattr(pq_training_sets, "CODEWORDS", 8)
    found = pq_training_sets.collect(data, patches, extract, workers=1)
    assert list(found)[4:] == ["G.T.", "G.T., new scenes", "G.T., other instances"]
    assert pq_training_sets.half_crops(data, extract) == {}  # four crops each
    monkeypatch.setattr(pq_training_sets, "CODEWORDS", 4)
    halves = pq_training_sets.half_crops(data, extract)
    assert {name: (len(half.queries), len(part.descriptors)) for name, (half, part) in halves.items()} == {
        "first half": (2, 4), "second half": (2, 4)}  # fmt: skip
    bare = dataclasses.replace(data, positives=data.positives.assign(**dict.fromkeys(BOX, np.nan)))
    assert list(pq_training_sets.collect(bare, patches, extract)) == ["L0", "L1", "L2", "L3"]
