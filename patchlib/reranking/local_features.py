"""Local descriptors: the strongest tokens (ViT) or feature-map cells (CNN) of cutouts, stored on disk.

Strength is the L2 norm of a cell of the map, in a ViT that of the token before the model's final LayerNorm, which would
make all of them nearly equal. (In a ViT without registers a few very strong tokens are artefacts.) What a cutout is,
:mod:`patchlib.reranking.cutouts` says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from patchlib import boxes as box_ops
from patchlib import images
from patchlib.benchmarks.benchmark import BOX
from patchlib.encoders import Encoder
from patchlib.features.shards import fingerprint
from patchlib.support import machine, paths, progress, provenance
from patchlib.support.files import locked

ARRAYS = ("descriptors", "counts")
FORMAT = 2  # of these arrays; raise it when their content changes
PENDING = -1  # count of a cutout whose rows are not written yet

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]
Decoded = tuple[NDArray[np.uint8], NDArray[np.bool_]]


@dataclass(frozen=True)
class LocalFeatures:
    """Local descriptors of C cutouts, at most n each, strongest first.

    Attributes:
        descriptors: (C, n, D) float16 of unit length; zero beyond a cutout's count.
        counts: (C,) int32 number of descriptors.
        ids: name of every cutout, for messages.
        meta: the configuration, ``hash`` among it.
    """

    descriptors: NDArray[np.float16]
    counts: NDArray[np.int32]
    ids: list[str]
    meta: dict[str, Any]

    @property
    def bytes_per_cutout(self) -> int:
        """Bytes of descriptors stored for one cutout."""
        return self.descriptors[:1].nbytes

    def subset(self, rows: NDArray[np.integer]) -> LocalFeatures:
        """Some of the cutouts, in the order of ``rows``."""
        meta = self.meta | {"rows": provenance.config_hash(np.asarray(rows).tolist())}
        return LocalFeatures(self.descriptors[rows], self.counts[rows], [self.ids[row] for row in rows], meta)

    def tensors(self, rows: NDArray[np.integer], device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
        """Descriptors (B, n, D) float32 of some cutouts and their mask (B, n) bool, True = padding.

        Raises:
            ValueError: a row that is no cutout of this set, or a cutout without local descriptors; names it.
        """
        rows = np.asarray(rows)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self.counts):
            raise ValueError(
                f"rows {rows.min()}..{rows.max()} are asked for, the local features hold {len(self.counts)} cutouts"
            )
        counts = self.counts[rows]
        if (counts < 1).any():
            lacking = [self.ids[row] for row in rows[counts < 1][:3]]
            raise ValueError(f"no local descriptors for {', '.join(lacking)}; extract them before re-ranking")
        descriptors = torch.from_numpy(self.descriptors[rows]).to(device).float()
        mask = torch.arange(self.descriptors.shape[1])[None] >= torch.from_numpy(counts)[:, None]
        return descriptors, mask.to(device)


def extract(
    cutouts: pd.DataFrame,
    encoder: Encoder,
    n: int,
    out: str | Path | None = None,
    *,
    size: int | None = None,
    layer: int = -1,
    batch: int = 32,
    workers: int | None = None,
    skip_bad: bool = False,
) -> LocalFeatures:
    """Local descriptors of cutouts, resumable: batches that are on disk already are not made again.

    Args:
        cutouts: of :mod:`patchlib.reranking.cutouts`.
        encoder: its model is a timm ViT or CNN.
        n: most descriptors a cutout; the strongest are kept.
        out: folder the set goes to, as ``local-<hash>``; None = ``paths.cache() / "local"``.
        size: side of the square input; the encoder's own by default, on which most ViTs insist.
        layer: -1 = the last, -2 = the one before (a finer map in a CNN), as in timm's ``forward_intermediates``.
        batch: cutouts per forward pass; part of the configuration, since it may change the last bit.
        workers: threads that decode; None = one per core.
        skip_bad: give cutouts of unreadable images no descriptors instead of stopping.

    Returns:
        LocalFeatures, memory-mapped.

    Raises:
        ValueError: n < 1, no cutouts, a box outside its image, or a model without feature maps of that input size.
        ImageError: an unreadable image, without ``skip_bad``; names it.

    Source: supplement S6.
    """
    if n < 1 or cutouts.empty:
        raise ValueError(f"n is {n} and there are {len(cutouts)} cutouts, expected at least one of each")
    size = size or encoder.input_size
    settings = {"n": n, "size": size, "layer": layer, "crop": True, "batch": batch}
    config = {"encoder": encoder.config, **settings, "format": FORMAT}
    table = cutouts[["cutout_id", "benchmark", *BOX]]  # full paths differ from machine to machine
    config["cutouts"] = provenance.config_hash(table.to_csv(index=False, float_format="%.4f"))
    folder = Path(out or paths.cache() / "local") / f"local-{provenance.config_hash(config)}"
    forward = _feature_map(encoder, size, layer)
    decode = partial(_decode, size=size, interpolation=encoder.interpolation, skip_bad=skip_bad)
    with locked(folder):
        arrays = _open(folder, cutouts, config, forward)
        missing = PENDING if skip_bad else 0  # an earlier run may have skipped what this one must not
        starts = [s for s in range(0, len(cutouts), batch) if (arrays["counts"][s : s + batch] <= missing).any()]
        parts = (cutouts.iloc[start : start + batch] for start in starts)
        done = _ahead(decode, parts, workers or machine.cores())
        with progress.track(f"local descriptors with {encoder.name}", len(cutouts), "cutout") as bar:
            bar.update(len(cutouts) - sum(len(cutouts.iloc[s : s + batch]) for s in starts))
            for start, (pixels, readable) in zip(starts, done, strict=True):
                _write(arrays, start, _strongest(*forward(pixels), readable, n))
                bar.update(len(pixels))
    return load(folder)


def load(folder: str | Path) -> LocalFeatures:
    """A finished set, memory-mapped.

    Raises:
        ValueError: not such a folder, or extraction did not finish; says what to do.
    """
    folder = Path(folder)
    if not (folder / "meta.json").is_file():
        raise ValueError(f"{folder} holds no local features; make them with local_features.extract")
    content = provenance.read_json(folder / "meta.json")
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
    if (missing := int((arrays["counts"] == PENDING).sum())) > 0:
        raise ValueError(f"{folder} lacks {missing} of {len(arrays['counts'])} cutouts; run extract again to finish it")
    return LocalFeatures(**arrays, ids=content["ids"], meta=content["config"] | {"hash": folder.name.split("-")[-1]})


def _feature_map(encoder: Encoder, size: int, layer: int) -> Callable[[NDArray[np.uint8]], Maps]:
    """Function from uint8 crops (B, size, size, 3) to the layer's map (B, h, w, D) and its strengths (B, h, w)."""
    model = getattr(encoder.model, "trunk", encoder.model)  # open_clip wraps its timm models
    if not hasattr(model, "forward_intermediates") or not type(model).__module__.startswith("timm"):
        raise ValueError(f"{encoder.name} is no timm ViT or CNN and has no local descriptors; choose another encoder")
    mean, std = (torch.tensor(encoder.config[key], device=encoder.device).view(1, 3, 1, 1) for key in ("mean", "std"))
    dtype = next(model.parameters()).dtype
    final_norm = model.norm if hasattr(model, "blocks") and hasattr(model, "norm") else torch.nn.Identity()

    def forward(pixels: NDArray[np.uint8]) -> Maps:
        with torch.inference_mode():
            inputs = torch.from_numpy(pixels).to(encoder.device).permute(0, 3, 1, 2)
            inputs = ((inputs.float() / 255 - mean) / std).to(dtype)
            try:
                maps = model.forward_intermediates(
                    inputs, indices=[layer], norm=False, output_fmt="NCHW", intermediates_only=True
                )
            except AssertionError as error:  # timm's way to refuse a size or a layer
                raise ValueError(f"{encoder.name} cannot encode {size} pixels at layer {layer}: {error}") from error
            cells = maps[0].permute(0, 2, 3, 1)
            return final_norm(cells).float().cpu().numpy(), cells.float().norm(dim=-1).cpu().numpy()

    return forward


