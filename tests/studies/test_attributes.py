"""Bins of size and place, what a bin measures, the ceiling of a grid; an effect that is planted must show."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import benchmark_of, encoder_of, feature_set
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from patchlib import features, metrics, regions, search, studies
from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.studies import attributes


def ranked(*orders: list[int]) -> features.FeatureSet:
    """Features of whole images of 100 x 100 pixels that rank the images as told, one order a query."""
    queries, images = np.eye(len(orders)), np.stack([-np.argsort(order) for order in orders], axis=1)
    return feature_set(images, [1] * len(images), queries, np.tile([0, 0, 100, 100], (len(images), 1)))


def test_edges_by_count_and_by_width() -> None:
    values = [0, 1, 2, 3, 100]
    assert attributes.edges(values, 2, "count").tolist() == [0, 2, 100]
    assert attributes.edges(values, 2, "width").tolist() == [0, 50, 100]
    assert np.isnan(attributes.edges([], 2)).all()
    with pytest.raises(ValueError, match="way to bin 'size'"):
        attributes.edges(values, 2, "size")
    with pytest.raises(ValueError, match="0 bins"):
        attributes.edges(values, 0)


@given(st.lists(st.integers(1, 90), min_size=5, max_size=40, unique=True), st.integers(1, 5))
def test_each_positive_is_in_one_bin_and_bins_of_equal_count_are_equal(sides: list[int], count: int) -> None:
    data = benchmark_of(len(sides), 1, [(0, i, (0, 0, side, side)) for i, side in enumerate(sides)])
    groups = attributes.bins(data, "area", count)
    assert sum(groups.sizes) == len(sides) == len(groups.members)
    assert max(groups.sizes) - min(groups.sizes) <= 1
    # bins ascend with the value
    low, high = (groups.members.groupby("bin")["value"].agg(f) for f in ("min", "max"))
    assert (high.to_numpy()[:-1] <= low.to_numpy()[1:]).all()


def test_of_several_boxes_the_largest_decides_and_boxless_positives_are_in_no_bin() -> None:
    data = benchmark_of(3, 1, [(0, 0, (0, 0, 10, 10)), (0, 0, (40, 40, 60, 60)), (0, 1, (0, 0, 50, 50)), (0, 2, None)])
    groups = attributes.bins(data, "area", 2)
    assert groups.members["value"].tolist() == pytest.approx([20 * 20 / 100**2, 50 * 50 / 100**2])
    assert groups.members["bin"].tolist() == [0, 1]
    assert groups.labels == ("4–25", "25–25")  # % of the image; a bin begins with its smallest value
    centre = attributes.bins(data, "distance", 2).members.set_index("image_id")["value"]
    assert centre["i0"] == 0  # (40, 40, 60, 60) lies in the centre
    assert centre["i1"] == pytest.approx(25 / 50)  # (25, 25) against (50, 50)


def test_without_boxes_the_bins_are_empty_and_nothing_fails() -> None:
    data, images = benchmark_of(3, 1, [(0, 1, None)]), ranked([0, 1, 2])
    groups = attributes.bins(data, "distance", 3)
    assert groups.sizes == [0, 0, 0] and set(groups.labels) == {"no boxes"}
    binned = attributes.evaluate({"global": images, "Patchify": images}, data, {"distance": groups})
    table = attributes.compare({("cnn", "distance"): binned["distance"]}, "encoder", 100)
    assert table["n"].tolist() == [0] * 18 and table["mean"].isna().all()
    assert attributes.reachable(data, images).empty
    assert attributes.median_positive(data) == (0, 1)
    with pytest.raises(ValueError, match="attribute 'size'"):
        attributes.bins(data, "size")


def test_positives_outside_the_bin_are_neither_positives_nor_negatives() -> None:
    data = benchmark_of(5, 1, [(0, i, (0, 0, 10, 10)) for i in (0, 1, 2)])
    images = ranked([2, 0, 3, 1, 4])
    ranking = search.rank(images.query_descriptors, images)
    kept = pd.DataFrame({"query_id": ["q0", "q0"], "image_id": ["i0", "i1"]})
    rest, smaller = attributes.restrict(ranking, data, kept)
    assert rest.images[0].tolist() == [0, 3, 1, 4, 2] and rest.regions[0].tolist() == [0, 3, 1, 4, -1]
    assert rest.scores[0, -1] == -np.inf and rest.scores.dtype == np.float32
    ap = metrics.evaluate(rest, smaller, images)["ap"]
    # ranks 1 and 3 of what is left; as a negative, 2 would have pushed them to 2 and 4
    assert ap.tolist() == pytest.approx([(1 / 1 + 2 / 3) / 2])
    assert ranking.images[0].tolist() == [2, 0, 3, 1, 4] and len(data.positives) == 3  # arguments stay


def test_a_bin_measures_its_own_positives_and_its_own_queries() -> None:
    data = benchmark_of(4, 2, [(0, 0, (0, 0, 10, 10)), (0, 1, (0, 0, 90, 90)), (1, 2, (0, 0, 20, 20))])
    series = {"area": attributes.bins(data, "area", 2, "width")}
    images = ranked([1, 3, 0, 2], [3, 2, 0, 1])
    table = attributes.evaluate({"global": images}, data, series)["area"].tables["global"]
    assert table[["bin", "query_id"]].to_numpy().tolist() == [[0, "q0"], [0, "q1"], [1, "q0"]]
    # small bin of q0: image 1 is removed, so image 0 is second; large bin: image 1 is first
    assert table["ap"].tolist() == [1 / 2, 1 / 2, 1]
    assert table["loc_score"].tolist() == pytest.approx([1 / 2 * 0.01, 1 / 2 * 0.04, 0.81])


def test_what_a_bin_takes_out_makes_room_within_the_first_k() -> None:
    data = benchmark_of(3, 1, [(0, 0, (0, 0, 90, 90)), (0, 1, (0, 0, 10, 10))])
    series = {"area": attributes.bins(data, "area", 2)}
    table = attributes.evaluate({"global": ranked([0, 1, 2])}, data, series, k=1)["area"].tables["global"]
    # image 0 is no negative of the small bin, so image 1 is its first image
    assert table["ap"].tolist() == [1, 1]


def test_an_attribute_of_all_images_has_every_positive_in_every_bin() -> None:
    data = benchmark_of(3, 1, [(0, 0, None), (0, 1, (0, 0, 9, 9)), (0, 1, (20, 20, 40, 40))])
    scores = {
        label: {"global": pd.DataFrame({"query_id": ["q0"], "ap": [ap]})} for label, ap in (("dark", 0.2), ("1", 0.6))
    }
    groups, tables = attributes.changed(data, scores)
    assert groups.labels == ("dark", "1") and groups.sizes == [2, 2]
    assert [attributes.at(tables["global"], number).tolist() for number in (0, 1)] == [[20], [60]]


def test_means_and_gain_by_hand() -> None:
    first = pd.DataFrame({"bin": [0, 0, 1], "query_id": ["a", "b", "a"], "ap": [0.1, 0.3, 0.5], "loc_score": np.nan})
    second = first.assign(ap=[0.2, 0.8, 0.4])
    groups = attributes.Bins(("x", "y", "z"), pd.DataFrame({"bin": [0, 0, 0, 1]}))
    binned = attributes.Binned(groups, {"global": first, "Patchify": second})
    table = attributes.compare({("cnn", "area"): binned}, "encoder", 200).loc[[("cnn", "area", "mAP (%)")]]
    assert table["method"].tolist() == ["global", "Patchify", "gain"] * 3
    assert table["positives"].tolist() == [3, 3, 3, 1, 1, 1, 0, 0, 0] and table["bin"].tolist()[::3] == ["x", "y", "z"]
    assert table["mean"].tolist()[:6] == pytest.approx([20, 50, (10 + 50) / 2, 50, 40, -10])
    assert table["n"].tolist() == [2, 2, 2, 1, 1, 1, 0, 0, 0]
    assert table[["low", "high"]].iloc[2].tolist() == pytest.approx([10, 50])


def test_the_ceiling_is_the_best_iou_of_any_region() -> None:
    data = benchmark_of(2, 1, [(0, 0, (0, 0, 50, 50)), (0, 1, (0, 0, 10, 10)), (0, 1, (50, 50, 100, 80))])
    boxes, offsets = regions.of_benchmark(data, "L1")
    table = attributes.reachable(
        data, features.FeatureSet(np.ones((10, 2)), boxes, offsets, np.ones((1, 2), np.float32))
    )
    # the first box is a patch of the 2x2 grid; of the second image the larger box counts 30 of 50 rows of a patch
    assert table["reachable"].tolist() == pytest.approx([1.0, 50 * 30 / 50**2])
    assert table["area"].tolist() == pytest.approx([0.25, 50 * 30 / 100**2])


def _coloured_squares(folder: Path, colours: int = 12) -> Benchmark:
    """Squares of 20 pixels on grey, each colour at five distances from the centre of 100 x 100 pixels; equal size."""
    rng = np.random.default_rng(0)
    hues = rng.permutation(np.linspace(0, 255, colours, endpoint=False)).astype(int)
    images, positives = [], []
    for i, hue in enumerate(hues):
        colour = Image.new("HSV", (1, 1), (int(hue), 255, 230)).convert("RGB").getpixel((0, 0))
        Image.new("RGB", (20, 20), colour).save(folder / f"q{i}.png")
        for level, (dx, dy) in enumerate([(0, 0), (13, 9), (20, 18), (30, 24), (39, 39)]):
            x, y = (40 + int(rng.choice([-1, 1])) * d for d in (dx, dy))
            image = Image.new("RGB", (100, 100), (120, 120, 120))
            image.paste(colour, (x, y, x + 20, y + 20))
            image.save(folder / f"i{i}-{level}.png")
            images.append((f"i{i}-{level}", f"i{i}-{level}.png", 100, 100))
            positives.append((f"q{i}", f"i{i}-{level}", x, y, x + 20, y + 20))
    queries = pd.DataFrame({"query_id": [f"q{i}" for i in range(colours)]})
    queries = queries.assign(
        path=queries["query_id"] + ".png", instance=queries["query_id"], **dict.fromkeys(BOX, np.nan)
    )
    tables = pd.DataFrame(images, columns=["image_id", "path", "width", "height"])
    return Benchmark(
        "squares", folder, tables, queries, pd.DataFrame(positives, columns=["query_id", "image_id", *BOX])
    )


def _centre_only(crops: np.ndarray) -> np.ndarray:
    """Colour of the middle fifth of a crop, against grey: an encoder that is blind to everything else."""
    side = crops.shape[1]
    low, high = side * 2 // 5, side * 3 // 5
    colour = crops[:, low:high, low:high].astype(np.float64).mean(axis=(1, 2)) - 120
    colour = np.concatenate([colour, np.full((len(colour), 1), 1.0)], axis=1)
    return (colour / np.linalg.norm(colour, axis=1, keepdims=True)).astype(np.float32)


def test_an_encoder_that_only_sees_the_centre_shows(tmp_path: Path) -> None:
    data = _coloured_squares(tmp_path)
    patches = features.extract(data, "L3", encoder_of(_centre_only, 4, 20), tmp_path / "out", workers=1)
    series = {"distance": attributes.bins(data, "distance", 5)}
    groups, tables = attributes.evaluate({"global": patches.at_level(0), "Patchify": patches}, data, series)["distance"]
    near, far = (attributes.at(tables["global"], n).mean() for n in (0, len(groups.labels) - 1))
    assert near == 100 and far < 30  # by chance: the expected AP of one positive among dozens of images
    claims = studies.claims_by_bin("stub", "distance", tables, groups)
    assert studies.verdicts(claims, 200)["holds"].tolist() == ["yes"]
    # size is the same everywhere: no bin of it can tell the methods' places apart
    assert np.ptp(attributes.attributes(data)["area"]) == 0
