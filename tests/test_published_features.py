"""Descriptors and linear layers as ILIAS publishes them."""

from __future__ import annotations

import os

import h5py
import layouts
import numpy as np
import pytest
import torch

from patchlib import feature_set, metrics, search
from patchlib import published_features as published
from patchlib.benchmarks import load
from patchlib.feature_set import FeatureSet

BOLD, CAFE = "bold_bimp_000", "zippy_caf#U00e9_001"
QUERIES = [f"{BOLD}/query/Q000_00.jpg", f"{CAFE}/query/Q001_00.jpg", f"{CAFE}/query/Q001_01.jpg"]
POSITIVES = [f"{BOLD}/pos/P000_00.jpg", f"{BOLD}/pos/P000_01.jpg", f"{CAFE}/pos/P001_00.jpg"]


@pytest.fixture
def ilias(tmp_path, monkeypatch):
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    root = layouts.write_ilias(tmp_path / "ilias")
    layouts.write_shard(root / "yfcc100m/s0.tar", {"aa.jpg": (20, 10)})
    return load("ilias", root, distractors="full")


def write(path, ids, rows, dtype=np.float16):
    with h5py.File(path, "w") as file:
        file.create_dataset("index", data=ids, dtype=h5py.string_dtype(encoding="ascii"))
        file.create_dataset("features", data=np.asarray(rows, dtype), compression="gzip", compression_opts=0)
    return path


@pytest.fixture
def files(tmp_path):
    """Rows in another order than the benchmark's, as ids, not places, are to decide; and one that nobody asked for."""
    queries = write(tmp_path / "q.hdf5", QUERIES[::-1], [[0, 0, 5], [0, 2, 0], [3, 0, 0]])
    positives = write(tmp_path / "p.hdf5", [POSITIVES[i] for i in (2, 0, 1)], [[0, 1, 0], [1, 0, 0], [0.6, 0, 0.8]])
    distractors = write(tmp_path / "d.hdf5", ["s0.tar/zz", "s0.tar/aa"], [[9, 9, 9], [8, 0, 6]])
    return queries, [positives, distractors]


def test_ids_decide(ilias, files):
    features = published.import_features(ilias, *files, encoder="model")
    np.testing.assert_allclose(features.query_descriptors, np.eye(3), atol=1e-6)
    expected = [[1, 0, 0], [0.6, 0, 0.8], [0, 1, 0], [0.8, 0, 0.6]]
    np.testing.assert_allclose(features.descriptors, expected, atol=1e-3)  # float16 in the file
    assert features.boxes.tolist() == [[0, 0, 40, 30]] * 3 + [[0, 0, 20, 10]]
    assert features.meta["unused"] == 1
    table = metrics.evaluate(search.rank(features.query_descriptors, features), ilias, features).set_index("query_id")
    # scores of the first query: positives 1.0 and 0.6, the distractor 0.8 stands between them
    assert table.loc[QUERIES[0], "ap"] == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_on_disk(ilias, files, tmp_path):
    features = published.import_features(ilias, *files, encoder="model", out=tmp_path / "set")
    again = feature_set.load(tmp_path / "set")
    assert again.descriptors.dtype == np.float16
    np.testing.assert_allclose(again.descriptors, features.descriptors)
    np.testing.assert_array_equal(again.offsets, np.arange(5))
    assert again.meta["hash"] == features.meta["hash"]


def test_there_and_back(ilias, files, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "DISTRACTORS_PER_FILE", 1)
    features = published.import_features(ilias, *files, encoder="model")
    written = published.export_features(features, ilias, tmp_path / "out")
    assert [path.name for path in written] == [
        "features_image_queries.hdf5",
        "features_positives.hdf5",
        "features_distractors_00000.hdf5",
    ]
    with h5py.File(written[1]) as file:
        assert file["index"].asstr()[:].tolist() == POSITIVES
    again = published.import_features(ilias, written[0], written[1:], encoder="model")
    np.testing.assert_allclose(again.descriptors, features.descriptors, atol=1e-6)
    np.testing.assert_allclose(again.query_descriptors, features.query_descriptors, atol=1e-6)


def test_only_one_region_an_image_can_be_exported(ilias, tmp_path):
    rows = np.ones((8, 3), np.float32)
    features = FeatureSet(rows, np.zeros((8, 4), np.float32), np.arange(5) * 2, rows[:3])
    with pytest.raises(ValueError, match=r"8 regions of 4 images.*at_level\(0\)"):
        published.export_features(features, ilias, tmp_path)
    features = FeatureSet(rows, np.zeros((8, 4), np.float32), np.arange(9), rows[:3])
    with pytest.raises(ValueError, match="features of 8 images"):
        published.export_features(features, ilias, tmp_path)


