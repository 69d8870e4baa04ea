"""ELViS against the authors' own similarities, and against an independent numpy implementation pair by pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import erf, expit, logsumexp

from patchlib.reranking import ELViS, load_elvis

SMALL = {"local_dim": 12, "dim": 8, "hidden": 4, "head": 6}


def small(seed: int = 0) -> ELViS:
    torch.manual_seed(seed)
    return ELViS(**SMALL).eval()


def pairs(seed: int, lengths: list[tuple[int, int]], rooms: tuple[int, int] = (6, 5)) -> list[torch.Tensor]:
    """Random descriptors and masks: ``lengths`` are the descriptors that are no padding."""
    rng = np.random.default_rng(seed)
    sides = zip(rooms, np.transpose(lengths), strict=True)
    parts = [(rng.normal(size=(len(n), room, 12)).astype("f4"), np.arange(room) >= n[:, None]) for room, n in sides]
    return [
        torch.from_numpy(array.astype(kind)) for part in parts for array, kind in zip(part, ("f4", "?"), strict=True)
    ]


def votes(model: ELViS, arrays: list[torch.Tensor]) -> np.ndarray:
    with torch.inference_mode():
        return model(*arrays).numpy()


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def reference(model: ELViS, query: np.ndarray, database: np.ndarray) -> float:
    """Votes of one pair without padding, in float64, from the description alone: marginals that sum to one."""
    w = {name: value.double().numpy() for name, value in model.state_dict().items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def normed(x: np.ndarray, name: str, eps: float) -> np.ndarray:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    sides = [normed(linear(x, "remap_local.0"), "remap_local.1", 1e-5) for x in (query, database)]
    q, d = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in sides)
    bin_q, bin_d = (np.tanh(linear(gelu(linear(x, "dust_bin_mlp.0")), "dust_bin_mlp.2"))[:, 0] for x in (q, d))
    n, m = len(q), len(d)
    scores = 10 * np.block([[q @ d.T, bin_q[:, None]], [bin_d[None], w["dust_bin"][None, None]]])
    rows, columns = np.log(np.append(np.ones(n), m) / (n + m)), np.log(np.append(np.ones(m), n) / (n + m))
    u, v = np.zeros(n + 1), np.zeros(m + 1)
    for _ in range(10):
        u = rows - logsumexp(scores + v, axis=1)
        v = columns - logsumexp(scores + u[:, None], axis=0)
    plan = (n + m) * np.exp(scores + u[:, None] + v)[:-1, :-1]
    best = np.concatenate([plan.max(1), plan.max(0)])[:, None]
    return float(expit(linear(gelu(normed(linear(best, "f.0"), "f.1", 1e-6)), "f.3")).sum())


def test_small_network_equals_the_numpy_reference() -> None:
    for seed, (n, m) in enumerate([(6, 5), (3, 5), (1, 2), (6, 1)]):
        model, arrays = small(seed), pairs(seed, [(n, m)], (n, m))
        expected = reference(model, arrays[0][0].double().numpy(), arrays[2][0].double().numpy())
        np.testing.assert_allclose(votes(model, arrays), [expected], atol=1e-4)


@pytest.mark.parametrize("masks", [True, False])
def test_authors_similarities(masks: bool, shared: Path) -> None:
    with np.load(shared / "data" / "oracles" / "elvis_reference.npz") as file:
        model = ELViS().eval()
        model.load_state_dict({k[2:]: torch.from_numpy(file[k]) for k in file.files if k.startswith("w/")})
        query, database = (torch.from_numpy(file[k]).float() for k in ("query", "database"))
        padding = [torch.from_numpy(file[f"{k}_mask"] & masks) for k in ("query", "database")]
        expected = file["similarity" if masks else "similarity_without_masks"]
    np.testing.assert_allclose(votes(model, [query, padding[0], database, padding[1]]), expected, atol=1e-3)
    assert sum(p.numel() for p in model.parameters()) == 115_604


def test_padding_has_no_influence_not_even_nan() -> None:
    model, arrays = small(), pairs(2, [(4, 3), (6, 2)])
    expected = votes(model, arrays)
    for rubbish in (1e6, float("nan")):
        changed = [array.clone() for array in arrays]
        changed[0][arrays[1]], changed[2][arrays[3]] = rubbish, rubbish
        np.testing.assert_array_equal(votes(model, changed), expected)
    assert np.abs(votes(model, [arrays[0], arrays[1] & False, *arrays[2:]]) - expected)[0] > 1e-3


def test_order_batch_and_direction_do_not_matter() -> None:
    model, (query, query_mask, database, database_mask) = small(), pairs(3, [(6, 5), (6, 1), (6, 4)])
    one = [query[:1], query_mask[:1]]
    expected = votes(model, [*one, database, database_mask])
    repeated = [query[:1].repeat(3, 1, 1), query_mask[:1].repeat(3, 1), database, database_mask]
    np.testing.assert_allclose(votes(model, repeated), expected, atol=1e-5)
    turned = [query[:1].flip(1), query_mask[:1].flip(1), database.flip(1), database_mask.flip(1)]
    np.testing.assert_allclose(votes(model, turned), expected, atol=1e-4)
    singles = [votes(model, [*one, database[i : i + 1], database_mask[i : i + 1]]) for i in range(3)]
    np.testing.assert_allclose(np.concatenate(singles), expected, atol=1e-5)


def test_the_same_image_gets_more_votes_when_a_vote_grows_with_the_match() -> None:
    model = small()
    with torch.no_grad():  # a vote that grows with the plan: the two hidden units are +1 and -1 times it
        model.f[0].weight.copy_(torch.tensor([[2.0], [-2.0], [1.0], [-1.0]]))
        model.f[3].weight.copy_(torch.tensor([[1.0, -1.0, 1.0, -1.0]]))
        model.f[0].bias.copy_(torch.tensor([-1.0, 1.0, -0.5, 0.5]))
    query, query_mask, database, database_mask = pairs(4, [(5, 5), (5, 5)], (5, 5))
    database[1] = query[0]
    same = votes(model, [query[:1], query_mask[:1], database, database_mask])
    assert same[1] > same[0] + 1 and 0 <= same.min() <= same.max() <= 10


def test_gradients_reach_every_weight() -> None:
    model, arrays = small().train(), pairs(7, [(6, 5), (3, 4)])
    model(*arrays).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_checkpoints_and_bad_input(tmp_path: Path) -> None:
    model, arrays = small(), pairs(5, [(6, 5)])
    torch.save({"state": model.state_dict(), "epoch": 3}, tmp_path / "net.pt")
    np.testing.assert_array_equal(votes(load_elvis(tmp_path / "net.pt", **SMALL), arrays), votes(model, arrays))
    with pytest.raises(ValueError, match=r"net\.pt does not fit the network: [\s\S]*remap_local"):
        load_elvis(tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"database descriptors have shape \(1, 5, 11\), expected \(B, tokens, 12\)"):
        model(*arrays[:2], arrays[2][..., :-1], arrays[3])