def _open(
    folder: Path,
    cutouts: pd.DataFrame,
    config: dict[str, Any],
    forward: Callable[[NDArray[np.uint8]], Maps],
) -> dict[str, np.memmap]:
    """Arrays of the folder, writable; blank ones if there are none yet, or if a file has changed since."""
    files = fingerprint(list(cutouts["path"]))
    meta = folder / "meta.json"
    if not meta.exists() or provenance.read_json(meta)["files"] != files:
        meta.unlink(missing_ok=True)  # it says that the arrays are whole
        dim = forward(np.zeros((1, config["size"], config["size"], 3), np.uint8))[0].shape[-1]
        shape = (len(cutouts), config["n"], dim)
        np.lib.format.open_memmap(folder / "descriptors.npy", "w+", np.float16, shape)
        np.save(folder / "counts.npy", np.full(len(cutouts), PENDING, np.int32))
        provenance.write_json(meta, {"config": config, "files": files, "ids": list(cutouts["cutout_id"])})
    return {name: np.lib.format.open_memmap(folder / f"{name}.npy", "r+") for name in ARRAYS}


def _write(arrays: dict[str, np.memmap], start: int, rows: dict[str, NDArray[Any]]) -> None:
    for name in ARRAYS:  # counts come last: they say that the descriptors are on disk
        arrays[name][start : start + len(rows[name])] = rows[name]
        arrays[name].flush()


