"""An encoder: a network or the colour histogram, its weights loaded, as a function of crops."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patchlib.encoders import onnx_runtime, specs
from patchlib.encoders.specs import EncoderSpec, WeightsFile, names, spec
from patchlib.support import provenance
from patchlib.support.suggest import unknown_name

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")
HISTOGRAM_BINS = 8  # per colour channel
RANDOM = "random-0"  # name of weights drawn with seed 0
DAMAGED = (OSError, RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError)


@dataclass(frozen=True)
class Encoder:
    """A frozen encoder.

    Attributes:
        name: registry name.
        dim: D.
        input_size: side of the square crops in pixels.
        interpolation: how crops are to be resized.
        encode: uint8 crops (B, input_size, input_size, 3) RGB -> (B, D) float32 rows of unit length.
        config: everything that decides the descriptors (specification, source or hash of the weights).
        device: torch device the model is on.
        build: gives ``model``; called when first needed, since on most pages all descriptors are in the cache.
        recipe: arguments of :func:`create` that make it again; None = it was not made there. An encoder with a recipe
            is pickled as that: weights do not travel to other processes.
    """

    name: str
    dim: int
    input_size: int
    interpolation: str
    encode: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    config: dict[str, Any]
    device: str = "cpu"
    build: Callable[[], Any] = lambda: None
    recipe: tuple[str, str, str | Path | None, str] | None = None

    @property
    def model(self) -> Any:
        """The torch module (None for the histogram), e.g. for local descriptors or training."""
        return self.build()

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.recipe is None:
            return super().__reduce_ex__(protocol)
        return _again, (self.recipe, provenance.config_hash(self.config))


def create(name: str, device: str = "cpu", weights: str | Path | None = None, dtype: str = "float32") -> Encoder:
    """Build an encoder and load its weights.

    Args:
        name: a name of the registry.
        device: torch device, e.g. ``"cpu"`` or ``"cuda"``.
        weights: None = the registered ones (fetched once by the library, or installed with this package);
            ``"random"`` = seeded random initialisation; a path = a safetensors file or a torch state dictionary.
        dtype: of the model's arithmetic: ``"float32"``, ``"float16"`` or ``"bfloat16"``; descriptors stay float32.

    Returns:
        Encoder in evaluation mode.

    Raises:
        ValueError: unknown encoder or dtype; weights for one that has none; a weights file that is damaged, of another
            model, or not the one of its card.
        FileNotFoundError: weights that are neither here nor to be had (offline).
    """
    specification = spec(name)
    if dtype not in DTYPES:
        raise ValueError(unknown_name("dtype", dtype, DTYPES))
    parts = (specification.dim, specification.input_size, specification.interpolation)
    if specification.library == "patchlib":
        if weights is not None:
            raise ValueError(f"encoder {name!r} has no weights, got {weights}; leave weights out")
        histogram = partial(_histogram, specification)
        return Encoder(name, *parts, histogram, specification.config(), recipe=(name, device, None, dtype))
    source, file = _source(specification, weights)
    build = _Once(partial(_network, specification, source, file, device, dtype))
    if file is None or file.sha256 is None:  # no hash vouches for them: what is wrong is said now
        build()
    config = {**specification.config(), "weights": source, "dtype": dtype}
    encode = _forward(build, specification, device, dtype)
    if specification.onnx and (device, dtype) == ("cpu", "float32") and onnx_runtime.available():
        path = onnx_runtime.export(build, *_scale_and_shift(specification), specification.input_size, config)
        config["onnx"], encode = f"sha256:{provenance.sha256_file(path)}", _exported(path, specification)
    label = name if weights is None else f"{name}-{Path(str(weights)).stem}"
    recipe = (name, device, str(Path(weights).resolve()) if weights and weights != "random" else weights, dtype)
    return Encoder(label, *parts, encode, config, device, build, recipe)


def export(encoder: Encoder) -> Path:
    """A torch encoder of the CPU as an ONNX file in the cache, from bytes to unit rows; made if it is not there."""
    what = spec(encoder.name)
    return onnx_runtime.export(encoder.build, *_scale_and_shift(what), what.input_size, encoder.config)


def _again(recipe: tuple[str, str, str | Path | None, str], config_hash: str) -> Encoder:
    """An encoder as it was created elsewhere; ValueError when the same recipe gives another one here."""
    encoder = create(*recipe)
    if provenance.config_hash(encoder.config) != config_hash:
        raise ValueError(f"encoder {recipe[0]} has other weights or settings on this machine; install the same version")
    return encoder


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


class _Once:
    """A network that is made when first asked for; by one of the threads that ask."""

    def __init__(self, make: Callable[[], torch.nn.Module]) -> None:
        self._make, self._lock = make, Lock()
        self._model: torch.nn.Module | None = None

    def __call__(self) -> torch.nn.Module:
        with self._lock:
            if self._model is None:
                self._model = self._make()
        return self._model


def _source(specification: EncoderSpec, weights: str | Path | None) -> tuple[str, WeightsFile | None]:
    """A name of the weights that changes when they do, and their file; None where they are random, or a hub's."""
    if weights == "random":
        return RANDOM, None
    if weights is None and not (specification.built_in or specification.packaged):
        return specification.checkpoint or specification.model, None
    file = WeightsFile(Path(weights)) if weights is not None else specs.weights_file(specification)
    return _verified(file, specification.name), file


