"""Decode any image file into upright 8-bit RGB, and cut regions out of it: what encoders see.

A path may point into a tar shard, ``shard.tar::folder/image.jpg``: the member is read in place, nothing is unpacked.
"""

from __future__ import annotations

import io
import os
import struct
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from patchlib import boxes as box_ops

if TYPE_CHECKING:
    import torch

MEMBER = "::"
ORIENTATION = 0x0112  # EXIF tag
WIDE = 65_535  # the largest sample of 16 bits
NEAR = 8  # of 255, in each channel
BLOCK = 64  # regions resized at a time: thousands of proposals need no memory for all of them
# no EPS, which would start a program
FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM")
HEIF = find_spec("pillow_heif") is not None  # photographs of phones, by the extra of that name
# what Pillow's decoders and the reader of tar files raise on damaged files
UNREADABLE = (
    *(OSError, SyntaxError, ValueError, LookupError, EOFError, struct.error),
    *(Image.DecompressionBombError, tarfile.TarError),
)

if HEIF:
    import pillow_heif

    pillow_heif.register_heif_opener()
    FORMATS += ("HEIF",)


class ImageError(ValueError):
    """An image that cannot be read; the message names the file."""


def read(path: str | Path) -> Image.Image:
    """Read an image as upright RGB: a file, or a member of a tar file as ``shard.tar::member``.

    EXIF orientation is applied; palette, grey, CMYK and 16-bit images are converted; transparent ones are laid on
    white, as a browser would show them.

    Raises:
        ImageError: the file is missing, truncated, or not an image.
    """
    with _named(path):
        return _upright(_source(path))


def file_of(path: str | Path) -> str:
    """The file on disk that holds an image: itself, or its tar file."""
    shard, separator, _ = str(path).partition(MEMBER)
    return str(path) if separator and os.path.exists(path) else shard


def decode(content: bytes, name: str) -> Image.Image:
    """As :func:`read`, from the bytes of a file; errors call it ``name``."""
    with _named(name):
        return _upright(io.BytesIO(content))


def size(path: str | Path) -> tuple[int, int]:
    """Width and height in pixels after EXIF orientation, read from the header alone.

    Raises:
        ImageError: the file is missing or its header is not an image's.
    """
    with _named(path), Image.open(_source(path), formats=FORMATS) as image:
        width, height = image.size
        # Pillow gives the size of a TIFF file as it will stand
        turned = image.format != "TIFF" and image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


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
    whole = box_ops.whole_pixels(boxes, *image.size).astype(int)
    for first in range(0, len(whole), BLOCK):
        yield from _resized(pixels, whole[first : first + BLOCK], side, interpolation)


def cropped(image: Image.Image, box: NDArray[np.floating] | None) -> Image.Image:
    """The part of an image within a box (4,), its borders on the nearest pixels; the whole image where it is None."""
    return image if box is None else image.crop(tuple(np.rint(box).astype(int).tolist()))


@contextmanager
def _named(name: str | Path) -> Iterator[None]:
    """Whatever Pillow's decoders raise as an ImageError that names the image."""
    try:
        yield
    except ImageError:
        raise
    except UNREADABLE as error:
        raise ImageError(f"cannot read image {name}: {_reason(error)}") from error


def _upright(source: str | io.BytesIO) -> Image.Image:
    with Image.open(source, formats=FORMATS) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image)


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


def _source(path: str | Path) -> str | io.BytesIO:
    """What Pillow can open: the file's name, or the bytes of a tar file's member."""
    shard = file_of(path)
    if shard == str(path):
        return shard
    member = str(path).removeprefix(shard + MEMBER)
    try:
        offset, length = _members(shard, os.stat(shard).st_mtime_ns)[member]
    except KeyError:
        raise ImageError(f"cannot read image {path}: the shard has no such member") from None
    with open(shard, "rb") as file:
        file.seek(offset)
        content = file.read(length)
    if len(content) != length:
        raise ImageError(f"cannot read image {path}: the shard ends early; fetch it again")
    return io.BytesIO(content)


@lru_cache(maxsize=4)
def _members(shard: str, modified: int) -> dict[str, tuple[int, int]]:
    """Member name -> (offset of its bytes, length), from one pass over the headers of a shard as of ``modified``."""
    with tarfile.open(shard, "r:") as archive:
        return {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8bit(np.asarray(image), image.mode)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy


def _to_8bit(values: np.ndarray, mode: str) -> np.ndarray:
    """Wide samples scaled by their nominal range; Pillow's own conversion would clip everything above 255."""
    highest = values.max(initial=0)
    if mode.startswith("F"):
        if not np.isfinite(values).all() or highest > WIDE:
            raise ValueError(f"its samples hold NaN, or reach beyond {WIDE}")
        full = 1 if highest <= 1 else 255 if highest < 2 * 255 else WIDE  # resampled bytes may overshoot
        return np.clip(np.rint(values * (255 / full)), 0, 255).astype(np.uint8)
    if mode == "I" and highest <= 255:  # a 32-bit container of 8-bit samples
        return np.clip(values, 0, 255).astype(np.uint8)
    return np.clip((values.astype(np.int64) + 128) // 257, 0, 255).astype(np.uint8)


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not an image Pillow knows"
    return str(error) or type(error).__name__
