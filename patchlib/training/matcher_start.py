"""Networks that begin as best-match (Chamfer) scorers, so that a short training improves on something that works.

From random weights a matching network first has to discover that attending to the most similar descriptor pays; with a
few hundred instances and minutes of one core it does not get there. Chamfer is a special case of AMES, so its weights
can be written down: the mapped descriptors take one half of the width, the best match arrives in the other half, the
feed-forward block compares the two, and the matching token reads how well they agree.
"""

from typing import Any

import torch
from torch import Tensor

from patchlib.reranking.ames import AMES
from patchlib.reranking.elvis import ELViS

SHARPNESS = 1.4  # of the attention to the best match
SCALE = 0.2  # of the distance of two descriptors in the score
HALF_A_VOTE = 0.2  # the value of the transport plan at which a match has half a vote
A_VOTE = 0.3  # in the logit
OTHERS = 0.05  # all weights without a part to play: small, not zero, so that they can learn


def start_as_chamfer(model: AMES, descriptors: Tensor) -> AMES:
    """Set the weights of a fresh float network.

    Coordinates of a width d: ``0 .. w - 1`` hold a descriptor (its w = d/2 - 2 principal components), ``d/2 .. d/2 + w
    - 1`` its best match in the other image, the last two the score of a descriptor and its negative, which keep
    LayerNorm's mean at zero. Layer 1 fetches matches and compares, layer 2 has the token read the scores, more of the
    higher ones; the layers after it pass everything on.

    Args:
        model: ``AMES("float", ...)`` of two heads and two layers or more; changed in place.
        descriptors: (T, local_dim) sample of unit descriptors, for the principal components.

    Returns:
        The same model.

    Raises:
        ValueError: a network without room for that, or too few descriptors.
    """
    dim = len(model.mtc_token)
    match = dim // 2
    w = match - 2
    first: Any
    second: Any
    first, second, *_ = [*model.decoder.layers, None, None]
    if model.variant != "float" or second is None or first.self_attn.heads != 2 or first.linear1.out_features < 2 * w:
        raise ValueError(f"a float AMES with 2 heads, 2 layers or more and {2 * w} feed-forward units is needed")
    if len(descriptors) < w:
        raise ValueError(f"{len(descriptors)} descriptors, expected at least {w} for as many principal components")
    with torch.no_grad():
        _map_to_components(model, descriptors, w)
        layers: Any = model.decoder.layers
        for layer in layers:
            for linear in (layer.self_attn.out_proj, layer.cross_attn.out_proj, layer.linear2):
                linear.weight.mul_(OTHERS)
                linear.bias.zero_()
        _fetch_matches(first.cross_attn, w, match)
        _compare(first, w, match)
        _read_scores(second.self_attn, dim)
        model.classifier.weight.mul_(OTHERS)
        model.classifier.weight[0, -2:] = torch.tensor([1.0, -1.0])
    return model


def start_with_votes(model: ELViS, descriptors: Tensor, typical: float) -> ELViS:
    """Set the weights of a fresh ELViS whose votes grow with the transport plan, and whose logit grows with the votes.

    Descriptors keep their principal components, so cosines stay cosines. Half of ``f`` holds how far a match is above
    :data:`HALF_A_VOTE`, the other half a constant, without which LayerNorm would leave nothing but the sign.

    Args:
        model: changed in place.
        descriptors: (T, local_dim) sample of unit descriptors.
        typical: descriptors of a pair; a quarter of them as votes makes a logit near 0.

    Returns:
        The same model.
    """
    layers: list[Any] = [model.f[0], model.f[3], model.g[0], model.g[2]]
    match, vote, first, last = layers
    half = match.out_features // 2
    sign = torch.tensor([1.0, -1.0]).repeat(half)
    with torch.no_grad():
        _map_to_components(model, descriptors, descriptors.shape[1])
        match.weight.zero_()
        match.weight[:half, 0] = 4 * sign[:half]
        match.bias.copy_(sign)
        match.bias[:half] *= -4 * HALF_A_VOTE
        vote.weight.mul_(OTHERS)
        vote.weight[0, :half] = sign[:half]
        vote.bias.zero_()
        for layer in (first, last):
            layer.weight.abs_()
            layer.bias.zero_()
        last.weight.mul_(A_VOTE / (last.weight @ first.weight))
        last.bias.fill_(-A_VOTE * typical / 4)
    return model


def _map_to_components(model: AMES | ELViS, descriptors: Tensor, w: int) -> None:
    linear: Any = model.remap_local[0]
    mean = descriptors.mean(dim=0)
    components = torch.linalg.svd(descriptors - mean, full_matrices=False)[2][: min(w, linear.out_features)]
    linear.weight.zero_()
    linear.bias.zero_()
    kept, large = slice(len(components)), 10 * components  # beside LayerNorm's epsilon
    linear.weight[kept], linear.bias[kept] = large, -large @ mean


def _fetch_matches(attention: Any, w: int, match: int) -> None:
    """Head 0 attends by the dot product of two descriptors, and writes what it finds to the second half."""
    dim, eye = 2 * match, torch.eye(w)
    attention.in_proj_weight[: 2 * dim] *= OTHERS
    for part, weight in ((0, SHARPNESS), (1, SHARPNESS), (2, 1.0)):  # query, key, value
        rows = slice(part * dim, part * dim + w)
        attention.in_proj_weight[rows] = 0
        attention.in_proj_weight[rows, :w] = weight * eye
    attention.out_proj.weight[match : match + w, :w] = eye


def _compare(layer: Any, w: int, match: int) -> None:
    """Score = SCALE * (typical distance - sum of |descriptor - match|), each |.| out of two rectified units."""
    for half, sign in ((0, 1.0), (1, -1.0)):
        units = slice(half * w, (half + 1) * w)
        layer.linear1.weight[units] = 0
        layer.linear1.bias[units] = 0
        layer.linear1.weight[units, :w] = sign * torch.eye(w)
        layer.linear1.weight[units, match : match + w] = -sign * torch.eye(w)
    layer.linear2.weight[-2, : 2 * w], layer.linear2.weight[-1, : 2 * w] = -SCALE, SCALE
    typical = 0.7 * w  # two unrelated vectors of LayerNorm's length differ by about as much
    layer.linear2.bias[-2], layer.linear2.bias[-1] = SCALE * typical, -SCALE * typical


def _read_scores(attention: Any, dim: int) -> None:
    """Head 0 of the token attends to high scores and adds up what it reads."""
    attention.in_proj_weight[:dim] *= 0.1
    attention.in_proj_bias[0] = (dim / 2) ** 0.5  # undoes the scaling of attention: the softmax is over the scores
    for part, weight in ((1, [1.0, 0.0]), (2, [1.0, -1.0])):  # key, value
        attention.in_proj_weight[part * dim] = 0
        attention.in_proj_weight[part * dim, -2:] = torch.tensor(weight)
    attention.out_proj.weight[-2, 0], attention.out_proj.weight[-1, 0] = 1.0, -1.0
