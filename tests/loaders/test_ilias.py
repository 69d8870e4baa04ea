"""ILIAS in its published layout: core, groups, text queries, and distractors in shards."""

import dataclasses
import shutil

import layouts
import pandas as pd
import pytest

from patchlib import images, metrics, search
from patchlib.benchmarks import ilias, load, tar_shards

BOLD, CAFE = "bold_bimp_000", "zippy_caf#U00e9_001"
Q0, Q1, Q2 = f"{BOLD}/query/Q000_00.jpg", f"{CAFE}/query/Q001_00.jpg", f"{CAFE}/query/Q001_01.jpg"
P0, P1, P2 = (line.split(",")[0] for line in layouts.POSITIVE_IDS.splitlines())
SHARDS = {"yfcc_00000.tar": {"aa.jpg": (20, 10), "bb.jpg": (12, 34)}, "yfcc_00001.tar": {"cc.jpg": (30, 30)}}


@pytest.fixture
def root(tmp_path):
    root = layouts.write_ilias(tmp_path / "ilias")
    for name, members in SHARDS.items():
        layouts.write_shard(root / "yfcc100m" / name, members)
    return root


def rows(table):
    return table.fillna(-1).to_numpy().tolist()


def test_core(root):
    benchmark = load("ilias", root)
    assert benchmark.images["image_id"].tolist() == [P0, P1, P2]
    assert benchmark.images["path"][2] == "ilias_core/zippy_caf\u00e9_001/pos/P001_00.jpg"
    assert benchmark.queries[["query_id", "instance"]].to_numpy().tolist() == [[Q0, BOLD], [Q1, CAFE], [Q2, CAFE]]
    assert rows(benchmark.positives) == [
        [Q0, P0, 0, 0, 20, 15],
        [Q0, P1, 0, 0, 10, 10],
        [Q0, P1, 20, 10, 40, 30],
        [Q1, P2, 10, 10, 20, 20],
        [Q2, P2, 10, 10, 20, 20],
    ]
    assert images.read(benchmark.image_path(2)).size == (40, 30)


def test_the_box_of_a_query_goes_around_all_its_boxes(root):
    benchmark = load("ilias", root)
    assert [benchmark.query_box(i).tolist() for i in range(3)] == [[2, 2, 32, 22], [0, 0, 40, 30], [5, 5, 30, 20]]
    whole = load("ilias", root, query_box="whole")
    assert [whole.query_box(i) for i in range(3)] == [None] * 3


