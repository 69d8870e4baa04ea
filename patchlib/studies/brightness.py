"""Lightness of CIE Lab: how bright an image is, and the same image, or a whole benchmark, brighter or darker."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from patchlib import images
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.benchmarks.procedural import rendering

FACTORS = (0.2, 0.6, 1.0, 1.4, 1.8)  # of L*; supplement S3.2
# linear sRGB -> CIE XYZ relative to the white D65 (IEC 61966-2-1), so that each row sums to 1
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_XYZ = (_XYZ / _XYZ.sum(axis=1, keepdims=True)).astype(np.float32)
_KNEE = 6 / 29  # of CIE Lab's f(t) = t ** (1/3), linear below t = _KNEE ** 3


def lightness(image: Image.Image) -> float:
    """Mean lightness L* of an sRGB image, in 0 (black) .. 100 (white).

    Source: supplement S3.1 (mean of the L channel of CIE Lab); conversion of IEC 61966-2-1 and CIE 15.
    """
    luminance = _linear(image) @ _XYZ[1]
    return float((116 * _root(luminance) - 16).mean(dtype=np.float64))


def scale_lightness(image: Image.Image, factor: float) -> Image.Image:
    """L* of CIE Lab times ``factor`` >= 0, cut at 100; a* and b* stay, colours that sRGB lacks are clipped.

    In Lab, L* = 116 f(Y) - 16, and a*, b* depend on differences of f(X), f(Y), f(Z) alone: a new L* moves all three f
    by the same amount.

    Source: supplement S3.2; conversion of IEC 61966-2-1 and CIE 15.
    """
    if factor < 0:
        raise ValueError(f"factor of lightness is {factor}, expected >= 0")
    root = _root(_linear(image) @ _XYZ.T)
    light = 116 * root[..., 1:2] - 16
    root += (np.minimum(factor * light, 100) - light) / 116
    xyz = np.where(root > _KNEE, root**3, 3 * _KNEE**2 * (root - 4 / 29))
    linear = xyz @ np.linalg.inv(_XYZ.astype(np.float64)).T.astype(np.float32)
    # the 8-bit code whose value is nearest: borders lie half-way between two codes
    return Image.fromarray(np.searchsorted(_decode(np.arange(255) + 0.5), linear).astype(np.uint8))


def brightened(benchmark: Benchmark, factor: float, workers: int | None = None) -> Benchmark:
    """The same benchmark with the lightness of all database images scaled; the queries stay as they are.

    Source: supplement S3.2 (tone mapping by :data:`FACTORS`).
    """
    files = [f"images/{i:06d}.jpg" for i in range(len(benchmark.images))]
    queries = [f"queries/{i:06d}.png" for i in range(len(benchmark.queries))]
    jobs: dict[str, Any] = {file: (benchmark.image_path(i), factor) for i, file in enumerate(files)}
    jobs |= {file: (benchmark.query_path(i), 1.0) for i, file in enumerate(queries)}
    settings = {"benchmark": benchmark.hash, "factor": factor}
    folder, _ = rendering.render_derived("brightness", settings, jobs, _brightened, workers)
    return dataclasses.replace(
        benchmark,
        name=f"{benchmark.name}-lightness-{factor:g}",
        root=folder,
        images=benchmark.images.assign(path=files),
        queries=benchmark.queries.assign(path=queries),
    )


def _brightened(job: tuple[str, float]) -> rendering.Picture:
    path, factor = job
    return scale_lightness(images.read(path), factor), None


def _linear(image: Image.Image) -> NDArray[np.float32]:
    """(H, W, 3) linear light of an sRGB image, 0..1."""
    return _decode(np.arange(256))[np.asarray(image.convert("RGB"))]


def _decode(codes: NDArray[Any]) -> NDArray[np.float32]:
    share = codes / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _root(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """CIE Lab's f."""
    linear = values / np.float32(3 * _KNEE**2) + np.float32(4 / 29)
    return np.where(values > _KNEE**3, values ** np.float32(1 / 3), linear)
