"""A person's own folder: naming, boxes, and a clear word for every mistake."""

import numpy as np
import pytest
from layouts import picture
from PIL import Image

from patchlib.benchmarks import load
from patchlib.benchmarks.folder import instance_of
from patchlib.images import ImageError

BOXES = "image,x0,y0,x1,y1"


def write(table, *lines, **how):
    table.write_text("".join(f"{line}\n" for line in lines), **how)


@pytest.fixture
def root(tmp_path):
    for name in ("queries/mug.jpg", "queries/lamp__front.png", "queries/lamp__side.jpg"):
        picture(tmp_path / name)
    for name in ("mug/IMG_1.jpg", "mug/deep/IMG_2.jpg", "lamp__desk.jpg", "holiday_17.jpg"):
        picture(tmp_path / "database" / name)
    return tmp_path


def pairs(benchmark):
    return sorted(set(zip(benchmark.positives["query_id"], benchmark.positives["image_id"], strict=True)))


def test_instance_of():
    instances = {"mug.jpg": "mug", "lamp__front.jpg": "lamp", "mug/a__b.jpg": "mug", "a/b/c.jpg": "a"}
    assert {path: instance_of(path) for path in instances} == instances
    assert instance_of("x.tar.jpg") == "x.tar"


def test_names_say_what_belongs_together(root):
    benchmark = load("folder", root)
    images = ["holiday_17.jpg", "lamp__desk.jpg", "mug/IMG_1.jpg", "mug/deep/IMG_2.jpg"]
    assert benchmark.images["image_id"].tolist() == images
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
    write(
        root / "boxes.csv",
        BOXES,
        "database/mug/IMG_1.jpg,1,2,11,12",
        "./database/mug/IMG_1.jpg, 20, 2, 30, 12.5",
        "database\\lamp__desk.jpg,0,0,40,30",
        "queries/mug.jpg,5,5,15,25",
        encoding="utf-8-sig",  # as Excel saves it
    )
    benchmark = load("folder", root)
    mug = benchmark.positives[benchmark.positives["query_id"] == "mug.jpg"]
    assert mug["image_id"].tolist() == ["mug/IMG_1.jpg", "mug/IMG_1.jpg", "mug/deep/IMG_2.jpg"]
    np.testing.assert_array_equal(mug[["x0", "y0", "x1", "y1"]], [[1, 2, 11, 12], [20, 2, 30, 12.5], [np.nan] * 4])
    assert benchmark.query_box(2).tolist() == [5, 5, 15, 25]
    assert benchmark.query_box(0) is None
    # pairs: mug 2 (one boxed), lamp 2 (both boxed, the box counts for both queries)
    assert benchmark.meta["found"]["positives with a box"] == 1 + 2
    assert benchmark.meta["found"]["positives without a box"] == 1


def test_an_image_of_two_instances(root):
    desk = "database/lamp__desk.jpg"
    write(root / "positives.csv", "query,image", f"queries/mug.jpg,{desk}", f"queries/lamp__front.png,{desk}")
    write(root / "boxes.csv", f"{BOXES},instance", f"{desk},0,0,5,5,mug", f"{desk},10,10,20,20,lamp")
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
    write(root / "boxes.csv", BOXES, "database/mug/IMG_1.jpg,0,0,30,40")
    images = load("folder", root).images.set_index("image_id")
    assert images.loc["mug/IMG_1.jpg", ["width", "height"]].tolist() == [30, 40]


def test_boxes_beyond_the_photograph_are_clipped_with_a_warning(root):
    write(root / "boxes.csv", BOXES, "database/mug/IMG_1.jpg,-5,10,50,40", "queries/mug.jpg,5,5,99,25")
    with pytest.warns(UserWarning, match="clipped"):
        benchmark = load("folder", root)
    assert benchmark.positives.dropna()[["x0", "y0", "x1", "y1"]].to_numpy().tolist() == [[0, 10, 40, 30]]
    assert benchmark.query_box(2).tolist() == [5, 5, 40, 25]


MUG = "database/mug/IMG_1.jpg"
MISTAKES = [
    ("boxes", "image,x0,y0,x1", [f"{MUG},1,2,3"], r"lacks y1.*expected 'image,x0,y0,x1,y1'"),
    ("boxes", "image;x0;y0;x1;y1", ["a;1;2;3;4"], "separated by commas"),
    ("boxes", BOXES, ["mug/IMG_1.jpg,1,2,3,4"], f"boxes.csv, line 2: there is no photograph .*did you mean {MUG}"),
    ("boxes", BOXES, [f"{MUG},1,two,3,4"], "line 2: y0 is 'two', expected a number"),
    ("boxes", BOXES, [f"{MUG},1,2,,4"], "line 2: x1 is nan, expected a number"),
    ("boxes", BOXES, [f"{MUG},30,2,10,4"], "inverted"),
    ("boxes", BOXES, ["queries/mug.jpg,30,2,10,4"], "inverted"),
    ("boxes", BOXES, [f"{MUG},100,2,110,4"], "wholly outside"),
    ("boxes", BOXES, ["queries/mug.jpg,100,2,110,4"], "wholly outside"),
    ("boxes", BOXES, ["queries/mug.jpg,1,1,9,9", "queries/mug.jpg,2,2,9,9"], "several boxes for queries/mug.jpg"),
    ("boxes", f"{BOXES},instance", [f"{MUG},1,1,9,9,mugg"], "no instance 'mugg'; did you mean mug"),
    ("positives", "query,image", ["queries/mug.jpg,database/nug/IMG_1.jpg"], "positives.csv, line 2: .*did you mean"),
]


