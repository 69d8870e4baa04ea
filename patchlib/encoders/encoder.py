"""An encoder: a network or the colour histogram, its weights loaded, as a function of crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patchlib.encoders import networks, onnx_runtime
from patchlib.encoders.specs import EncoderSpec, spec
from patchlib.support import provenance
from patchlib.support.suggest import unknown_name

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")
HISTOGRAM_BINS = 8  # per colour channel


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

    @property
    def rows_alone(self) -> bool:
        """Whether a crop's descriptor is the same to the last bit in any batch; torch promises no such thing."""
        return self.config.get("runtime") == "onnxruntime" or self.config.get("library") == "patchlib"

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
    source, file = networks.source(specification, weights)
    build = networks.Once(partial(networks.network, specification, source, file, device, dtype))
    if file is None or file.sha256 is None:  # no hash vouches for them: what is wrong is said now
        build()
    config = {**specification.config(), "weights": source, "dtype": dtype}
    encode = _forward(build, specification, device, dtype)
    if specification.onnx and (device, dtype) == ("cpu", "float32") and onnx_runtime.available():
        path = onnx_runtime.export(build, *_scale_and_shift(specification), specification.input_size, config)
        config["runtime"], encode = "onnxruntime", _exported(path, specification)
    label = name if weights is None else f"{name}-{Path(str(weights)).stem}"
    recipe = (name, device, str(Path(weights).resolve()) if weights and weights != "random" else weights, dtype)
    return Encoder(label, *parts, encode, config, device, build, recipe)


def export(encoder: Encoder) -> Path:
    """A torch encoder of the CPU as an ONNX file in the cache, from bytes to unit rows; made if it is not there."""
    what = spec(encoder.name)
    config = {key: value for key, value in encoder.config.items() if key != "runtime"}
    return onnx_runtime.export(encoder.build, *_scale_and_shift(what), what.input_size, config)


def _again(recipe: tuple[str, str, str | Path | None, str], config_hash: str) -> Encoder:
    """An encoder as it was created elsewhere; ValueError when the same recipe gives another one here."""
    encoder = create(*recipe)
    if provenance.config_hash(encoder.config) != config_hash:
        raise ValueError(f"encoder {recipe[0]} has other weights or settings on this machine; install the same version")
    return encoder


def _forward(
    build: Callable[[], torch.nn.Module], specification: EncoderSpec, device: str, dtype: str
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    under_way = _streams(device)

    @cache
    def constants() -> tuple[torch.Tensor, ...]:
        import torch

        return tuple(torch.tensor(v, device=device).view(1, 3, 1, 1) for v in _scale_and_shift(specification))

    def encode(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        _check_crops(crops, specification)
        model, (scale, shift) = build(), constants()
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
