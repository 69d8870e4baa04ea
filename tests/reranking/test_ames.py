"""AMES against the authors' own logits, and against an independent numpy implementation with dense masks."""

import csv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from patchlib.reranking.ames import AMES, load_ames  # noqa: E402

SMALL = {"local_dim": 12, "dim": 8, "layers": 2, "heads": 2, "feedforward": 16}


@pytest.fixture(params=["float", "binary"])
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


def small(variant: str, seed: int = 0) -> AMES:
    torch.manual_seed(seed)
    model = AMES(variant, **SMALL).eval()
    for parameter in model.parameters():  # away from the initial zeros and ones
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def pairs(seed: int, lengths: list[tuple[int, int]], query_room: int = 6, database_room: int = 5) -> list:
    """Random descriptors and masks: ``lengths`` are the descriptors that are no padding."""
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(len(lengths), query_room, 12)).astype(np.float32)
    database = rng.normal(size=(len(lengths), database_room, 12)).astype(np.float32)
    query_mask = np.arange(query_room)[None] >= np.array([[q] for q, _ in lengths])
    database_mask = np.arange(database_room)[None] >= np.array([[d] for _, d in lengths])
    return [torch.from_numpy(array) for array in (query, query_mask, database, database_mask)]


def logits(model: AMES, arrays: list) -> np.ndarray:
    with torch.inference_mode():
        return model(*arrays).numpy()


def layer_norm(x: np.ndarray, weights: dict, name: str) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attention(x: np.ndarray, weights: dict, name: str, allowed: np.ndarray, heads: int) -> np.ndarray:
    projected = x @ weights[f"{name}.in_proj_weight"].T + weights[f"{name}.in_proj_bias"]
    read = []
    for q, k, v in zip(*(np.split(part, heads, axis=-1) for part in np.split(projected, 3, axis=-1)), strict=True):
        scores = np.where(allowed, q @ k.T / np.sqrt(q.shape[-1]), -np.inf)
        share = np.exp(scores - scores.max(-1, keepdims=True))
        read.append(share / share.sum(-1, keepdims=True) @ v)
    return np.concatenate(read, -1) @ weights[f"{name}.out_proj.weight"].T + weights[f"{name}.out_proj.bias"]


def reference(model: AMES, query: np.ndarray, database: np.ndarray, heads: int = 2) -> float:
    """The logit of one pair without padding, in float64, from the description alone; token first, dense masks."""
    w = {name: value.double().numpy() for name, value in model.state_dict().items()}

    def remap(x: np.ndarray) -> np.ndarray:
        if model.variant == "float":
            x = x / np.linalg.norm(x, axis=-1, keepdims=True)
            return layer_norm(x @ w["remap_local.0.weight"].T + w["remap_local.0.bias"], w, "remap_local.1")
        signs = np.sign(x @ w["remap_local.0.W"])
        return layer_norm(signs @ w["remap_local.1.weight"].T + w["remap_local.1.bias"], w, "remap_local.2")

    stored = remap(database)
    if model.variant == "float":
        stored = stored.astype(np.float32).astype(np.float16).astype(np.float64)
    x = np.concatenate([w["mtc_token"][None], remap(query), stored])
    side = np.array([0] + [1] * len(query) + [2] * len(database))
    token = (side[:, None] == 0) | (side[None] == 0)
    same = side[:, None] == side[None]
    for layer in range(len({key.split(".")[2] for key in w if key.startswith("decoder")})):
        name = f"decoder.layers.{layer}"
        x = layer_norm(x + attention(x, w, f"{name}.self_attn", token | same, heads), w, f"{name}.norm1")
        x = layer_norm(x + attention(x, w, f"{name}.cross_attn", token | ~same, heads), w, f"{name}.norm2")
        hidden = np.maximum(x @ w[f"{name}.linear1.weight"].T + w[f"{name}.linear1.bias"], 0)
        x = layer_norm(x + hidden @ w[f"{name}.linear2.weight"].T + w[f"{name}.linear2.bias"], w, f"{name}.norm3")
    return float(x[0] @ w["classifier.weight"][0] + w["classifier.bias"][0])


def test_small_network_equals_the_numpy_reference(variant: str) -> None:
    lengths = [(6, 5), (3, 5), (1, 2), (6, 1)]
    model, arrays = small(variant), pairs(1, lengths)
    expected = [
        reference(model, arrays[0][i, :q].double().numpy(), arrays[2][i, :d].double().numpy())
        for i, (q, d) in enumerate(lengths)
    ]
    np.testing.assert_allclose(logits(model, arrays), expected, atol=2e-4)


def test_authors_logits(variant: str, shared: Path) -> None:
    with np.load(shared / "data" / "oracles" / f"ames_reference_{variant}.npz") as file:
        model = AMES(variant).eval()
        model.load_state_dict({k[2:]: torch.from_numpy(file[k]) for k in file.files if k.startswith("w/")})
        arrays = [torch.from_numpy(file[k]) for k in ("query", "query_mask", "database", "database_mask")]
        arrays = [array.float() if array.is_floating_point() else array for array in arrays]
        # the processor's last bit can decide where a stored float16 rounds: one such flip moves a logit by up to 6e-4
        np.testing.assert_allclose(logits(model, arrays), file["logits"], atol=2e-3 if variant == "float" else 1e-4)


