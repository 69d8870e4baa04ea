"""Training of the small encoders: the loss by hand, the views, a few steps, the cards of the shipped weights."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from patchlib import benchmarks, encoders, features, metrics, search
from patchlib.benchmarks.procedural.config import BLOCK, TRAINING_SEED
from patchlib.benchmarks.procedural.objects import SIBLING_DIFFERENCE, difference, make_object
from patchlib.encoders import specs
from patchlib.support import provenance
from patchlib.training import augment as tv
from patchlib.training import cards as tc
from patchlib.training import encoder as tr

SHIPPED = sorted(specs.WEIGHTS.glob("*.json"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tv.TrainingSet:
    return tv.prepare(tmp_path_factory.mktemp("pictures"), instances=16, scenes=4)


def composer(pictures: tv.TrainingSet, seed: int = 0) -> tv.Composer:
    generator = torch.Generator().manual_seed(seed)
    return tv.Composer(pictures, 16, 48, "cpu", generator, np.random.default_rng(seed))


# ------------------------------------------------------------------ loss


def test_loss_is_the_published_formula() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(7, 5))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    labels, t = [3, 1, 3, 1, 3, -1, -2], 0.2
    terms = []
    for i in range(7):
        partners = [p for p in range(7) if p != i and labels[p] == labels[i]]
        total = sum(math.exp(z[i] @ z[a] / t) for a in range(7) if a != i)
        if partners:
            terms.append(-sum(math.log(math.exp(z[i] @ z[p] / t) / total) for p in partners) / len(partners))
    loss = tr.contrastive_loss(torch.from_numpy(z), torch.tensor(labels), t)
    assert len(terms) == 5  # the two empty patches have no partner, yet stand in every denominator
    assert float(loss) == pytest.approx(sum(terms) / 5, rel=1e-9)


def test_loss_of_two_perfect_pairs() -> None:
    z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    # one partner at similarity 1, two others at 0
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 2 * math.exp(0)))
    assert float(tr.contrastive_loss(z, torch.tensor([0, 0, 1, 1]), 0.5)) == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------------ views


def test_training_objects_come_in_fours_with_two_siblings() -> None:
    keys = [tv.object_key(i) for i in range(400)]
    assert len(set(keys)) == 400
    for first in range(0, 400, 4):
        seeds = [seed for seed, _ in keys[first : first + 4]]
        assert seeds[0] == seeds[1] and len(set(seeds)) == 3
    assert min(seed for seed, _ in keys) == TRAINING_SEED * BLOCK
    assert difference(make_object(*keys[0]), make_object(*keys[1])) >= SIBLING_DIFFERENCE


def test_smaller_sets_are_part_of_larger_ones(pictures: tv.TrainingSet) -> None:
    assert np.array_equal(tv.prepare_objects(0, 4), pictures.objects[:4])
    assert np.array_equal(tv.prepare_objects(8, 12), pictures.objects[8:12])


def test_batch_shows_every_instance_twice(pictures: tv.TrainingSet) -> None:
    views, labels = composer(pictures).batch(8, 5)
    assert views.shape == (2 * 8 + 5, 3, 48, 48)
    low, high = -0.5 / 0.27, 0.5 / 0.27
    assert low - 1e-5 <= float(views.min()) and float(views.max()) <= high + 1e-5
    assert labels[:8].tolist() == labels[8:16].tolist()
    assert sorted(labels[16:].tolist()) == [-5, -4, -3, -2, -1]
    assert all(sorted(labels[k : k + 4].tolist()) == list(range(labels[k], labels[k] + 4)) for k in (0, 4))


def test_batches_follow_from_the_seed(pictures: tv.TrainingSet) -> None:
    first, again, other = (composer(pictures, seed).batch(8, 2)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_place_puts_the_object_where_it_is_told(pictures: tv.TrainingSet) -> None:
    solid = torch.ones(1, 4, tv.CANVAS, tv.CANVAS)
    one = torch.ones(1)
    put = composer(pictures).place(solid, 0.5 * one, 0.25 * one, -0.25 * one, 0 * one, 0.0)[0, 3]
    rows, columns = (torch.nonzero(put.amax(dim) > 0.5).flatten() for dim in (1, 0))
    # half the view's side, centre at a quarter right and up: pixels 18..42 and 6..30 of 48, less or more by the tilt
    assert columns.min() == pytest.approx(18, abs=3) and columns.max() == pytest.approx(41, abs=3)
    assert rows.min() == pytest.approx(6, abs=3) and rows.max() == pytest.approx(29, abs=3)


# ------------------------------------------------------------------ training


def test_a_few_steps_lower_the_loss_and_follow_from_the_seed(pictures: tv.TrainingSet) -> None:
    config = tr.TrainingConfig(instances=16, steps=12, batch=8, empty=4, input_size=32, warm_up=5)
    model, curve = tr.train(config, pictures)
    assert curve.columns.tolist() == ["step", "loss", "seconds"]
    assert curve["step"].tolist() == [12]
    start, first = tr.train(dataclasses.replace(config, steps=1), pictures)
    assert not model.training
    assert curve["loss"][0] < first["loss"][0]
    same = tr.train(config, pictures)[0].state_dict()
    assert all(torch.equal(a, same[k]) for k, a in model.state_dict().items())
    assert any(not torch.equal(a, start.state_dict()[k]) for k, a in model.state_dict().items())


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands in for the shipped weights."""
    monkeypatch.setattr(specs, "WEIGHTS", tmp_path)
    specs.registry.cache_clear()
    yield tmp_path
    specs.registry.cache_clear()


