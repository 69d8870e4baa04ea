"""Windows that surprise: what they cover, the order of the greedy choice, images that hold nothing to see."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from patchlib import boxes as box_ops
from patchlib import regions
from patchlib.features import surprise


def scene(box: tuple[int, int, int, int], size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Stripes of two greens, and a red rectangle."""
    image = Image.new("RGB", size, (90, 140, 90))
    for x in range(0, size[0], 20):
        ImageDraw.Draw(image).rectangle((x, 0, x + 9, size[1]), fill=(100, 160, 100))
    ImageDraw.Draw(image).rectangle(box, fill=(200, 40, 40))
    return image


@pytest.mark.parametrize("box", [(30, 20, 110, 80), (200, 130, 300, 200), (95, 75, 175, 135)])
def test_what_differs_is_covered_better_than_by_the_grid(box: tuple[int, int, int, int]) -> None:
    found = surprise.proposer().propose(scene(box))
    grid = regions.grid(320, 240, 3)
    assert found.shape == (30, 4) and len(np.unique(found, axis=0)) == 30
    assert box_ops.iou(found, [box]).max() > max(box_ops.iou(grid, [box]).max(), 0.55)


def test_the_windows_on_the_object_surprise_most() -> None:
    box = (30, 20, 110, 80)
    values = surprise.surprise(scene(box))
    windows = regions.sliding(320, 240, 3, 0.25)
    assert box_ops.iou(windows[[values.argmax()]], [box])[0, 0] > 0.4
    assert values.mean() == pytest.approx(0, abs=1e-9) and values.std() == pytest.approx(1)


def test_fewer_windows_are_the_first_of_more() -> None:
    image = scene((30, 20, 110, 80))
    many, few = (surprise.proposer(most=most).propose(image) for most in (30, 14))
    assert (many[:14] == few).all()


def test_each_choice_adds_what_covers_most() -> None:
    """The greedy order against the formula, written out with loops."""
    windows = regions.sliding(1200, 1200, 3, 0.25)
    sides = (windows[:, 2] - windows[:, 0]).round().astype(int)
    share = {1200: 0.1, 600: 0.3 / 25, 400: 0.3 / 81, 300: 0.3 / 169}
    values = np.random.default_rng(0).standard_normal(len(windows))
    chance = [share[side] * np.exp(0.7 * value) for side, value in zip(sides, values, strict=True)]
    overlap, best = box_ops.iou(windows, windows).astype(float), np.zeros(len(windows))
    for number in surprise.chosen(values, 0.7, 5):
        reached = [sum(chance[w] * max(best[w], overlap[w, c]) for w in range(len(windows))) for c in range(276)]
        assert reached[number] == pytest.approx(max(reached))
        best = np.maximum(best, overlap[:, number])


def test_without_anything_to_see_all_images_get_the_same_windows() -> None:
    flat, blind = Image.new("RGB", (160, 160)), surprise.proposer(sharpness=0)
    assert (surprise.surprise(flat) == 0).all()
    assert (surprise.proposer().propose(flat) == blind.propose(scene((10, 10, 50, 50), (160, 160)))).all()


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sharpness -1, 30 windows; expected >= 0, and 1 to 276"):
        surprise.proposer(sharpness=-1)
    with pytest.raises(ValueError, match="277 windows"):
        surprise.proposer(most=277)
    with pytest.raises(ValueError, match="too small"):
        surprise.proposer().propose(Image.new("RGB", (3, 50)))
