"""Regions that adapt, without a network: windows whose colours surprise, chosen so that together they cover an image.

An object of unknown size and place is likelier where an image differs from itself. Of the 276 windows of stride 0.25
those are chosen, one after the other, that raise the expected best IoU with such an object most:

    E[IoU] = sum over windows w of p(w) * max over the chosen c of IoU(w, c),    p(w) ~ prior(w) * exp(s * z(w))

z is the surprise of a window, standardised within its image: minus the mean similarity of its colours with those of the
windows that do not touch it. The prior gives the whole image a tenth, and the windows of each size equal parts of the
rest. With s = 0 all images get the same windows. Used through :func:`patchlib.features.proposals.of_benchmark`.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib import boxes as box_ops
from patchlib import images, regions
from patchlib.features.proposals import Proposer

LEVEL, STRIDE = 3, 0.25  # of the windows to choose from
MOST = 30  # windows chosen: as many as L3 has patches
SHARPNESS = 0.7  # s: how much surprise weighs
SIDE, BINS = 64, 4  # of the image that colours are counted in: pixels a side; bins a channel
WHOLE = 0.1  # prior of the whole image
UNIT = 1200  # side of the square whose windows stand for those of every image


def proposer(sharpness: float = SHARPNESS, most: int = MOST) -> Proposer:
    """Chooses windows, best first: the first 14 of 30 are those that 14 alone would be.

    Args:
        sharpness: s above, >= 0.
        most: windows an image, 1..276.

    Raises:
        ValueError: either lies elsewhere; while it proposes, an image with fewer than four pixels a side.

    Source: ours; greedy choice for facility location, within 1 - 1/e of the best (Nemhauser et al., 1978).
    """
    if sharpness < 0 or not 1 <= most <= len(_windows()):
        raise ValueError(f"sharpness {sharpness}, {most} windows; expected >= 0, and 1 to {len(_windows())}")
    config = {"sharpness": sharpness, "most": most, "stride": STRIDE, "side": SIDE, "bins": BINS, "whole": WHOLE}

    def propose(image: Image.Image) -> NDArray[np.float32]:
        windows = regions.sliding(*image.size, LEVEL, STRIDE)
        return windows[chosen(surprise(image), sharpness, most)]

    return Proposer(f"surprise-{sharpness:g}", propose, config)


def surprise(image: Image.Image) -> NDArray[np.float64]:
    """(276,) z of every window of an image; zeros where all look alike."""
    histograms, others = _histograms(image), _others()
    similar = (others * (histograms @ histograms.T)).sum(axis=1) / others.sum(axis=1)
    return (similar.mean() - similar) / max(float(similar.std()), 1e-6)


def chosen(surprising: NDArray[np.floating], sharpness: float, most: int) -> NDArray[np.int64]:
    """Numbers of the windows that cover best, in the order of the greedy choice, out of (276,) surprises."""
    overlaps, chance = _overlaps(), _prior() * np.exp(sharpness * surprising)
    covered = np.zeros(len(chance))
    order: list[int] = []
    for _ in range(most):
        gain = chance @ np.maximum(overlaps - covered[:, None], 0)
        gain[order] = -1
        order.append(int(gain.argmax()))
        covered = np.maximum(covered, overlaps[:, order[-1]])
    return np.array(order)


def _histograms(image: Image.Image) -> NDArray[np.float64]:
    """(276, BINS^3) square roots of the windows' joint colour histograms: their product is the similarity."""
    whole = np.array([[0, 0, *image.size]], np.float32)
    (pixels,) = images.cut(image, whole, SIDE, "bilinear")
    bins = (pixels.astype(np.int64) * BINS // 256) @ np.array([BINS**2, BINS, 1])
    sums = np.zeros((SIDE + 1, SIDE + 1, BINS**3), np.int32)  # of all pixels above and to the left
    sums[1:, 1:] = np.eye(BINS**3, dtype=np.int32)[bins].cumsum(axis=0).cumsum(axis=1)
    x0, y0, x1, y1 = np.rint(_windows() * (SIDE / UNIT)).astype(np.int64).T
    counts = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
    return np.sqrt(counts / counts.sum(axis=1, keepdims=True))


@lru_cache
def _windows() -> NDArray[np.float32]:
    return regions.sliding(UNIT, UNIT, LEVEL, STRIDE)


@lru_cache
def _overlaps() -> NDArray[np.float64]:
    """(276, 276) IoU of all windows."""
    return box_ops.iou(_windows(), _windows()).astype(np.float64)


@lru_cache
def _others() -> NDArray[np.bool_]:
    """(276, 276) whether a window (row) is compared with another: they do not touch; the whole image, with all."""
    apart = _overlaps() == 0
    apart[0] = True
    return apart


@lru_cache
def _prior() -> NDArray[np.float64]:
    """(276,) chance that an object fills a window, before anything is seen of the image."""
    cells = np.rint(UNIT / (_windows()[:, 2] - _windows()[:, 0])).astype(int)
    share = np.where(cells == 1, WHOLE, (1 - WHOLE) / LEVEL)
    return share / np.bincount(cells)[cells]
