"""Training of the built-in matcher, a small AMES on tokens of the built-in encoder.

The network is to put the right image of a list first, and every right pair above zero. torch is imported where it is
used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from patchlib import metrics
from patchlib.reranking import matchers
from patchlib.training.matcher_data import MatcherConfig, TrainingLists, objects

if TYPE_CHECKING:
    import torch

    from patchlib.reranking.ames import AMES


def list_loss(logits: torch.Tensor) -> torch.Tensor:
    """Cross entropy of picking the right image of each list, plus binary cross entropy of every pair.

    The first term orders the images of a list. The second fixes the zero, so that logits of different queries can be
    compared and put into a sigmoid; the one right image weighs as much as all wrong ones together.

    Args:
        logits: (B, length), the right image in column 0.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    target = torch.zeros_like(logits)
    target[:, 0] = 1
    weight = torch.tensor(logits.shape[1] - 1.0, device=logits.device)
    return cross_entropy(logits, first) + binary_cross_entropy_with_logits(logits, target, pos_weight=weight)


def architecture(config: MatcherConfig, lists: TrainingLists) -> dict[str, Any]:
    """Arguments of :class:`patchlib.reranking.ames.AMES`."""
    sizes = {name: getattr(config, name) for name in ("dim", "layers", "heads", "feedforward")}
    return {"variant": "float", "local_dim": lists.images.descriptors.shape[2], **sizes}


def build(config: MatcherConfig, lists: TrainingLists) -> AMES:
    """The untrained network, which begins as a best-match scorer."""
    import torch

    from patchlib.reranking.ames import AMES
    from patchlib.training.matcher_start import start_as_chamfer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = AMES(**architecture(config, lists))
    rows = np.arange(0, len(lists.images.counts), max(1, len(lists.images.counts) // 200))
    sample = [part.tensors(rows_) for part, rows_ in ((lists.images, rows), (lists.queries, _trained(config)))]
    return start_as_chamfer(model, torch.cat([tokens[~padding] for tokens, padding in sample]))


def train(
    config: MatcherConfig,
    lists: TrainingLists,
    report: Callable[[int, float, float, float, AMES], None] | None = None,
    every: int = 50,
) -> tuple[AMES, pd.DataFrame]:
    """Trains a matcher on the CPU.

    Args:
        config: settings.
        lists: of :func:`prepare`.
        report: called with (step, loss, share of lists with the right image first, held-out mAP, model).
        every: steps between two rows of the curve.

    Returns:
        The model in evaluation mode, and the curve: DataFrame[step, loss, right, held_out, seconds]; ``held_out`` is
        the mAP of instances never trained on when the first 30 images of L3 are put in order of the logits alone. Row
        0 is the start.
    """
    import torch

    model = build(config, lists).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    rng, generator = np.random.default_rng(config.seed), torch.Generator().manual_seed(config.seed)
    start, seen = time.monotonic(), []
    rows = [
        {"step": 0, "loss": np.nan, "right": np.nan, "held_out": held_out_map(model, config, lists), "seconds": 0.0}
    ]
    for step in range(1, config.steps + 1):
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / config.steps)
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * min(1.0, step / config.warm_up) * cosine
        logits = _step(model, config, lists, config.easy * max(0.0, 1 - step / (0.6 * config.steps)), rng, generator)
        loss = list_loss(logits)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        seen.append((float(loss.detach()), float((logits.argmax(dim=1) == 0).float().mean())))
        if step % every == 0 or step == config.steps:
            means = dict(zip(("loss", "right"), np.mean(seen, axis=0).tolist(), strict=True))
            score = held_out_map(model, config, lists)
            rows.append({"step": step, **means, "held_out": score, "seconds": time.monotonic() - start})
            seen = []
            if report is not None:
                report(step, means["loss"], means["right"], score, model)
    return model.eval(), pd.DataFrame(rows)


def held_out_map(model: AMES, config: MatcherConfig, lists: TrainingLists, m: int = 30) -> float:
    """mAP (0..1) of the held-out queries, their first m images of L3 in order of the logits alone, none beyond."""
    from patchlib.reranking.rerank import score_shortlist

    rows = np.arange(config.instances - config.held_out, config.instances)
    shortlist = lists.rankings["L3"][rows, :m]
    training = model.training
    logits = score_shortlist(model.eval(), lists.queries.subset(rows), lists.images, shortlist)
    model.train(training)
    ordered = np.take_along_axis(shortlist, np.argsort(-logits, axis=1, kind="stable"), axis=1)
    relevant = np.stack([np.isin(row, lists.positives[query]) for query, row in zip(rows, ordered, strict=True)])
    found = metrics.average_precision(relevant, [len(lists.positives[query]) for query in rows])
    return float(found.mean())


def save(
    model: AMES, config: MatcherConfig, lists: TrainingLists, curve: pd.DataFrame, folder: Path, name: str
) -> Path:
    """Write weights, card and curve of a training run; returns the path of the card."""
    import torch

    drawn, chosen = objects(config)
    seeds = [drawn.objects()[row][0] for row in chosen]
    elsewhere = ("tokens", *architecture(config, lists))
    training = {key: value for key, value in asdict(config).items() if key not in elsewhere}
    training |= {
        "objective": "cross entropy over lists of one right image and wrong ones from the shortlists of L0 and L3, "
        "plus binary cross entropy of the pairs; begins as a Chamfer scorer",
        "seed_range": [min(seeds), max(seeds) + 1],
        "seconds": round(float(curve["seconds"].iloc[-1])),
        "final_loss": round(float(curve["loss"].iloc[-1]), 4),
        "torch": torch.__version__,
    }
    return matchers.save(model, architecture(config, lists), config.tokens, training, curve, folder, name)


def _trained(config: MatcherConfig) -> NDArray[np.int64]:
    return np.arange(config.instances - config.held_out)


def _step(
    model: AMES,
    config: MatcherConfig,
    lists: TrainingLists,
    easy: float,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> torch.Tensor:
    """Logits (lists, length) of freshly drawn lists."""
    import torch

    drawn = rng.choice(_trained(config), config.lists, replace=False)
    rows = np.stack([lists.draw(int(query), config, easy, rng) for query in drawn])
    pairs = [lists.queries.tensors(np.repeat(drawn, config.length)), lists.images.tensors(rows.ravel())]
    hidden = [
        (tokens, padding | (torch.rand(padding.shape, generator=generator) < config.hidden))
        for tokens, padding in pairs
    ]
    return model(*hidden[0], *hidden[1]).view(rows.shape)
