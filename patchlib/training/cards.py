"""What is kept of a trained encoder: weights, a card that says how they came about, the curve, measured accuracy."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchlib import __version__, encoder_registry, features, metrics, regions, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.encoders import Encoder
from patchlib.studies import bootstrap
from patchlib.support import provenance
from patchlib.training.augment import MEAN, STD, object_key
from patchlib.training.encoder import ARCHITECTURES, TrainingConfig

if TYPE_CHECKING:
    import pandas as pd
    import torch


def save(
    model: torch.nn.Module,
    config: TrainingConfig,
    curve: pd.DataFrame,
    folder: Path,
    name: str,
    device: str = "cpu",
) -> Path:
    """Writes what the encoder registry reads: weights (float16) and card; and the training curve.

    Args:
        model: trained model.
        config: what it was trained with.
        curve: what :func:`train` returned.
        folder: where ``<name>.safetensors``, ``<name>.json`` and ``<name>.csv`` go.
        name: registry name.
        device: what it was trained on, for the card.

    Returns:
        Path of the card.
    """
    from safetensors.torch import save as to_bytes

    state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    state = {k: v.cpu().contiguous() for k, v in state.items()}
    with provenance.atomic_write(folder / f"{name}.safetensors") as file:
        file.write(to_bytes(state))
    with provenance.atomic_write(folder / f"{name}.csv", "w") as file:
        curve.round(4).to_csv(file, index=False)
    card = {**_card(config, curve, name, device), "sha256": provenance.sha256_file(folder / f"{name}.safetensors")}
    return provenance.write_json(folder / f"{name}.json", card)


def _card(config: TrainingConfig, curve: pd.DataFrame, name: str, device: str) -> dict[str, Any]:
    import torch

    timm_name, kwargs = ARCHITECTURES[config.architecture]
    last = object_key(config.instances - 1)[0] + 1
    return {
        "name": name,
        "architecture": {"library": "timm", "model": timm_name, "kwargs": kwargs},
        "input_size": config.input_size,
        "mean": MEAN,
        "std": STD,
        "interpolation": "bicubic",
        "dim": kwargs["num_classes"],
        "pretraining": {
            "dataset": "procedural objects",
            "instances": config.instances,
            "seed_range": [object_key(0)[0], last],
            "objective": "supervised contrastive, siblings and empty patches as negatives",
        },
        "training": {
            **asdict(config),
            "seconds": round(float(curve["seconds"].iloc[-1])),
            "device": device,
            "final_loss": round(float(curve["loss"].iloc[-1]), 4),
            "torch": torch.__version__,
        },
        "accuracy": {},
        "patchlib_version": __version__,
    }


def curve(name: str) -> pd.DataFrame:
    """Training curve of a shipped encoder: DataFrame[step, loss, seconds], one row per 50 steps."""
    import pandas as pd

    return pd.read_csv(encoder_registry.WEIGHTS / f"{name}.csv")


def measure(encoder: Encoder, benchmark: Benchmark, out: Path | None = None) -> dict[str, Any]:
    """Accuracy of an encoder, in percent with standard errors over queries.

    Args:
        encoder: to be measured.
        benchmark: procedural, so that every positive has a box and the siblings are known.
        out: folder for the features, see :func:`patchlib.features.extract`.

    Returns:
        benchmark (its hash) and {name: [mean, standard error]} for mAP at L0, L3 and with square ground-truth regions,
        mLocScore at L0 and L3, the paired gains, and mAP at L3 of the queries without siblings.
    """
    patches = features.extract(benchmark, "L3", encoder, out)
    sets = {"L0": patches.at_level(0), "L3": patches}
    sets["ground truth"] = features.extract(benchmark, regions.of_truth(benchmark), encoder, out)
    scores = {name: metrics.evaluate(search.rank(s.query_descriptors, s), benchmark, s) for name, s in sets.items()}
    ap = {name: 100 * table["ap"].to_numpy() for name, table in scores.items()}
    loc = {name: 100 * scores[name]["mloc_score"].to_numpy() for name in ("L0", "L3")}
    instances = benchmark.queries.set_index("query_id")["instance"].loc[scores["L3"]["query_id"]]
    alone = ~instances.isin(benchmark.meta.get("siblings", [])).to_numpy()
    values = {
        "mAP L0": ap["L0"],
        "mAP L3": ap["L3"],
        "mAP ground truth": ap["ground truth"],
        "mAP L3 - L0": ap["L3"] - ap["L0"],
        "mLocScore L0": loc["L0"],
        "mLocScore L3": loc["L3"],
        "mLocScore L3 - L0": loc["L3"] - loc["L0"],
        "mAP L3, queries without siblings": ap["L3"][alone],
    }
    found = {name: bootstrap.bootstrap(sample) for name, sample in values.items()}
    rounded = {name: [round(v.mean, 2), round(v.standard_error, 2)] for name, v in found.items()}
    return {"benchmark": benchmark.hash, **rounded}


def add_accuracy(card: Path, accuracy: dict[str, Any]) -> None:
    """Writes measured accuracy into a card."""
    provenance.write_json(card, {**provenance.read_json(card), "accuracy": accuracy})
