"""Box arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchlib import boxes

SIDE = 12
coordinate = st.integers(0, SIDE - 1)
length = st.integers(1, SIDE)
whole_box = st.tuples(coordinate, coordinate, length, length).map(
    lambda b: (b[0], b[1], min(b[0] + b[2], SIDE), min(b[1] + b[3], SIDE))
)


def pixels(box: tuple[int, int, int, int]) -> set[tuple[int, int]]:
    return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}


def test_area() -> None:
    assert boxes.area([[1, 2, 4, 6], [4, 2, 1, 6], [0, 0, 0, 5]]).tolist() == [3 * 4, 0, 0]


@given(st.lists(whole_box, min_size=1, max_size=4), st.lists(whole_box, min_size=1, max_size=4))
def test_iou_counts_pixels(a: list[tuple[int, ...]], b: list[tuple[int, ...]]) -> None:
    got = boxes.iou(a, b)
    expected = [[len(pixels(p) & pixels(q)) / len(pixels(p) | pixels(q)) for q in b] for p in a]
    assert got.dtype == np.float32 and got.shape == (len(a), len(b))
    np.testing.assert_array_equal(got, np.float32(expected))


def test_iou_of_empty_inverted_and_unknown_boxes() -> None:
    real, empty, inverted = [0, 0, 2, 2], [1, 1, 1, 1], [3, 3, 1, 1]
    assert boxes.iou([empty, inverted], [real, empty]).tolist() == [[0, 0], [0, 0]]
    assert np.isnan(boxes.iou([real], [[np.nan] * 4])).all()


def test_paired_iou_broadcasts() -> None:
    a, b = np.array([[0, 0, 4, 4], [0, 0, 2, 4]]), np.array([0, 0, 4, 2])
    assert boxes.paired_iou(a, b).tolist() == pytest.approx([8 / 16, 4 / (8 + 8 - 4)])


def test_clip_to_one_size_and_to_each_boxs_own() -> None:
    both = [[-5, 1, 30, 9], [2, -1, 8, 30]]
    assert boxes.clip(both, 20, 10).tolist() == [[0, 1, 20, 9], [2, 0, 8, 10]]
    assert boxes.clip(both, [20, 5], [10, 7]).tolist() == [[0, 1, 20, 9], [2, 0, 5, 7]]
    assert np.isnan(boxes.clip([[np.nan] * 4], 20, 10)).all()


def test_centre_distance_is_0_in_the_centre_and_1_in_a_corner() -> None:
    got = boxes.centre_distance([[10, 5, 30, 15], [0, 0, 0, 0], [40, 20, 40, 20], [20, 10, 40, 10]], 40, 20)
    assert got.tolist() == pytest.approx([0, 1, 1, 10 / np.hypot(20, 10)])
    assert boxes.centre_distance([[0, 0, 0, 0]] * 2, [40, 6], [20, 8]).tolist() == pytest.approx([1, 1])


def test_square_grows_moves_inside_and_is_cut_only_where_the_image_is_smaller() -> None:
    assert boxes.square([[40, 40, 60, 50]], 100, 100).tolist() == [[50 - 11, 45 - 11, 50 + 11, 45 + 11]]
    assert boxes.square([[0, 0, 20, 10]], 100, 100).tolist() == [[0, 0, 22, 22]]
    assert boxes.square([[90, 0, 100, 50]], 100, 40).tolist() == [[100 - 55, 0, 100, 40]]


@given(whole_box)
def test_square_holds_the_box_and_stays_inside(box: tuple[int, ...]) -> None:
    ((x0, y0, x1, y1),) = boxes.square([box], SIDE, SIDE).tolist()
    assert x0 >= 0 and y0 >= 0 and x1 <= SIDE + 1e-5 and y1 <= SIDE + 1e-5
    assert x1 - x0 == pytest.approx(y1 - y0, abs=1e-5)
    assert x0 <= box[0] + 1e-5 and y0 <= box[1] + 1e-5 and x1 >= box[2] - 1e-5 and y1 >= box[3] - 1e-5


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 2, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, 4\)"):
        boxes.area(np.zeros(shape))


def test_one_box_counts_as_a_batch_of_one_and_arguments_stay_as_they_are() -> None:
    box = np.array([-1, -1, 5, 5], np.float32)
    assert boxes.clip(box, 4, 4).tolist() == [[0, 0, 4, 4]]
    assert box.tolist() == [-1, -1, 5, 5]


@given(st.floats(0, 90), st.floats(1, 10))
def test_whole_pixels_keep_boxes_of_a_pixel(start: float, length: float) -> None:
    ((x0, _, x1, _),) = boxes.whole_pixels(np.array([[start, 0, start + length, 1]], np.float32), 100, 1).tolist()
    assert x1 - x0 >= 1 and abs(x0 - start) <= 0.5 + 1e-4 and abs(x1 - start - length) <= 0.5 + 1e-4
