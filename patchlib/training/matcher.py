"""Training of the built-in matchers, a small AMES and a small ELViS on local descriptors of the built-in encoder.

The network is to put the positive of a list first, and every positive pair above zero.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from patchlib import metrics
from patchlib.reranking import ELViS
from patchlib.reranking.matchers import NETWORKS, Network
from patchlib.reranking.rerank import score_shortlist
from patchlib.training import cards, loop
from patchlib.training.matcher_data import MatcherConfig, TrainingLists, objects
from patchlib.training.matcher_start import start_as_chamfer, start_with_votes

AMES_SIZES = ("dim", "layers", "heads", "feedforward")


def list_loss(logits: torch.Tensor) -> torch.Tensor:
    """Cross entropy of picking the positive of each list, plus binary cross entropy of every pair.

    The first term orders the images of a list. The second fixes the zero, so that logits of different queries can be
    compared and put into a sigmoid; the one positive weighs as much as all negatives together. ``logits``: (B, length),
    the positive in column 0.
    """
    first = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    target = torch.zeros_like(logits)
    target[:, 0] = 1
    weight = torch.tensor(logits.shape[1] - 1.0, device=logits.device)
    return cross_entropy(logits, first) + binary_cross_entropy_with_logits(logits, target, pos_weight=weight)


def architecture(config: MatcherConfig, lists: TrainingLists) -> dict[str, Any]:
    """Arguments of the network; an ELViS has the published sizes but for the descriptors'."""
    if config.network == "ELViS":
        return {"local_dim": lists.images.descriptors.shape[2]}
    sizes = {name: getattr(config, name) for name in AMES_SIZES}
    return {"variant": "float", "local_dim": lists.images.descriptors.shape[2], **sizes}


def build(config: MatcherConfig, lists: TrainingLists) -> Network:
    """The untrained network, which begins as a best-match scorer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = NETWORKS[config.network](**architecture(config, lists))
    rows = np.arange(0, len(lists.images.counts), max(1, len(lists.images.counts) // 200))
    sample = [part.tensors(rows_) for part, rows_ in ((lists.images, rows), (lists.queries, _trained(config)))]
    descriptors = torch.cat([tokens[~padding] for tokens, padding in sample])
    if isinstance(model, ELViS):
        return start_with_votes(model, descriptors, float(lists.queries.counts.mean() + lists.images.counts.mean()))
    return start_as_chamfer(model, descriptors)


def train(config: MatcherConfig, lists: TrainingLists, every: int = 50) -> tuple[Network, pd.DataFrame]:
    """Trains a matcher on the CPU; ``every``: steps between two rows of the curve.

    Returns:
        The model in evaluation mode, and the curve: DataFrame[step, loss, positive_first, held_out, seconds];
        ``positive_first`` is the share of lists whose positive has the highest logit, ``held_out`` the mAP of instances
        never trained on when the first 30 images of L3 are put in order of the logits alone. Row 0 is the start.
    """
    model = build(config, lists).train()
    rng, generator = np.random.default_rng(config.seed), torch.Generator().manual_seed(config.seed)

    def objective(step: int) -> dict[str, torch.Tensor]:
        easy = config.easy * max(0.0, 1 - step / (0.6 * config.steps))
        logits = _logits(model, config, lists, easy, rng, generator)
        return {"loss": list_loss(logits), "positive_first": (logits.argmax(dim=1) == 0).float().mean()}

    def measure() -> dict[str, float]:
        return {"held_out": held_out_map(model, config, lists)}

    curve = loop.minimise(model, config, objective, every=every, clip=1.0, measure=measure)
    return model.eval(), curve


def held_out_map(model: Network, config: MatcherConfig, lists: TrainingLists, m: int = 30) -> float:
    """mAP (0..1) of the held-out queries, their first m images of L3 in order of the logits alone, none beyond."""
    rows = np.arange(config.instances - config.held_out, config.instances)
    shortlist = lists.rankings["L3"][rows, :m]
    training = model.training
    logits = score_shortlist(model.eval(), lists.queries.subset(rows), lists.images, shortlist)
    model.train(training)
    ordered = np.take_along_axis(shortlist, np.argsort(-logits, axis=1, kind="stable"), axis=1)
    relevant = np.stack([np.isin(row, lists.positives[query]) for query, row in zip(rows, ordered, strict=True)])
    return float(metrics.average_precision(relevant, [len(lists.positives[query]) for query in rows]).mean())


def save(
    model: Network, config: MatcherConfig, lists: TrainingLists, curve: pd.DataFrame, folder: Path, name: str
) -> Path:
    """Write weights, card and curve of a training run; returns the path of the card."""
    drawn, chosen = objects(config)
    seeds = [drawn.objects()[row][0] for row in chosen]
    sizes = architecture(config, lists)
    training = {key: value for key, value in asdict(config).items() if key not in ("tokens", "network", *AMES_SIZES)}
    training |= {
        "objective": "cross entropy over lists of one positive and negatives from the shortlists of L0 and L3, plus "
        "binary cross entropy of the pairs; begins as a best-match scorer",
        "seed_range": [min(seeds), max(seeds) + 1],
    }
    card = {"network": config.network, "architecture": sizes, "tokens": asdict(config.tokens), "training": training}
    return cards.write(model, card, curve, folder, name)


def _trained(config: MatcherConfig) -> NDArray[np.int64]:
    return np.arange(config.instances - config.held_out)


def _logits(
    model: Network,
    config: MatcherConfig,
    lists: TrainingLists,
    easy: float,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> torch.Tensor:
    """Logits (lists, length) of freshly drawn lists."""
    drawn = rng.choice(_trained(config), config.lists, replace=False)
    rows = np.stack([lists.draw(int(query), config, easy, rng) for query in drawn])
    pairs = [lists.queries.tensors(np.repeat(drawn, config.length)), lists.images.tensors(rows.ravel())]
    hidden = [
        (descriptors, padding | (torch.rand(padding.shape, generator=generator) < config.hidden))
        for descriptors, padding in pairs
    ]
    return model(*hidden[0], *hidden[1]).view(rows.shape)
