"""INSTRE in its published layout: 1-based indices, two kinds of boxes, images of two objects."""

import layouts
import numpy as np
import pytest

from patchlib import metrics, search
from patchlib.benchmarks import load

BOOK, CUP, FISH, PAIR = layouts.INSTRE_QUERIES
M2, M3 = "INSTRE-M/01/002.jpg", "INSTRE-M/01/003.jpg"


@pytest.fixture
def root(tmp_path):
    return layouts.write_instre(tmp_path / "instre")


def boxes_of(benchmark, query, image):
    rows = benchmark.positives
    rows = rows[(rows["query_id"] == query) & (rows["image_id"] == image)]
    return rows[["x0", "y0", "x1", "y1"]].to_numpy().tolist()


@pytest.mark.parametrize("struct", [True, False])
def test_tables(tmp_path, struct):
    benchmark = load("instre", layouts.write_instre(tmp_path / "i", struct=struct))
    assert benchmark.images["image_id"].tolist() == layouts.INSTRE_DATABASE
    assert benchmark.images[["width", "height"]].to_numpy().tolist() == [[40, 30]] * 6
    assert benchmark.queries["query_id"].tolist() == layouts.INSTRE_QUERIES
    folders = ["INSTRE-S1/01a_book", "INSTRE-S1/01b_cup", "INSTRE-S2/01_fish", "INSTRE-M/01"]
    assert benchmark.queries["instance"].tolist() == folders
    # boxes of queries are corners, as they are in the file
    assert [benchmark.query_box(i).tolist() for i in range(4)] == [box for _, box in layouts.INSTRE_TRUTH]


def test_indices_begin_at_one(root):
    benchmark = load("instre", root)
    # numbers from 0, as the file has them from 1
    relevant = [sorted(set(benchmark.relevant(query)[0].tolist())) for query in range(4)]
    assert relevant == [[number - 1 for number in numbers] for numbers, _ in layouts.INSTRE_TRUTH]
    assert relevant[2] == [layouts.INSTRE_DATABASE.index("INSTRE-S2/01_fish/002.jpg")]


def test_boxes_of_images_have_width_and_height(root):
    benchmark = load("instre", root)
    assert boxes_of(benchmark, BOOK, "INSTRE-S1/01a_book/002.jpg") == [[10, 10, 30, 30]]
    # INSTRE-S2: the same object twice
    assert boxes_of(benchmark, FISH, "INSTRE-S2/01_fish/002.jpg") == [[0, 0, 10, 10], [20, 10, 30, 30]]


def test_the_first_line_of_a_pair_is_a_and_the_second_b(root):
    benchmark = load("instre", root)
    assert boxes_of(benchmark, BOOK, M2) == [[0, 0, 10, 10]]
    assert boxes_of(benchmark, CUP, M2) == [[30, 20, 40, 30]]
    assert boxes_of(benchmark, PAIR, M2) == [[0, 0, 10, 10], [30, 20, 40, 30]]
    union = load("instre", root, pair_boxes="union")
    assert boxes_of(union, PAIR, M2) == [[0, 0, 40, 30]]
    assert boxes_of(union, PAIR, M3) == [[4, 4, 30, 20]]
    assert boxes_of(union, CUP, M2) == [[30, 20, 40, 30]]


def test_both_counts_are_stated(root):
    meta = load("instre", root).meta
    assert meta["counts"]["images"] == 27293
    assert meta["counts"]["images the paper's storage table implies"] == 26543
    assert meta["found"]["images in INSTRE-M"] == 2
    assert meta["k"] is None


