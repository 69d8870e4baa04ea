"""One shard of an extraction: its images are decoded, cut, encoded and written, by one thread."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib import crops, images
from patchlib.encoders import Encoder
from patchlib.support import provenance


@dataclass(frozen=True)
class Shard:
    """Images (``kind`` "image") or queries ("query") ``first:last``, and the file of their descriptors.

    An unreadable image's rows hold NaN.
    """

    kind: str
    first: int
    last: int
    path: Path


@dataclass(frozen=True)
class Work:
    """A shard and all that is needed to make it but the encoder: what travels to another machine.

    Attributes:
        shard: which one.
        files: its n images.
        sizes: (n, 2) width and height that the benchmark says; None for queries, of which it says none.
        boxes: (P, 4) regions, NaN = whole image.
        offsets: (n+1,) image i owns ``boxes[offsets[i]:offsets[i+1]]``.
        dtype: of the stored descriptors.
        batch: crops per forward pass.
        skip_bad: write the shard even if an image of it cannot be used.
    """

    shard: Shard
    files: list[str]
    sizes: NDArray[np.int64] | None
    boxes: NDArray[np.float32]
    offsets: NDArray[np.int64]
    dtype: str
    batch: int
    skip_bad: bool


def make(encoder: Encoder, work: Work) -> list[str]:
    """Describe a shard's images and write its file; returns a message for every image that cannot be used."""
    descriptors = np.full((len(work.boxes), encoder.dim), np.nan, work.dtype)
    messages: list[str] = []
    filled: list[int] = []
    batch = np.empty((work.batch, encoder.input_size, encoder.input_size, 3), np.uint8)
    for row, pixels in _crops(encoder, work, messages.append):
        batch[len(filled)] = pixels
        filled.append(row)
        if len(filled) == work.batch:
            descriptors[filled] = _encode(encoder, batch)
            filled.clear()
    if filled:
        descriptors[filled] = _encode(encoder, batch[: len(filled)])
    if work.skip_bad or not messages:
        with provenance.atomic_write(work.shard.path) as file:
            np.save(file, descriptors)
    return messages


def done(shard: Shard, skip_bad: bool) -> bool:
    """Whether a shard's file is there, and (unless ``skip_bad``) lacks no image."""
    if not shard.path.exists():
        return False
    return skip_bad or not np.isnan(np.load(shard.path, mmap_mode="r")[:, 0]).any()


def cut(image: Image.Image, boxes: NDArray[np.float32], encoder: Encoder) -> Iterator[NDArray[np.uint8]]:
    """:func:`patchlib.crops.cut` to the encoder's input: (input_size, input_size, 3) uint8 for each of (P, 4) boxes."""
    return crops.cut(image, boxes, encoder.input_size, encoder.interpolation)


def _encode(encoder: Encoder, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    descriptors = encoder.encode(batch)
    if not np.isfinite(descriptors).all():
        raise ValueError(f"encoder {encoder.name} gave NaN or infinity; check its weights, or create it with float32")
    return descriptors


def _crops(encoder: Encoder, work: Work, report: Callable[[str], None]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(row within the shard, pixels) of every region; images that cannot be used are reported and left out."""
    for index, file in enumerate(work.files):
        boxes = work.boxes[work.offsets[index] : work.offsets[index + 1]]
        try:
            image = images.read(file)
            if work.sizes is not None:
                _check_size(file, work.sizes[index], image)
        except images.ImageError as error:
            report(str(error))
            continue
        if work.sizes is None:
            boxes = _query_box(file, boxes, image)
        yield from enumerate(cut(image, boxes, encoder), int(work.offsets[index]))


def _check_size(file: str, expected: NDArray[np.int64], image: Image.Image) -> None:
    if image.size != tuple(expected):
        raise images.ImageError(
            f"image {file} has {image.size[0]}x{image.size[1]} pixels, the benchmark says "
            f"{expected[0]}x{expected[1]}; load the benchmark again"
        )


def _query_box(file: str, box: NDArray[np.float32], image: Image.Image) -> NDArray[np.float32]:
    """The (1, 4) region of a query; only here its image's size is known."""
    if np.isnan(box).any():
        return np.array([[0, 0, *image.size]], np.float32)
    inside = np.clip(box, 0, np.array([*image.size, *image.size], np.float32))
    name = f"box {box[0].tolist()} of query {file}"
    if (inside[:, 2:] <= inside[:, :2]).any():
        raise ValueError(f"{name} lies wholly outside its image of {image.size[0]}x{image.size[1]} pixels")
    if (inside != box).any():
        warnings.warn(f"{name} reaches beyond its image and was clipped", stacklevel=2)
    return inside
