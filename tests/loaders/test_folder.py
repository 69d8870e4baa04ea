"""A person's own folder: naming, boxes, and a clear word for every mistake."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from patchlib.benchmarks import load
from patchlib.benchmarks.folder import instance_of
from patchlib.images import ImageError

NAN = [np.nan] * 4


def photo(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 30, 30)).save(path)


@pytest.fixture
def root(tmp_path):
    for name in ("queries/mug.jpg", "queries/lamp__front.png", "queries/lamp__side.jpg"):
        photo(tmp_path / name)
    for name in ("mug/IMG_1.jpg", "mug/deep/IMG_2.jpg", "lamp__desk.jpg", "holiday_17.jpg"):
        photo(tmp_path / "database" / name)
    return tmp_path


def pairs(benchmark):
    return sorted(set(zip(benchmark.positives["query_id"], benchmark.positives["image_id"], strict=True)))


@pytest.mark.parametrize(
    ("path", "instance"),
    [
        ("mug.jpg", "mug"),
        ("lamp__front.jpg", "lamp"),
        ("mug/a__b.jpg", "mug"),
        ("a/b/c.jpg", "a"),
        ("x.tar.jpg", "x.tar"),
    ],
)
def test_instance_of(path, instance):
    assert instance_of(path) == instance


def test_names_say_what_belongs_together(root):
    benchmark = load("folder", root)
    assert benchmark.images["image_id"].tolist() == [
        "holiday_17.jpg",
        "lamp__desk.jpg",
        "mug/IMG_1.jpg",
        "mug/deep/IMG_2.jpg",
    ]
    assert benchmark.queries["query_id"].tolist() == ["lamp__front.png", "lamp__side.jpg", "mug.jpg"]
    assert benchmark.queries["instance"].tolist() == ["lamp", "lamp", "mug"]
    assert pairs(benchmark) == [
        ("lamp__front.png", "lamp__desk.jpg"),
        ("lamp__side.jpg", "lamp__desk.jpg"),
        ("mug.jpg", "mug/IMG_1.jpg"),
        ("mug.jpg", "mug/deep/IMG_2.jpg"),
    ]
    assert not benchmark.has_boxes
    assert benchmark.query_box(0) is None
    assert benchmark.images[["width", "height"]].to_numpy().tolist() == [[40, 30]] * 4
    assert benchmark.summary()["images that are no query's positive"] == 1


def test_boxes(root):
    (root / "boxes.csv").write_text(
        "image,x0,y0,x1,y1\n"
        "database/mug/IMG_1.jpg,1,2,11,12\n"
        "./database/mug/IMG_1.jpg, 20, 2, 30, 12.5\n"
        "database\\lamp__desk.jpg,0,0,40,30\n"
        "queries/mug.jpg,5,5,15,25\n",
        encoding="utf-8-sig",  # as Excel saves it
    )
    benchmark = load("folder", root)
    mug = benchmark.positives[benchmark.positives["query_id"] == "mug.jpg"]
    assert mug["image_id"].tolist() == ["mug/IMG_1.jpg", "mug/IMG_1.jpg", "mug/deep/IMG_2.jpg"]
    np.testing.assert_array_equal(mug[["x0", "y0", "x1", "y1"]], [[1, 2, 11, 12], [20, 2, 30, 12.5], NAN])
    assert benchmark.query_box(2).tolist() == [5, 5, 15, 25]
    assert benchmark.query_box(0) is None
    # pairs: mug 2 (one boxed), lamp 2 (both boxed, the box counts for both queries)
    assert benchmark.meta["found"]["positives with a box"] == 1 + 2
    assert benchmark.meta["found"]["positives without a box"] == 1


def test_an_image_of_two_instances(root):
    (root / "positives.csv").write_text(
        "query,image\nqueries/mug.jpg,database/lamp__desk.jpg\nqueries/lamp__front.png,database/lamp__desk.jpg\n"
    )
    (root / "boxes.csv").write_text(
        "image,x0,y0,x1,y1,instance\ndatabase/lamp__desk.jpg,0,0,5,5,mug\ndatabase/lamp__desk.jpg,10,10,20,20,lamp\n"
    )
    benchmark = load("folder", root)
    assert pairs(benchmark) == [("lamp__front.png", "lamp__desk.jpg"), ("mug.jpg", "lamp__desk.jpg")]
    by_query = benchmark.positives.set_index("query_id")[["x0", "y0", "x1", "y1"]]
    assert by_query.loc["mug.jpg"].tolist() == [0, 0, 5, 5]
    assert by_query.loc["lamp__front.png"].tolist() == [10, 10, 20, 20]


def test_boxes_are_those_of_the_upright_photograph(root):
    path = root / "database/mug/IMG_1.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: stored 40 x 30, upright 30 x 40
    Image.new("RGB", (40, 30)).save(path, exif=exif)
    (root / "boxes.csv").write_text("image,x0,y0,x1,y1\ndatabase/mug/IMG_1.jpg,0,0,30,40\n")
    benchmark = load("folder", root)
    image = benchmark.images.set_index("image_id").loc["mug/IMG_1.jpg"]
    assert (image["width"], image["height"]) == (30, 40)


def test_boxes_beyond_the_photograph_are_clipped_with_a_warning(root):
    (root / "boxes.csv").write_text(
        "image,x0,y0,x1,y1\ndatabase/mug/IMG_1.jpg,-5,10,50,40\nqueries/mug.jpg,5,5,99,25\n"
    )
    with pytest.warns(UserWarning, match="clipped"):
        benchmark = load("folder", root)
    assert benchmark.positives.dropna()[["x0", "y0", "x1", "y1"]].to_numpy().tolist() == [[0, 10, 40, 30]]
    assert benchmark.query_box(2).tolist() == [5, 5, 40, 25]


BOX_MISTAKES = [
    ("image,x0,y0,x1\ndatabase/mug/IMG_1.jpg,1,2,3\n", r"lacks the column\(s\) y1.*expected 'image,x0,y0,x1,y1'"),
    ("image;x0;y0;x1;y1\na;1;2;3;4\n", "separated by commas"),
    (
        "image,x0,y0,x1,y1\nmug/IMG_1.jpg,1,2,3,4\n",
        "line 2: there is no photograph .*did you mean database/mug/IMG_1.jpg",
    ),
    ("image,x0,y0,x1,y1\ndatabase/mug/IMG_1.jpg,1,two,3,4\n", "line 2: y0 is 'two', expected a number"),
    ("image,x0,y0,x1,y1\ndatabase/mug/IMG_1.jpg,1,2,,4\n", "line 2: x1 is nan, expected a number"),
    ("image,x0,y0,x1,y1\ndatabase/mug/IMG_1.jpg,30,2,10,4\n", "inverted"),
    ("image,x0,y0,x1,y1\nqueries/mug.jpg,30,2,10,4\n", "inverted"),
    ("image,x0,y0,x1,y1\ndatabase/mug/IMG_1.jpg,100,2,110,4\n", "wholly outside"),
    ("image,x0,y0,x1,y1\nqueries/mug.jpg,100,2,110,4\n", "wholly outside"),
    ("image,x0,y0,x1,y1\nqueries/mug.jpg,1,1,9,9\nqueries/mug.jpg,2,2,9,9\n", "several boxes for queries/mug.jpg"),
    ("image,x0,y0,x1,y1,instance\ndatabase/mug/IMG_1.jpg,1,1,9,9,mugg\n", "no instance 'mugg'; did you mean mug"),
]


@pytest.mark.parametrize(("text", "message"), BOX_MISTAKES)
def test_mistakes_in_boxes(root, text, message):
    (root / "boxes.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        load("folder", root)


def test_mistakes_in_positives(root):
    (root / "positives.csv").write_text("query,image\nqueries/mug.jpg,database/nug/IMG_1.jpg\n")
    with pytest.raises(ValueError, match="positives.csv, line 2: there is no photograph .*did you mean"):
        load("folder", root)


def test_mistakes_in_the_folder(tmp_path, root):
    with pytest.raises(ValueError, match="needs root="):
        load("folder")
    with pytest.raises(FileNotFoundError, match="nowhere/queries is not a folder; expected queries/ and database/"):
        load("folder", tmp_path / "nowhere")
    photo(tmp_path / "b/queries/a.jpg")
    with pytest.raises(FileNotFoundError, match="b/database is not a folder"):
        load("folder", tmp_path / "b")
    (tmp_path / "b/database").mkdir()
    (tmp_path / "b/database/notes.txt").write_text("-")
    with pytest.raises(ValueError, match=r"holds no photograph \(1 other file"):
        load("folder", tmp_path / "b")
    photo(tmp_path / "b/database/x.jpg")
    with pytest.raises(ValueError, match="queries are of the instances a, the images of x"):
        load("folder", tmp_path / "b")


def test_unreadable_photographs(root):
    (root / "database/mug/IMG_1.jpg").write_bytes(b"no image")
    (root / "queries/lamp__side.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"(?s)2 image\(s\) of folder.*mug/IMG_1.jpg.*lamp__side.jpg.*--skip-bad"):
        load("folder", root)
    benchmark = load("folder", root, skip_bad=True)
    assert benchmark.meta["skipped"] == ["database/mug/IMG_1.jpg", "queries/lamp__side.jpg"]
    assert pairs(benchmark) == [("lamp__front.png", "lamp__desk.jpg"), ("mug.jpg", "mug/deep/IMG_2.jpg")]


def test_hidden_files_are_left_alone(root):
    (root / "database/.DS_Store").write_bytes(b"-")
    photo(root / "database/.thumbnails/mug.jpg")
    photo(root / "database/upper.JPG")
    assert "upper.JPG" in load("folder", root).images["image_id"].tolist()
    assert len(load("folder", root).images) == 5
