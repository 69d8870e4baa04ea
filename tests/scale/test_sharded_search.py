"""A search by parts is the search of the whole: the same images, scores and regions, ties included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import feature_set
from dask.distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from patchlib import search
from patchlib.features import cluster
from patchlib.features.feature_set import FeatureSet
from patchlib.pq.index import PatchIndex
from patchlib.scale import sharded_search
from patchlib.search import Ranking
from patchlib.support import provenance


def same(one: Ranking, other: Ranking) -> None:
    for name in ("images", "scores", "regions"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert getattr(one, name).dtype == getattr(other, name).dtype


def coarse(seed: int, n_images: int = 40, most: int = 4) -> FeatureSet:
    """Small whole numbers: sums are exact, equal scores frequent; some images have no region."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, most + 1, n_images).tolist()
    return feature_set(rng.integers(-1, 2, (sum(counts), 3)), counts, rng.integers(-1, 2, (5, 3)))


def written(features: FeatureSet, folder: Path) -> Path:
    """On disk, as an extraction leaves it."""
    folder.mkdir(parents=True)
    for name in ("descriptors", "boxes", "offsets", "query_descriptors"):
        np.save(folder / f"{name}.npy", getattr(features, name))
    provenance.write_json(folder / "meta.json", features.meta)
    return folder


def some(features: FeatureSet, first: int, last: int) -> FeatureSet:
    rows = slice(features.offsets[first], features.offsets[last])
    counts = np.diff(features.offsets[first : last + 1]).tolist()
    return feature_set(features.descriptors[rows], counts, features.query_descriptors)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 40), max_size=5), st.sampled_from([1, 3, 17, 100]))
def test_merged_rankings_of_parts_are_the_ranking_of_the_whole(seed: int, cuts: list[int], k: int) -> None:
    features = coarse(seed)
    edges = sorted({0, 40, *cuts})
    found = []
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        part = search.rank(features.query_descriptors, some(features, first, last), k)
        regions = np.where(part.regions < 0, -1, part.regions + features.offsets[first]).astype(np.int32)
        found.append(Ranking(part.images + np.int32(first), part.scores, regions))
    order = np.random.default_rng(seed).permutation(len(found))  # answers come in any order
    same(search.merge([found[i] for i in order], k), search.rank(features.query_descriptors, features, k))


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([None, 1, 7, 100]))
def test_a_feature_set_in_any_number_of_parts(seed: int, count: int, k: int | None) -> None:
    import tempfile

    features = coarse(seed)
    with tempfile.TemporaryDirectory() as folder:
        found = sharded_search.of_features(written(features, Path(folder) / "set"), count)
        assert len(found) <= count and [part.image for part in found] == [part.first for part in found]
        same(
            sharded_search.rank(features.query_descriptors, found, k),
            search.rank(features.query_descriptors, features, k),
        )


def test_real_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, queries = (rng.standard_normal((n, 64)).astype(np.float32) for n in (30 * 200, 20))
    features = feature_set(rows, [30] * 200, queries)
    whole = search.rank(queries, features, 50)
    cut = sharded_search.rank(queries, sharded_search.of_features(written(features, tmp_path / "set"), 7), 50)
    np.testing.assert_array_equal(cut.images, whole.images)
    np.testing.assert_array_equal(cut.regions, whole.regions)
    np.testing.assert_allclose(cut.scores, whole.scores, rtol=1e-5)  # the order of a product's sums is the library's


@pytest.mark.parametrize("k", [None, 4])
def test_feature_sets_one_after_another_on_a_cluster(k: int | None, client: Client, tmp_path: Path) -> None:
    features = coarse(1)
    files = [written(some(features, a, b), tmp_path / str(a)) for a, b in ((0, 11), (11, 12), (12, 40))]
    found = sharded_search.rank(features.query_descriptors, sharded_search.of_files(files), k, executor=client)
    same(found, search.rank(features.query_descriptors, features, k))


def test_a_scheduler_that_the_environment_names(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setenv(cluster.ADDRESS, "tcp://named:8786")
    monkeypatch.setattr(cluster, "connect", lambda address: asked.append(address) or client)
    features = coarse(3)
    parts = sharded_search.of_features(written(features, tmp_path / "set"), 3)
    same(
        sharded_search.rank(features.query_descriptors, parts, 5), search.rank(features.query_descriptors, features, 5)
    )
    assert asked == ["tcp://named:8786"]


@pytest.mark.parametrize(("k", "nprobe"), [(None, None), (5, 2), (200, 1)])
def test_indexes_with_the_same_codebooks(k: int | None, nprobe: int | None, client: Client, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.standard_normal((300, 16)).astype(np.float32), 2, axis=0)  # twins: equal codes, equal scores
    features = feature_set(rows, [3] * 200, rng.standard_normal((6, 16)).astype(np.float32))
    options = {"train_on": rows, "nlist": 4, "m": 4, "nbits": 4}
    whole = PatchIndex.build(features, **options)
    files = []
    for first, last in ((0, 70), (70, 150), (150, 200)):
        index = PatchIndex.build(some(features, first, last), **options)
        files.append(index.save(tmp_path / f"{first}.index"))
    expected = whole.search(features.query_descriptors, k, nprobe)
    assert (np.diff(expected.scores[:, :5]) == 0).any()
    for executor in (None, client):
        same(
            sharded_search.rank(features.query_descriptors, sharded_search.of_files(files), k, nprobe, executor),
            expected,
        )


def test_a_part_that_disappears_is_named(client: Client, tmp_path: Path) -> None:
    features = coarse(2)
    found = sharded_search.of_features(written(features, tmp_path / "set"), 2)
    (tmp_path / "set").rename(tmp_path / "away")
    for executor in (None, client):
        with pytest.raises(FileNotFoundError, match="set"):
            sharded_search.rank(features.query_descriptors, found, executor=executor)
    with pytest.raises(FileNotFoundError, match="absent"):
        sharded_search.of_files([tmp_path / "absent"])


def test_nothing_to_search(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no parts to search"):
        sharded_search.rank(np.ones((1, 3)), [])
    with pytest.raises(ValueError, match="no path was given"):
        sharded_search.of_files([])
    with pytest.raises(ValueError, match="count is 0, expected a number of parts >= 1"):
        sharded_search.of_features(written(coarse(0), tmp_path / "set"), 0)
