"""Lightness of CIE Lab against its definition, one number at a time."""

from pathlib import Path

import numpy as np
import pytest
from builders import benchmark_on_disk
from PIL import Image

from patchlib import images
from patchlib.studies import brightness


def lab_of(red: int, green: int, blue: int) -> tuple[float, float, float]:
    """CIE Lab (D65) of one sRGB colour, in plain Python."""
    r, g, b = (
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (red / 255, green / 255, blue / 255)
    )
    x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > (6 / 29) ** 3 else t * (29 / 6) ** 2 / 3 + 4 / 29 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def colour(*rgb: int) -> Image.Image:
    return Image.new("RGB", (3, 2), rgb)


@pytest.mark.parametrize("rgb", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (200, 30, 60), (2, 3, 1)])
def test_lightness_of_a_colour(rgb: tuple[int, int, int]) -> None:
    assert brightness.lightness(colour(*rgb)) == pytest.approx(lab_of(*rgb)[0], abs=1e-3)


@pytest.mark.parametrize("factor", [0.6, 1.4])
@pytest.mark.parametrize("rgb", [(100, 110, 120), (130, 100, 90), (70, 90, 60)])
def test_only_lightness_changes(rgb: tuple[int, int, int], factor: float) -> None:
    light, *chroma = lab_of(*rgb)
    scaled = lab_of(*brightness.scale_lightness(colour(*rgb), factor).getpixel((0, 0)))
    # half a code of 8 bits is up to 0.3 of L* and 0.7 of a*, b* at these lightnesses
    assert scaled[0] == pytest.approx(factor * light, abs=0.5)
    assert scaled[1:] == pytest.approx(chroma, abs=1.2)


def test_factor_one_changes_nothing_and_white_cannot_get_lighter() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert (np.asarray(brightness.scale_lightness(Image.fromarray(pixels), 1.0)) == pixels).all()
    assert brightness.scale_lightness(colour(255, 255, 255), 1.8).getpixel((0, 0)) == (255, 255, 255)
    assert brightness.scale_lightness(colour(90, 120, 30), 0.0).getpixel((0, 0))[0] <= 90
    with pytest.raises(ValueError, match="-1, expected >= 0"):
        brightness.scale_lightness(colour(1, 2, 3), -1)


def test_a_brightened_benchmark_keeps_tables_and_queries_and_is_rendered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    data = benchmark_on_disk(tmp_path / "photos", n_images=4, n_queries=2)
    dark = brightness.brightened(data, 0.5, workers=1)
    assert dark.positives.equals(data.positives) and dark.hash != data.hash
    assert dark.images["image_id"].tolist() == data.images["image_id"].tolist()
    for index in range(4):
        before, after = (brightness.lightness(images.read(b.image_path(index))) for b in (data, dark))
        assert after == pytest.approx(before / 2, abs=1.5)
    for index in range(2):
        before, after = (np.asarray(images.read(b.query_path(index))) for b in (data, dark))
        assert (before == after).all()
    monkeypatch.setattr(brightness, "scale_lightness", None)  # must not be called again
    again = brightness.brightened(data, 0.5, workers=1)
    assert again.hash == dark.hash and again.root == dark.root
