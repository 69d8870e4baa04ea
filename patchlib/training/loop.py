"""The training loop of both networks: AdamW, warm-up and cosine decay of the learning rate, and a curve."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import torch


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Settings that every training run has."""

    steps: int
    learning_rate: float  # peak of AdamW's cosine schedule after ``warm_up`` steps
    weight_decay: float  # of AdamW
    warm_up: int
    seed: int = 0  # of weights and batches

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, expected at least 1")

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 1."""
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / self.steps)
        return self.learning_rate * min(1.0, step / self.warm_up) * cosine


def minimise(
    model: torch.nn.Module,
    schedule: Schedule,
    objective: Callable[[int], Mapping[str, torch.Tensor]],
    *,
    every: int = 50,
    clip: float = math.inf,
    measure: Callable[[], Mapping[str, float]] | None = None,
) -> pd.DataFrame:
    """Train a network, which is in training mode, in place.

    Args:
        objective: from the step, counted from 1, to scalars of a fresh batch, ``loss`` among them.
        every: steps between two rows of the curve.
        clip: largest norm of the gradient.
        measure: what to measure of the network, at the start and in every row.

    Returns:
        The curve: DataFrame[step, loss, ..., seconds], the objective's scalars as means since the row before. With
        ``measure``, row 0 is the start.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    rows = [{"step": 0, **measure(), "seconds": 0.0}] if measure else []
    start, seen = time.monotonic(), []
    for step in range(1, schedule.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        batch = objective(step)
        optimiser.zero_grad()
        batch["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        seen.append({name: float(value.detach()) for name, value in batch.items()})
        if step % every == 0 or step == schedule.steps:
            measured = measure() if measure else {}
            rows.append({"step": step, **pd.DataFrame(seen).mean(), **measured, "seconds": time.monotonic() - start})
            seen = []
    return pd.DataFrame(rows)[list(rows[-1])]
