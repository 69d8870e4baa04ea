"""Linear adaptation: what is learned from pairs, the published layer, and scores of the half that taught nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import benchmark_of, feature_set

from patchlib.studies import adaptation


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def world(instances: int = 24, seed: int = 0):
    """Four numbers tell the object, sixteen the picture; three pictures of each object, and a query.

    Every picture has a second region which shows nothing but surroundings.
    """
    rng = np.random.default_rng(seed)
    objects, surroundings = 0.5 * rng.normal(size=(instances, 4)), rng.normal(size=(4 * instances, 16))
    rows = unit(np.hstack([np.tile(objects, (4, 1)), surroundings]))
    images = 3 * instances
    data = benchmark_of(images, instances, [(i % instances, i, None) for i in range(images)])
    data.queries["instance"] = data.queries["query_id"]
    other = unit(np.hstack([0 * rows[:images, :4], rng.normal(size=(images, 16))]))
    regions = np.stack([rows[:images], other], axis=1).reshape(-1, 20)
    return data, feature_set(regions, [2] * images, rows[images:], regions="L3")


def test_a_direction_that_varies_within_pairs_is_turned_down() -> None:
    rng = np.random.default_rng(1)
    objects = rng.normal(size=(200, 2))
    a, b = (np.hstack([objects, 5 * rng.normal(size=(200, 1))]) for _ in range(2))
    one = adaptation.learn(a, b, dim=2)
    assert one.matrix.shape == (3, 2) and one.matrix.dtype == np.float32
    assert np.abs(one.matrix[2]).max() < 0.1 * np.abs(one.matrix[:2]).max()
    rows = one(np.vstack([a[:1], np.zeros((1, 3))]))
    assert np.linalg.norm(rows[0]) == pytest.approx(1) and not rows[1].any()
    with pytest.raises(ValueError, match=r"shapes \(200, 3\) and \(9, 3\), expected \(P, D\) twice"):
        adaptation.learn(a, b[:9])


def test_adaptation_is_judged_on_the_half_that_taught_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data, patches = world()
    monkeypatch.setattr(
        type(patches), "at_level", lambda self, level: self.keep(np.arange(0, len(self.boxes), 2), "L0")
    )
    taught: list[np.ndarray] = []
    learn = adaptation.learn
    monkeypatch.setattr(adaptation, "learn", lambda a, b: taught.append(np.unique(a, axis=0)) or learn(a, b))
    scores = adaptation.evaluate(patches, data)
    assert list(scores) == ["L0", "L3", "L0 adapted", "L3 adapted"]
    assert all(sorted(table["query_id"]) == sorted(data.queries["query_id"]) for table in scores.values())
    assert scores["L0 adapted"]["ap"].mean() > scores["L0"]["ap"].mean() + 0.1
    assert [len(rows) for rows in taught] == [12, 12]
    assert not {*map(bytes, taught[0])} & {*map(bytes, taught[1])}


def test_the_published_layer(tmp_path: Path) -> None:
    path = tmp_path / "layer.pth"
    torch.save({"layer.weight": torch.tensor([[1.0, 0, 0], [0, 2, 0]]), "layer.bias": torch.tensor([0.0, 1])}, path)
    rows = adaptation.load_published(path)(np.array([[3.0, 1.5, 9]]))
    np.testing.assert_allclose(rows, [[3 / 5, 4 / 5]], atol=1e-6)
    for content in ({"weight": torch.zeros(2)}, {"layer.weight": Path("x")}):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"layer\.pth is no linear layer with layer\.weight and layer\.bias"):
            adaptation.load_published(path)
