"""Boxes: float xyxy in pixels of the original image (after EXIF orientation), shape (B, 4)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Boxes = NDArray[np.float32]
MARGIN = 0.1  # by which a square around a box is longer than its longer side


def area(boxes: ArrayLike) -> NDArray[np.float32]:
    """Area in square pixels, 0 for an inverted box. (B, 4) -> (B,)."""
    return _area(_as_boxes(boxes))


def iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """Intersection over union of every pair of (A, 4) and (B, 4) boxes.

    (A, B) float32 in [0, 1]; 0 where both boxes are empty, NaN where a box holds NaN.
    """
    a, b = _as_boxes(a), _as_boxes(b)
    return paired_iou(a[:, None, :], b[None, :, :])


def paired_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float32]:
    """IoU of boxes that stand at the same place of two broadcastable (..., 4) arrays; same rules as :func:`iou`."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.prod(np.maximum(sides, 0), axis=-1)
    union = _area(a) + _area(b) - intersection
    empty = np.where(np.isnan(union), np.nan, 0.0)
    return np.divide(intersection, union, out=empty, where=union > 0).astype(np.float32)


def clip(boxes: ArrayLike, width: ArrayLike, height: ArrayLike) -> Boxes:
    """Cut boxes at the image border. ``width`` and ``height`` in pixels, scalars or (B,). (B, 4) -> (B, 4)."""
    b = _as_boxes(boxes)
    limit = np.stack(np.broadcast_arrays(*(np.asarray(v, np.float32) for v in (width, height, width, height))), axis=-1)
    return np.clip(b, 0, limit)


def centre_distance(boxes: ArrayLike, width: ArrayLike, height: ArrayLike) -> NDArray[np.float32]:
    """Distance of a box's centre from the image's, divided by half the diagonal: 0 centre, 1 corner. (B, 4) -> (B,).

    ``width`` and ``height`` of the image in pixels, scalars or (B,).

    Source: supplement S3.2, "object distance from image center" (there in pixels).
    """
    b = _as_boxes(boxes)
    width, height = np.asarray(width, np.float32), np.asarray(height, np.float32)
    x = (b[:, 0] + b[:, 2]) / 2 - width / 2
    y = (b[:, 1] + b[:, 3]) / 2 - height / 2
    return np.hypot(x, y) / (np.hypot(width, height) / 2)


def square(boxes: ArrayLike, width: float, height: float) -> Boxes:
    """Squares around boxes (B, 4), a :data:`MARGIN` longer than their longer side, inside the image (pixels) where they
    fit.

    A square that would leave the image is moved inside; one larger than the image is cut to it, which is the only case
    where the result is not square.
    """
    b = _as_boxes(boxes)
    side = (1 + MARGIN) * np.maximum(b[:, 2] - b[:, 0], b[:, 3] - b[:, 1])
    columns = []
    for low, high, limit in ((b[:, 0], b[:, 2], width), (b[:, 1], b[:, 3], height)):
        extent = np.minimum(side, limit)
        start = np.clip((low + high) / 2 - extent / 2, 0, limit - extent)
        columns.append((start, start + extent))
    (x0, x1), (y0, y1) = columns
    return np.stack([x0, y0, x1, y1], axis=1).astype(np.float32)


def whole_pixels(boxes: Boxes, width: int, height: int) -> Boxes:
    """Boxes (P, 4) with their borders on the nearest pixels of the image, at least one pixel a side."""
    limit = np.array([width, height], np.float32)
    low = np.clip(np.floor(boxes[:, :2] + 0.5), 0, limit - 1)
    high = np.clip(np.floor(boxes[:, 2:] + 0.5), low + 1, limit)
    return np.concatenate([low, high], axis=1).astype(np.float32)


def _as_boxes(boxes: ArrayLike) -> Boxes:
    array = np.asarray(boxes, np.float32)
    if array.shape == (4,):
        array = array[None]
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes have shape {array.shape}, expected (B, 4): x0, y0, x1, y1")
    return array


def _area(boxes: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)
