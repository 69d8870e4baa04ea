"""Checks of the course's exercises, one a function that students write: ``check.iou(iou)``.

Each compares with an independent reference on several cases, see :func:`patchlib.course.verdict.compare`. What a
function shall do stands in its stub in the notebooks, not here.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from patchlib import boxes as box_ops
from patchlib import images, metrics, regions, search
from patchlib.course.verdict import NOT_YET, Case, Failed, NotYet, Passed, called, compare
from patchlib.studies.bootstrap import bootstrap
from patchlib.support.wording import counted

Function = Callable[..., Any]
BOXES = np.array([[0, 0, 4, 4], [2, 1, 6, 4], [4, 0, 8, 4], [1, 1, 3, 3], [6, 6, 9, 8]], np.float32)
PIECES = np.array([[0, 0, 8, 8], [0, 0, 4, 4], [4, 0, 8, 4], [0, 4, 4, 8], [4, 4, 8, 8]], np.float32)


def prediction(yours: Any, choices: Sequence[Any]) -> Passed:
    """That a prediction was written down before its result is seen; it may well be wrong."""
    if yours is ...:
        raise NotYet(f"your prediction {NOT_YET.split('Hints')[0].strip()}")
    if yours not in choices:
        raise Failed(f"your prediction is {yours!r}, expected one of {', '.join(map(repr, choices))}")
    return Passed(f"noted: {yours}")


def same(name: str, yours: Any, theirs: Any, tolerance: float = 1e-5) -> Passed:
    """That two results agree, e.g. a student's and the library's."""
    compare(name, lambda: yours, [Case((), theirs, tolerance)])
    return Passed(f"{name}: yours and the library's agree")


# C1 · Patchify from scratch


def patch_boxes(yours: Function) -> Passed:
    """Grids of odd sides too, where borders are rounded."""
    sizes = [(640, 480, 0), (640, 480, 1), (640, 480, 3), (10, 7, 1), (101, 67, 2)]
    return compare("patch_boxes", yours, [Case(size, regions.grid(*size)) for size in sizes])


def crop(yours: Function) -> Passed:
    """Resized by itself, antialiased; a grey value may differ by one."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    cases = []
    for box, side in ([0, 0, 80, 60], 16), ([10, 20, 50, 60], 16), ([40, 3, 61, 57], 32):
        wanted = next(images.cut(Image.fromarray(pixels), np.array([box], np.float32), side, "bicubic"))
        cases.append(Case((pixels, np.array(box, np.float32), side), wanted, 1))
    return compare("crop", yours, cases)


def normalise(yours: Function) -> Passed:
    """Bytes to what a network was trained on, channels first."""
    crops = np.random.default_rng(1).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    cases = []
    for mean, std in ([0.5, 0.4, 0.3], [0.2, 0.25, 0.5]), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]):
        channels = [(crops[..., c] / 255.0 - mean[c]) / std[c] for c in range(3)]
        cases.append(Case((crops, mean, std), np.stack(channels, axis=1), 1e-4))
    return compare("normalise", yours, cases)


def encode(yours: Function) -> Passed:
    """With a network so small that its output can be computed by hand: the mean of each channel."""
    from torch import from_numpy, nn

    cases, means = [], nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for count, seed in ((1, 0), (4, 1)):
        inputs = np.random.default_rng(seed).normal(1, 2, (count, 3, 6, 6)).astype(np.float32)
        rows = inputs.mean(axis=(2, 3))
        wanted = [row / np.sqrt((row * row).sum()) for row in rows]
        cases.append(Case((from_numpy(inputs), means), np.array(wanted), 1e-4))
    return compare("encode", yours, cases)


def best_patches(yours: Function) -> Passed:
    """Negative cosines and ties too."""
    rng, cases = np.random.default_rng(2), []
    for images_, patches in ((3, 5), (4, 1), (2, 14)):
        query, descriptors = rng.normal(size=6), rng.normal(size=(images_, patches, 6)) - 0.3
        cosines = [[sum(a * b for a, b in zip(query, patch, strict=True)) for patch in image] for image in descriptors]
        winners = [row.index(max(row)) for row in cosines]
        cases.append(Case((query, descriptors), (np.array([max(row) for row in cosines]), np.array(winners))))
    away = -np.ones((2, 3, 2))
    cases.append(Case((np.array([1.0, 0.0]), away), (np.array([-1.0, -1.0]), np.array([0, 0]))))
    return compare("best_patches", yours, cases)


def rank(yours: Function) -> Passed:
    """Of equal scores the lower image comes first."""
    lists = [[0.1, 0.9, 0.5], [0.3, 0.3, 0.8, 0.3], [-0.2, -0.7, -0.2, 0.0, 0.0], [1.0]]
    cases = []
    for scores in map(np.array, lists):
        row = scores.astype(np.float32)[None]
        cases.append(Case((scores,), search.order_images(row, np.zeros(row.shape, np.int32), 0, row.size).images[0]))
    return compare("rank", yours, cases)


# C2 · How good is a ranking


