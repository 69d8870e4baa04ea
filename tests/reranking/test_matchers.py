"""The built-in matcher: its lists, its start, a few steps, the shipped weights, and files that do not fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from patchlib import profiles
from patchlib.benchmarks.procedural.config import BLOCK, TRAINING_SEED
from patchlib.reranking import matchers, rerank
from patchlib.reranking.ames import AMES
from patchlib.reranking.local_features import LocalFeatures
from patchlib.support import provenance
from patchlib.training import matcher as matcher_training
from patchlib.training.matcher_data import MatcherConfig, TrainingLists, objects
from patchlib.training.matcher_start import start_as_chamfer

TINY = MatcherConfig(
    dim=16, layers=2, feedforward=16, instances=8, held_out=2, scenes=2, distractors=4, steps=4, lists=2, length=4,
    shortlist=6, warm_up=1,
)  # fmt: skip


def local(descriptors: np.ndarray) -> LocalFeatures:
    cutouts, n, _ = descriptors.shape
    descriptors = descriptors / np.linalg.norm(descriptors, axis=2, keepdims=True)
    zeros = np.zeros((cutouts, n), np.float32)
    ids = [f"v{row}" for row in range(cutouts)]
    counts = np.full(cutouts, n)
    return LocalFeatures(descriptors.astype(np.float16), zeros[..., None].repeat(2, 2), zeros, counts, ids, {})


@pytest.fixture
def lists() -> TrainingLists:
    """Eight instances whose images hold the query's descriptors, shuffled among others; four images hold none."""
    rng = np.random.default_rng(0)
    queries, images = rng.normal(size=(8, 3, 12)), rng.normal(size=(20, 6, 12))
    for image in range(16):
        images[image, rng.permutation(6)[:3]] = queries[image // 2] + 0.1 * rng.normal(size=(3, 12))
    rankings = {stage: np.stack([rng.permutation(20) for _ in range(8)]) for stage in ("L0", "L3")}
    return TrainingLists(local(queries), local(images), [np.array([2 * q, 2 * q + 1]) for q in range(8)], rankings)


# ------------------------------------------------------------------ data


def test_no_object_is_a_benchmarks_or_was_seen_by_the_encoder() -> None:
    drawn, chosen = objects(MatcherConfig())
    seeds = {drawn.objects()[row][0] for row in chosen}
    seen = matchers.encoder_registry.card("cnn-small")["pretraining"]["seed_range"]
    assert len(chosen) == len(set(chosen)) == MatcherConfig().instances
    assert min(seeds) >= seen[1] > seen[0] == TRAINING_SEED * BLOCK  # benchmarks' objects lie below


def test_a_list_holds_one_right_image_first_and_hard_ones_from_the_shortlist(lists: TrainingLists) -> None:
    rng = np.random.default_rng(1)
    for query in range(8):
        row = lists.draw(query, TINY, easy=0.0, rng=rng)
        assert len(row) == len(set(row)) == TINY.length
        assert row[0] in lists.positives[query] and not set(row[1:]) & set(lists.positives[query])
        heads = [set(ranking[query, : TINY.shortlist + 2]) for ranking in lists.rankings.values()]
        assert any(set(row[1:]) <= head for head in heads)
    anywhere = {int(i) for _ in range(60) for i in lists.draw(0, TINY, easy=1.0, rng=rng)[1:]}
    assert anywhere == set(range(20)) - {0, 1}


# ------------------------------------------------------------------ start and loss


def test_the_start_orders_images_as_chamfer_does_though_no_step_was_taken(lists: TrainingLists) -> None:
    torch.manual_seed(0)
    sample = torch.from_numpy(lists.images.descriptors.reshape(-1, 12)).float()
    model = start_as_chamfer(AMES("float", local_dim=12, dim=28, layers=2, feedforward=28), sample).eval()
    rows = np.tile(np.arange(20), (8, 1))
    found = rerank.score_shortlist(model, lists.queries, lists.images, rows)
    for query, logits in enumerate(found):
        assert set(np.argsort(-logits)[:2]) == set(lists.positives[query])


def test_the_start_needs_room() -> None:
    sample = torch.nn.functional.normalize(torch.randn(50, 12), dim=1)
    for options in ({"layers": 1}, {"heads": 1}, {"feedforward": 8}):
        with pytest.raises(ValueError, match="2 heads, 2 layers or more and 12 feed-forward units"):
            start_as_chamfer(
                AMES("float", **({"local_dim": 12, "dim": 16, "layers": 2, "feedforward": 16} | options)), sample
            )
    with pytest.raises(ValueError, match="3 descriptors, expected at least 6"):
        start_as_chamfer(AMES("float", local_dim=12, dim=16, layers=2, feedforward=16), sample[:3])


def test_loss_by_hand() -> None:
    logits = torch.tensor([[1.0, 0.0, -2.0]])
    e = np.exp
    order = -np.log(e(1) / (e(1) + e(0) + e(-2)))
    # the right pair counts twice, as much as the two wrong ones together
    pairs = (2 * np.log(1 + e(-1)) + np.log(1 + e(0)) + np.log(1 + e(-2))) / 3
    assert float(matcher_training.list_loss(logits)) == pytest.approx(order + pairs, rel=1e-6)


# ------------------------------------------------------------------ training and files


def test_a_few_steps_follow_from_the_seed_and_are_read_back(
    lists: TrainingLists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, curve = matcher_training.train(TINY, lists, every=2)
    again, _ = matcher_training.train(TINY, lists, every=2)
    start = matcher_training.build(TINY, lists).state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, again.state_dict()[name], rtol=0, atol=0)
    assert any((value != start[name]).any() for name, value in model.state_dict().items())
    assert list(curve["step"]) == [0, 2, 4] and curve["held_out"].between(0, 1).all()
    card = matcher_training.save(model, TINY, lists, curve, tmp_path, "tiny")
    monkeypatch.setattr(matchers.encoders, "create", lambda name, device="cpu": name)
    read = matchers.load_matcher(tmp_path, "tiny")
    for name, value in read.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-3, atol=1e-4)  # stored as float16
    content = provenance.read_json(card)
    assert content["training"]["steps"] == 4 and read.tokens == TINY.tokens
    assert matchers.curve("tiny", tmp_path).shape == curve.shape
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="not the file its card describes"):
        matchers.load_matcher(tmp_path, "tiny")


