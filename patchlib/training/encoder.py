"""Training of the small built-in encoders from scratch on procedural instances.

A step shows every drawn instance twice, once as in a query and once as in a patch of a scene, and pulls the two
descriptors together while it pushes those of all others apart, siblings and empty patches among them (supervised
contrastive loss). torch is imported where it is used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from patchlib.training.augment import Composer, TrainingSet

if TYPE_CHECKING:
    import pandas as pd
    import torch

CNN = {
    "num_classes": 128,
    "layers": [1, 1, 1, 1],
    "channels": [32, 64, 128, 192],
    "stem_type": "deep_tiered",
    "stem_width": 16,
}
VIT = {"num_classes": 128, "img_size": 80, "embed_dim": [112, 176], "key_dim": 16, "num_heads": [4, 6], "depth": [2, 2]}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "cnn-small": ("resnet18", CNN),
    "vit-small": ("levit_128s", VIT),
}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of one training run.

    Attributes:
        architecture: a key of ``ARCHITECTURES``.
        instances: how many different objects are ever shown; the first ones of the training seeds, so that smaller
            sets are part of larger ones. A multiple of 4.
        steps: optimiser steps.
        batch: instances per step, a multiple of 4 (each shown twice).
        empty: patches without an instance per step.
        input_size: side of the crops, pixels.
        learning_rate: peak of AdamW's cosine schedule after `warm_up` steps.
        weight_decay: of AdamW.
        temperature: of the loss.
        warm_up: steps.
        seed: of weights and batches.
    """

    architecture: str = "cnn-small"
    instances: int = 8000
    steps: int = 4000
    batch: int = 112
    empty: int = 48
    input_size: int = 80
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    temperature: float = 0.08
    warm_up: int = 150
    seed: int = 0

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture is {self.architecture!r}, expected one of {sorted(ARCHITECTURES)}")
        for name in ("instances", "batch"):
            value = getattr(self, name)
            if value < 4 or value % 4:
                raise ValueError(f"{name} is {value}, expected a positive multiple of 4 (instances come in fours)")
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, expected at least 1")


def contrastive_loss(descriptors: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Supervised contrastive loss of unit descriptors (B, D) with labels (B,), averaged over rows that have a partner.

    -1/|P(i)| sum over p in P(i) of log( exp(z_i z_p / t) / sum over a != i of exp(z_i z_a / t) ), P(i) the other rows
    of the same label.

    Source: Khosla et al., Supervised Contrastive Learning, 2020, equation 2.
    """
    import torch

    similarity = descriptors @ descriptors.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    similarity = similarity.masked_fill(itself, float("-inf"))
    partner = (labels[:, None] == labels) & ~itself
    log_share = similarity - torch.logsumexp(similarity, 1, keepdim=True)
    count = partner.sum(1)
    per_row = log_share.masked_fill(~partner, 0.0).sum(1) / count.clamp(min=1)
    return -per_row[count > 0].mean()


def build(config: TrainingConfig) -> torch.nn.Module:
    """The untrained model of a configuration; its weights follow from the seed."""
    import timm
    import torch

    name, kwargs = ARCHITECTURES[config.architecture]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return timm.create_model(name, **kwargs)


def train(
    config: TrainingConfig,
    pictures: TrainingSet,
    device: str = "cpu",
    report: Callable[[int, float, float, torch.nn.Module], None] | None = None,
) -> tuple[torch.nn.Module, pd.DataFrame]:
    """Trains an encoder from scratch.

    Args:
        config: settings.
        pictures: at least ``config.instances`` objects.
        device: torch device.
        report: called every 50 steps with (step, mean loss, seconds, model).

    Returns:
        The model in evaluation mode, and the curve: DataFrame[step, loss, seconds], one row per 50 steps.
    """
    import pandas as pd
    import torch

    if len(pictures.objects) < config.instances:
        raise ValueError(f"the training set has {len(pictures.objects)} instances, {config.instances} are asked for")
    model = build(config).to(device).to(memory_format=torch.channels_last).train()
    rng = np.random.default_rng(config.seed)
    generator = torch.Generator(device).manual_seed(config.seed)
    composer = Composer(pictures, config.instances, config.input_size, device, generator, rng)
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    start, losses, rows = time.monotonic(), [], []
    for step in range(1, config.steps + 1):
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / config.steps)
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * min(1.0, step / config.warm_up) * cosine
        with torch.no_grad():
            views, labels = composer.batch(config.batch, config.empty)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            output = model(views.contiguous(memory_format=torch.channels_last))
        descriptors = torch.nn.functional.normalize(output.float(), dim=1)
        loss = contrastive_loss(descriptors, labels, config.temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if step % 50 == 0 or step == config.steps:
            rows.append({"step": step, "loss": float(np.mean(losses)), "seconds": time.monotonic() - start})
            losses = []
            if report is not None:
                report(step, rows[-1]["loss"], rows[-1]["seconds"], model)
    return model.eval(), pd.DataFrame(rows)