def average_precision(yours: Function) -> Passed:
    """Positives that are missed too."""
    rankings = [([1, 0, 1, 0], 2), ([0, 0, 1], 1), ([1, 1, 0], 4), ([0, 0], 3), ([0, 1, 1, 0, 0, 1, 0], 5)]
    lists = [(np.array(hits, bool), count) for hits, count in rankings]
    return compare("average_precision", yours, [Case(given, metrics.average_precision(*given)) for given in lists])


def iou(yours: Function) -> Passed:
    """Nested, crossing, touching and distant boxes."""
    pairs = [(0, 0), (0, 1), (0, 3), (0, 2), (3, 4), (0, 4), (1, 3)]
    cases = [(BOXES[a], BOXES[b]) for a, b in pairs]
    return compare("iou", yours, [Case(pair, box_ops.iou(*pair)[0, 0]) for pair in cases])


def loc_score(yours: Function) -> Passed:
    """The IoU of a wrong image counts nothing, whatever it is."""
    rankings = [([1, 0, 1], [0.5, 0.9, 0.2], 2), ([0, 1, 1, 0], [1.0, 1.0, 0.3, 0.8], 3), ([0, 0], [0.4, 0.4], 1)]
    cases = [(np.array(hits, bool), np.array(overlap), count) for hits, overlap, count in rankings]
    return compare("loc_score", yours, [Case(given, metrics.loc_score(*given)) for given in cases])


def paired_interval(yours: Function) -> Passed:
    """A twentieth of the reference's width is left to chance."""
    rng, cases = np.random.default_rng(3), []
    for count, shift, noise in ((40, 0.1, 0.05), (12, 0.0, 0.2), (30, 0.2, 0.0)):
        less = rng.uniform(0, 0.7, count)
        more = less + shift + noise * rng.normal(size=count)
        mean, low, high, *_ = bootstrap(more - less, resamples=50_000, seed=1)
        cases.append(Case((less, more, 10_000, 0), (mean, low, high), 0.05 * (high - low) + 1e-6))
    return compare("paired_interval", yours, cases)


# C3 · When do patches help


def shares(yours: Function) -> Passed:
    """How much of the object lies in each patch, and how much of each patch is the object."""
    cases = []
    for box in BOXES[:4]:
        both = np.zeros(len(PIECES))
        for x in np.arange(box[0], box[2]) + 0.5:  # counted in square pixels
            for y in np.arange(box[1], box[3]) + 0.5:
                both += (PIECES[:, 0] < x) & (x < PIECES[:, 2]) & (PIECES[:, 1] < y) & (y < PIECES[:, 3])
        cases.append(Case((box, PIECES), (both / box_ops.area(box), both / box_ops.area(PIECES))))
    return compare("shares", yours, cases)


def expected_winner(yours: Function) -> Passed:
    """The patch of the largest IoU, the first of equal ones."""
    asked = np.array([*BOXES[:2], [1, 1, 7, 7], [0, 0, 7, 7], [3, 5, 5, 7]], np.float32)
    return compare(
        "expected_winner", yours, [Case((box, PIECES), box_ops.iou(box, PIECES)[0].argmax()) for box in asked]
    )


def share_beaten(yours: Function) -> Passed:
    """Of the wrong images, those with a lower score; equal ones count half."""
    wrong = np.array([0.1, 0.4, 0.4, 0.9])
    asked = [(0.5, 0.75), (0.95, 1.0), (0.0, 0.0), (0.4, 0.5), (0.1, 0.125)]
    return compare("share_beaten", yours, [Case((score, wrong), share) for score, share in asked])


def difference_within(yours: Function) -> Passed:
    """Group against rest within each stratum; strata that hold one of them alone say nothing."""
    columns = [
        ([5, 7, 1, 2, 2], [1, 0, 1, 0, 0], [0, 0, 1, 1, 1]),
        ([9, 9, 1, 8, 0, 0], [1, 1, 1, 0, 0, 0], [0, 0, 1, 0, 1, 1]),  # a group that is in good company
        ([3, 4, 10, 1], [1, 0, 1, 1], [0, 0, 1, 1]),
    ]
    cases = []
    for values, group, stratum in columns:
        table = pd.DataFrame({"value": values, "group": group, "stratum": stratum})
        means = table.groupby(["stratum", "group"])["value"].mean().unstack()
        given = (np.array(values, float), np.array(group, bool), np.array(stratum))
        cases.append(Case(given, float((means[1] - means[0]).dropna().mean())))
    return compare("difference_within", yours, cases)


# C4 · Compress


