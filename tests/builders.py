"""Small benchmarks, feature sets and encoders for the tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from PIL import Image

from patchlib.benchmarks.benchmark import BOX, Benchmark
from patchlib.encoders import Encoder
from patchlib.features.feature_set import FeatureSet

Positive = tuple[int, int, Sequence[float] | None]  # query, image, box (None = unknown)


def picture(width: int, height: int, seed: int) -> Image.Image:
    """A smooth, colourful picture: noise of 4x3 pixels, enlarged."""
    noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def benchmark_on_disk(
    folder: Path, n_images: int = 6, n_queries: int = 2, sizes: Sequence[tuple[int, int]] = ()
) -> Benchmark:
    """Pictures written under ``folder``; image i is a positive of query i mod Q, with a box of its left half."""
    sizes = sizes or [(40, 32), (33, 47), (64, 20)]
    frames = []
    for kind, count, first_seed in (("database", n_images, 0), ("queries", n_queries, 1000)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        rows = []
        for i in range(count):
            width, height = sizes[i % len(sizes)]
            picture(width, height, first_seed + i).save(folder / kind / f"{i:03d}.png")
            rows.append((f"{kind[0]}{i}", f"{kind}/{i:03d}.png", width, height))
        frames.append(pd.DataFrame(rows, columns=["id", "path", "width", "height"]))
    images = frames[0].rename(columns={"id": "image_id"})
    queries = frames[1].rename(columns={"id": "query_id"})[["query_id", "path"]].assign(instance="thing")
    queries[BOX] = np.nan
    positives = pd.DataFrame(
        {"query_id": [f"q{i % n_queries}" for i in range(n_images)], "image_id": images["image_id"]}
    )
    positives[BOX] = np.stack([[0, 0, w / 2, h] for w, h in images[["width", "height"]].to_numpy()])
    return Benchmark("tiny", folder, images, queries, positives)


def benchmark_of(n_images: int, n_queries: int, positives: Sequence[Positive], side: int = 100) -> Benchmark:
    """Tables alone, no files: square images i0, i1, ... and queries q0, q1, ..."""
    images = pd.DataFrame({"image_id": [f"i{i}" for i in range(n_images)]})
    images = images.assign(path=images["image_id"] + ".png", width=side, height=side)
    queries = pd.DataFrame({"query_id": [f"q{i}" for i in range(n_queries)], "path": "q.png", "instance": "thing"})
    queries[BOX] = np.nan
    rows = [(f"q{q}", f"i{i}", *([np.nan] * 4 if box is None else box)) for q, i, box in positives]
    return Benchmark(
        "tables", Path("nowhere"), images, queries, pd.DataFrame(rows, columns=["query_id", "image_id", *BOX])
    )


def feature_set(
    descriptors: ArrayLike,
    counts: Sequence[int],
    query_descriptors: ArrayLike,
    boxes: ArrayLike | None = None,
    dtype: str = "float32",
    **meta: Any,
) -> FeatureSet:
    """A FeatureSet in memory; image i owns the next ``counts[i]`` rows. Boxes default to 1x1 pixels in a row."""
    rows = np.asarray(descriptors, dtype)
    if boxes is None:
        start = np.arange(len(rows))
        boxes = np.stack([start, 0 * start, start + 1, 0 * start + 1], axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return FeatureSet(rows, np.asarray(boxes, np.float32), offsets, np.asarray(query_descriptors, np.float32), meta)


def resembling(images: int, per_image: int, dim: int) -> FeatureSet:
    """Images whose regions resemble each other; query i shows a region of image 10 i."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((images, 1, dim)) + rng.standard_normal((images, per_image, dim))
    rows = (rows / np.linalg.norm(rows, axis=2, keepdims=True)).reshape(-1, dim)
    return feature_set(rows, [per_image] * images, rows[:: 10 * per_image])


def patches_of(images: np.ndarray, queries: np.ndarray) -> FeatureSet:
    """Images (N, P, D) as a FeatureSet."""
    return feature_set(images.reshape(-1, images.shape[2]), [images.shape[1]] * len(images), queries)


def encoder_of(function: Any, dim: int, input_size: int = 8, name: str = "stub") -> Encoder:
    """An encoder made of a function of uint8 crops (B, S, S, 3) -> (B, D)."""
    return Encoder(name, dim, input_size, "bilinear", function, {"name": name})


def mean_colour(crops: np.ndarray) -> np.ndarray:
    """(B, 3) mean colour, unit rows: the quickest descriptor that depends on the pixels."""
    mean = crops.reshape(len(crops), -1, 3).mean(axis=1, dtype=np.float64) + 1
    return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)


def resized(image: Image.Image, side: int, interpolation: str = "bilinear") -> np.ndarray:
    """A whole picture as torch makes it small: (side, side, 3) uint8."""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(pixels, (side, side), mode=interpolation, antialias=True)
    return small[0].permute(1, 2, 0).numpy()


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length one, float32."""
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
