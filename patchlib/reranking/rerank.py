"""Re-rank a shortlist by local descriptors: scorers, their logits for all pairs, and the re-ranked list.

A *scorer* is a function (query, query_mask, database, database_mask) -> (B,) of local descriptors, such as
:class:`patchlib.reranking.AMES` or :func:`chamfer`. Its logits are made once and kept;
:mod:`patchlib.reranking.fusion` combines them with the first stage's scores.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from patchlib.benchmarks.benchmark import Benchmark
from patchlib.reranking.fusion import fuse
from patchlib.reranking.local_features import LocalFeatures
from patchlib.search import Ranking
from patchlib.support import files, progress

Scorer = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

# local descriptors of a batch of pairs: on a CPU more than its cache holds slows AMES down
BATCH_DESCRIPTORS = {"cpu": 1 << 11, "cuda": 1 << 18}


def chamfer(query: Tensor, query_mask: Tensor, database: Tensor, database_mask: Tensor) -> Tensor:
    """Mean over the query's local descriptors of the cosine of their best match in the image.

    Arguments as of :meth:`patchlib.reranking.AMES.forward`.

    Returns:
        (B,) in [-1, 1]; 0 for a query without descriptors.

    Source: supplement S6, "ILIAS baseline": dense feature correlation with the instance's box; the best-match (Chamfer)
    form is ours. The baseline in ILIAS' own paper is another: AMES' distilled network on a cropped query and whole
    images (ilias#6, ilias#8), which ``matchers.load("published")`` is.
    """
    query = torch.nn.functional.normalize(query.masked_fill(query_mask[..., None], 0), dim=-1)
    database = torch.nn.functional.normalize(database.masked_fill(database_mask[..., None], 0), dim=-1)
    best = (query @ database.transpose(1, 2)).masked_fill(database_mask[:, None], -1).amax(dim=2)
    return best.masked_fill(query_mask, 0).sum(dim=1) / (~query_mask).sum(dim=1).clamp(min=1)


def score_shortlist(
    scorer: Scorer,
    queries: LocalFeatures,
    database: LocalFeatures,
    rows: NDArray[np.integer],
    *,
    batch: int | None = None,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Logits (Q, m) of every query against its shortlist.

    Args:
        scorer: :func:`chamfer`, an :class:`patchlib.reranking.AMES` on ``device``, or any function of that form.
        queries: local descriptors of the Q queries, in order.
        database: local descriptors of images or regions.
        rows: (Q, m) which cutout of ``database`` stands at each rank: ``ranking.images[:, :m]`` where the cutouts are
            whole images, or the rows that ``cutouts.winning_regions`` returns.
        batch: pairs scored at once; None = as many as suit the device.

    Raises:
        ValueError: as many rows as queries are needed; a row is no cutout, or a cutout has no local descriptors.
    """
    rows = np.asarray(rows)
    if rows.ndim != 2 or len(rows) != len(queries.counts):
        raise ValueError(f"the shortlists have shape {rows.shape}, expected ({len(queries.counts)}, m)")
    room = queries.descriptors.shape[1] + database.descriptors.shape[1]
    batch = batch or max(1, BATCH_DESCRIPTORS[device.split(":")[0]] // room)
    logits = np.empty(rows.shape, np.float32)
    with torch.inference_mode(), progress.track("re-ranking", len(rows), "query") as bar:
        for query in range(len(rows)):
            one = queries.tensors(np.array([query]), device)
            for start in range(0, rows.shape[1], batch):
                some = slice(start, start + batch)
                logits[query, some] = scorer(*one, *database.tensors(rows[query, some], device)).float().cpu()
            bar.update()
    return logits


def cached_logits(
    config: Mapping[str, Any], make: Callable[[], NDArray[np.float32]], folder: str | Path | None = None
) -> NDArray[np.float32]:
    """Logits from disk, or made and written there: they are computed once for each configuration.

    Args:
        config: everything that decides the logits: scorer, both sets' ``meta["hash"]``, the shortlists.
        make: computes them.
        folder: of ``logits-<hash of config>.npz``; None = ``paths.cache() / "logits"``.
    """
    return files.kept_arrays("logits", config, lambda: {"logits": make()}, folder)["logits"]


def rerank(ranking: Ranking, local_logits: NDArray[np.floating], lambda_: float, gamma: float, m: int) -> Ranking:
    """The ranking with its first m images put in order of the fused score; arguments and errors as of ``fuse``.

    Ties: higher fused score first, then lower image index. Images beyond m stay as they were; scores are those of
    ``fuse``, winning regions go with their images.
    """
    fused = fuse(ranking.scores, local_logits, lambda_, gamma, m)
    order = np.broadcast_to(np.arange(fused.shape[1]), fused.shape).copy()
    order[:, :m] = np.lexsort((ranking.images[:, :m], -fused[:, :m]), axis=1)
    images, regions = (np.take_along_axis(part, order, axis=1) for part in (ranking.images, ranking.regions))
    return Ranking(images, np.take_along_axis(fused, order, axis=1).astype(np.float32), regions)


def relevance(ranking: Ranking, benchmark: Benchmark) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which ranks hold a positive (Q, K), and how many distinct positives each query has (Q,)."""
    relevant = np.zeros(ranking.images.shape, bool)
    counts = np.zeros(len(relevant), np.int64)
    for query, row in enumerate(ranking.images):
        positives = np.unique(benchmark.relevant(query)[0])
        relevant[query], counts[query] = np.isin(row, positives), len(positives)
    return relevant, counts
