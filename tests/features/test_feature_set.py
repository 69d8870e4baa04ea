"""The FeatureSet record."""

from collections.abc import Callable

import numpy as np
import pytest
from builders import feature_set

from patchlib.features.feature_set import FeatureSet


@pytest.mark.parametrize(("name", "level"), [("custom", 0), ("sliding-L3-0.5", 1), ("L3", -1), ("L3", 4), (None, 0)])
def test_levels_that_are_not_there(name: str | None, level: int) -> None:
    given = feature_set(np.ones((30, 2)), [30], np.ones((1, 2)), regions=name)
    with pytest.raises(ValueError, match=f"level L{level} cannot be taken out of the regions"):
        given.at_level(level)


def test_image_of_every_region() -> None:
    given = feature_set(np.ones((5, 2)), [2, 0, 3], np.ones((1, 2)))
    assert given.image_of().tolist() == [0, 0, 2, 2, 2] and given.n_images == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: feature_set(np.ones((3, 2)), [1, 1], np.ones((1, 2))),
        lambda: feature_set(np.ones((3, 2)), [4, -1], np.ones((1, 2))),
        lambda: feature_set(np.ones((3, 2)), [3], np.ones((1, 2)), boxes=np.ones((2, 4))),
        lambda: feature_set(np.ones((3, 2)), [3], np.ones((1, 3))),
    ],
)
def test_arrays_that_do_not_belong_together(make: Callable[[], FeatureSet]) -> None:
    with pytest.raises(ValueError, match="do not belong together|expected \\(Q, 2\\)"):
        make()
