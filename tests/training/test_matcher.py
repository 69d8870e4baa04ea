"""Training of the built-in matcher: its lists, its start, the loss by hand, a few steps and what is kept of them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from patchlib.benchmarks.procedural.config import BLOCK, TRAINING_SEED
from patchlib.encoders import specs
from patchlib.reranking import AMES, ELViS, matchers, rerank
from patchlib.reranking.local_features import LocalFeatures
from patchlib.support import provenance
from patchlib.training import cards, matcher
from patchlib.training.matcher_data import MatcherConfig, TrainingLists, objects
from patchlib.training.matcher_start import start_as_chamfer, start_with_votes

TINY = MatcherConfig(
    dim=16, layers=2, feedforward=16, instances=8, held_out=2, scenes=2, distractors=4, steps=4, lists=2, length=4,
    shortlist=6, warm_up=1,
)  # fmt: skip


def local(descriptors: np.ndarray) -> LocalFeatures:
    cutouts, n, _ = descriptors.shape
    descriptors = descriptors / np.linalg.norm(descriptors, axis=2, keepdims=True)
    ids = [f"v{row}" for row in range(cutouts)]
    return LocalFeatures(descriptors.astype(np.float16), np.full(cutouts, n), ids, {})


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
    seen = specs.card("cnn-small")["pretraining"]["seed_range"]
    assert len(chosen) == len(set(chosen)) == MatcherConfig().instances
    assert min(seeds) >= seen[1] > seen[0] == TRAINING_SEED * BLOCK  # benchmarks' objects lie below


def test_a_list_holds_one_positive_first_and_hard_negatives_from_the_shortlist(lists: TrainingLists) -> None:
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


def test_an_elvis_begins_by_counting_matches() -> None:
    rng = np.random.default_rng(0)
    queries, images = rng.normal(size=(4, 10, 24)), rng.normal(size=(8, 40, 24))
    for image in range(4):  # image i holds the descriptors of query i; the other four hold none
        images[image, rng.permutation(40)[:10]] = queries[image] + 0.3 * rng.normal(size=(10, 24))
    asked, shown = local(queries), local(images)
    torch.manual_seed(0)
    sample = torch.from_numpy(shown.descriptors.reshape(-1, 24)).float()
    model = start_with_votes(ELViS(24), sample, typical=50)
    votes = rerank.score_shortlist(model.eval(), asked, shown, np.tile(np.arange(8), (4, 1)))
    assert votes.argmax(axis=1).tolist() == [0, 1, 2, 3]
    total = torch.linspace(0, 50, 11)[:, None]
    assert (model.g(total).diff(dim=0) > 0).all()  # more votes, a higher logit


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
    # the positive counts twice, as much as the two negatives together
    pairs = (2 * np.log(1 + e(-1)) + np.log(1 + e(0)) + np.log(1 + e(-2))) / 3
    assert float(matcher.list_loss(logits)) == pytest.approx(order + pairs, rel=1e-6)


# ------------------------------------------------------------------ training and files


@pytest.mark.parametrize("network", ["AMES", "ELViS"])
def test_a_few_steps_follow_from_the_seed_and_are_read_back(
    network: str, lists: TrainingLists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(TINY, network=network)
    model, curve = matcher.train(config, lists, every=2)
    again, start = matcher.train(config, lists, every=2)[0].state_dict(), matcher.build(config, lists).state_dict()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, again[name], rtol=0, atol=0)
    assert any((value != start[name]).any() for name, value in model.state_dict().items())
    assert list(curve) == ["step", "loss", "positive_first", "held_out", "seconds"]
    assert list(curve["step"]) == [0, 2, 4] and curve["held_out"].between(0, 1).all()
    card = matcher.save(model, config, lists, curve, tmp_path, "tiny")
    monkeypatch.setattr(matchers.encoders, "create", lambda name, device="cpu": name)
    read = matchers.load_matcher(tmp_path, "tiny")
    for name, value in read.model.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=1e-3, atol=1e-4)  # stored as float16
    content = provenance.read_json(card)
    assert (content["network"], content["training"]["steps"]) == (network, 4) and read.tokens == TINY.tokens
    assert cards.curve("tiny", tmp_path).shape == curve.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"held_out": 448}, "held_out 448"),
        ({"length": 1}, "length is 1"),
        ({"steps": 0}, "steps is 0"),
        ({"lists": 500}, "only 384 instances"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(MatcherConfig(), **options)