def _network(
    specification: EncoderSpec, source: str, file: WeightsFile | None, device: str, dtype: str
) -> torch.nn.Module:
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
    try:
        return build_model(specification, pretrained=True)
    except Exception as error:  # the hub clients raise many kinds; all mean "no weights"
        raise FileNotFoundError(
            f"the weights of {specification.name} ({specification.library} {specification.model}) are neither cached "
            f"nor to be fetched ({type(error).__name__}); go online once, or pass a file as weights=, or use a "
            f"built-in encoder: {', '.join(name for name in names() if spec(name).built_in)}"
            + (f". {specification.gated}" if specification.gated else "")
        ) from error


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


def _forward(
    build: Callable[[], torch.nn.Module], specification: EncoderSpec, device: str, dtype: str
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    under_way = _streams(device)

    def encode(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        _check_crops(crops, specification)
        model = build()
        scale, shift = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in _scale_and_shift(specification))
        with torch.inference_mode(), under_way():
            batch = torch.from_numpy(np.ascontiguousarray(crops))
            batch = batch.pin_memory() if device.startswith("cuda") else batch
            # (B, H, W, 3) bytes permuted are already channels-last memory
            pixels = batch.to(device, non_blocking=True).permute(0, 3, 1, 2)
            inputs = torch.addcmul(shift, pixels.float(), scale).to(getattr(torch, dtype))
            output = torch.nn.functional.normalize(model(inputs).float(), dim=1)
            if output.shape[1:] != (specification.dim,):
                raise ValueError(
                    f"{specification.name} gives shape {tuple(output.shape)}, D should be {specification.dim}"
                )
            return output.cpu().numpy()

    return encode


def _exported(path: Path, specification: EncoderSpec) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    rows_of = onnx_runtime.load(path)

    def encode(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        _check_crops(crops, specification)
        return rows_of(crops)

    return encode


def _scale_and_shift(specification: EncoderSpec) -> tuple[list[float], list[float]]:
    """(x / 255 - mean) / std as one multiply-add, for each channel."""
    scale = [1 / (255 * s) for s in specification.std]
    return scale, [-m / s for m, s in zip(specification.mean, specification.std, strict=True)]


def _streams(device: str) -> Callable[[], AbstractContextManager[None]]:
    """Two batches at a time on a GPU, each on a stream of its own: one is copied while the other is computed.

    More would need more memory and gain nothing; further threads wait with their batch in main memory.
    """
    if not device.startswith("cuda"):
        return nullcontext
    import torch

    free: SimpleQueue[torch.cuda.Stream] = SimpleQueue()
    for _ in range(2):
        free.put(torch.cuda.Stream(device))

    @contextmanager
    def under_way() -> Iterator[None]:
        stream = free.get()
        try:
            stream.wait_stream(torch.cuda.default_stream(device))  # where the weights were copied
            with torch.cuda.stream(stream):
                yield
        finally:
            free.put(stream)

    return under_way


def _histogram(specification: EncoderSpec, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Square root of the joint RGB histogram (8 bins a channel): cosine is then the Bhattacharyya coefficient."""
    _check_crops(crops, specification)
    bins = (crops // (256 // HISTOGRAM_BINS)).astype(np.int64) @ np.array([HISTOGRAM_BINS**2, HISTOGRAM_BINS, 1])
    counts = [np.bincount(image.ravel(), minlength=specification.dim) for image in bins]
    root = np.sqrt(np.asarray(counts, np.float32).reshape(-1, specification.dim))
    return root / np.maximum(np.linalg.norm(root, axis=1, keepdims=True), 1e-12)


def _check_crops(crops: NDArray[np.uint8], specification: EncoderSpec) -> None:
    side = specification.input_size
    if crops.dtype != np.uint8 or crops.shape[1:] != (side, side, 3):
        raise ValueError(
            f"{specification.name} got crops {crops.dtype} {crops.shape}, expected uint8 (B, {side}, {side}, 3)"
        )
