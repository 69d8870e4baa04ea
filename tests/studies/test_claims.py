"""What the studies share: samples, available encoders, curves, claims, verdicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from builders import benchmark_of, feature_set

from patchlib import metrics, search, studies
from patchlib.studies import attributes


def test_a_sample_keeps_all_queries_and_loses_no_positive_silently() -> None:
    positives = [(q, 4 * q + i, (0, 0, 9, 9)) for q in range(3) for i in range(4)]
    data = benchmark_of(30, 3, positives)
    small = studies.sample(data, 10)
    # 4/5 of 10 are 8: 2 of each of 3 queries; 4 others, evenly spread over 12..29
    assert small.images["image_id"].tolist() == [f"i{i}" for i in (0, 1, 4, 5, 8, 9, 12, 17, 23, 29)]
    assert len(small.queries) == 3 and len(small.positives) == 6
    assert studies.sample(data, None) is data and studies.sample(data, 30) is data
    assert len(studies.sample(data, 1).images) == 3  # one positive of each query is the least
    with pytest.raises(ValueError, match="0 images"):
        studies.sample(data, 0)


def test_a_missing_encoder_stops_no_comparison() -> None:
    found, missing = studies.available(["colour-histogram", "colour-histogramm"])
    assert list(found) == ["colour-histogram"]
    assert "unknown encoder" in missing["colour-histogramm"]


def _case() -> tuple:
    """Two queries, six images of one or two regions; one positive has no box."""
    data = benchmark_of(6, 2, [(0, 0, (0, 0, 50, 50)), (0, 1, (0, 0, 100, 50)), (0, 2, None), (1, 3, (0, 0, 80, 80))])
    rng = np.random.default_rng(1)
    boxes = np.concatenate([np.zeros((12, 2)), rng.integers(30, 100, (12, 2))], axis=1)
    found = feature_set(rng.normal(size=(12, 3)), [2] * 6, rng.normal(size=(2, 3)), boxes)
    return search.rank(found.query_descriptors, found), data, found


def test_the_curve_agrees_with_the_metric_and_its_area_is_the_score() -> None:
    ranking, data, found = _case()
    scores = metrics.evaluate(ranking, data, found)
    curve = studies.loc_score_curve(ranking, data, found, metrics.THRESHOLDS)
    for column, t in enumerate(metrics.THRESHOLDS):
        assert curve[:, column] == pytest.approx(scores[f"loc_score_{t}"])
    fine = np.linspace(0, 1, 20001)[1:]
    area = studies.loc_score_curve(ranking, data, found, fine).mean(axis=1)
    assert area == pytest.approx(scores["loc_score"], abs=1e-3)
    empty = benchmark_of(6, 2, [(0, 0, None), (1, 3, None)])
    assert np.isnan(studies.loc_score_curve(ranking, empty, found, [0.3])).all()


def test_extremes_of_like_ap() -> None:
    table = pd.DataFrame({"query_id": list("abcd"), "ap": [1.0, 1.0, 1.0, 0.2], "loc_score": [0.3, 0.7, 0.1, 0.05]})
    assert studies.extremes(table)["query_id"].tolist() == ["b", "c"]
    # the median AP is 0.895: a and b are the better half
    table = table.assign(ap=[0.99, 0.9, 0.89, 0.2], loc_score=[0.3, 0.2, 0.1, 0.9])
    assert studies.extremes(table, tolerance=0.05).empty
    assert studies.extremes(table, tolerance=0.1)["query_id"].tolist() == ["a", "b"]
    assert studies.extremes(table.assign(loc_score=np.nan)).empty


def _tables(whole: list[float], local: list[float]) -> tuple[dict[str, pd.DataFrame], attributes.Bins]:
    columns = {"bin": range(len(whole)), "query_id": "q"}
    tables = {"global": pd.DataFrame(columns | {"ap": whole}), "Patchify": pd.DataFrame(columns | {"ap": local})}
    return tables, attributes.Bins(tuple("abc"), pd.DataFrame({"bin": range(len(whole))}))


def test_claims_are_positive_where_the_paper_is_right() -> None:
    tables, groups = _tables([0.1, 0.2, 0.9], [0.3, 0.5, 0.6])
    small, large = (values.tolist() for values in studies.claims_by_bin("x", "size", tables, groups).values())
    assert small == pytest.approx([(20 + 30) / 2]) and large == pytest.approx([30])
    (steadier,) = studies.claims_by_bin("x", "distance", tables, groups).values()
    assert steadier.tolist() == pytest.approx([(10 - 90) - (30 - 60)])
    dark, bright, least = (v.tolist() for v in studies.claims_by_bin("x", "brightness", tables, groups).values())
    assert (dark, bright, least) == (pytest.approx([20]), pytest.approx([-10]), pytest.approx([-30]))


def test_verdicts_follow_the_interval() -> None:
    table = studies.verdicts({"up": [1, 2, 3], "down": [-1, -2, -3], "both": [-9, 10, 0], "none": [np.nan]}, 200)
    assert table["holds"].tolist() == ["yes", "no", "open", "not measured"]
    assert table["evidence"].tolist()[:3] == pytest.approx([2, -2, 1 / 3])
    assert table["queries"].tolist() == [3, 3, 3, 0]


def _scores(**ap: list[float]) -> dict[str, dict[str, pd.DataFrame]]:
    def table(values: list[float]) -> pd.DataFrame:
        frame = pd.DataFrame({"query_id": [f"q{i}" for i in range(len(values))], "ap": values})
        return frame.assign(**dict.fromkeys(metrics.SCORES[1:], 0.0))

    return {name: {"L0": table([v / 2 for v in values]), "L3": table(values)} for name, values in ap.items()}


ZOO = pd.DataFrame(
    {
        "family": ["CNN", "CNN", "Transformer", "Baseline"],
        "model": ["r", "r", "v", "h"],
        "dataset": ["objects", "objects", "objects", "none"],
        "dataset_size": [4000, 40, 4000, 0],
        "dim": [8, 8, 8, 4],
    },
    ["big", "small", "vit", "hist"],
)


def test_pretraining_table_and_backbone_table() -> None:
    scores = _scores(big=[0.6, 0.8], small=[0.2, 0.4], vit=[0.4, 0.4], hist=[0.1, 0.1])
    table = studies.pretraining_table(scores, ZOO, 200)
    assert table.index.tolist() == ["small", "small", "big", "big", "vit", "vit"]
    assert table["mAP"].tolist() == pytest.approx([15, 30, 35, 70, 20, 40])
    assert table["type"].tolist() == ["global", "local"] * 3
    assert studies.backbone_table(scores).loc[("small", "L0"), "mAP"] == pytest.approx(15)


def test_claims_of_encoders_compare_like_with_like() -> None:
    scores = _scores(big=[0.6, 0.8], small=[0.2, 0.4], vit=[0.4, 0.4], hist=[0.1, 0.1])
    claims = {claim: values.tolist() for claim, values in studies.claims_of_encoders(scores, ZOO).items()}
    assert claims.pop("transformers above CNNs (mean of each)") == pytest.approx([-20, -40])
    assert claims.pop("more pretraining is better: big, 40 to 4,000") == pytest.approx([40, 40])
    assert set(claims) == {"big above hist", "vit above hist"}