def test_metrics_by_hand(root):
    benchmark = load("instre", root)
    right = "INSTRE-S1/01b_cup/002.jpg"
    features = layouts.features_with(
        benchmark,
        {M2: [(0, 0, 40, 30), (0, 0, 10, 10), (30, 20, 40, 30)]},
        {(CUP, M2, 2): 0.9, (CUP, right, 0): 0.8, (CUP, "INSTRE-S1/01a_book/002.jpg", 0): 0.7, (CUP, M3, 0): 0.6},
    )
    ranking = search.rank(features.query_descriptors, features)
    table = metrics.evaluate(ranking, benchmark, features).set_index("query_id")
    # ranks of the cup's positives: 1 (its own box), 2 (whole image over a box of 20 x 20), 4 (whole image over 10 x 10)
    precision = np.array([1 / 1, 2 / 2, 3 / 4])
    iou = np.array([1.0, 20 * 20 / (40 * 30), 10 * 10 / (40 * 30)])
    assert table.loc[CUP, "ap"] == pytest.approx(precision.sum() / 3)
    assert table.loc[CUP, "loc_score"] == pytest.approx((precision * iou).sum() / 3)
    assert table.loc[CUP, "loc_score_0.3"] == pytest.approx((1 + 1) / 3)
    assert table.loc[CUP, "loc_score_0.4"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("below", ["INSTRE_release", "images"])
def test_images_one_folder_below(tmp_path, below):
    root = layouts.write_instre(tmp_path / "i" / below)
    (root / "gnd_instre.mat").rename(tmp_path / "i" / "gnd_instre.mat")
    assert len(load("instre", tmp_path / "i").images) == 6


def test_a_missing_box_file_counts_for_ap_only(root):
    (root / M2).with_suffix(".txt").unlink()
    with pytest.warns(UserWarning, match=r"002.txt is missing"):
        benchmark = load("instre", root)
    assert np.isnan(boxes_of(benchmark, CUP, M2)).all()
    assert benchmark.meta["found"]["positives without a box"] == 3


MISTAKES = [
    ({0: ([0, 2], [5, 5, 25, 25])}, "numbered 0 to 2, expected 1 to 6"),
    ({0: ([1, 7], [5, 5, 25, 25])}, "numbered 1 to 7, expected 1 to 6"),
    ({0: ([1], [5, 5, 25])}, "has 3 numbers"),
    ({0: ([1], [25, 25, 20, 20])}, "inverted"),
    ({2: ([5], [2, 2, 12, 12])}, "its two boxes belong to classes of INSTRE-S1"),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES)
def test_damaged_ground_truth(tmp_path, changes, message):
    truth = [changes.get(i, row) for i, row in enumerate(layouts.INSTRE_TRUTH)]
    with pytest.raises(ValueError, match=message):
        load("instre", layouts.write_instre(tmp_path / "i", truth))


def test_damaged_files(root):
    (root / M2).with_suffix(".txt").write_text("0 0 10 10\n")
    with pytest.raises(ValueError, match="002.txt: .*two lines, got 1"):
        load("instre", root)
    (root / M2).with_suffix(".txt").write_text("0 0 10 10\n1 2 three 4\n")
    with pytest.raises(ValueError, match="002.txt, line 2: got '1 2 three 4', expected 'x y width height'"):
        load("instre", root)
    (root / "gnd_instre.mat").write_bytes(b"not a mat file" * 20)
    with pytest.raises(ValueError, match="gnd_instre.mat is not INSTRE's ground truth"):
        load("instre", root)


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="data get instre"):
        load("instre", tmp_path / "nowhere")
    (root / M3).unlink()
    with pytest.raises(FileNotFoundError, match="1 of 6 images .*INSTRE-M/01/003.jpg.*data verify"):
        load("instre", root)
    with pytest.raises(ValueError, match="pair_boxes is 'both'"):
        load("instre", root, pair_boxes="both")


def test_sizes_are_kept_until_a_file_changes(root, monkeypatch):
    from patchlib.benchmarks import image_files

    monkeypatch.setattr(image_files, "CACHE_FROM", 1)
    load("instre", root)
    read = []
    size = image_files.size_or_zero
    monkeypatch.setattr(image_files, "size_or_zero", lambda path: read.append(path) or size(path))
    assert load("instre", root).images["width"].tolist() == [40] * 6
    assert read == []
    layouts.picture(root / M3, (50, 20), seed=77)
    assert load("instre", root).images["width"].tolist() == [40] * 5 + [50]
    assert read == [f"{root}/{M3}"]