def test_parameter_names_and_shapes_are_the_published_ones(variant: str, shared: Path) -> None:
    with open(shared / "data" / "oracles" / "ames_state_dict.csv", newline="") as file:
        published = {r["key"]: r["shape"] for r in csv.DictReader(file) if r["variant"] == variant}
    ours = {key: "x".join(map(str, value.shape)) for key, value in AMES(variant).named_parameters()}
    assert ours == published == {key: "x".join(map(str, v.shape)) for key, v in AMES(variant).state_dict().items()}


def test_padding_has_no_influence_not_even_nan(variant: str) -> None:
    model, arrays = small(variant), pairs(2, [(4, 3), (6, 2)])
    expected = logits(model, arrays)
    query, query_mask, database, database_mask = arrays
    for rubbish in (1e6, float("nan")):
        changed = [query.clone(), query_mask, database.clone(), database_mask]
        changed[0][query_mask], changed[2][database_mask] = rubbish, rubbish
        np.testing.assert_array_equal(logits(model, changed), expected)
    assert np.abs(logits(model, [query, query_mask & False, database, database_mask]) - expected)[0] > 1e-3


def test_batch_and_broadcast_query_equal_single_pairs(variant: str) -> None:
    model, (query, query_mask, database, database_mask) = small(variant), pairs(3, [(5, 5), (5, 1), (5, 4)])
    one = [query[:1], query_mask[:1], database, database_mask]
    repeated = [query[:1].repeat(3, 1, 1), query_mask[:1].repeat(3, 1), database, database_mask]
    singles = [
        logits(model, [query[:1], query_mask[:1], database[i : i + 1], database_mask[i : i + 1]]) for i in range(3)
    ]
    np.testing.assert_allclose(logits(model, one), logits(model, repeated), atol=1e-6)
    np.testing.assert_allclose(logits(model, one), np.concatenate(singles), atol=1e-5)


def test_order_and_length_of_descriptors_do_not_matter(variant: str) -> None:
    """A set has no order; the binary variant's signs and the float variant's unit vectors know no length."""
    model, (query, query_mask, database, database_mask) = small(variant), pairs(4, [(6, 5)])
    changed = [7 * query.flip(1), query_mask, 0.1 * database.flip(1), database_mask]
    np.testing.assert_allclose(
        logits(model, changed), logits(model, [query, query_mask, database, database_mask]), atol=2e-3
    )


def test_checkpoint_round_trip(variant: str, tmp_path: Path) -> None:
    model, arrays = small(variant), pairs(5, [(6, 5), (2, 2)])
    torch.save({"state": {k: v.half() for k, v in model.state_dict().items()}, "epoch": 3}, tmp_path / "net.pt")
    loaded = load_ames(tmp_path / "net.pt", **SMALL)
    assert (loaded.variant, loaded.training) == (variant, False)
    model.load_state_dict({k: v.half() for k, v in model.state_dict().items()})
    np.testing.assert_array_equal(logits(loaded, arrays), logits(model, arrays))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}, "epoch": 1}, "holds the keys state_dict, epoch, expected .* `state`"),
        ([1, 2], "holds a list"),
        ({"state": {}, "options": Path("x")}, "is not a checkpoint of plain tensors"),  # any class could run code
        ({"state": small("float").state_dict()}, r"does not fit the network: [\s\S]*mtc_token.*Size\(\[8\]\)"),
    ],
)
def test_checkpoints_of_another_kind_are_refused_by_name(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=rf"net\.pt {message}"):
        load_ames(tmp_path / "net.pt")


def test_files_that_are_no_checkpoint_or_of_the_other_variant_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    with pytest.raises(ValueError, match=r"no checkpoint .*net\.pt"):
        load_ames(path)
    path.write_bytes(b"rubbish")
    with pytest.raises(ValueError, match=r"net\.pt is not a checkpoint of plain tensors"):
        load_ames(path)
    torch.save({"state": small("float").state_dict()}, path)
    with pytest.raises(ValueError, match=r'Missing [^\n]*"remap_local\.0\.W"[\s\S]*Unexpected'):
        load_ames(path, "binary", **SMALL)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="AMES variant is 'int8', expected one of float, binary"):
        AMES("int8")
    with pytest.raises(ValueError, match="3 heads do not divide the width 8"):
        AMES(dim=8, heads=3)
    model, (query, query_mask, database, database_mask) = small("float"), pairs(6, [(6, 5), (6, 5)])
    with pytest.raises(ValueError, match=r"query descriptors have shape \(2, 6, 11\), expected \(B, tokens, 12\)"):
        model(query[..., :-1], query_mask, database, database_mask)
    with pytest.raises(ValueError, match=r"database mask is \(2, 4\) torch.bool, expected \(2, 5\) bool"):
        model(query, query_mask, database, database_mask[:, :4])
    with pytest.raises(ValueError, match="query mask is .* torch.float32"):
        model(query, query_mask.float(), database, database_mask)
    with pytest.raises(ValueError, match="2 queries and 1 images"):
        model(query, query_mask, database[:1], database_mask[:1])


def test_gradients_reach_every_weight_of_the_float_variant() -> None:
    model, arrays = small("float").train(), pairs(7, [(6, 5), (3, 4)])
    model(*arrays).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
