"""Matchers ready to re-rank with: a network, and the local descriptors it wants to see.

The built-in ones are a small AMES and a small ELViS that we trained; weights, cards and training curves ship with the
package. The published ones are the networks of Suma et al. on DINOv2 tokens, to be downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file
from torch import Tensor

from patchlib import encoders
from patchlib.encoders import Encoder, specs
from patchlib.profiles import MATCHERS
from patchlib.reranking import local_features
from patchlib.reranking.ames import AMES, load_ames, load_state
from patchlib.reranking.elvis import ELViS, load_elvis
from patchlib.reranking.local_features import LocalFeatures
from patchlib.reranking.rerank import Scorer, chamfer
from patchlib.support import paths, provenance
from patchlib.support.suggest import unknown_name

FOLDER = specs.WEIGHTS / "matcher"
BUILT_IN = "ames-small"
Network = AMES | ELViS
NETWORKS: dict[str, type[Network]] = {"AMES": AMES, "ELViS": ELViS}
# checkpoint, its loader, and how many descriptors of a database image its authors use
PUBLISHED: dict[str, tuple[str, Callable[..., Network], int]] = {
    "AMES": ("dinov2_ames_dist.pt", load_ames, 50),
    "ELViS": ("dinov2_elvis_gld.pt", load_elvis, 600),
}


@dataclass(frozen=True, kw_only=True)
class LocalFeatureSpec:
    """Which local descriptors stand for a cutout."""

    encoder: str = "cnn-small"  # registry name
    layer: int = -1  # as in timm's ``forward_intermediates``; -1 = the last
    size: int = 320  # side of the input of an image, pixels
    query_size: int = 160  # of a query, or of a region that is looked at by itself
    n: int = 100  # most descriptors of an image; the strongest are kept
    query_n: int = 25  # of a query

    def extract(
        self, cutouts: pd.DataFrame, encoder: Encoder, *, query: bool = False, region: bool = False, **options: Any
    ) -> LocalFeatures:
        """Local descriptors of cutouts, from the cache or made now.

        Args:
            cutouts: of :mod:`patchlib.reranking.cutouts`.
            encoder: the one named ``encoder``.
            query: the cutouts are queries.
            region: the cutouts are regions of images: seen at the size of a query, stored like an image.
            **options: of :func:`patchlib.reranking.local_features.extract`, e.g. ``workers``.
        """
        size = self.query_size if query or region else self.size
        n = self.query_n if query else self.n
        return local_features.extract(cutouts, encoder, n, size=size, layer=self.layer, **options)


@dataclass(frozen=True)
class Chamfer:
    """:func:`patchlib.reranking.rerank.chamfer` in the place of a network; cosines times ten, the size of logits."""

    local_dim: int

    @property
    def stored_bits(self) -> int:
        """Of a database descriptor: as it is, float16."""
        return 16 * self.local_dim

    def __call__(self, *pair: Tensor) -> Tensor:
        return 10 * chamfer(*pair)


@dataclass(frozen=True)
class Matcher:
    """A network ready to score, with what it needs."""

    name: str  # for tables and captions
    model: Network | Chamfer  # on its device
    tokens: LocalFeatureSpec  # the local descriptors it was trained on
    encoder: Encoder  # makes them
    sha256: str  # of the weights

    def extract(self, cutouts: pd.DataFrame, **options: Any) -> LocalFeatures:
        """What the network wants to see of cutouts, see :meth:`LocalFeatureSpec.extract`."""
        return self.tokens.extract(cutouts, self.encoder, **options)

    @property
    def config(self) -> dict[str, Any]:
        """What a record says about it."""
        return {"name": self.name, "sha256": self.sha256, **asdict(self.tokens)}

    @property
    def scorer(self) -> Scorer:
        """The network, its values of the size of logits: of ELViS ten times the share of descriptors that vote."""
        if isinstance(self.model, ELViS):
            return lambda *pair: 10 * self.model(*pair) / (pair[0].shape[1] + pair[2].shape[1])
        return self.model

    @property
    def bytes_per_image(self) -> int:
        """Bytes of one database image: the mapped descriptors, as float16 or, in AMES' binary variant, as bits."""
        return self.tokens.n * self.model.stored_bits // 8


