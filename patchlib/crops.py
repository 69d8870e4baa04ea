"""Cut regions out of an image and resize each by itself: what encoders see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib import regions

if TYPE_CHECKING:
    import torch

BLOCK = 64  # regions resized at a time: thousands of proposals need no memory for all of them


def cut(image: Image.Image, boxes: NDArray[np.float32], side: int, interpolation: str) -> Iterator[NDArray[np.uint8]]:
    """Cut regions and resize each by itself, antialiased, without looking beyond its border.

    The resize is torch's for 8-bit images: Pillow's but for rounding, several times faster, and the same bytes on
    processors with and without vector instructions.

    Args:
        image: RGB.
        boxes: (P, 4), taken to whole pixels.
        side: of the crops, in pixels.
        interpolation: ``"bilinear"`` or ``"bicubic"``.

    Yields:
        (side, side, 3) uint8, one per box.
    """
    import torch

    pixels = torch.from_numpy(np.array(image))
    whole = regions.whole_pixels(boxes, *image.size).astype(int)
    for first in range(0, len(whole), BLOCK):
        yield from _resized(pixels, whole[first : first + BLOCK], side, interpolation)


def _resized(pixels: torch.Tensor, boxes: NDArray[np.int64], side: int, interpolation: str) -> NDArray[np.uint8]:
    """Regions (P, 4) of (H, W, 3) pixels as (P, side, side, 3); those of one size share a call."""
    import torch

    crops = np.empty((len(boxes), side, side, 3), np.uint8)
    sizes, kinds = np.unique(boxes[:, 2:] - boxes[:, :2], axis=0, return_inverse=True)
    for kind in range(len(sizes)):
        alike = np.flatnonzero(kinds == kind)
        stack = torch.stack([pixels[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes[alike].tolist()])
        small = torch.nn.functional.interpolate(
            stack.permute(0, 3, 1, 2), (side, side), mode=interpolation, antialias=True
        )
        crops[alike] = small.permute(0, 2, 3, 1).numpy()
    return crops
