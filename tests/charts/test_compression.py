"""Charts of the compression studies draw the numbers they are given."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from builders import benchmark_on_disk, feature_set

from patchlib import charts, images, paper, search
from patchlib.paper import table_7
from patchlib.pq import file_size


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_changes_stand_beside_the_published_ones() -> None:
    ours = pd.DataFrame({"mean": [-1.0, -3.0], "low": [-2.0, -5.0], "high": [0.0, -2.0]}, index=["L0", "L3"])
    published = paper.effect("table_5_pq_levels", "mAP", {"pq": "yes"}, {"pq": "no"})
    ax = charts.compression.changes(plt.subplots()[1], ours, published)
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["paper, INSTRE"], [81.99 - 78.48, 88.52 - 87.01])
    np.testing.assert_allclose(drawn["paper, ILIAS"], [54.97 - 55.03, 59.96 - 65.16])
    segments = ax.containers[0][2][0].get_segments()
    np.testing.assert_allclose([segment[:, 1] for segment in segments], [[-2, 0], [-5, -2]])


def test_parts_add_up_to_the_index() -> None:
    ax = charts.compression.parts(plt.subplots()[1], "ILIAS")
    heights = np.array([[bar.get_height() for bar in bars] for bars in ax.containers])
    for level, total in zip(table_7.PATCHES, heights.sum(axis=0), strict=True):
        expected = file_size.index_bytes(4885 * table_7.PATCHES[level], 1024)
        assert total == pytest.approx(expected / 1e6)
    assert heights[2][0] == pytest.approx(4885 * 64 / 1e6)  # codes of L0
    assert [text.get_text() for text in ax.texts] == ["18.2", "19.6", "22.8", "28.4"]


def test_codecs_stand_at_their_bytes() -> None:
    keys = pd.MultiIndex.from_tuples([(8, "SQ4"), (16, "SQ4"), (24, "RaBitQ")], names=["bytes", "codec"])
    values = {"mAP": [20.0, 40.0, 30.0], "low": [18.0, 38.0, 28.0], "high": [22.0, 42.0, 32.0], "recall": [1.0, 2, 3]}
    table = pd.DataFrame(values, index=keys)
    ax = charts.compression.codecs(plt.subplots()[1], table, "mAP", 44.0)
    lines = {container.get_label(): container[0] for container in ax.containers}
    assert lines["SQ4"].get_color() == charts.compression.CODECS["SQ4"]
    assert lines["SQ4"].get_xydata().tolist() == [[8, 20], [16, 40]] and lines["RaBitQ"].get_xdata().tolist() == [24]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["8", "16", "24"]
    found = charts.compression.codecs(plt.subplots()[1], table, "recall", 100.0)
    assert found.containers[0][0].get_ydata().tolist() == [1, 2]


def test_speed_and_spectrum_draw_what_they_are_given() -> None:
    keys = pd.MultiIndex.from_tuples(
        [(8, "PQ", 1), (8, "PQ", 4), (24, "RaBitQ", 1)], names=["bytes", "codec", "nprobe"]
    )
    table = pd.DataFrame({"recall": [50.0, 70.0, 60.0], "per_second": [900.0, 300.0, 500.0]}, index=keys)
    ax = charts.compression.speed(plt.subplots()[1], table)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert drawn == {"PQ, 8 bytes": [[900, 50], [300, 70]], "RaBitQ, 24 bytes": [[500, 60]]}
    ax = charts.compression.spectrum(plt.subplots()[1], {"a": [60.0, 100.0]})
    assert ax.lines[0].get_xydata().tolist() == [[1, 60], [2, 100]]


def test_training_curves_draw_one_size_of_code() -> None:
    keys = [("L0", 500, 8), ("L0", 1000, 8), ("G.T.", 500, 8), ("L0", 500, 16)]
    index = pd.MultiIndex.from_tuples(keys, names=["training_feature", "vectors", "m"])
    table = pd.DataFrame({"mAP": [30.0, 31.0, 40.0, 99.0], "low": 20.0, "high": 50.0, "seeds": 2}, index=index)
    ax = charts.compression.training_curves(plt.subplots()[1], table, 8)
    lines = {container.get_label(): container[0].get_ydata().tolist() for container in ax.containers}
    assert lines == {"L0": [30, 31], "G.T.": [40]}


def test_error_bars_stand_in_groups() -> None:
    index = pd.MultiIndex.from_product([["L0", "G.T."], list(charts.compression.GROUPS)])
    table = pd.DataFrame({"error": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}, index=index)
    ax = charts.compression.error_bars(plt.subplots()[1], table, "error")
    bars = {bars.get_label(): [bar.get_height() for bar in bars] for bars in ax.containers}
    assert bars == {"on an instance": [1, 4], "winning": [2, 5], "background": [3, 6]}
    assert charts.compression.error_bars(plt.subplots()[1], table[:0], "error").texts[0].get_text() == "no boxes"


def test_region_sheet_cuts_regions_out_of_their_images(tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path, n_images=2, sizes=[(40, 32)])
    boxes = [[0, 0, 10, 10], [20, 5, 40, 32], [4, 4, 24, 30]]
    features = feature_set(np.eye(3), [1, 2], np.eye(3)[:1], boxes)
    axes = plt.subplots(1, 3)[1]
    charts.compression.region_sheet(axes, data, features, "crops, all of them")
    cuts = [images.read(data.image_path(i)).crop(box).resize((96, 96)) for i, box in zip((0, 1, 1), boxes, strict=True)]
    shown = [np.asarray(ax.images[0].get_array()).tobytes() for ax in axes]
    assert sorted(shown) == sorted(np.asarray(cut).tobytes() for cut in cuts)
    assert axes[0].get_ylabel() == "crops,\nall of them"


def test_retrieved_images_follow_their_query(tmp_path: Path) -> None:
    data = benchmark_on_disk(tmp_path)
    features = feature_set(np.eye(6), [1] * 6, np.eye(6)[:2])
    axes = plt.subplots(1, 3)[1]
    ranking = search.rank(features.query_descriptors, features, 2)
    charts.compression.retrieved(axes, data, features, ranking, 1, "G.T.")
    assert axes[0].get_ylabel() == "G.T."
    for ax, path in zip(axes, (data.query_path(1), data.image_path(1), data.image_path(0)), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), np.asarray(images.read(path)))


def test_levels_have_a_curve_for_each_kind() -> None:
    table = pd.DataFrame({"mean": [1.0, 2.0], "low": 0.0, "high": 3.0}, index=["L0", "L3"])
    ax = charts.compression.levels(plt.subplots()[1], {"exact": table + 1, "PQ": table})
    assert {line.get_label(): line.get_ydata().tolist() for line in ax.lines} == {"exact": [2, 3], "PQ": [1, 2]}
