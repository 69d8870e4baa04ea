"""The Grocery Store Dataset in its published layout, whole and in part."""

import csv

import numpy as np
import pandas as pd
import pytest
from layouts import picture

from patchlib.benchmarks import load
from patchlib.benchmarks.grocery import DRAWN_BOXES

CLASSES = """Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),Iconic Image Path (str),Text
Pear,0,Fruit,0,/iconic-images-and-descriptions/Fruit/Pear/Pear_Iconic.jpg,/x.txt
Milk-A,1,Milk,1,/iconic-images-and-descriptions/Packages/Milk/Milk-A/Milk-A_Iconic.jpg,/x.txt
Milk-B,2,Milk,1,/iconic-images-and-descriptions/Packages/Milk/Milk-B/Milk-B_Iconic.jpg,/x.txt
"""
TRAIN = ["train/Fruit/Pear/Pear_001.jpg, 0, 0", "train/Packages/Milk/Milk-A/Milk-A_001.jpg, 1, 1"]
TEST = ["test/Packages/Milk/Milk-A/Milk-A_001.jpg, 1, 1", "test/Packages/Milk/Milk-B/Milk-B_001.jpg, 2, 1"]
FIRST = "train/Packages/Juice/Bravo-Apple-Juice/Bravo-Apple-Juice_001.jpg"  # one with a box: 130 112 179 146 as x y w h


def make(base, **lists):
    base.mkdir(parents=True)
    (base / "classes.csv").write_text(CLASSES)
    for row in CLASSES.splitlines()[1:]:
        picture(base / row.split(",")[4].lstrip("/"))
    for name, rows in lists.items():
        (base / f"{name}.txt").write_text("\n".join(rows) + "\n")
        for row in rows:
            picture(base / row.split(",")[0])
    return base


@pytest.mark.parametrize("below", ["", "dataset", "GroceryStoreDataset-master/dataset"])
def test_where_the_archive_was_unpacked(tmp_path, below):
    make(tmp_path / "g" / below, train=TRAIN)
    assert len(load("grocery", tmp_path / "g").images) == 1


def test_packages_and_all(tmp_path):
    make(tmp_path / "g", train=TRAIN, test=TEST)
    packages = load("grocery", tmp_path / "g")
    assert packages.queries[["query_id", "instance"]].to_numpy().tolist() == [["Milk-A"] * 2, ["Milk-B"] * 2]
    assert packages.queries["path"][0].endswith("Packages/Milk/Milk-A/Milk-A_Iconic.jpg")
    rows = [row.split(",")[0] for row in (TRAIN[1], *TEST)]
    assert packages.images["image_id"].tolist() == rows
    assert packages.positives["query_id"].tolist() == ["Milk-A", "Milk-A", "Milk-B"]
    assert packages.positives["image_id"].tolist() == rows
    assert packages.query_box(0) is None
    everything = load("grocery", tmp_path / "g", classes="all")
    assert everything.queries["query_id"].tolist() == ["Pear", "Milk-A", "Milk-B"]
    assert len(everything.images) == 4
    assert everything.meta["found"]["splits"] == {"train": 2, "test": 2}
    assert everything.meta["counts"]["images"] == 2640 + 2485


def test_one_split(tmp_path):
    make(tmp_path / "g", train=TRAIN, test=TEST)
    assert len(load("grocery", tmp_path / "g", split="test").images) == 2
    train = load("grocery", tmp_path / "g", split="train")
    assert train.queries["query_id"].tolist() == ["Milk-A"]
    assert train.meta["found"]["classes without a photograph"] == 1
    with pytest.raises(FileNotFoundError, match="val.txt is not there; splits there: train, test"):
        load("grocery", tmp_path / "g", split="val")


def test_boxes_are_ours_and_only_for_the_photographs_they_were_drawn_on(tmp_path):
    rows = [f"{FIRST}, 1, 1", f"{FIRST.replace('_001', '_002')}, 1, 1", TRAIN[1]]
    base = make(tmp_path / "g", train=rows)
    picture(base / FIRST, (348, 348))
    # _002 has a box too, but this is not the published photograph: it has another size
    benchmark = load("grocery", tmp_path / "g")
    boxes = benchmark.positives[["x0", "y0", "x1", "y1"]].to_numpy()
    np.testing.assert_array_equal(boxes, [[130, 112, 130 + 179, 112 + 146], [np.nan] * 4, [np.nan] * 4])
    found = benchmark.meta["found"]
    assert (found["positives with a box"], found["positives without a box"], found["boxes"]) == (1, 2, 1)


def test_the_boxes_that_are_shipped():
    boxes = pd.read_csv(DRAWN_BOXES)
    assert (len(boxes), boxes["image"].nunique()) == (359, 310)
    assert boxes["image"].str.rsplit("/", n=1).str[0].nunique() == 31
    assert boxes.eval("0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height").all()


def test_they_are_those_that_were_drawn(shared):
    with open(shared / "data" / "grocery_boxes_train.csv", newline="") as file:
        drawn = list(csv.DictReader(file))
    boxes = pd.read_csv(DRAWN_BOXES)
    assert boxes["image"].tolist() == [row["image"] for row in drawn]
    for column, low, extent in (("x1", "x", "width"), ("y1", "y", "height")):
        assert boxes[column].tolist() == [int(row[low]) + int(row[extent]) for row in drawn]


def test_the_sample(shared, tmp_path):
    from patchlib.download import manifest, store

    archive = shared / "data" / "grocery_sample.zip"
    entry = manifest.load()["grocery"]
    store.get(entry, tmp_path, store.FetchOptions(source=str(archive)))
    benchmark = load("grocery", tmp_path / "grocery")
    summary = benchmark.summary()
    assert (summary["images"], summary["queries"], summary["positives"]) == (864, 31, 864)
    assert (summary["positives with a box"], summary["boxes"]) == (310, 359)
    assert benchmark.meta["found"]["positives without a box"] == 864 - 310
    assert store.verify(entry, tmp_path) == {}


MISTAKES = [
    (TRAIN, {"classes": "fruit"}, "classes is 'fruit', expected 'packages' or 'all'"),
    (TRAIN, {"split": "dev"}, "split is 'dev'"),
    (["a.jpg, 1"], {}, "train.txt, line 1: got 'a.jpg, 1', expected 'path, fine label, coarse label'"),
    (["train/Packages/a.jpg, 9, 1"], {}, "has no class 9, the label of train/Packages/a.jpg"),
    (TRAIN[:1], {}, "no photograph of a package in train"),
]


@pytest.mark.parametrize(("rows", "options", "message"), MISTAKES)
def test_damaged_lists_and_unknown_options(tmp_path, rows, options, message):
    make(tmp_path / "g", train=rows)
    with pytest.raises(ValueError, match=message):
        load("grocery", tmp_path / "g", **options)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="data get grocery"):
        load("grocery", tmp_path)
    base = make(tmp_path / "g", train=TRAIN)
    (base / TRAIN[1].split(",")[0]).unlink()
    with pytest.raises(FileNotFoundError, match="1 of 1 images .*Milk-A_001.jpg"):
        load("grocery", tmp_path / "g")
    (base / "classes.csv").write_text("nonsense\n1\n")
    with pytest.raises(ValueError, match="classes.csv is not the published table"):
        load("grocery", tmp_path / "g")
