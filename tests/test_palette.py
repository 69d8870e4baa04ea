"""The fixed colours can be told apart with red-blind and green-blind eyes too."""

from collections.abc import Mapping
from itertools import combinations

import cv2
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from patchlib import plots

# linear sRGB as dichromats see it: G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, A Physiologically-based Model for
# Simulation of Color Vision Deficiency, IEEE TVCG 15 (6), 2009; severity 1.0
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
APART = 20  # CIE76; 2.3 is just noticeable side by side, thin lines far apart need many times that
FIXED = {"methods": plots.METHODS, "levels": plots.LEVELS, "boxes": plots.BOXES}


def _lab(colours: Mapping[str, str], sight: str) -> NDArray[np.float32]:
    """CIE Lab of the colours as they are seen."""
    rgb = np.array([to_rgb(colour) for colour in colours.values()])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(SIGHT[sight]).T, 0, 1)
    return cv2.cvtColor(seen[None].astype(np.float32), cv2.COLOR_LRGB2LAB)[0]


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("name", FIXED)
def test_colours_of_a_kind_are_apart(name: str, sight: str) -> None:
    lab = _lab(FIXED[name], sight)
    distance = {
        pair: float(np.linalg.norm(a - b))
        for pair, (a, b) in zip(combinations(FIXED[name], 2), combinations(lab, 2), strict=True)
    }
    assert min(distance.values()) > APART, distance


def test_red_and_green_of_equal_lightness_would_be_found() -> None:
    pair = {"red": "#C00000", "green": "#5A6E00"}
    full, blind = (np.linalg.norm(np.subtract(*_lab(pair, sight))) for sight in ("full", "deuteranopia"))
    assert full > 3 * APART > blind


def test_grey_stays_grey() -> None:
    for sight in SIGHT:
        assert np.abs(_lab({"grey": "#808080"}, sight)[0, 1:]).max() < 1