def codebooks(yours: Function) -> Passed:
    """As good as faiss' k-means but for a tenth of the error."""
    import faiss

    for dim, m, k in ((8, 2, 8), (12, 4, 16)):
        vectors = np.random.default_rng(dim).normal(size=(640, dim)).astype(np.float32)
        asked = f"codebooks({len(vectors)} vectors of {dim} numbers, m={m}, k={k})"
        books = np.asarray(called("codebooks", yours, (vectors, m, k), asked), np.float32)
        if books.shape != (m, k, dim // m):
            raise Failed(f"{asked}: came back shape {books.shape}, expected {(m, k, dim // m)}")
        theirs: Any = faiss.ProductQuantizer(dim, m, int(np.log2(k)))
        theirs.train(vectors)
        errors = [float(((vectors - q.decode(q.compute_codes(vectors))) ** 2).sum(1).mean())
                  for q in (quantiser(books), theirs)]  # fmt: skip
        if not errors[0] <= 1.1 * errors[1]:
            error = f"a mean squared error of {errors[0]:.3f}, expected at most {1.1 * errors[1]:.3f}"
            raise Failed(f"{asked}: came back with {error}")
    return Passed("codebooks: 2 cases as good as faiss")


def pq_encode(yours: Function) -> Passed:
    """The codes that faiss gives for the same codebooks."""
    cases = []
    for vectors, books in _quantised():
        cases.append(Case((vectors, books), quantiser(books).compute_codes(vectors)))
    return compare("pq_encode", yours, cases)


def distances(yours: Function) -> Passed:
    """From a query that is not compressed to what faiss decodes of the codes."""
    cases = []
    for vectors, books in _quantised():
        codes, query = quantiser(books).compute_codes(vectors), vectors[0] + 0.1
        wanted = ((query - quantiser(books).decode(codes)) ** 2).sum(axis=1)
        cases.append(Case((query, codes, books), wanted, 1e-3))
    return compare("distances", yours, cases)


def bytes_needed(yours: Function) -> Passed:
    """Codes of all vectors, and float32 codebooks once."""
    sizes = [
        ((1000, 128, 8, 256), 8000 + 131072),
        ((10, 64, 4, 16), 20 + 4096),
        ((7800, 128, 16, 256), 124800 + 131072),
    ]
    return compare("bytes_needed", yours, [Case(*size) for size in sizes])


def quantiser(books: NDArray[np.float32]) -> Any:
    """The product quantiser of faiss with codebooks (m, k, D/m) of one's own; k a power of two."""
    import faiss

    m, k, width = books.shape
    theirs: Any = faiss.ProductQuantizer(m * width, m, int(np.log2(k)))
    faiss.copy_array_to_vector(np.ascontiguousarray(books, np.float32).ravel(), theirs.centroids)
    return theirs


def _quantised() -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Vectors and codebooks; 256 centroids each, so that faiss' codes are bytes."""
    rng = np.random.default_rng(4)
    shapes = ((20, 2, 3), (15, 4, 2), (30, 1, 5))
    return [
        (rng.normal(size=(n, m * width)).astype(np.float32), rng.normal(size=(m, 256, width)).astype(np.float32))
        for n, m, width in shapes
    ]


# C5 · Your photographs


def failure(yours: Function) -> Passed:
    """Every kind, at its borders too."""
    asked = [(1, 0.6, "found"), (5, 0.3, "found"), (2, 0.29, "wrong place"), (6, 0.9, "late"), (40, 0.0, "late")]
    for rank_, overlap, wanted in asked:
        got = called("failure", yours, (rank_, overlap), f"failure({rank_}, {overlap})")
        if got != wanted:
            raise Failed(f"failure({rank_}, {overlap}): came back {got!r}, expected {wanted!r}")
    return Passed(f"failure: {len(asked)} cases agree")


def cheapest(yours: Function) -> Passed:
    """The fewest regions of those that the data cannot tell from the best."""
    asked = [
        ([1, 5, 14, 30], [-0.2, -0.1, -0.05, 0.0], [-0.1, -0.02, 0.03, 0.0], 2),
        ([1, 5, 14, 30], [-0.2, -0.1, -0.05, 0.0], [-0.1, -0.02, -0.01, 0.0], 3),
        ([30, 5, 1], [0.0, -0.1, -0.3], [0.0, 0.1, 0.0], 2),
        ([84, 30], [-0.1, 0.0], [0.2, 0.0], 1),
    ]
    cases = [Case((np.array(cost), np.array(low), np.array(high)), row) for cost, low, high, row in asked]
    return compare("cheapest", yours, cases)


def evidence(yours: Any, table: pd.DataFrame) -> Passed:
    """Three sentences: a number of the table (one decimal), an interval, and where the claim ends."""
    if not isinstance(yours, str):
        raise NotYet(f"your evidence {NOT_YET.split('Hints')[0].strip()}")
    count = len([part for part in re.split(r"[.!?](?:\s+|$)", yours.strip()) if part])
    known = {f"{abs(value):.1f}" for value in table.select_dtypes("number").to_numpy(float).ravel()}
    if count != 3:
        raise Failed(f"evidence: came back {counted(count, 'sentence')}, expected 3")
    if not known & set(re.findall(r"\d+\.\d", yours)):
        raise Failed("evidence: no number of the table above is in it, expected at least one, to one decimal")
    if not re.search(r"interval|between|\[", yours):
        raise Failed("evidence: nothing says how sure the number is, expected its interval")
    return Passed("evidence: three sentences, with a number and its interval. Let your neighbour doubt them.")
