"""Matchers by name: the shipped one, the published one, and files that do not fit."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from patchlib import profiles
from patchlib.encoders import specs
from patchlib.reranking import AMES, ELViS, matchers
from patchlib.reranking.rerank import chamfer
from patchlib.support import provenance
from patchlib.training import cards


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the shipped matcher's weights and card."""
    for suffix in ("safetensors", "json"):
        shutil.copy(matchers.FOLDER / f"{matchers.BUILT_IN}.{suffix}", tmp_path)
    return tmp_path


def test_weights_of_another_shape_are_refused(copied: Path) -> None:
    card = matchers.card(folder=copied)
    card["architecture"]["feedforward"] = 20
    provenance.write_json(copied / f"{matchers.BUILT_IN}.json", card)
    with pytest.raises(ValueError, match=r"ames-small\.safetensors does not fit the network: [\s\S]*linear1"):
        matchers.load_matcher(copied)


def test_a_file_that_is_not_the_cards_is_refused(copied: Path) -> None:
    path = copied / f"{matchers.BUILT_IN}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="not the file its card describes"):
        matchers.load_matcher(copied)


def test_what_is_not_there_is_said_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="holds no matcher 'other'"):
        matchers.load_matcher(tmp_path, "other")
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"dinov2_ames_dist\.pt.*patchlib data get ames"):
        matchers.load("published")
    with pytest.raises(ValueError, match="built-in"):
        matchers.load("builtin")


def test_the_published_network_is_loaded_from_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ames" / "networks" / matchers.PUBLISHED["AMES"][0]
    path.parent.mkdir(parents=True)
    state = AMES("binary").state_dict()
    torch.save({"state": state}, path)
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path))
    monkeypatch.setattr(matchers.encoders, "create", lambda name, device="cpu": name)
    found = matchers.load("published")
    assert found.encoder == "DINOv2_B_reg" and found.model.variant == "binary"
    assert found.bytes_per_image == 50 * 128 // 8  # 50 descriptors of 128 signs
    with pytest.raises(ValueError, match=r"dinov2_elvis_gld\.pt.*patchlib data get elvis"):
        matchers.load("published", network="ELViS")
    path = tmp_path / "elvis" / "networks" / matchers.PUBLISHED["ELViS"][0]
    path.parent.mkdir(parents=True)
    torch.save({"state": ELViS().state_dict()}, path)
    votes = matchers.load("published", network="ELViS")
    assert votes.bytes_per_image == 600 * 128 * 2 and votes.tokens.query_n == 600  # mapped, float16


def test_every_scorer_gives_values_of_the_size_of_logits() -> None:
    rng = np.random.default_rng(0)
    pair = [torch.from_numpy(rng.normal(size=(2, n, 192)).astype(np.float32)) for n in (5, 7)]
    arrays = [pair[0][:1], torch.zeros(1, 5, dtype=torch.bool), pair[1], torch.zeros(2, 7, dtype=torch.bool)]
    found = {name: matchers.load("built-in", network=name) for name in ("AMES", "ELViS", "Chamfer")}
    with torch.inference_mode():
        values = {name: one.scorer(*arrays) for name, one in found.items()}
        torch.testing.assert_close(values["ELViS"], 10 * found["ELViS"].model(*arrays) / (5 + 7))
        torch.testing.assert_close(values["Chamfer"], 10 * chamfer(*arrays))
    assert values["ELViS"].min() >= 0 and values["ELViS"].max() <= 10
    assert found["Chamfer"].tokens == found["AMES"].tokens and found["Chamfer"].bytes_per_image == 100 * 192 * 2
    assert found["AMES"].bytes_per_image == 100 * 96 * 2 and found["ELViS"].bytes_per_image == 100 * 128 * 2
    with pytest.raises(ValueError, match="unknown network 'Elvis'; did you mean ELViS"):
        matchers.load("built-in", network="Elvis")


@pytest.mark.parametrize("network", ["AMES", "ELViS"])
def test_shipped_weights_are_small_and_better_than_their_start(network: str) -> None:
    found, name = matchers.load("built-in", network=network), f"{network.lower()}-small"
    assert (matchers.FOLDER / f"{name}.safetensors").stat().st_size < 3_000_000
    curve = cards.curve(name, matchers.FOLDER)
    assert curve["held_out"].iloc[-1] > curve["held_out"].iloc[0]
    assert found.model.local_dim == 192 and not found.model.training
    training = matchers.card(name)["training"]
    assert training["steps"] == curve["step"].iloc[-1]
    assert training["seed_range"][0] >= specs.card("cnn-small")["pretraining"]["seed_range"][1]


def test_profiles_choose_the_matcher() -> None:
    assert profiles.load("builtin").matcher == profiles.load("workshop").matcher == "built-in"
    assert profiles.load("paper").matcher == "published"
    with pytest.raises(ValueError, match="profile 'builtin': matcher is 'ames', expected built-in or published"):
        profiles.load("builtin", matcher="ames")
