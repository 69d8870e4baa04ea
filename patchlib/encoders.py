"""Frozen encoders under one interface: uint8 crops in, unit-length descriptors out.

The registry knows the paper's encoders by the paper's names (timm and open_clip checkpoints; the paper names none, these
match its dimensions), the small built-in ones whose weights ship with the package, and two baselines that need no
training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from patchlib import provenance
from patchlib.names import unknown

if TYPE_CHECKING:
    import torch

WEIGHTS = Path(__file__).parent / "weights"
HISTOGRAM_BINS = 8  # per colour channel


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """What defines an encoder.

    Attributes:
        name: registry name (the paper's name for the paper's encoders).
        library: ``"timm"``, ``"open_clip"`` or ``"patchlib"`` (the colour histogram).
        model: the library's model name.
        checkpoint: open_clip's pretrained tag, or the file name of built-in weights; None = the library's default.
        kwargs: model arguments.
        dim: D, length of the descriptor.
        input_size: side of the square input in pixels.
        mean, std: of the three channels, for inputs in 0..1.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
        dataset, dataset_size: what it was pretrained on, and how many images (built-in: object instances).
        family: ``"CNN"``, ``"Transformer"`` or ``"Baseline"``.
        licence: of the weights.
    """

    name: str
    library: str
    model: str
    dim: int
    input_size: int
    family: str
    checkpoint: str | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bicubic"
    dataset: str = "none"
    dataset_size: int = 0
    licence: str = "MIT"


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
        model: the torch module (None for the histogram), e.g. for local descriptors or training.
    """

    name: str
    dim: int
    input_size: int
    interpolation: str
    encode: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    config: dict[str, Any]
    device: str = "cpu"
    model: Any = None


_HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
_OPENAI = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
_IN1K = {"library": "timm", "dataset": "ImageNet-1K", "dataset_size": 1_000_000}
_PAPER = (
    EncoderSpec(
        name="VGG16",
        model="vgg16.tv_in1k",
        dim=4096,
        input_size=224,
        interpolation="bilinear",
        family="CNN",
        licence="BSD-3-Clause",
        **_IN1K,
    ),
    EncoderSpec(
        name="ResNet101",
        model="resnet101.tv_in1k",
        dim=2048,
        input_size=224,
        interpolation="bilinear",
        family="CNN",
        licence="BSD-3-Clause",
        **_IN1K,
    ),
    EncoderSpec(
        name="Inception",
        model="inception_v4.tf_in1k",
        dim=1536,
        input_size=299,
        family="CNN",
        licence="Apache-2.0",
        **_HALF,
        **_IN1K,
    ),
    EncoderSpec(
        name="ConvNext_IN1k",
        model="convnext_base.fb_in1k",
        dim=1024,
        input_size=224,
        family="CNN",
        licence="Apache-2.0",
        **_IN1K,
    ),
    EncoderSpec(
        name="DINOv2",
        library="timm",
        model="vit_large_patch14_dinov2.lvd142m",
        dim=1024,
        input_size=518,
        family="Transformer",
        dataset="LVD-142M",
        dataset_size=142_000_000,
        licence="Apache-2.0",
    ),
    EncoderSpec(
        name="OpenCLIP",
        library="open_clip",
        model="ViT-L-14",
        checkpoint="laion400m_e32",
        dim=768,
        input_size=224,
        family="Transformer",
        dataset="LAION-400M",
        dataset_size=400_000_000,
        **_OPENAI,
    ),
    EncoderSpec(
        name="ConvNext_LAION2b",
        library="open_clip",
        model="convnext_large_d_320",
        checkpoint="laion2b_s29b_b131k_ft_soup",
        dim=768,
        input_size=320,
        family="CNN",
        dataset="LAION-2B",
        dataset_size=2_000_000_000,
        **_OPENAI,
    ),
    EncoderSpec(
        name="SigLIP",
        library="timm",
        model="vit_large_patch16_siglip_256.webli",
        dim=1024,
        input_size=256,
        family="Transformer",
        dataset="WebLI",
        dataset_size=10_000_000_000,
        licence="Apache-2.0",
        **_HALF,
    ),
    EncoderSpec(
        name="SigLIP2",
        library="timm",
        model="vit_large_patch16_siglip_384.v2_webli",
        dim=1024,
        input_size=384,
        family="Transformer",
        dataset="WebLI",
        dataset_size=10_000_000_000,
        licence="Apache-2.0",
        **_HALF,
    ),
    EncoderSpec(
        name="DINOv3",
        library="timm",
        model="vit_large_patch16_dinov3.lvd1689m",
        dim=1024,
        input_size=256,
        family="Transformer",
        dataset="LVD-1689M",
        dataset_size=1_689_000_000,
        licence="DINOv3 licence",
    ),
)
_HISTOGRAM = EncoderSpec(
    name="colour-histogram",
    library="patchlib",
    model="RGB histogram",
    dim=HISTOGRAM_BINS**3,
    input_size=64,
    interpolation="bilinear",
    family="Baseline",
)


