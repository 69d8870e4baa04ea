"""The network of an encoder's specification: where its weights come from, and how it gets them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from patchlib.encoders import specs
from patchlib.encoders.specs import EncoderSpec, WeightsFile, names, spec
from patchlib.support import provenance

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
RANDOM = "random-0"  # name of weights drawn with seed 0
DAMAGED = (OSError, RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError)


def build_model(specification: EncoderSpec, pretrained: bool = False) -> torch.nn.Module:
    """The bare torch model of a specification; it maps (B, 3, H, W) to (B, D).

    Random weights are drawn from torch's global generator; :func:`create` seeds a fork of it.
    """
    if specification.library == "timm":
        import timm

        return timm.create_model(
            specification.model, pretrained=pretrained, **{"num_classes": 0, **specification.kwargs}
        )
    import open_clip

    tag = specification.checkpoint if pretrained else None
    return open_clip.create_model(specification.model, pretrained=tag, **specification.kwargs).visual


class Once:
    """A network that is made when first asked for; by one of the threads that ask."""

    def __init__(self, make: Callable[[], torch.nn.Module]) -> None:
        self._make, self._lock = make, Lock()
        self._model: torch.nn.Module | None = None

    def __call__(self) -> torch.nn.Module:
        with self._lock:
            if self._model is None:
                self._model = self._make()
        return self._model


def source(specification: EncoderSpec, weights: str | Path | None) -> tuple[str, WeightsFile | None]:
    """A name of the weights that changes when they do, and their file; None where they are random, or a hub's."""
    if weights == "random":
        return RANDOM, None
    if weights is None and not (specification.built_in or specification.packaged):
        return specification.checkpoint or specification.model, None
    file = WeightsFile(Path(weights)) if weights is not None else specs.weights_file(specification)
    return _verified(file, specification.name), file


def network(
    specification: EncoderSpec, source: str, file: WeightsFile | None, device: str, dtype: str
) -> torch.nn.Module:
    """The network in evaluation mode on its device, with the weights that :func:`source` found."""
    import torch

    if file is None and source != RANDOM:
        model = _pretrained(specification)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_model(specification)
        if file is not None:
            _fill(model, file, specification.name)
    layers: list[Any] = list(model.modules())
    for layer in layers:
        if hasattr(layer, "fused_attn"):  # slower than plain attention on a CPU at these sizes
            layer.fused_attn = not device.startswith("cpu")
    return model.eval().requires_grad_(False).to(device, getattr(torch, dtype)).to(memory_format=torch.channels_last)


def _verified(file: WeightsFile, name: str) -> str:
    """Name of a weights file by its hash; raises where it is missing, or not the one its card describes."""
    if not file.path.exists():
        raise FileNotFoundError(f"weights of {name} not found: {file.path}; {file.remedy}")
    digest = provenance.sha256_file(file.path)
    if file.sha256 not in (None, digest):
        raise ValueError(f"{file.path} is not the file its card describes (sha256 {digest[:12]}...); {file.remedy}")
    return f"sha256:{digest}"


def _pretrained(specification: EncoderSpec) -> torch.nn.Module:
    what = f"the weights of {specification.name} ({specification.library} {specification.model}) are"
    others = ", ".join(name for name in names() if spec(name).built_in)
    remedy = f", or pass a file as weights=, or use a built-in encoder: {others}"
    remedy += f". {specification.gated}" if specification.gated else ""
    return from_hub(partial(build_model, specification, pretrained=True), what, remedy)


def from_hub(load: Callable[[], T], what: str, remedy: str) -> T:
    """What ``load()`` gives out of a hub or its cache; with ``PATCHLIB_OFFLINE`` no hub is asked.

    Raises:
        FileNotFoundError: ``what`` is neither here nor to be had; says to go online once, and the ``remedy``.
    """
    if os.environ.get("PATCHLIB_OFFLINE"):
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's client is first imported: no waiting for an answer
    try:
        return load()
    except Exception as error:  # the hub clients raise many kinds; all mean "no weights"
        kind = type(error).__name__
        raise FileNotFoundError(f"{what} neither cached nor to be fetched ({kind}); go online once{remedy}") from error


def _fill(model: torch.nn.Module, file: WeightsFile, name: str) -> None:
    """Load a state dictionary into ``model``, by the tensors' names or in their order."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = file.path
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, *DAMAGED) as error:
        kind = type(error).__name__  # torch's own text advises to switch its safety off
        raise ValueError(f"weights file {path} of {name} is damaged ({kind}); fetch or restore it again") from error
    if file.in_order:  # the classifier comes last, and a model without one needs it not
        state = dict(zip(model.state_dict(), state.values(), strict=False))
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        # torch says what does not fit in the lines below the first
        reason = str(error).split("\n", 1)[-1].strip()[:200]
        raise ValueError(f"weights file {path} does not fit {name}: {reason}") from error
