"""ELViS: votes of the best correspondences between two sets of local descriptors, after optimal transport.

Written from the method's description; parameter names follow the published checkpoints, so those load unchanged.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from patchlib.reranking.ames import check_pairs, load_state, read_state


class ELViS(nn.Module):
    """Similarity of a query and a database image as a number of votes.

    Descriptors are mapped to ``dim`` dimensions and unit length. Their cosines, with a learned score of each descriptor
    for "matches nothing" (a dustbin row and column), become a transport plan by Sinkhorn iterations. The best match of
    every descriptor, in either direction, casts a vote in 0..1; the votes are summed.

    Args:
        local_dim: dimension of the local descriptors (768: DINOv2 ViT-B/14).
        dim: of the mapped descriptors.
        hidden, head: widths of the two small networks, ``f`` of a vote and ``g`` of the sum, which training alone uses.
        iterations: of Sinkhorn.
        temperature: the scores' multiplier before it.

    Source: Suma et al., "ELViS: Efficient Visual Similarity from Local Descriptors that Generalizes Across Domains",
    ICLR 2026, arXiv 2603.28603; the float variant.
    """

    def __init__(
        self,
        local_dim: int = 768,
        *,
        dim: int = 128,
        hidden: int = 16,
        head: int = 64,
        iterations: int = 10,
        temperature: float = 10.0,
    ) -> None:
        super().__init__()
        self.local_dim, self.iterations, self.temperature = local_dim, iterations, temperature
        self.stored_bits = 16 * dim  # of a database descriptor: mapped, float16
        self.remap_local = nn.Sequential(nn.Linear(local_dim, dim), nn.LayerNorm(dim))
        self.dust_bin_mlp = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1), nn.Tanh())
        self.dust_bin = nn.Parameter(torch.tensor(1.0))
        self.f = nn.Sequential(nn.Linear(1, hidden), nn.LayerNorm(hidden, eps=1e-6), nn.GELU(), nn.Linear(hidden, 1))
        self.g = nn.Sequential(nn.Linear(1, head), nn.GELU(), nn.Linear(head, 1))

    def forward(self, query: Tensor, query_mask: Tensor, database: Tensor, database_mask: Tensor) -> Tensor:
        """Votes of B pairs; higher means more alike. Arguments and errors are those of :meth:`AMES.forward`.

        Returns:
            (B,) votes in 0..S + T; in training mode ``g`` of them, a logit. What stands in padded rows has no influence
            on them; how many there are has, since the dustbins' capacity counts them, as in the published network.
        """
        check_pairs(self.local_dim, query, query_mask, database, database_mask)
        mapped_query = self._map(query, query_mask).expand(len(database), -1, -1)
        query_mask = query_mask.expand(len(database), -1)
        padding = query_mask[:, :, None] | database_mask[:, None]
        plan = self._transport(mapped_query, self._map(database, database_mask), padding)
        best = torch.cat([plan.amax(dim=2), plan.amax(dim=1)], dim=1)
        votes = self.f(best[..., None]).squeeze(-1).sigmoid()
        total = votes.masked_fill(torch.cat([query_mask, database_mask], dim=1), 0).sum(dim=1)
        return self.g(total[:, None]).squeeze(-1) if self.training else total

    def _map(self, descriptors: Tensor, mask: Tensor) -> Tensor:
        # padding is zeroed first: NaN there would otherwise pass through 0 * NaN
        return F.normalize(self.remap_local(descriptors.masked_fill(mask[..., None], 0)), dim=-1)

    def _transport(self, query: Tensor, database: Tensor, padding: Tensor) -> Tensor:
        """The plan (B, S, T), times S + T: a row or column sums to 1 at most, what it lacks goes to the dustbin."""
        pairs, n, m = padding.shape
        cosines = (query @ database.transpose(1, 2)).masked_fill(padding, -math.inf)
        rows = torch.cat([cosines, self.dust_bin_mlp(query)], dim=2)
        corner = self.dust_bin.expand(pairs, 1, 1)
        bins = torch.cat([self.dust_bin_mlp(database).transpose(1, 2), corner], dim=2)
        # cosines and dustbins lie within 1, so that plain exponentials do as well as logarithms, in a tenth of the time
        kernel = (self.temperature * torch.cat([rows, bins], dim=1)).exp()
        # marginals times n + m: 1 for a descriptor, all of the other side for a dustbin
        row_mass, column_mass = kernel.new_ones(n + 1, 1), kernel.new_ones(1, m + 1)
        row_mass[-1], column_mass[:, -1] = m, n
        v = torch.ones_like(kernel[:, :1])
        for _ in range(self.iterations):
            u = row_mass / (kernel @ v.transpose(1, 2))
            v = column_mass / (u.transpose(1, 2) @ kernel)
        return (u * kernel * v)[:, :-1, :-1]


def load_elvis(path: str | Path, *, device: str = "cpu", **architecture: int) -> ELViS:
    """A network from a published checkpoint such as ``dinov2_elvis_gld.pt``, ready to score.

    Args:
        path: torch file with the weights under the key ``state``; read with ``weights_only``, so no code in it runs.
        device: where the network goes.
        **architecture: sizes other than the published ones, see :class:`ELViS`.

    Raises:
        ValueError: not such a file, or weights of another shape; names the file and the keys.
    """
    model = ELViS(**architecture)
    load_state(model, read_state(Path(path)), path)
    return model.to(device).eval()