def _ahead(decode: Callable[[pd.DataFrame], Decoded], parts: Iterable[pd.DataFrame], workers: int) -> Iterator[Decoded]:
    """Results of ``decode`` in order, a few batches ahead of the reader and no more."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Decoded]] = deque()
        for part in parts:
            waiting.append(pool.submit(decode, part))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _decode(cutouts: pd.DataFrame, size: int, interpolation: str, skip_bad: bool) -> Decoded:
    """Pixels (B, size, size, 3), and which images could be read (B,)."""
    pixels, readable = np.zeros((len(cutouts), size, size, 3), np.uint8), np.zeros(len(cutouts), bool)
    for path, rows in cutouts.reset_index(drop=True).groupby("path", sort=False):  # an image is decoded once
        try:
            image = images.read(path)
        except images.ImageError:
            if skip_bad:
                continue
            raise
        whole = np.array([0, 0, *image.size], np.float32)
        for row, cutout_id, *box in rows[["cutout_id", *BOX]].itertuples():
            inside = whole[None] if np.isnan(box).any() else box_ops.clip(box, *image.size)
            if not box_ops.area(inside).all():
                pixels_of = "x".join(map(str, image.size))
                raise ValueError(f"the box {box} of {cutout_id} holds no pixel of {path} ({pixels_of})")
            (pixels[row],) = images.cut(image, inside, size, interpolation)
            readable[row] = True
    return pixels, readable


def _strongest(
    maps: NDArray[np.float32], strengths: NDArray[np.float32], readable: NDArray[np.bool_], n: int
) -> dict[str, NDArray[Any]]:
    """The n strongest cells of each map (B, h, w, D) as rows of the arrays; none of an image that cannot be read."""
    cutouts, _, _, dim = maps.shape
    order = np.argsort(-strengths.reshape(cutouts, -1), axis=1, kind="stable")[:, :n]
    cells = np.take_along_axis(maps.reshape(cutouts, -1, dim), order[:, :, None], axis=1)
    cells /= np.maximum(np.linalg.norm(cells, axis=2, keepdims=True), 1e-12)
    cells[~readable] = 0
    descriptors = np.zeros((cutouts, n, dim), np.float16)
    descriptors[:, : cells.shape[1]] = cells
    return {"descriptors": descriptors, "counts": (readable * cells.shape[1]).astype(np.int32)}