def test_text_queries_ask_the_same_database(root):
    (root / "ilias_core" / BOLD / "query/T000.txt").write_text("a grey cup \n", encoding="utf-8")
    data = load("ilias", root, distractors="full")
    asked = ilias.with_text_queries(data)
    assert asked.queries["query_id"].tolist() == [f"{BOLD}/query/T000.txt", f"{CAFE}/query/T001.txt"]
    assert asked.queries["text"].tolist() == ["a grey cup", "a thing"]
    assert asked.images.equals(data.images) and asked.query_box(0) is None
    assert [sorted(set(asked.relevant(query)[0])) for query in range(2)] == [[0, 1], [2]]
    assert asked.has_boxes and asked.meta["k"] == 1000
    for path in (root / "ilias_core").rglob("T*.txt"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no text queries in .*ilias_core"):
        ilias.with_text_queries(data)


def test_protocol(root):
    meta = load("ilias", root).meta
    assert meta["k"] == 1000
    assert meta["found"]["text queries"] == 2
    assert meta["counts"]["images"] == 4715
    assert meta["counts"]["images the paper's storage table implies"] == 4885


def test_without_id_lists_the_folders_say_it(tmp_path):
    root = layouts.write_ilias(tmp_path / "i", lists=False)
    benchmark = load("ilias", root)
    assert benchmark.images["image_id"].tolist() == [P0, P1, P2]
    assert len(benchmark.queries) == 3
    assert load("ilias", root / "ilias_core").hash == benchmark.hash


def test_images_that_no_list_names_are_counted(root):
    layouts.picture(root / "ilias_core" / BOLD / "pos/P000_99.jpg")
    benchmark = load("ilias", root)
    assert len(benchmark.images) == 3
    assert benchmark.meta["found"]["images in pos/ that no id list names"] == 1


def test_a_positive_without_a_box_file(root):
    (root / "ilias_core" / BOLD / "pos/P000_00_bbox.txt").unlink()
    benchmark = load("ilias", root)
    assert rows(benchmark.positives)[0] == [Q0, P0, -1, -1, -1, -1]
    assert benchmark.meta["found"]["positives without a box"] == 1


def test_metrics_by_hand(root):
    benchmark = load("ilias", root, distractors="full")
    features = layouts.features_with(
        benchmark,
        {P1: [(0, 0, 40, 30), (20, 10, 40, 30)]},
        {(Q0, "yfcc_00000.tar/bb", 0): 0.9, (Q0, P1, 1): 0.8, (Q0, P0, 0): 0.7},
    )
    ranking = search.rank(features.query_descriptors, features)
    table = metrics.evaluate(ranking, benchmark, features, k=2).set_index("query_id")
    # a distractor, then the positive with two boxes (the better one counts); the third rank is cut off; R = 2
    assert table.loc[Q0, "ap"] == pytest.approx((1 / 2) / min(2, 2))
    assert table.loc[Q0, "loc_score"] == pytest.approx((1 / 2) * 1.0 / 2)
    full = metrics.evaluate(ranking, benchmark, features, k=benchmark.meta["k"]).set_index("query_id")
    assert full.loc[Q0, "ap"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert full.loc[Q0, "loc_score"] == pytest.approx((1 / 2 * 1 + 2 / 3 * (20 * 15) / (40 * 30)) / 2)


def test_shards_are_read_in_place(root):
    benchmark = load("ilias", root, distractors="full")
    assert benchmark.images["image_id"].tolist()[3:] == ["yfcc_00000.tar/aa", "yfcc_00000.tar/bb", "yfcc_00001.tar/cc"]
    assert benchmark.images["path"][4] == "yfcc100m/yfcc_00000.tar::bb.jpg"
    assert benchmark.images[["width", "height"]].to_numpy()[3:].tolist() == [[20, 10], [12, 34], [30, 30]]
    assert images.read(benchmark.image_path(4)).size == (12, 34)
    assert benchmark.meta["found"]["distractors"] == 3


@pytest.mark.parametrize(("place", "count"), [("{root}/yfcc100m", 3), ("yfcc100m", 3), ("yfcc100m/yfcc_00001.tar", 1)])
def test_shards_elsewhere(root, place, count):
    benchmark = load("ilias", root, distractors=place.format(root=root))
    assert len(benchmark.images) == 3 + count
    assert images.read(benchmark.image_path(2 + count)).size == (30, 30)


def test_shards_on_another_disk(root, tmp_path):
    (root / "yfcc100m").rename(tmp_path / "disk2")
    benchmark = load("ilias", root, distractors=tmp_path / "disk2")
    assert images.read(benchmark.image_path(5)).size == (30, 30)


def test_mini(root):
    (root / "image_ids/mini_ilias_yfcc100m_ids.txt").write_text("cc\naa\n")
    benchmark = load("ilias", root, distractors="mini")
    assert benchmark.images["image_id"].tolist()[3:] == ["yfcc_00000.tar/aa", "yfcc_00001.tar/cc"]
    (root / "yfcc100m/yfcc_00001.tar").unlink()
    with pytest.warns(UserWarning, match="1 of 2 mini-ILIAS distractors are in no shard here"):
        benchmark = load("ilias", root, distractors="mini")
    assert benchmark.meta["found"]["mini-ILIAS distractors that are in no shard here"] == 1


def test_keys_of_an_id_list(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("b\n\nyfcc_0.tar/a\nccc\n")
    assert tar_shards.read_keys(path).tolist() == [b"a", b"b", b"ccc"]
    path.write_text("\n")
    with pytest.raises(ValueError, match="holds no id"):
        tar_shards.read_keys(path)


@pytest.mark.parametrize(("member", "key"), [("a.jpg", "a"), ("d/a.b.jpg", "d/a"), ("./a.jpg", "a")])
def test_key_of(member, key):
    assert tar_shards.key_of(member) == key


def test_a_shard_is_looked_through_once(root, monkeypatch):
    load("ilias", root, distractors="full")
    monkeypatch.setattr(tar_shards.tarfile, "open", None)
    assert len(load("ilias", root, distractors="full").images) == 6


def test_loose_images_as_the_procedural_benchmark_has_them(root):
    for name in ("D000001.jpg", "D000000.jpg"):
        layouts.picture(root / "distractors" / name, (24, 18))
    benchmark = load("ilias", root, distractors="distractors")
    assert benchmark.images["image_id"].tolist()[3:] == ["distractors/D000000.jpg", "distractors/D000001.jpg"]
    assert benchmark.images["path"].tolist()[3:] == benchmark.images["image_id"].tolist()[3:]
    assert benchmark.images["width"].tolist() == [40] * 3 + [24] * 2


def test_the_procedural_benchmark_is_read_back(tmp_path):
    written = load("procedural", tmp_path / "p", instances=3, positives=2, distractors=2, workers=1)
    read = load("ilias", tmp_path / "p", distractors="distractors")
    assert dataclasses.replace(read, name="procedural").hash == written.hash


def test_parts_are_the_whole(root):
    parts = list(ilias.parts(root))
    whole = load("ilias", root, distractors="full")
    assert [len(part.images) for part in parts] == [3, 2, 1]
    together = pd.concat([part.images for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(together, whole.images, check_dtype=False)
    assert [len(part.positives) for part in parts] == [5, 0, 0]
    assert all(part.queries.equals(whole.queries) for part in parts)


def test_too_many_for_one_table(root, monkeypatch):
    monkeypatch.setattr(ilias, "MAX_IMAGES", 5)
    with pytest.raises(ValueError, match=r"more than 5 images.*shard by shard with patchlib.benchmarks.ilias.parts"):
        load("ilias", root, distractors="full")


def test_unreadable_photographs_in_a_shard(root):
    shard = layouts.write_shard(root / "yfcc100m/yfcc_00002.tar", {"dd.jpg": (20, 20)})
    content = bytearray(shard.read_bytes())
    content[512:532] = b"\0" * 20
    shard.write_bytes(content)
    with pytest.raises(images.ImageError, match="yfcc_00002.tar::dd.jpg"):
        load("ilias", root, distractors="full")
    benchmark = load("ilias", root, distractors="full", skip_bad=True)
    assert benchmark.meta["skipped"] == ["yfcc100m/yfcc_00002.tar::dd.jpg"]
    assert len(benchmark.images) == 6


@pytest.mark.parametrize(
    ("options", "remove", "message"),
    [
        ({}, "ilias_core", "data get ilias-core"),
        ({"distractors": "mini"}, "nothing", "data get mini-ilias-ids"),
        ({"distractors": "ful"}, "nothing", "expected 'none', 'mini', 'full' or a folder"),
        ({"distractors": "full"}, "yfcc100m", "data get ilias-yfcc100m"),
        ({}, f"ilias_core/{BOLD}/pos", "2 of 3 images that the id list names are not in .*P000_00.*P000_01"),
    ],
)
def test_what_is_missing_is_named(root, options, remove, message):
    shutil.rmtree(root / remove, ignore_errors=True)
    with pytest.raises(FileNotFoundError, match=message):
        load("ilias", root, **options)


def test_unknown_option(root):
    with pytest.raises(ValueError, match="query_box is 'crop', expected 'box' or 'whole'"):
        load("ilias", root, query_box="crop")


def test_damaged_lists(root):
    (root / "image_ids/positive_ids.txt").write_text(",0.25,18\n")
    with pytest.raises(ValueError, match="positive_ids.txt: expected lines that begin with an id"):
        load("ilias", root)


def test_a_damaged_shard(root):
    (root / "yfcc100m/yfcc_00000.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(ValueError, match="yfcc_00000.tar is no tar file, or is damaged"):
        load("ilias", root, distractors="full")


@pytest.mark.parametrize(("name", "code"), [("a/b.jpg", "a/b.jpg"), ("caf\u00e9", "caf#U00e9"), ("\u5bff", "#U5bff")])
def test_encoded(name, code):
    # the publishers' own rule: Python's unicode-escape, with #U for \u and #U00 for \x
    escaped = str(name.encode("unicode-escape")).replace("\\\\u", "#U").replace("\\\\x", "#U00")[2:-1]
    assert ilias.encoded(name) == code == escaped