@lru_cache(maxsize=1)
def registry() -> dict[str, EncoderSpec]:
    """Every known encoder by name: the paper's, the built-in ones (from their cards), the baselines."""
    built_in = [_from_card(provenance.read_json(card)) for card in sorted(WEIGHTS.glob("*.json"))]
    return {spec.name: spec for spec in (*_PAPER, *built_in, _HISTOGRAM)}


def names() -> list[str]:
    """Names of all encoders."""
    return list(registry())


def spec(name: str) -> EncoderSpec:
    """Specification of an encoder.

    Raises:
        ValueError: unknown name; lists the nearest ones.
    """
    if name not in registry():
        raise ValueError(unknown("encoder", name, names()))
    return registry()[name]


def card(name: str) -> dict[str, Any]:
    """Card of a built-in encoder: architecture, pretraining, training, accuracy, hash of the weights."""
    if spec(name).checkpoint is None or not (WEIGHTS / f"{name}.json").exists():
        raise ValueError(f"encoder {name!r} is not built in and has no card")
    return provenance.read_json(WEIGHTS / f"{name}.json")


def create(name: str, device: str = "cpu", weights: str | Path | None = None, dtype: str = "float32") -> Encoder:
    """Build an encoder and load its weights.

    Args:
        name: a name of the registry.
        device: torch device, e.g. ``"cpu"`` or ``"cuda"``.
        weights: None = the registered ones (fetched once by the library; built-in ones are shipped); ``"random"`` =
            seeded random initialisation; a path = a safetensors file or a torch state dictionary.
        dtype: of the model's arithmetic: ``"float32"``, ``"float16"`` or ``"bfloat16"``; descriptors stay float32.

    Returns:
        Encoder in evaluation mode.

    Raises:
        ValueError: unknown encoder; a weights file that is damaged, of another model, or not the one of its card.
        FileNotFoundError: weights that are neither here nor to be had (offline).
    """
    specification = spec(name)
    parts = (specification.dim, specification.input_size, specification.interpolation)
    if specification.library == "patchlib":
        return Encoder(name, *parts, _histogram, asdict(specification))
    model, source = _load_model(specification, weights)
    for module in model.modules():
        if hasattr(module, "fused_attn"):  # slower than plain attention on a CPU at these sizes
            module.fused_attn = not device.startswith("cpu")
    model = model.eval().requires_grad_(False).to(device=device, dtype=_dtype(dtype), memory_format=_channels_last())
    config = {**asdict(specification), "weights": source, "dtype": dtype}
    label = name if weights is None else f"{name}-{Path(str(weights)).stem}"
    return Encoder(label, *parts, _forward(model, specification, device, dtype), config, device, model)


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


def _load_model(specification: EncoderSpec, weights: str | Path | None) -> tuple[torch.nn.Module, str]:
    """The model and a name of its weights that changes when they do."""
    if weights is None and not _is_built_in(specification):
        return _pretrained(specification), specification.checkpoint or specification.model
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(specification)
    if weights == "random":
        return model, "random-0"
    path = WEIGHTS / str(specification.checkpoint) if weights is None else Path(weights)
    digest = _fill(model, path, specification.name)
    if weights is None and digest != card(specification.name)["sha256"]:
        raise ValueError(f"{path} is not the file its card describes (sha256 {digest[:12]}...); restore it with git")
    return model, f"sha256:{digest}"


