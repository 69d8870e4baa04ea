"""Which boxes an image is described by: grids, sliding windows, ground-truth regions.

Every function returns (P, 4) float32 boxes with whole-pixel borders, in a fixed order. A *region strategy* is anything
that :func:`of_benchmark` accepts: a name such as ``"L3"``, a function of (width, height), or the :class:`Regions` of
one benchmark, where they depend on what an image shows.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from patchlib import boxes as box_ops
from patchlib.benchmarks.benchmark import BOX, Benchmark

LEVELS = (0, 1, 2, 3)


@dataclass(frozen=True)
class Regions:
    """Boxes of every image of one benchmark, for strategies that look at more than an image's size.

    Attributes:
        name: of the strategy, e.g. ``"ground-truth"``.
        boxes: (R, 4) float32, the boxes of image 0, then image 1, ...
        offsets: (N+1,) int64; image i owns rows ``offsets[i]:offsets[i+1]``.
    """

    name: str
    boxes: NDArray[np.float32]
    offsets: NDArray[np.int64]


def patch_count(level: int) -> int:
    """Patches of an image at a level: 1, 5, 14, 30 for L0..L3."""
    return sum(cells * cells for cells in range(1, level + 2))


PATCHES = tuple(patch_count(level) for level in LEVELS)
Strategy = str | int | Callable[[int, int], NDArray[np.float32]] | Regions


def grid(width: int, height: int, level: int) -> NDArray[np.float32]:
    """Patches of level ``level`` >= 0: the grids 1x1 .. (level+1)x(level+1), coarse to fine, row-major.

    Borders are ``round(i * width / g)``, so the patches of one grid tile the image exactly.

    Returns:
        (P, 4) float32, P = 1, 5, 14, 30 for L0..L3; L0 is the whole image.

    Raises:
        ValueError: negative level, or an image with fewer pixels a side than the finest grid has cells.

    Source: supplement S5 ("Patchify").
    """
    return sliding(width, height, level, stride=1.0)


def sliding(width: int, height: int, level: int, stride: float) -> NDArray[np.float32]:
    """Windows as large as the patches of each grid of a level, moved by ``stride``, in (0, 1], times their size.

    The last window of a row or column lies flush with the border. ``stride=1`` gives :func:`grid`.

    Returns:
        (P, 4) float32; at L3 84 windows for stride 0.5 and 276 for stride 0.25.

    Raises:
        ValueError: stride outside (0, 1], negative level, image too small.

    Source: supplement S5 ("Sliding window").
    """
    if int(level) != level or level < 0:
        raise ValueError(f"level is {level}, expected a whole number >= 0")
    if not 0 < stride <= 1:
        raise ValueError(f"stride is {stride}, expected a share of the window size in (0, 1]")
    if min(width, height) < level + 1:
        raise ValueError(
            f"an image of {width}x{height} pixels is too small for the {level + 1}x{level + 1} grid of L{level}"
        )
    return _windows(int(width), int(height), int(level), float(stride)).copy()


def ground_truth(boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Regions around ground-truth boxes (B, 4): squares a tenth longer than the longer side, borders on whole pixels.

    A tight box squeezed to the encoder's square input distorts the object and costs accuracy.
    """
    return box_ops.whole_pixels(box_ops.square(boxes, width, height), width, height)


def ground_truth_regions(benchmark: Benchmark) -> Regions:
    """The best that any proposer could do: positives are described by their ground-truth boxes alone.

    An image that is a positive of several queries has the boxes of all. Images without a box, which no one can propose
    an instance in, are described by L3, so that they have as many chances to look right as under a grid.

    Source: supplement S5 takes detected boxes as an upper bound; this one needs no detector.
    """
    known = benchmark.positives.dropna(subset=BOX).drop_duplicates(["image_id", *BOX])
    truth = {image: group[BOX].to_numpy(np.float32) for image, group in known.groupby("image_id")}
    per_image = []
    for image, width, height in benchmark.images[["image_id", "width", "height"]].itertuples(index=False):
        boxes, size = truth.get(image), (int(width), int(height))
        per_image.append(grid(*size, LEVELS[-1]) if boxes is None else ground_truth(boxes, *size))
    return Regions("ground-truth", *stack(per_image))


def name_of(strategy: Strategy) -> str:
    """What a strategy is called in a feature set's name."""
    if isinstance(strategy, Regions):
        return strategy.name
    return "custom" if callable(strategy) else f"L{strategy}" if isinstance(strategy, int) else strategy


