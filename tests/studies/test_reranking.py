"""The study of re-ranking: shared logits, cells chosen by the other half, tables by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from patchlib.reranking import rerank
from patchlib.reranking.local_features import LocalFeatures
from patchlib.search import Ranking
from patchlib.studies import reranking


def local(seed: int, cutouts: int, hash_: str) -> LocalFeatures:
    descriptors = np.random.default_rng(seed).normal(size=(cutouts, 3, 5))
    descriptors /= np.linalg.norm(descriptors, axis=2, keepdims=True)
    ids = [f"v{row}" for row in range(cutouts)]
    return LocalFeatures(descriptors.astype(np.float16), np.full(cutouts, 3), ids, {"hash": hash_})


def ranking(seed: int, queries: int = 4, images: int = 9) -> Ranking:
    rng = np.random.default_rng(seed)
    order = np.stack([rng.permutation(images) for _ in range(queries)]).astype(np.int32)
    scores = -np.sort(-rng.random((queries, images)), axis=1).astype(np.float32)
    return Ranking(order, scores, order)


def grid(values: dict[tuple[int, float, float], list[float]]) -> pd.DataFrame:
    index = pd.MultiIndex.from_tuples(list(values), names=["m", "lambda", "gamma"])
    return pd.DataFrame(list(values.values()), index=index)


def test_logits_of_each_stage_equal_scoring_it_alone_and_pairs_are_scored_once(tmp_path: Path) -> None:
    queries, images = local(1, 4, "q"), local(2, 9, "i")
    stages = {"a": ranking(3), "b": ranking(4)}
    scored = []

    def scorer(*pair):  # type: ignore[no-untyped-def]
        scored.append(len(pair[2]))
        return rerank.chamfer(*pair)

    found = reranking.logits_of_stages(scorer, queries, images, stages, 5, tmp_path, {})
    for name, stage in stages.items():
        alone = rerank.score_shortlist(rerank.chamfer, queries, images, stage.images[:, :5])
        np.testing.assert_allclose(found[name], alone, atol=1e-6)
    listed = np.concatenate([stage.images[:, :5] for stage in stages.values()], axis=1)
    assert sum(scored) == 4 * max(len(np.unique(row)) for row in listed) < listed.size
    scored.clear()
    again = reranking.logits_of_stages(scorer, queries, images, stages, 5, tmp_path, {})
    assert not scored
    np.testing.assert_array_equal(again["b"], found["b"])
    reranking.logits_of_stages(scorer, queries, images, stages, 5, tmp_path, {"scorer": "another"})
    assert scored


def test_a_shortlist_longer_than_the_ranking_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="10 images is longer than these rankings: {'a': 9}"):
        reranking.logits_of_stages(
            rerank.chamfer, local(1, 4, "q"), local(2, 9, "i"), {"a": ranking(3)}, 10, tmp_path, {}
        )


def test_an_image_without_local_descriptors_is_named(tmp_path: Path) -> None:
    images = local(2, 9, "i")
    images.counts[7] = 0
    with pytest.raises(ValueError, match="no local descriptors for v7"):
        reranking.logits_of_stages(rerank.chamfer, local(1, 4, "q"), images, {"a": ranking(3)}, 9, tmp_path, {})


def test_lengths_end_at_the_database() -> None:
    assert reranking.depths((0, 100, 200, 400), 150) == (0, 100, 150)
    for bad in ((), (0, -5)):
        with pytest.raises(ValueError, match="at least one length, each 0 or more"):
            reranking.depths(bad, 150)


def test_table_by_hand() -> None:
    cells = grid({(0, 1.0, 0.0): [0.2, 0.4, 0.2, 0.4], (2, 0.5, 1.0): [0.3, 0.6, 0.4, 0.6]})
    row = reranking.summary({("global", "AMES"): cells}, ["a", "b", "c", "d"], resamples=200).loc[("global", "AMES")]
    assert row["first stage"] == pytest.approx(100 * (0.2 + 0.4 + 0.2 + 0.4) / 4)
    assert row["re-ranked"] == pytest.approx(100 * (0.3 + 0.6 + 0.4 + 0.6) / 4)
    assert row["gain"] == pytest.approx(row["re-ranked"] - row["first stage"])
    assert 10 <= row["low"] <= row["gain"] <= row["high"] <= 20  # each query gains 10 or 20 points
    assert row["best cell on the test queries"] == pytest.approx(row["re-ranked"])
    assert row["cells"] == "2, 0.5, 1"  # both halves alike
    curve = reranking.gain_by_shortlist(cells, ["a", "b", "c", "d"], resamples=200)
    assert curve.loc[0, "mean"] == 0 and curve.loc[2, "mean"] == pytest.approx(row["gain"])
    with pytest.raises(ValueError, match="add 0 to the lengths"):
        reranking.gain_by_shortlist(cells.loc[[2]], ["a", "b", "c", "d"])


def test_costs_add_up() -> None:
    index = pd.MultiIndex.from_tuples([("L3", "AMES"), ("L3", "Chamfer")])
    table = pd.DataFrame({"first stage": [40.0, 40.0], "re-ranked": [45.0, 42.0]}, index=index)
    found = reranking.costs(table, {"L3": (1000, 2.0)}, {"AMES": (500, 30.0), "Chamfer": (900, 4.0)})
    assert list(found.index) == ["L3", "L3 + AMES", "L3 + Chamfer"]
    assert found["mAP"].tolist() == [40, 45, 42]
    assert found["bytes per image"].tolist() == [1000, 1000 + 500, 1000 + 900]
    assert found["ms per query"].tolist() == [2, 2 + 30, 2 + 4]


def test_queries_to_look_at_follow_the_rule() -> None:
    before = pd.Series([0.5, 0.5, 0.5, 0.5, 0.5])
    after = pd.Series([0.5, 0.9, 0.4, 0.6, 0.7])  # changes: -, +.4, -.1, +.1, +.2; in order: 1, 4, 3, 2
    assert reranking.moved(before, after) == {"largest gain": 1, "median change": 3, "largest loss": 2}
    assert reranking.moved(before, before) == {"no query changes": 0}
    assert "largest loss" not in reranking.moved(before, before + 0.1)
