"""Crops beside Pillow's, in any mixture of sizes, on any processor."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from patchlib import crops, regions

PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
SIDE = 80


def picture(width: int = 213, height: int = 160) -> Image.Image:
    """Coarse and fine structure, edges at full contrast."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize(
        (width, height), Image.Resampling.NEAREST
    )
    fine = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
    return Image.blend(coarse, fine, 0.2)


def cut(image: Image.Image, boxes: np.ndarray, interpolation: str = "bicubic") -> np.ndarray:
    return np.stack(list(crops.cut(image, boxes, SIDE, interpolation)))


def by_pillow(image: Image.Image, box: np.ndarray, interpolation: str) -> np.ndarray:
    """Across first, then down: Pillow itself takes the order that costs less, which rounds elsewhere."""
    region = image.crop(tuple(box.astype(int).tolist()))
    across = region.resize((SIDE, region.height), PILLOW[interpolation])
    return np.asarray(across.resize((SIDE, SIDE), PILLOW[interpolation]))


@pytest.mark.parametrize("interpolation", sorted(PILLOW))
def test_pillows_values_but_for_rounding(interpolation: str) -> None:
    image, boxes = picture(), regions.grid(213, 160, 3)
    for ours, box in zip(cut(image, boxes, interpolation), boxes, strict=True):
        apart = np.abs(ours.astype(int) - by_pillow(image, box, interpolation))
        assert apart.max() <= 2 and (apart > 0).mean() < 0.05


def test_a_mixture_of_sizes_longer_than_a_block_keeps_its_order() -> None:
    image, rng = picture(), np.random.default_rng(1)
    low = rng.integers(0, 100, (2 * crops.BLOCK + 7, 2))
    boxes = np.concatenate([low, low + rng.choice([20, 45, 60], low.shape)], axis=1).astype(np.float32)
    np.testing.assert_array_equal(cut(image, boxes), np.concatenate([cut(image, box[None]) for box in boxes]))


def test_nothing_beyond_the_border_is_seen() -> None:
    box = np.array([[30, 20, 110, 100]], np.float32)
    other = Image.new("RGB", picture().size, "red")
    other.paste(picture().crop((30, 20, 110, 100)), (30, 20))
    np.testing.assert_array_equal(cut(picture(), box), cut(other, box))
    np.testing.assert_array_equal(cut(picture(), box)[0], np.asarray(picture())[20:100, 30:110])  # 80 pixels stay 80


def test_no_boxes_give_no_crops() -> None:
    assert list(crops.cut(picture(), np.empty((0, 4), np.float32), SIDE, "bicubic")) == []


def test_the_same_bytes_without_vector_instructions() -> None:
    code = "import test_crops as t; print(t.digest())"
    plain = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "PYTHONPATH": os.path.dirname(__file__)}
    found = subprocess.run([sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == digest()


def digest() -> str:
    """Of all crops of the picture, both ways."""
    image, boxes = picture(), regions.grid(213, 160, 3)
    return hashlib.sha256(b"".join(cut(image, boxes, way).tobytes() for way in sorted(PILLOW))).hexdigest()