def test_mistakes(ilias, files, tmp_path):
    queries, (positives, distractors) = files
    with pytest.raises(ValueError, match="1 of 4 ids are in none of p.hdf5, first 's0.tar/aa'"):
        published.import_features(ilias, queries, [positives], "m")
    with pytest.raises(ValueError, match="p.hdf5 holds ids that came before"):
        published.import_features(ilias, queries, [positives, positives, distractors], "m")
    other = write(tmp_path / "o.hdf5", ["s0.tar/aa"], [[1, 2]])
    with pytest.raises(ValueError, match="o.hdf5 has 2 dimensions, the files before it 3"):
        published.import_features(ilias, queries, [positives, other], "m")
    with h5py.File(tmp_path / "n.hdf5", "w") as file:
        file["features"] = np.ones((2, 3))
    with pytest.raises(ValueError, match="n.hdf5 is not a file of published descriptors"):
        published.import_features(ilias, tmp_path / "n.hdf5", [positives, distractors], "m")
    (tmp_path / "t.hdf5").write_bytes(positives.read_bytes()[:300])
    with pytest.raises(ValueError, match="t.hdf5 is not a file of published descriptors, or is damaged"):
        published.import_features(ilias, queries, [tmp_path / "t.hdf5"], "m")


WEIGHT, BIAS = [[1.0, 0, 0], [0, 2.0, 0]], [0.0, 1.0]


def layer_file(path, weight=WEIGHT, bias=BIAS):
    torch.save({"layer.weight": torch.tensor(weight), "layer.bias": torch.tensor(bias)}, path)
    return path


def test_linear_adaptation_by_hand(ilias, files, tmp_path):
    layer = published.read_adaptation(layer_file(tmp_path / "model.pth"))
    # (3, 1, 5) -> (3, 2 * 1 + 1) = (3, 3), of length sqrt(18)
    np.testing.assert_allclose(layer(np.array([[3.0, 1, 5]])), [[3 / 18**0.5, 3 / 18**0.5]], rtol=1e-6)
    features = published.import_features(ilias, *files, encoder="model")
    adapted = published.adapt(features, layer)
    # image 1 is (0.6, 0, 0.8) -> (0.6, 1), query 2 is (0, 0, 1) -> (0, 1)
    np.testing.assert_allclose(adapted.descriptors[1], [0.6 / 1.36**0.5, 1 / 1.36**0.5], atol=1e-3)
    np.testing.assert_allclose(adapted.query_descriptors[2], [0, 1], atol=1e-6)
    assert adapted.meta["encoder"] == "model + model.pth"
    assert adapted.meta["hash"] != features.meta["hash"]
    assert features.meta["encoder"] == "model"
    again = published.adapt(features, published.read_adaptation(layer_file(tmp_path / "b.pth", bias=[0.0, 2.0])))
    assert again.meta["hash"] != adapted.meta["hash"]


def test_layers_of_another_model(tmp_path):
    layer = published.read_adaptation(layer_file(tmp_path / "model.pth"))
    with pytest.raises(ValueError, match="descriptors have 4 dimensions, but model.pth takes 3"):
        layer(np.ones((2, 4)))


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"layer.weight": Evil(), "layer.bias": 0}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="evil.pth is not a linear layer"):
        published.read_adaptation(tmp_path / "evil.pth")
    assert not (tmp_path / "evil-was-here").exists()


def test_damaged_layers(tmp_path):
    with pytest.raises(FileNotFoundError, match="data get ilias-lin-adapt"):
        published.read_adaptation(tmp_path / "none.pth")
    torch.save({"weight": torch.ones(2, 3)}, tmp_path / "keys.pth")
    with pytest.raises(ValueError, match="keys.pth is not a linear layer"):
        published.read_adaptation(tmp_path / "keys.pth")
    layer_file(tmp_path / "shape.pth", bias=[0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match=r"weight \(2, 3\) and bias \(3,\)"):
        published.read_adaptation(tmp_path / "shape.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "keys.pth").read_bytes()[:100])
    with pytest.raises(ValueError, match="cut.pth is not a linear layer"):
        published.read_adaptation(tmp_path / "cut.pth")
