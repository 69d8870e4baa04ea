"""What is kept of a trained network: weights, a card that says how they came about, the curve, measured accuracy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save as to_bytes

from patchlib import __version__, features, metrics, regions, search
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.encoders import Encoder, specs
from patchlib.studies import bootstrap
from patchlib.support import provenance


def write(model: torch.nn.Module, card: Mapping[str, Any], curve: pd.DataFrame, folder: Path, name: str) -> Path:
    """Write weights (float16), training curve and card into a folder; returns the path of the card.

    Args:
        card: what it is and how it came about; the outcome of training, the hash of the weights and our version are
            added.
        curve: of :func:`patchlib.training.loop.minimise`.
        name: of the files ``<name>.safetensors``, ``<name>.csv`` and ``<name>.json``.
    """
    state = {key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()}
    with provenance.atomic_write(folder / f"{name}.safetensors") as file:
        file.write(to_bytes({key: value.cpu().contiguous() for key, value in state.items()}))
    with provenance.atomic_write(folder / f"{name}.csv", "w") as file:
        curve.round(4).to_csv(file, index=False)
    last = curve.iloc[-1]
    outcome = {"seconds": round(last["seconds"]), "final_loss": round(last["loss"], 4), "torch": torch.__version__}
    content = {
        **card,
        "name": name,
        "training": {**card["training"], **outcome},
        "sha256": provenance.sha256_file(folder / f"{name}.safetensors"),
        "patchlib_version": __version__,
    }
    return provenance.write_json(folder / f"{name}.json", content)


def curve(name: str, folder: Path = specs.WEIGHTS) -> pd.DataFrame:
    """Training curve of a network, by default of a shipped encoder, see :func:`patchlib.training.loop.minimise`."""
    return pd.read_csv(folder / f"{name}.csv")


def measure(encoder: Encoder, benchmark: Benchmark, out: Path | None = None) -> dict[str, Any]:
    """Accuracy of an encoder for its card, in percent with standard errors over queries.

    Args:
        benchmark: procedural, so that every positive has a box and the siblings are known.
        out: folder for the features, see :func:`patchlib.features.extract`.

    Returns:
        benchmark (its hash) and {name: [mean, standard error]} for mAP at L0, L3 and with square ground-truth regions,
        mLocScore at L0 and L3, the paired gains, and mAP at L3 of the queries without siblings.
    """
    patches = features.extract(benchmark, "L3", encoder, out)
    sets = {"L0": patches.at_level(0), "L3": patches}
    sets["ground truth"] = features.extract(benchmark, regions.ground_truth_regions(benchmark), encoder, out)
    scores = {name: metrics.evaluate(search.rank(s.query_descriptors, s), benchmark, s) for name, s in sets.items()}
    values = {f"mAP {name}": 100 * table["ap"] for name, table in scores.items()}
    values |= {f"mLocScore {name}": 100 * scores[name]["mloc_score"] for name in ("L0", "L3")}
    values |= {f"{metric} L3 - L0": values[f"{metric} L3"] - values[f"{metric} L0"] for metric in ("mAP", "mLocScore")}
    instances = benchmark.queries.set_index("query_id")["instance"].loc[scores["L3"]["query_id"]]
    alone = ~instances.isin(benchmark.meta.get("siblings", [])).to_numpy()
    values["mAP L3, queries without siblings"] = values["mAP L3"][alone]
    table = bootstrap.intervals(values)[["mean", "standard_error"]].round(2)
    return {"benchmark": benchmark.hash, **{name: row.tolist() for name, row in table.iterrows()}}


def add_accuracy(card: Path, accuracy: Mapping[str, Any]) -> None:
    """Write measured accuracy into a card."""
    provenance.write_json(card, {**provenance.read_json(card), "accuracy": accuracy})
