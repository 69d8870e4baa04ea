"""Regions taken out of others, and equal numbers of two strategies."""

import numpy as np
import pytest
from builders import benchmark_of, feature_set

from patchlib import regions
from patchlib.features import FeatureSet
from patchlib.studies import region_strategies


def _described(strategy: str, side: int = 64) -> FeatureSet:
    """Three images; the descriptor of a region is a hash of its box, so that equal boxes have equal ones."""
    boxes, offsets = regions.of_benchmark(benchmark_of(3, 1, [], side), strategy)
    rows = np.stack([boxes @ [1, 2, 3, 5], np.ones(len(boxes))], axis=1)
    return feature_set(rows, np.diff(offsets), rows[:1], boxes, regions=strategy)


@pytest.mark.parametrize("coarse", ["L3", "sliding-L3-0.5"])
def test_a_strategy_is_taken_out_of_a_finer_one_in_its_own_order(coarse: str) -> None:
    taken = region_strategies.within(_described("sliding-L3-0.25"), benchmark_of(3, 1, [], 64), coarse)
    expected = _described(coarse)
    for name in ("boxes", "offsets", "descriptors"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(expected, name))


def test_what_is_not_there_cannot_be_taken() -> None:
    with pytest.raises(ValueError, match="of the 273 regions of 'L5' are among"):
        region_strategies.within(_described("L3"), benchmark_of(3, 1, [], 64), "L5")


def test_equal_numbers_in_every_image() -> None:
    a = feature_set(np.eye(9), [2, 5, 2], np.eye(9)[:1])
    b = feature_set(np.eye(9), [4, 3, 2], np.eye(9)[:1])
    less, more = region_strategies.at_equal_numbers(a, b)
    assert np.diff(less.offsets).tolist() == np.diff(more.offsets).tolist() == [2, 3, 2]
    # what is kept is a region of the same image, none twice
    for part, whole in ((less, a), (more, b)):
        rows = part.descriptors.argmax(axis=1)
        assert (np.diff(rows) > 0).all() and (whole.image_of()[rows] == part.image_of()).all()
    assert less.descriptors[:2].argmax(axis=1).tolist() == [0, 1]  # all that there are