@pytest.mark.parametrize(("table", "columns", "rows", "message"), MISTAKES)
def test_mistakes_in_tables(root, table, columns, rows, message):
    write(root / f"{table}.csv", columns, *rows)
    with pytest.raises(ValueError, match=message):
        load("folder", root)


def test_mistakes_in_the_folder(tmp_path, root):
    with pytest.raises(ValueError, match="needs root="):
        load("folder")
    with pytest.raises(FileNotFoundError, match="nowhere/queries is not a folder; expected queries/ and database/"):
        load("folder", tmp_path / "nowhere")
    picture(tmp_path / "b/queries/a.jpg")
    with pytest.raises(FileNotFoundError, match="b/database is not a folder"):
        load("folder", tmp_path / "b")
    (tmp_path / "b/database").mkdir()
    (tmp_path / "b/database/notes.txt").write_text("-")
    with pytest.raises(ValueError, match=r"holds no photograph \(1 other file"):
        load("folder", tmp_path / "b")
    picture(tmp_path / "b/database/x.jpg")
    with pytest.raises(ValueError, match="queries are of the instances a, the images of x"):
        load("folder", tmp_path / "b")


def test_unreadable_photographs(root):
    (root / "database/mug/IMG_1.jpg").write_bytes(b"no image")
    (root / "queries/lamp__side.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"(?s)2 images of folder.*mug/IMG_1.jpg.*lamp__side.jpg.*--skip-bad"):
        load("folder", root)
    benchmark = load("folder", root, skip_bad=True)
    assert benchmark.meta["skipped"] == ["database/mug/IMG_1.jpg", "queries/lamp__side.jpg"]
    assert pairs(benchmark) == [("lamp__front.png", "lamp__desk.jpg"), ("mug.jpg", "mug/deep/IMG_2.jpg")]


def test_hidden_files_are_left_alone(root):
    (root / "database/.DS_Store").write_bytes(b"-")
    picture(root / "database/.thumbnails/mug.jpg")
    picture(root / "database/upper.JPG")
    images = load("folder", root).images["image_id"].tolist()
    assert "upper.JPG" in images and len(images) == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "boxes.csv lacks image, x0"),
        (f"{BOXES}\n\n{MUG},1,2,3\n".encode(), "line 3: y1 is nan, expected a number"),
        (f"{BOXES}\n{MUG},1,2,3,4,5\n".encode(), "line 2: 6 values, expected 5"),
        (f"{BOXES}\n{MUG},1,2,3,4\n".encode("utf-16"), "boxes.csv, line 1: this is no UTF-8 text"),
        (f"{BOXES}\ndatabase/tête.jpg,1,2,3,4\n".encode("latin-1"), "boxes.csv, line 2: this is no UTF-8 text"),
        (b"\x89PNG\r\n\x1a\n\x00", "boxes.csv, line 1: this is no UTF-8 text"),
        (f'{BOXES}\n"{MUG},1,2,3,4\n'.encode(), "boxes.csv, line 2: .*is a quote not closed"),
    ],
)
def test_a_table_that_is_none_is_named_with_its_line(root, content, message):
    (root / "boxes.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load("folder", root)


def test_what_spreadsheets_add_to_a_table_is_harmless(root):
    (root / "boxes.csv").write_text(f"\ufeff{BOXES},\r\n\r\n{MUG}, 1,2,3,4,\r\n,,,,,\r\n", encoding="utf-8", newline="")
    assert load("folder", root).positives[["x0", "y1"]].dropna().to_numpy().tolist() == [[1, 4]]
    write(root / "boxes.csv", BOXES)
    assert not load("folder", root).has_boxes


def test_photographs_that_cannot_be_used_are_listed_together_and_left_out(root):
    picture(root / "database/mug/tiny.png", size=(3, 40))
    (root / "database/mug/gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "database/mug/phone.AVIF").write_bytes(b"x")
    with pytest.warns(
        UserWarning, match="1 photograph left out, of a format that is not read: mug/phone.AVIF; save them as JPEG"
    ):
        with pytest.raises(ImageError, match=r"2 images of folder(?s:.)*gone.jpg(?s:.)*tiny.png"):
            load("folder", root)
        assert load("folder", root, skip_bad=True).meta["skipped"] == ["database/mug/gone.jpg", "database/mug/tiny.png"]
