"""The study of re-ranking: shared logits, cells chosen by the other half, tables by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import benchmark_of

from patchlib.metrics import average_precision
from patchlib.reranking import rerank
from patchlib.reranking.local_features import LocalFeatures
from patchlib.search import Ranking
from patchlib.studies import reranking
from patchlib.studies.cross_fitting import CrossFit, cross_fitted


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

    found = reranking.logits_of_stages(scorer, queries, images, stages, 5, {}, folder=tmp_path)
    for name, stage in stages.items():
        alone = rerank.score_shortlist(rerank.chamfer, queries, images, stage.images[:, :5])
        np.testing.assert_allclose(found[name], alone, atol=1e-6)
    listed = np.concatenate([stage.images[:, :5] for stage in stages.values()], axis=1)
    assert sum(scored) == 4 * max(len(np.unique(row)) for row in listed) < listed.size
    scored.clear()
    again = reranking.logits_of_stages(scorer, queries, images, stages, 5, {}, folder=tmp_path)
    assert not scored
    np.testing.assert_array_equal(again["b"], found["b"])
    reranking.logits_of_stages(scorer, queries, images, stages, 5, {"scorer": "another"}, folder=tmp_path)
    assert scored


def test_a_shortlist_longer_than_the_ranking_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="10 images is longer than these rankings: {'a': 9}"):
        reranking.logits_of_stages(
            rerank.chamfer, local(1, 4, "q"), local(2, 9, "i"), {"a": ranking(3)}, 10, {}, folder=tmp_path
        )


def test_an_image_without_local_descriptors_is_named(tmp_path: Path) -> None:
    images = local(2, 9, "i")
    images.counts[7] = 0
    with pytest.raises(ValueError, match="no local descriptors for v7"):
        reranking.logits_of_stages(rerank.chamfer, local(1, 4, "q"), images, {"a": ranking(3)}, 9, {}, folder=tmp_path)


def test_lengths_end_at_the_database() -> None:
    assert reranking.depths((0, 100, 200, 400), 150) == (0, 100, 150)
    for bad in ((), (0, -5)):
        with pytest.raises(ValueError, match="at least one length, each 0 or more"):
            reranking.depths(bad, 150)


def test_table_by_hand() -> None:
    cells = grid({(0, 1.0, 0.0): [0.2, 0.4, 0.2, 0.4], (2, 0.5, 1.0): [0.3, 0.6, 0.4, 0.6]})
    key = ("global", "AMES")
    row = reranking.summary({key: cells}, {key: cross_fitted(cells, ["a", "b", "c", "d"])}, resamples=200).loc[key]
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


def test_ours_stand_below_the_posters() -> None:
    index = pd.MultiIndex.from_product([["global", "L3"], ["AMES"]], names=["first stage of", "re-ranker"])
    table = pd.DataFrame({"first stage": [40.0, 50.0], "re-ranked": [45.0, 55.0]}, index=index)
    both = reranking.beside_poster(table, "ours")
    assert both.loc["ours"].to_numpy().tolist() == [[45, 40], [55, 50]]
    assert both.loc[("SigLIP", "L2")].tolist() == [56.54, 50.27]  # Table 3


def test_claims_by_hand() -> None:
    # one query; the first stage reaches .2 and .3, re-ranked AP follows
    ap = {("global", "AMES"): 0.6, ("global", "Chamfer"): 0.5, ("L3", "AMES"): 0.4, ("L3", "Chamfer"): 0.35}
    ap |= {("global", "ELViS"): 0.55, ("L3", "ELViS"): 0.41}
    looks = {("L3", "whole image"): 0.4, ("L3", "winning patch"): 0.1, ("L3", "mean of both"): 0.45}
    grids = {key: grid({(0, 1.0, 0.0): [0.2 if key[0] == "global" else 0.3]}) for key in ap}
    fits = {key: CrossFit(pd.Series([value]), (0, 0)) for key, value in (ap | looks).items()}
    points = {name: values[0] for name, values in reranking.claims(grids, fits).items()}
    assert points == pytest.approx({
        "AMES improves global": 40, "AMES improves L3": 10, "Chamfer improves global": 30, "Chamfer improves L3": 5,
        "AMES above Chamfer on global": 10, "AMES above Chamfer on L3": 5, "L3 alone above global + AMES": -30,
        "ELViS improves global": 35, "ELViS improves L3": 11, "ELViS above AMES on global": -5,
        "ELViS above AMES on L3": 1,
        "AMES gains more on global than on L3": 30, "winning patch above whole image": -30,
        "mean of both above whole image": 5,
    })  # fmt: skip


def test_queries_to_look_at_follow_the_rule() -> None:
    gain = pd.Series([0, 0.4, -0.1, 0.1, 0.2])  # in order: 1, 4, 3, 2
    assert reranking.moved(gain) == {"largest gain": 1, "median change": 3, "largest loss": 2}
    assert reranking.moved(0 * gain) == {"no query changes": 0}
    assert "largest loss" not in reranking.moved(gain + 0.5)


def test_grids_and_bound_of_every_stage() -> None:
    data = benchmark_of(9, 4, [(q, i, None) for q in range(4) for i in (q, q + 5)])
    stages = {"a": ranking(3), "b": ranking(4)}
    logits = {"AMES": {name: stage.scores for name, stage in stages.items()}}
    grids = reranking.grids(stages, logits, data, (0, 5))
    assert list(grids) == [("a", "AMES"), ("b", "AMES")]
    hits, total = rerank.relevance(stages["b"], data)
    np.testing.assert_allclose(reranking.first_stage(grids["b", "AMES"]), average_precision(hits, total))
    assert grids["a", "AMES"].columns.tolist() == ["q0", "q1", "q2", "q3"]
    bound = reranking.positives_within(stages, data, (0, 5, 9))
    assert bound.columns.tolist() == [5, 9] and (bound[9] == 100).all()
    assert bound.loc["b", 5] == pytest.approx(100 * hits[:, :5].sum() / 8)
