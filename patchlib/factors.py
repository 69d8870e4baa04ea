"""Properties of images and instances that may decide whether retrieval succeeds: size, place, brightness."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from patchlib import boxes as box_ops
from patchlib.benchmarks.record import BOX, Benchmark

Y_WEIGHTS = np.array([0.2126729, 0.7151522, 0.0721750])  # linear sRGB -> CIE Y, D65


def attributes(benchmark: Benchmark) -> pd.DataFrame:
    """Size and place of every positive box.

    Returns:
        DataFrame[query_id, image_id, area, distance], one row per known box: box area / image area in (0, 1], distance
        of the centres / half the diagonal in [0, 1].

    Source: supplement S3.2.
    """
    known = benchmark.positives.dropna(subset=BOX)
    sizes = benchmark.images.set_index("image_id").loc[known["image_id"], ["width", "height"]].to_numpy(np.float32)
    boxes, (width, height) = known[BOX].to_numpy(np.float32), sizes.T
    area, distance = box_ops.area(boxes) / (width * height), box_ops.centre_distance(boxes, width, height)
    return known[["query_id", "image_id"]].reset_index(drop=True).assign(area=area, distance=distance)


def lightness(image: Image.Image) -> float:
    """Mean lightness L* of an sRGB image, in 0 (black) .. 100 (white).

    Source: supplement S3.1 (mean of the L channel of CIE Lab); conversion of IEC 61966-2-1 and CIE 15.
    """
    codes = np.arange(256) / 255
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    luminance: NDArray[np.float64] = linear[np.asarray(image.convert("RGB"))] @ Y_WEIGHTS
    root = np.where(luminance > (6 / 29) ** 3, np.cbrt(luminance), luminance / (3 * (6 / 29) ** 2) + 4 / 29)
    return float((116 * root - 16).mean())