def load(name: str, device: str = "cpu", network: str = "AMES") -> Matcher:
    """A matcher by name: ``"built-in"`` or ``"published"``.

    Args:
        name: where it comes from.
        device: torch device.
        network: ``"AMES"``, ``"ELViS"``, or ``"Chamfer"``, which sees what AMES sees.

    Raises:
        ValueError: another name, weights that do not fit, or published weights that have not been fetched.
    """
    if name not in MATCHERS:
        raise ValueError(unknown_name("matcher", name, MATCHERS))
    if network == "Chamfer":
        ames = load(name, device)
        return replace(ames, name="chamfer", model=Chamfer(ames.model.local_dim))
    if network not in NETWORKS:
        raise ValueError(unknown_name("network", network, [*NETWORKS, "Chamfer"]))
    if name == "published":
        return load_published(device=device, network=network)
    return load_matcher(name=f"{network.lower()}-small", device=device)


def load_matcher(folder: str | Path | None = None, name: str = BUILT_IN, device: str = "cpu") -> Matcher:
    """The matcher that ships with the package, or another one that was trained (appendix A2).

    Args:
        folder: where ``<name>.safetensors`` and ``<name>.json`` lie; None = those of the package.
        name: their name.
        device: torch device.

    Raises:
        ValueError: no such files, a file that is not the card's, or weights of another shape.
    """
    folder = Path(folder or FOLDER)
    path = folder / f"{name}.safetensors"
    if not path.is_file() or not path.with_suffix(".json").is_file():
        raise ValueError(f"{folder} holds no matcher {name!r}: expected {name}.safetensors and {name}.json beside it")
    content = card(name, folder)
    if provenance.sha256_file(path) != content["sha256"]:
        raise ValueError(f"{path} is not the file its card describes (another SHA-256); restore both from one source")
    model = NETWORKS[content["network"]](**content["architecture"])
    load_state(model, load_file(path), path)
    tokens = LocalFeatureSpec(**content["tokens"])
    encoder = encoders.create(tokens.encoder, device=device)
    return Matcher(content["name"], model.to(device).eval(), tokens, encoder, content["sha256"])


def load_published(path: str | Path | None = None, device: str = "cpu", network: str = "AMES") -> Matcher:
    """A published network on DINOv2 ViT-B/14-reg tokens, 600 of a query: the binary distilled AMES, or ELViS.

    Args:
        path: the checkpoint; None = where ``patchlib data get`` puts it.
        device: torch device.
        network: ``"AMES"`` (50 tokens of an image) or ``"ELViS"`` (600).

    Raises:
        ValueError: the checkpoint or the encoder's weights have not been fetched, or do not fit; says how to get them.

    Source: Suma et al. (AMES, arXiv 2408.03282; ELViS, arXiv 2603.28603); supplement S6 (variant), the authors'
    settings (counts).
    """
    file, read, n = PUBLISHED[network]
    entry = network.lower()
    path = Path(path) if path else paths.data() / entry / "networks" / file
    if not path.is_file():
        raise ValueError(
            f"the published matcher needs {path}, which is not there: fetch it with `python -m patchlib data get "
            f'{entry}`, or choose matcher="built-in"'
        )
    tokens = LocalFeatureSpec(encoder="DINOv2_B_reg", size=518, query_size=518, n=n, query_n=600)
    encoder = encoders.create(tokens.encoder, device=device)
    return Matcher(path.stem, read(path, device=device), tokens, encoder, provenance.sha256_file(path))


def card(name: str = BUILT_IN, folder: Path = FOLDER) -> dict[str, Any]:
    """Card of a matcher: architecture, tokens, training, hash of the weights."""
    return provenance.read_json(folder / f"{name}.json")
