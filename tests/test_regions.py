"""Grids, sliding windows, ground-truth regions."""

import numpy as np
import pytest
from builders import benchmark_of
from hypothesis import given
from hypothesis import strategies as st

from patchlib import regions

side = st.integers(8, 300)
level = st.integers(0, 4)


def cover(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    count = np.zeros((height, width), int)
    for x0, y0, x1, y1 in boxes.astype(int):
        count[y0:y1, x0:x1] += 1
    return count


def test_numbers_of_patches() -> None:
    assert regions.PATCHES == (1, 1 + 4, 1 + 4 + 9, 1 + 4 + 9 + 16)
    assert [len(regions.grid(640, 480, k)) for k in range(6)] == [regions.patch_count(k) for k in range(6)]


def test_l1_by_hand_coarse_to_fine_and_row_major() -> None:
    # 7 / 2 = 3.5 and 5 / 2 = 2.5 round to even
    assert regions.grid(7, 5, 1).tolist() == [[0, 0, 7, 5], [0, 0, 4, 2], [4, 0, 7, 2], [0, 2, 4, 5], [4, 2, 7, 5]]


@given(side, side, level)
def test_each_grid_tiles_the_image_with_the_stated_borders(width: int, height: int, level: int) -> None:
    boxes = regions.grid(width, height, level)
    assert boxes.dtype == np.float32
    start = 0
    for cells in range(1, level + 2):
        patches = boxes[start : start + cells**2]
        assert (cover(patches, width, height) == 1).all()
        row, column = np.divmod(np.arange(cells**2), cells)
        assert patches[:, 0].tolist() == [round(i * width / cells) for i in column]
        assert patches[:, 3].tolist() == [round((i + 1) * height / cells) for i in row]
        start += cells**2
    assert start == len(boxes)


@given(side, side, level)
def test_a_level_comes_first_in_the_next_one(width: int, height: int, level: int) -> None:
    coarse = regions.grid(width, height, level)
    assert (regions.grid(width, height, level + 1)[: len(coarse)] == coarse).all()


@pytest.mark.parametrize(("stride", "count"), [(0.5, 1 + 9 + 25 + 49), (0.25, 1 + 25 + 81 + 169), (1, 30)])
def test_numbers_of_sliding_windows_at_l3(stride: float, count: int) -> None:
    assert len(regions.sliding(640, 480, 3, stride)) == count


@given(side, side, level, st.sampled_from([0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.9, 1.0]))
def test_sliding_windows_have_one_size_cover_the_image_and_end_at_the_border(
    width: int, height: int, level: int, stride: float
) -> None:
    boxes = regions.sliding(width, height, level, stride)
    start = 0
    for cells in range(1, level + 2):
        steps = [0.0]
        while steps[-1] + 1 < cells - 1e-9:
            steps.append(min(steps[-1] + stride, cells - 1))
        windows = boxes[start : start + len(steps) ** 2]
        start += len(steps) ** 2
        assert cover(windows, width, height).min() >= 1
        assert windows[:, 2].max() == width and windows[:, 3].max() == height
        assert np.abs(windows[:, 2] - windows[:, 0] - width / cells).max() <= 1
        np.testing.assert_allclose(windows[: len(steps), 0], np.array(steps) * width / cells, atol=0.5 + 1e-3)
    assert start == len(boxes)


def test_the_result_may_be_changed_by_its_owner() -> None:
    regions.grid(50, 40, 2)[:] = 0
    assert regions.grid(50, 40, 2)[0].tolist() == [0, 0, 50, 40]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((9, 9, -1, 1), "level is -1"), ((9, 9, 1.5, 1), "level is 1.5"), ((9, 9, 1, 0), "stride is 0"),
     ((9, 9, 1, 1.1), "stride is 1.1"), ((3, 9, 3, 1), "3x9 pixels is too small for the 4x4 grid")],
)  # fmt: skip
def test_impossible_grids(arguments: tuple[int, int, int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regions.sliding(*arguments)


def test_ground_truth_regions() -> None:
    box = np.array([[40, 40, 60, 50]], np.float32)
    assert regions.ground_truth(box, 100, 100).tolist() == [[39, 34, 61, 56]]  # side 1.1 * 20 = 22 around (50, 45)
    speck = np.array([[99.8, 0.1, 100, 0.3]], np.float32)
    assert regions.ground_truth(speck, 100, 100).tolist() == [[99, 0, 100, 1]]


def test_names_of_strategies() -> None:
    assert (regions.parse("L2")(60, 40) == regions.grid(60, 40, 2)).all()
    assert (regions.parse(2)(60, 40) == regions.grid(60, 40, 2)).all()
    assert (regions.parse("sliding-L3-0.25")(60, 40) == regions.sliding(60, 40, 3, 0.25)).all()
    for name in ("l3", "L", "L-1", "sliding-L3", "sliding-L3-", -1):
        with pytest.raises(ValueError, match="unknown region strategy .* expected a level such as 'L3'"):
            regions.parse(name)


def test_of_benchmark_stacks_the_images_regions() -> None:
    benchmark = benchmark_of(3, 1, [])
    boxes, offsets = regions.of_benchmark(benchmark, "L1")
    assert offsets.tolist() == [0, 5, 10, 15] and offsets.dtype == np.int64
    assert (boxes == np.concatenate([regions.grid(100, 100, 1)] * 3)).all() and boxes.dtype == np.float32


@pytest.mark.parametrize(
    ("boxes", "message"),
    [(np.zeros((0, 4)), r"gave shape \(0, 4\) for image i0"), ([[0, 0, 101, 5]], "outside image i0 of 100x100"),
     ([[-1, 0, 5, 5]], "outside image i0"), ([[5, 5, 5, 9]], "empty box"), ([[np.nan, 0, 5, 5]], "outside image i0"),
     ([[0, 0, 5]], r"gave shape \(1, 3\)")],
)  # fmt: skip
def test_a_strategy_that_gives_no_usable_box_is_refused(boxes: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regions.of_benchmark(benchmark_of(1, 1, []), lambda width, height: boxes)


def test_an_image_too_small_for_the_grid_is_named() -> None:
    with pytest.raises(ValueError, match="image i0 of tables: an image of 3x3 pixels is too small"):
        regions.of_benchmark(benchmark_of(1, 1, [], side=3), "L3")


def test_ground_truth_regions_of_a_benchmark_fall_back_to_a_grid() -> None:
    data = benchmark_of(3, 2, [(0, 0, (10, 10, 20, 30)), (0, 0, (40, 0, 50, 10)), (1, 2, None)], side=60)
    found = regions.ground_truth_regions(data)
    # a square of 1.1 times the longer side (20) around the centre (15, 20); the second one is moved inside
    assert found.boxes[:2].tolist() == [[4, 9, 26, 31], [40, 0, 51, 11]]
    assert found.offsets.tolist() == [0, 2, 2 + 30, 2 + 30 + 30]
    boxes, offsets = regions.of_benchmark(data, found)
    assert boxes is found.boxes and (offsets == found.offsets).all()


def test_regions_of_another_benchmark_are_refused() -> None:
    data = benchmark_of(2, 1, [(0, 0, None)], side=60)
    whole = np.array([[0, 0, 60, 60]], np.float32)
    with pytest.raises(ValueError, match="of 1 images and 1 boxes, .* has 2 images"):
        regions.of_benchmark(data, regions.Regions("mine", whole, np.array([0, 1])))
    with pytest.raises(ValueError, match="outside image"):
        regions.of_benchmark(data, regions.Regions("mine", np.vstack([whole, whole + 1]), np.array([0, 1, 2])))
    with pytest.raises(ValueError, match="P >= 1"):
        regions.of_benchmark(data, regions.Regions("mine", whole, np.array([0, 1, 1])))


def test_strategies_have_names() -> None:
    own = regions.Regions("proposals", np.empty((0, 4), np.float32), np.array([0]))
    names = [regions.name_of(s) for s in (2, "sliding-L3-0.5", own, lambda w, h: regions.grid(w, h, 0))]
    assert names == ["L2", "sliding-L3-0.5", "proposals", "custom"]
