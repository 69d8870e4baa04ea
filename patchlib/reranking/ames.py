"""AMES: a small transformer that looks at two sets of local descriptors and says how alike their images are.

Written from the method's description; parameter names follow the published checkpoints, so those load unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VARIANTS = ("float", "binary")


class AMES(nn.Module):
    """Similarity of a query and a database image from their local descriptors, as one logit.

    Both sets are mapped to ``dim`` dimensions. A learned matching token joins them, and in every layer self-attention
    lets each image read itself and the token, cross-attention lets it read the *other* image and the token, and the
    token reads everything. The token's final state gives the logit.

    The variants differ in the mapping. ``"float"``: unit length, linear, LayerNorm; what is stored for a database image
    is the float16 result. ``"binary"``: an ITQ projection, of which the signs are stored, then linear, LayerNorm. The
    projection is fixed (a sign passes no gradient).

    Args:
        variant: ``"float"`` or ``"binary"``.
        local_dim: dimension of the local descriptors (768: DINOv2 ViT-B/14).
        dim: width of the transformer.
        layers: number of layers.
        heads: attention heads; divides ``dim``.
        feedforward: hidden width of the feed-forward blocks.

    Raises:
        ValueError: unknown variant, or ``heads`` does not divide ``dim``.

    Source: Suma et al., "AMES: Asymmetric and Memory-Efficient Similarity Estimation for Instance-level Retrieval",
    ECCV 2024, arXiv 2408.03282; supplement S6 uses the binary distilled network.
    """

    def __init__(
        self,
        variant: str = "float",
        *,
        local_dim: int = 768,
        dim: int = 128,
        layers: int = 5,
        heads: int = 2,
        feedforward: int = 1024,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"AMES variant is {variant!r}, expected one of {', '.join(VARIANTS)}")
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide the width {dim}")
        self.variant, self.local_dim = variant, local_dim
        self.stored_bits = 16 * dim if variant == "float" else dim  # of a database descriptor
        self.mtc_token = nn.Parameter(0.02 * torch.randn(dim))
        if variant == "float":
            self.remap_local = nn.Sequential(nn.Linear(local_dim, dim), nn.LayerNorm(dim))
        else:
            self.remap_local = nn.Sequential(_Sign(local_dim, dim), nn.Linear(dim, dim), nn.LayerNorm(dim))
        self.decoder = _Decoder(dim, layers, heads, feedforward)
        self.classifier = nn.Linear(dim, 1)

    def forward(self, query: Tensor, query_mask: Tensor, database: Tensor, database_mask: Tensor) -> Tensor:
        """Logits of B pairs; higher means more alike.

        Args:
            query: (B, S, local_dim) float local descriptors; (1, S, local_dim) stands for one query against B images.
            query_mask: (B, S) or (1, S) bool, True = padding.
            database: (B, T, local_dim) local descriptors of the database images.
            database_mask: (B, T) bool, True = padding.

        Returns:
            (B,) logits. What stands in padded rows has no influence on them.

        Raises:
            ValueError: the shapes do not fit together or the network.
        """
        check_pairs(self.local_dim, query, query_mask, database, database_mask)
        pairs = len(database)
        mapped_query = self._map(query, query_mask).expand(pairs, -1, -1)
        mapped_database = self._map(database, database_mask)
        if self.variant == "float":  # the storage format of database descriptors is part of the published network
            mapped_database = mapped_database.half().to(mapped_database.dtype)
        token = self.mtc_token.expand(pairs, 1, -1)
        # token in the middle: "query and token", "token and database" are then slices
        x = torch.cat([mapped_query, token, mapped_database], dim=1)
        readable = torch.cat([~query_mask.expand(pairs, -1), query_mask.new_ones(pairs, 1), ~database_mask], dim=1)
        middle = query.shape[1]
        return self.classifier(self.decoder(x, readable, middle)[:, middle]).squeeze(-1)

    def _map(self, descriptors: Tensor, mask: Tensor) -> Tensor:
        # padding is zeroed first: NaN there would otherwise pass through 0 * NaN
        return self.remap_local(F.normalize(descriptors.masked_fill(mask[..., None], 0), dim=-1))


def check_pairs(local_dim: int, query: Tensor, query_mask: Tensor, database: Tensor, database_mask: Tensor) -> None:
    """Refuse what is no input of a network: arguments as :meth:`AMES.forward`."""
    for name, descriptors, mask in (("query", query, query_mask), ("database", database, database_mask)):
        if descriptors.ndim != 3 or descriptors.shape[-1] != local_dim:
            shape = tuple(descriptors.shape)
            raise ValueError(f"{name} descriptors have shape {shape}, expected (B, tokens, {local_dim})")
        if mask.shape != descriptors.shape[:2] or mask.dtype != torch.bool:
            got = f"{tuple(mask.shape)} {mask.dtype}"
            raise ValueError(f"{name} mask is {got}, expected {tuple(descriptors.shape[:2])} bool, True = padding")
    if len(query) not in (1, len(database)):
        raise ValueError(f"{len(query)} queries and {len(database)} images, expected as many, or one query")


class _Sign(nn.Module):
    """The ITQ projection and the sign of its coordinates."""

    def __init__(self, local_dim: int, dim: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(local_dim, dim) / local_dim**0.5, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x @ self.W)


class _Decoder(nn.Module):
    def __init__(self, dim: int, layers: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(dim, heads, feedforward) for _ in range(layers))

    def forward(self, x: Tensor, readable: Tensor, middle: int) -> Tensor:
        for layer in self.layers:
            x = layer(x, readable, middle)
        return x


class _Layer(nn.Module):
    """Self-attention within the images, cross-attention between them, feed-forward; each added, then normalised."""

    def __init__(self, dim: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn, self.cross_attn = _Attention(dim, heads), _Attention(dim, heads)
        self.linear1, self.linear2 = nn.Linear(dim, feedforward), nn.Linear(feedforward, dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, readable: Tensor, middle: int) -> Tensor:
        with_query, with_database = slice(0, middle + 1), slice(middle, None)
        x = self.norm1(x + self.self_attn(x, readable, middle, with_query, with_database))
        x = self.norm2(x + self.cross_attn(x, readable, middle, with_database, with_query))
        return self.norm3(x + self.linear2(F.relu(self.linear1(x))))


class _Attention(nn.Module):
    """Multi-head attention in which the query's part, the token and the database's part read different keys."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * dim, dim)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, readable: Tensor, middle: int, query_reads: slice, database_reads: slice) -> Tensor:
        pairs, length, dim = x.shape
        projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = projected.view(pairs, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        parts = [
            (slice(0, middle), query_reads),
            (slice(middle, middle + 1), slice(None)),
            (slice(middle + 1, None), database_reads),
        ]
        read = [
            F.scaled_dot_product_attention(q[:, :, rows], k[:, :, keys], v[:, :, keys], readable[:, None, None, keys])
            for rows, keys in parts
        ]
        return self.out_proj(torch.cat(read, dim=2).transpose(1, 2).reshape(pairs, length, dim))


def load_ames(path: str | Path, variant: str | None = None, *, device: str = "cpu", **architecture: int) -> AMES:
    """A network from a published checkpoint such as ``dinov2_ames.pt``, ready to score.

    Args:
        path: torch file with the weights under the key ``state``; read with ``weights_only``, so no code in it runs.
        variant: ``"float"`` or ``"binary"``; by default the one the parameter names tell.
        device: where the network goes.
        **architecture: sizes other than the published ones, see :class:`AMES`.

    Raises:
        ValueError: not such a file, or weights of another shape; names the file and the keys.

    Source: checkpoints of Suma et al. (ECCV 2024), ``dinov2_ames.pt`` and ``dinov2_ames_dist.pt``.
    """
    state = read_state(Path(path))
    if variant is None:
        variant = "binary" if "remap_local.0.W" in state else "float"
    model = AMES(variant, **architecture)
    load_state(model, state, path)
    return model.to(device).eval()


def load_state(model: nn.Module, state: Mapping[str, Tensor], path: str | Path) -> None:
    """Put weights into a network.

    Raises:
        ValueError: names the file and the keys that are missing, unexpected, or of another shape.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network: {error}") from error


def read_state(path: Path) -> dict[str, Tensor]:
    """The weights of a published checkpoint; errors as :func:`load_ames`."""
    if not path.is_file():
        raise ValueError(f"no checkpoint {path}; `python -m patchlib data list` names what can be fetched")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways, one that holds code as UnpicklingError
        kind = type(error).__name__
        raise ValueError(
            f"{path} is not a checkpoint of plain tensors ({kind}): it is damaged, fetch it again, or it holds other "
            "objects, which are not loaded because they could run code"
        ) from error
    state = content.get("state") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        got = f"the keys {', '.join(map(str, content))}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ValueError(f"{path} holds {got}, expected a mapping with the weights under `state`")
    return state
