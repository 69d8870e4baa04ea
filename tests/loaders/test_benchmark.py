"""The Benchmark record checks what it is given."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import Positive, benchmark_of

from patchlib import benchmarks
from patchlib.benchmarks.benchmark import BOX, Benchmark

HALF = (0.0, 0.0, 50.0, 100.0)


def with_box(box: tuple[float, ...]) -> Benchmark:
    return benchmark_of(2, 1, [(0, 1, box)])


def test_relevant_images_come_in_order_repeated_where_an_image_has_several_boxes() -> None:
    positives: list[Positive] = [(1, 2, HALF), (0, 3, None), (1, 0, (1, 2, 3, 4)), (1, 2, (5, 6, 7, 8))]
    benchmark = benchmark_of(4, 3, positives)
    images, boxes = benchmark.relevant(1)
    assert images.tolist() == [0, 2, 2]
    assert boxes.dtype == np.float32 and boxes.tolist() == [[1, 2, 3, 4], list(HALF), [5, 6, 7, 8]]
    assert benchmark.relevant(0)[0].tolist() == [3] and np.isnan(benchmark.relevant(0)[1]).all()
    assert benchmark.relevant(2)[0].tolist() == [] and benchmark.relevant(2)[1].shape == (0, 4)


def test_no_positives_at_all() -> None:
    benchmark = benchmark_of(2, 2, [])
    assert not benchmark.has_boxes
    assert benchmark.summary()["queries without positives"] == 2


def test_boxes_beyond_the_image_are_clipped_with_one_warning() -> None:
    with pytest.warns(UserWarning, match=r"2 boxes clipped to the image, reaching beyond it, first in i1"):
        benchmark = benchmark_of(3, 1, [(0, 0, HALF), (0, 1, (-5, 0, 50, 120)), (0, 2, (1, 1, 101, 9))])
    assert benchmark.positives[BOX].to_numpy().tolist() == [list(HALF), [0, 0, 50, 100], [1, 1, 100, 9]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once clipped, a subset has nothing to warn of
        benchmark.subset(queries=[0])


@pytest.mark.parametrize(
    ("box", "message"),
    [((9, 0, 5, 9), r"box \[9.0, 0.0, 5.0, 9.0\] of q0 / i1 is inverted or empty; expected x0 < x1 .*\(1 such"),
     ((5, 5, 5, 9), "inverted or empty"), ((100, 0, 120, 9), "of q0 / i1 lies wholly outside the image"),
     ((1, np.nan, 5, 9), "of q0 / i1 is incomplete; give four numbers or none")],
)  # fmt: skip
def test_impossible_boxes_are_refused(box: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_box(box)


def test_impossible_boxes_are_named_where_ids_are_numbers() -> None:
    sound = with_box(HALF)
    numbers = {"images": sound.images.assign(image_id=[7, 8]), "queries": sound.queries.assign(query_id=[5])}
    bad = pd.DataFrame([(5, 8, 9, 0, 5, 9)], columns=["query_id", "image_id", *BOX])
    with pytest.raises(ValueError, match="of 5 / 8 is inverted"):
        Benchmark("numbers", Path(), **numbers, positives=bad)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [("images", lambda t: t.drop(columns="path"), r"tables.images lacks the columns \['path'\]"),
     ("images", lambda t: t.assign(image_id="same"), "repeats image_id 'same'; ids must be unique"),
     ("queries", lambda t: pd.concat([t, t]), "repeats query_id 'q0'"),
     ("images", lambda t: t.iloc[:0], "has no images under nowhere"),
     ("queries", lambda t: t.iloc[:0], "has no queries"),
     ("queries", lambda t: t.assign(x0=5, y0=5, x1=1, y1=9), "inverted"),
     ("positives", lambda t: t.assign(image_id="i9"), "names 1 unknown image_id, first 'i9'"),
     ("positives", lambda t: t.assign(query_id="q9"), "names 1 unknown query_id, first 'q9'")],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(key: str, change: object, message: str) -> None:
    sound = with_box(HALF)
    tables = {name: getattr(sound, name) for name in ("images", "queries", "positives")}
    with pytest.raises(ValueError, match=message):
        Benchmark("tables", Path("nowhere"), **{**tables, key: change(tables[key])})


def test_arguments_are_not_changed() -> None:
    sound = with_box(HALF)
    positives = sound.positives.assign(x1=120.0)
    before = positives.copy()
    with pytest.warns(UserWarning, match="clipped"):
        Benchmark("tables", Path(), sound.images, sound.queries, positives)
    pd.testing.assert_frame_equal(positives, before)


def test_hash_tells_tables_apart_and_not_their_place() -> None:
    one = with_box(HALF)
    moved = Benchmark(one.name, Path("elsewhere"), one.images, one.queries, one.positives)
    assert one.hash == moved.hash and len(one.hash) == 8
    changes = [
        with_box((0, 0, 50, 99)),
        benchmark_of(2, 1, [(0, 0, HALF)]),
        benchmark_of(3, 1, [(0, 1, HALF)]),
        Benchmark(one.name, one.root, one.images.iloc[::-1], one.queries, one.positives),
        Benchmark("other", one.root, one.images, one.queries, one.positives),
    ]
    assert len({one.hash, *(benchmark.hash for benchmark in changes)}) == 1 + len(changes)


def test_paths_and_query_boxes() -> None:
    sound = with_box(HALF)
    images = sound.images.assign(path=["a/b.png", "s.tar::x/c.png"])
    queries = sound.queries.assign(x0=1, y0=2, x1=3, y1=4)
    benchmark = Benchmark("paths", Path("/data/set"), images, queries, sound.positives)
    assert [benchmark.image_path(i) for i in (0, 1)] == ["/data/set/a/b.png", "/data/set/s.tar::x/c.png"]
    assert benchmark.query_path(0) == "/data/set/q.png"
    assert benchmark.query_box(0).tolist() == [1, 2, 3, 4]
    assert sound.query_box(0) is None


def test_subset_keeps_the_order_asked_for_and_drops_what_lost_its_partner() -> None:
    benchmark = benchmark_of(4, 2, [(0, 0, HALF), (0, 3, HALF), (1, 1, HALF)])
    part = benchmark.subset(images=[3, 1], queries=[0])
    assert part.images["image_id"].tolist() == ["i3", "i1"]
    assert part.positives[["query_id", "image_id"]].to_numpy().tolist() == [["q0", "i3"]]
    assert part.relevant(0)[0].tolist() == [0]


def test_summary_counts_a_positive_once_however_many_boxes_it_has() -> None:
    positives: list[Positive] = [(0, 0, None), (0, 0, HALF), (0, 0, (1, 1, 2, 2)), (0, 1, None), (1, 0, HALF)]
    counts = benchmark_of(4, 3, positives).summary()
    assert counts.to_dict() == {
        "images": 4,
        "queries": 3,
        "queries without positives": 1,
        "positives": 3,
        "positives with a box": 2,
        "boxes": 3,
        "images that are no query's positive": 2,
    }


def test_unknown_benchmarks_and_options_list_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown benchmark 'procedual'; did you mean procedural"):
        benchmarks.load("procedual")
    with pytest.raises(
        ValueError, match=r"unknown option of benchmark 'procedural' 'instanes'; did you mean instances"
    ):
        benchmarks.load("procedural", instanes=3)
