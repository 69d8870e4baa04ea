"""Which encoders there are: their names, architectures, inputs and pretraining sets.

The registry knows the paper's encoders by the paper's names (timm and open_clip checkpoints; the paper names none,
these match its dimensions), the small built-in ones whose weights ship with the package, and a baseline that needs no
training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from patchlib.support import provenance
from patchlib.support.suggest import unknown

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

    @property
    def built_in(self) -> bool:
        """Whether the weights ship with the package."""
        return str(self.checkpoint).endswith(".safetensors")


_HALF: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
_OPENAI: dict[str, Any] = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
_IN1K: dict[str, Any] = {"library": "timm", "dataset": "ImageNet-1K", "dataset_size": 1_000_000}
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
    # local descriptors of the published AMES networks; no row of the paper's tables
    EncoderSpec(
        name="DINOv2_B_reg",
        library="timm",
        model="vit_base_patch14_reg4_dinov2.lvd142m",
        dim=768,
        input_size=518,
        family="Transformer",
        dataset="LVD-142M",
        dataset_size=142_000_000,
        licence="Apache-2.0",
    ),
)
HISTOGRAM = EncoderSpec(
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
    return {spec.name: spec for spec in (*_PAPER, *built_in, HISTOGRAM)}


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
    if not spec(name).built_in:
        raise ValueError(f"encoder {name!r} is not built in and has no card")
    return provenance.read_json(WEIGHTS / f"{name}.json")


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
        family="Transformer" if "vit" in architecture["model"] else "CNN",
        dataset=pretraining["dataset"],
        dataset_size=pretraining["instances"],
    )