def _pretrained(specification: EncoderSpec) -> torch.nn.Module:
    try:
        return build_model(specification, pretrained=True)
    except Exception as error:  # the hub clients raise many kinds; all mean "no weights"
        raise FileNotFoundError(
            f"the weights of {specification.name} ({specification.library} {specification.model}) are neither cached nor "
            f"to be fetched ({type(error).__name__}); go online once, or pass a file as weights=, or use a built-in "
            f"encoder: {', '.join(name for name in names() if _is_built_in(registry()[name]))}"
        ) from error


def _fill(model: torch.nn.Module, path: Path, name: str) -> str:
    """Load a state dictionary into ``model``; returns the file's SHA-256."""
    if not path.exists():
        raise FileNotFoundError(f"weights of {name} not found: {path}")
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"weights file {path} of {name} is damaged ({error}); fetch or restore it again") from error
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"weights file {path} does not fit {name}: {str(error).splitlines()[1].strip()[:200]}"
        ) from error
    return provenance.sha256_file(path)


def _forward(
    model: torch.nn.Module, specification: EncoderSpec, device: str, dtype: str
) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    import torch

    # (x / 255 - mean) / std as one multiply-add
    scale = torch.tensor([1 / (255 * s) for s in specification.std], device=device).view(1, 3, 1, 1)
    shift = torch.tensor([-m / s for m, s in zip(specification.mean, specification.std, strict=True)], device=device)
    shift = shift.view(1, 3, 1, 1)

    def encode(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        _check_crops(crops, specification)
        with torch.inference_mode():
            # (B, H, W, 3) bytes permuted are already channels-last memory
            pixels = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2)
            inputs = torch.addcmul(shift, pixels.float(), scale).to(_dtype(dtype))
            output = torch.nn.functional.normalize(model(inputs).float(), dim=1)
            return output.cpu().numpy()

    return encode


def _histogram(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Square root of the joint RGB histogram (8 bins a channel): cosine is then the Bhattacharyya coefficient."""
    _check_crops(crops, _HISTOGRAM)
    bins = (crops >> 5).astype(np.int64) @ np.array([HISTOGRAM_BINS**2, HISTOGRAM_BINS, 1])
    counts = [np.bincount(row, minlength=_HISTOGRAM.dim) for row in bins.reshape(len(crops), -1)]
    root = np.sqrt(np.asarray(counts, np.float32).reshape(-1, _HISTOGRAM.dim))
    return root / np.maximum(np.linalg.norm(root, axis=1, keepdims=True), 1e-12)


def _check_crops(crops: NDArray[np.uint8], specification: EncoderSpec) -> None:
    side = specification.input_size
    if crops.dtype != np.uint8 or crops.shape[1:] != (side, side, 3):
        raise ValueError(
            f"{specification.name} got crops {crops.dtype} {crops.shape}, expected uint8 (B, {side}, {side}, 3)"
        )


def _from_card(content: dict[str, Any]) -> EncoderSpec:
    architecture, pretraining = content["architecture"], content["pretraining"]
    return EncoderSpec(
        name=content["name"],
        library=architecture["library"],
        model=architecture["model"],
        kwargs=architecture["kwargs"],
        checkpoint=f"{content['name']}.safetensors",
        dim=content["dim"],
        input_size=content["input_size"],
        mean=tuple(content["mean"]),
        std=tuple(content["std"]),
        interpolation=content["interpolation"],
        family="Transformer" if architecture["model"].startswith("vit") else "CNN",
        dataset=pretraining["dataset"],
        dataset_size=pretraining["instances"],
    )


def _is_built_in(specification: EncoderSpec) -> bool:
    return str(specification.checkpoint).endswith(".safetensors")


def _dtype(name: str) -> torch.dtype:
    import torch

    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if name not in known:
        raise ValueError(unknown("dtype", name, known))
    return known[name]


def _channels_last() -> torch.memory_format:
    import torch

    return torch.channels_last