def parse(name: str | int) -> Callable[[int, int], NDArray[np.float32]]:
    """Region strategy by name: ``"L0"`` .. ``"L3"`` (or a level number), ``"sliding-L3-0.5"``.

    Raises:
        ValueError: the name has another form.
    """
    text = f"L{name}" if isinstance(name, int) else str(name)
    if match := re.fullmatch(r"L(\d+)", text):
        level = int(match[1])
        return lambda width, height: grid(width, height, level)
    if match := re.fullmatch(r"sliding-L(\d+)-(\d*\.?\d+)", text):
        level, stride = int(match[1]), float(match[2])
        return lambda width, height: sliding(width, height, level, stride)
    raise ValueError(f"unknown region strategy {name!r}; expected a level such as 'L3', or 'sliding-L3-0.5'")


def of_benchmark(benchmark: Benchmark, strategy: Strategy) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes of every database image.

    ``strategy``: a name for :func:`parse`, a function (width, height) -> (P, 4), or Regions of this benchmark.

    Returns:
        boxes (R, 4) float32 and offsets (N+1,) int64: image i owns rows ``offsets[i]:offsets[i+1]``.

    Raises:
        ValueError: a strategy gives no box, or one that is empty or outside its image; names the image.
    """
    if isinstance(strategy, Regions):
        return _checked_regions(strategy, benchmark)
    make = strategy if callable(strategy) else parse(strategy)
    sizes = benchmark.images[["width", "height"]].to_numpy()
    per_image: list[NDArray[np.float32]] = []
    known: dict[tuple[int, int], NDArray[np.float32]] = {}
    for index, (width, height) in enumerate(sizes):
        size = (int(width), int(height))
        if size not in known:
            known[size] = _checked(make, size, benchmark, index)
        per_image.append(known[size])
    return stack(per_image)


def stack(per_image: list[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Concatenate one (P_i, 4) array per image into boxes (R, 4) and offsets (N+1,)."""
    counts = np.fromiter((len(boxes) for boxes in per_image), np.int64, len(per_image))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    boxes = np.concatenate(per_image) if per_image else np.empty((0, 4))
    return boxes.astype(np.float32), offsets


@lru_cache(maxsize=4096)
def _windows(width: int, height: int, level: int, stride: float) -> NDArray[np.float32]:
    parts = []
    for cells in range(1, level + 2):
        steps = np.minimum(np.arange(np.ceil((cells - 1) / stride) + 1) * stride, cells - 1)
        x0, x1 = np.rint(steps * width / cells), np.rint((steps + 1) * width / cells)
        y0, y1 = np.rint(steps * height / cells), np.rint((steps + 1) * height / cells)
        n = len(steps)
        parts.append(np.stack([np.tile(x0, n), np.repeat(y0, n), np.tile(x1, n), np.repeat(y1, n)], axis=1))
    return np.concatenate(parts).astype(np.float32)


def _checked(
    make: Callable[[int, int], NDArray[np.float32]], size: tuple[int, int], benchmark: Benchmark, index: int
) -> NDArray[np.float32]:
    try:
        boxes = np.asarray(make(*size), np.float32)
    except ValueError as error:
        image = benchmark.images["image_id"].iloc[index]
        raise ValueError(f"image {image} of {benchmark.name}: {error}") from error
    _check_boxes(boxes, size, benchmark, index)
    return boxes


def _checked_regions(regions: Regions, benchmark: Benchmark) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    boxes, offsets = np.asarray(regions.boxes, np.float32), np.asarray(regions.offsets, np.int64)
    if len(offsets) != len(benchmark.images) + 1 or offsets[-1] != len(boxes):
        raise ValueError(
            f"regions {regions.name!r} are of {len(offsets) - 1} images and {len(boxes)} boxes, {benchmark.name} has "
            f"{len(benchmark.images)} images; make them of this benchmark"
        )
    for index, size in enumerate(benchmark.images[["width", "height"]].itertuples(index=False)):
        _check_boxes(boxes[offsets[index] : offsets[index + 1]], (int(size[0]), int(size[1])), benchmark, index)
    return boxes, offsets


def _check_boxes(boxes: NDArray[np.float32], size: tuple[int, int], benchmark: Benchmark, index: int) -> None:
    image = benchmark.images["image_id"].iloc[index]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise ValueError(f"the region strategy gave shape {boxes.shape} for image {image}, expected (P, 4) with P >= 1")
    inside = (boxes[:, :2] >= 0).all() and (boxes[:, 2] <= size[0]).all() and (boxes[:, 3] <= size[1]).all()
    if not inside or (boxes[:, 2:] - boxes[:, :2] < 1).any():
        raise ValueError(
            f"the region strategy gave an empty box or one outside image {image} of {size[0]}x{size[1]} pixels"
        )