def test_training_once_gives_the_same_weights_again(
    pictures: tv.TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path))
    config = tr.TrainingConfig(instances=16, batch=8, empty=2, input_size=48, steps=1)
    expected = tr.train(config, pictures)[0].state_dict()
    first = tr.train_once(config, pictures)
    monkeypatch.delattr(tr, "train")
    again = tr.train_once(config, pictures)
    assert first[1].equals(again[1])
    for model, _ in (first, again):
        assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
        assert not model.training


def test_saved_weights_card_and_curve_are_read_back(pictures: tv.TrainingSet, weights: Path) -> None:
    config = tr.TrainingConfig(instances=16, steps=2, batch=8, empty=4)
    model, curve = tr.train(config, pictures)
    card = tr.save(model, config, curve, weights, "cnn-test")
    tc.add_accuracy(card, {"mAP L0": [1.0, 0.5]})
    crops = np.random.default_rng(0).integers(0, 256, (3, 80, 80, 3), dtype=np.uint8)
    pixels = (torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.27
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model(pixels), dim=1).numpy()
    loaded = encoders.create("cnn-test")
    assert (loaded.dim, loaded.input_size) == (128, 80)
    assert (loaded.encode(crops) * expected).sum(axis=1) == pytest.approx(1, abs=1e-4)  # float16 on disk
    assert specs.card("cnn-test")["accuracy"] == {"mAP L0": [1.0, 0.5]}
    assert tc.curve("cnn-test", weights)["step"].tolist() == [2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instances": 0}, "instances is 0"),
        ({"instances": 10}, "multiple of 4"),
        ({"batch": 2}, "batch is 2"),
        ({"steps": 0}, "steps is 0"),
        ({"architecture": "vgg"}, "architecture is 'vgg'"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tr.TrainingConfig(**options)  # type: ignore[arg-type]


def test_too_few_pictures_are_refused(pictures: tv.TrainingSet) -> None:
    with pytest.raises(ValueError, match="16 instances, 20 are asked for"):
        tr.train(tr.TrainingConfig(instances=20, steps=1), pictures)


def test_measure_agrees_with_the_parts_it_is_made_of(tmp_path: Path) -> None:
    data = benchmarks.load("procedural", tmp_path / "b", instances=12, positives=2, distractors=0, workers=1)
    encoder = encoders.create("colour-histogram")
    found = tc.measure(encoder, data, tmp_path / "f")
    whole = features.extract(data, "L0", encoder, tmp_path / "f")
    ap = 100 * metrics.evaluate(search.rank(whole.query_descriptors, whole), data, whole)["ap"]
    assert found["mAP L0"][0] == pytest.approx(ap.mean(), abs=0.006)
    assert found["mAP L3 - L0"][0] == pytest.approx(found["mAP L3"][0] - found["mAP L0"][0], abs=0.011)
    alone = ~data.queries["instance"].isin(data.meta["siblings"])
    assert 0 < alone.sum() < len(alone) == 12
    assert found["benchmark"] == data.hash


# ------------------------------------------------------------------ what is shipped


def test_all_weights_together_are_small() -> None:
    assert sum(file.stat().st_size for file in specs.WEIGHTS.iterdir()) < 8e6


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_cards_describe_their_weights(path: Path) -> None:
    card = provenance.read_json(path)
    assert card["name"] == path.stem
    assert card["sha256"] == provenance.sha256_file(path.with_suffix(".safetensors"))
    low, high = card["pretraining"]["seed_range"]
    assert TRAINING_SEED * BLOCK <= low < high <= TRAINING_SEED * BLOCK + BLOCK // 2  # no benchmark's, no clutter's
    encoder = encoders.create(path.stem)
    assert encoder.encode(np.zeros((1, card["input_size"], card["input_size"], 3), np.uint8)).shape == (1, card["dim"])
