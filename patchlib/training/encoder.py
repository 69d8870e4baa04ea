"""Training of the small built-in encoders from scratch on procedural instances.

A step shows every drawn instance twice, once as in a query and once as in a patch of a scene, and pulls the two
descriptors together while it pushes those of all others apart, siblings and empty patches among them (supervised
contrastive loss).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
from torch.nn.functional import normalize

from patchlib.support import files, provenance
from patchlib.training import cards, loop
from patchlib.training.augment import MEAN, STD, Composer, TrainingSet, object_key

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
class TrainingConfig(loop.Schedule):
    """Settings of one training run, beside those of every :class:`~patchlib.training.loop.Schedule`."""

    architecture: str = "cnn-small"  # a key of ``ARCHITECTURES``
    # how many different objects are ever shown; the first ones of the training seeds, so that smaller sets are part of
    # larger ones. A multiple of 4.
    instances: int = 8000
    batch: int = 112  # instances per step, a multiple of 4 (each shown twice)
    empty: int = 48  # patches without an instance per step
    input_size: int = 80  # side of the crops, pixels
    temperature: float = 0.08  # of the loss
    steps: int = 4000
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up: int = 150

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture is {self.architecture!r}, expected one of {sorted(ARCHITECTURES)}")
        for name in ("instances", "batch"):
            value = getattr(self, name)
            if value < 4 or value % 4:
                raise ValueError(f"{name} is {value}, expected a positive multiple of 4 (instances come in fours)")


def contrastive_loss(descriptors: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Supervised contrastive loss of unit descriptors (B, D) with labels (B,), averaged over rows that have a partner.

    -1/|P(i)| sum over p in P(i) of log( exp(z_i z_p / t) / sum over a != i of exp(z_i z_a / t) ), P(i) the other rows
    of the same label.

    Source: Khosla et al., Supervised Contrastive Learning, 2020, equation 2.
    """
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
    name, kwargs = ARCHITECTURES[config.architecture]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return timm.create_model(name, **kwargs)


def train(config: TrainingConfig, pictures: TrainingSet, device: str = "cpu") -> tuple[torch.nn.Module, pd.DataFrame]:
    """Trains an encoder from scratch on at least ``config.instances`` objects.

    Returns:
        The model in evaluation mode, and the curve: DataFrame[step, loss, seconds], one row per 50 steps.
    """
    if len(pictures.objects) < config.instances:
        raise ValueError(f"the training set has {len(pictures.objects)} instances, {config.instances} are asked for")
    model = build(config).to(device).to(memory_format=torch.channels_last).train()
    rng = np.random.default_rng(config.seed)
    generator = torch.Generator(device).manual_seed(config.seed)
    composer = Composer(pictures, config.instances, config.input_size, device, generator, rng)

    def objective(step: int) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            views, labels = composer.batch(config.batch, config.empty)
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            output = model(views.contiguous(memory_format=torch.channels_last))
        return {"loss": contrastive_loss(normalize(output.float(), dim=1), labels, config.temperature)}

    curve = loop.minimise(model, config, objective)
    return model.eval(), curve


def train_once(
    config: TrainingConfig, pictures: TrainingSet, device: str = "cpu"
) -> tuple[torch.nn.Module, pd.DataFrame]:
    """:func:`train`, whose weights and curve are then read from the cache by all that decides them."""
    shown = [provenance.sha256_array(part) for part in (pictures.objects, pictures.scenes)]
    decisive = {**asdict(config), "pictures": shown, "device": device, "library": provenance.library()}

    def trained() -> dict[str, np.ndarray]:
        model, curve = train(config, pictures, device)
        weights = {f"weight {name}": value.numpy(force=True) for name, value in model.state_dict().items()}
        return weights | {f"curve {name}": curve[name].to_numpy() for name in curve}

    kept = files.kept_arrays("trained", decisive, trained)
    weights, curve = (
        {name.removeprefix(part): values for name, values in kept.items() if name.startswith(part)}
        for part in ("weight ", "curve ")
    )
    model = build(config).to(device).to(memory_format=torch.channels_last)
    model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    return model.eval(), pd.DataFrame(curve)


def save(
    model: torch.nn.Module, config: TrainingConfig, curve: pd.DataFrame, folder: Path, name: str, device: str = "cpu"
) -> Path:
    """Write weights, card and curve of a training run, as the registry of encoders reads them; returns the card's path.

    ``device``: what it was trained on, for the card.
    """
    timm_name, kwargs = ARCHITECTURES[config.architecture]
    card = {
        "architecture": {"library": "timm", "model": timm_name, "kwargs": kwargs},
        "input_size": config.input_size,
        "mean": MEAN,
        "std": STD,
        "interpolation": "bicubic",
        "dim": kwargs["num_classes"],
        "pretraining": {
            "dataset": "procedural objects",
            "instances": config.instances,
            "seed_range": [object_key(0)[0], object_key(config.instances - 1)[0] + 1],
            "objective": "supervised contrastive, siblings and empty patches as negatives",
        },
        "training": {**asdict(config), "device": device},
        "accuracy": {},
    }
    return cards.write(model, card, curve, folder, name)
