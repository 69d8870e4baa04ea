"""What studies of encoders share: samples, available encoders, their tables and claims."""

import pandas as pd
import pytest
from builders import benchmark_of

from patchlib import metrics, studies


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


def test_a_sample_may_keep_fewer_queries_with_more_positives_of_all_sizes() -> None:
    # query q has four positives; the box of the first is the largest
    positives = [(q, 4 * q + i, (0, 0, 90 - 10 * i, 50)) for q in range(5) for i in range(4)]
    small = studies.sample(benchmark_of(30, 5, positives), 10, each=3)
    # 8 positives pay for 2 queries of 3 or more: the first and the last, 4 each; no positive of another fills up
    assert small.queries["query_id"].tolist() == ["q0", "q4"]
    assert studies.counts(small) == "10 images, 2 queries, 4.0 positives a query"
    assert small.images["image_id"].tolist() == [f"i{i}" for i in (*range(4), *range(16, 20), 20, 29)]
    small = studies.sample(benchmark_of(30, 5, positives), 8, each=2)
    # 6 positives: 3 queries of 2, the smallest and the largest box of each
    assert small.images["image_id"].tolist()[:6] == ["i0", "i3", "i8", "i11", "i16", "i19"]


def test_a_missing_encoder_stops_no_comparison() -> None:
    found, missing = studies.available(["colour-histogram", "colour-histogramm"])
    assert list(found) == ["colour-histogram"]
    assert "unknown encoder" in missing["colour-histogramm"]


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