def test_weights_of_another_shape_are_refused(lists: TrainingLists, tmp_path: Path) -> None:
    model = matcher_training.build(TINY, lists)
    curve = matcher_training.pd.DataFrame({"step": [0], "seconds": [0.0], "loss": [0.0]})
    wrong = matcher_training.architecture(TINY, lists) | {"feedforward": 20}
    matchers.save(model, wrong, TINY.tokens, {}, curve, tmp_path, "wrong")
    with pytest.raises(ValueError, match=r"wrong\.safetensors does not fit the network: .*linear1"):
        matchers.load_matcher(tmp_path, "wrong")


def test_what_is_not_there_is_said_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="holds no matcher 'other'"):
        matchers.load_matcher(tmp_path, "other")
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"dinov2_ames_dist\.pt.*patchlib data get ames"):
        matchers.load("published")
    with pytest.raises(ValueError, match="built-in"):
        matchers.load("builtin")


def test_the_published_network_is_loaded_from_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ames" / "networks" / matchers.PUBLISHED
    path.parent.mkdir(parents=True)
    state = AMES("binary").state_dict()
    torch.save({"state": state}, path)
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path))
    monkeypatch.setattr(matchers.encoders, "create", lambda name, device="cpu": name)
    found = matchers.load("published")
    assert found.encoder == "DINOv2_B_reg" and found.model.variant == "binary"
    assert found.bytes_per_image == 50 * 128 // 8  # 50 descriptors of 128 signs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": 448}, "held_out 448"),
        ({"length": 1}, "length is 1"),
        ({"lists": 500}, "only 384 instances"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(MatcherConfig(), **options)


# ------------------------------------------------------------------ what ships


def test_shipped_weights_are_small_and_better_than_their_start() -> None:
    found = matchers.load("built-in")
    assert (matchers.FOLDER / f"{matchers.BUILT_IN}.safetensors").stat().st_size < 3_000_000
    curve = matchers.curve()
    assert curve["held_out"].iloc[-1] > curve["held_out"].iloc[0]
    assert found.model.local_dim == 192 and not found.model.training
    training = matchers.card()["training"]
    assert training["steps"] == curve["step"].iloc[-1]
    assert training["seed_range"][0] >= matchers.encoder_registry.card("cnn-small")["pretraining"]["seed_range"][1]


def test_profiles_choose_the_matcher() -> None:
    assert profiles.load("builtin").matcher == profiles.load("workshop").matcher == "built-in"
    assert profiles.load("paper").matcher == "published"
    with pytest.raises(ValueError, match="profile 'builtin': matcher is 'ames', expected built-in or published"):
        profiles.load("builtin", matcher="ames")
