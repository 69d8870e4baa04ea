"""Large indexes out of small ones: real images are encoded, and the wrong ones multiplied without encoding."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patchlib.pq import disk_files, on_disk
from patchlib.pq.disk_files import Entries
from patchlib.pq.index import PatchIndex
from patchlib.pq.on_disk import DiskIndex


def replicate_codes(
    source: PatchIndex,
    patches: int,
    n_once: int,
    copies: int,
    folder: Path,
    others: int | None = None,
    seed: int = 0,
) -> DiskIndex:
    """A large index out of a small one: its further images many times over, with recombined codes.

    Lists are filled directly, without encoding. In the first copy codes stay as they are; in the others each code is
    put together from two codes of its list, an eighth at a time at random. So lists have realistic lengths, images
    keep patches that resemble each other, and codes remain codes of their list.

    Args:
        source: index of images with equally many patches each.
        patches: keep so many patches of every image: a coarser level.
        n_once: the first images come once: those of the benchmark.
        copies: of the others.
        folder: where the index goes; must not hold one.
        others: take only so many of them; None = all.
        seed: of the random numbers.
    """
    import faiss

    owned = int(source.offsets[1])
    others = len(source.offsets) - 1 - n_once if others is None else others
    rng = np.random.default_rng(seed)
    kept = [_kept(source, number, owned, patches, n_once + others) for number in range(source.ivf.nlist)]
    once = [ids < n_once * patches for _, ids in kept]

    def lists() -> Iterator[Entries]:
        shifts = np.arange(copies)[:, None] * (others * patches)
        for (codes, ids), own in zip(kept, once, strict=True):
            recombined = _recombine(codes[~own], copies, rng).reshape(-1, codes.shape[1])
            numbers = np.concatenate([ids[own], (ids[~own] + shifts).ravel()])
            yield Entries(np.concatenate([codes[own], recombined]), numbers)

    offsets = np.arange(n_once + copies * others + 1, dtype=np.int64) * patches
    folder.mkdir(parents=True, exist_ok=True)
    empty = faiss.clone_index(source.index)
    empty.reset()
    on_disk.write(folder, empty, offsets, source.meta | {"copies": copies}, lists())
    return on_disk.load(folder)


def _kept(
    source: PatchIndex, number: int, owned: int, patches: int, n_images: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Codes (n, code_size) and renumbered ids of a list's entries: of a coarser level, of the first images."""
    codes, ids = disk_files.entries(source.ivf, number)
    image, patch = np.divmod(ids, owned)
    keep = (patch < patches) & (image < n_images)
    return codes[keep], (image * patches + patch)[keep]


def _recombine(codes: NDArray[np.uint8], copies: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(copies, n, code_size): the codes, then mixtures of each with another one of the list."""
    count, size = codes.shape
    blocks = np.gcd(size, 8)
    words = np.ascontiguousarray(codes).reshape(count, blocks, size // blocks)
    result = np.empty((copies, *words.shape), np.uint8)
    for copy in range(copies):
        other = rng.integers(2, size=(count, blocks, 1), dtype=bool) & (copy > 0)
        result[copy] = np.where(other, words[rng.permutation(count)], words)
    return result
