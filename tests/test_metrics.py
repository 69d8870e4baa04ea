"""Average precision and LocScore: against the definitions, the published codes, and by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import Positive, benchmark_of, feature_set
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from patchlib import metrics
from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features.feature_set import FeatureSet
from patchlib.search import Ranking, rank

ORACLE = json.loads((Path(__file__).parent / "data" / "average_precision.json").read_text())
HITS = [1, 0, 1, 0, 0, 1]  # positives at ranks 1, 3, 6


def test_agrees_with_the_published_codes() -> None:
    assert len(ORACLE) == 60
    for case in ORACLE:
        relevant, n = np.isin(case["ranking"], case["positives"]), len(case["positives"])
        assert metrics.average_precision(relevant, n, case["k"]) == pytest.approx(case["ilias_ap_at_k"], abs=1e-9)
        trapezoidal = metrics.average_precision_trapezoidal(relevant, n)
        assert trapezoidal == pytest.approx(case["trapezoidal_ap"], abs=1e-9)


def test_average_precision_by_hand() -> None:
    assert metrics.average_precision(HITS, 3) == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 3)
    assert metrics.average_precision(HITS, 5) == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 5)  # two never found
    assert metrics.average_precision(HITS, 5, k=3) == pytest.approx((1 / 1 + 2 / 3) / 3)  # min(3, 5)
    assert metrics.average_precision(HITS, 3, k=5) == pytest.approx((1 / 1 + 2 / 3) / 3)  # min(5, 3)
    assert metrics.average_precision([1, 1, 0], 2, k=1) == 1
    assert metrics.average_precision([0, 0], 1) == 0
    assert metrics.average_precision([], 1) == 0


def test_trapezoidal_by_hand_is_another_number() -> None:
    # the curve's left ends: 1 before rank 1, 1/2 before rank 3, 2/5 before rank 6
    expected = ((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 3 / 6) / 2) / 3
    assert metrics.average_precision_trapezoidal(HITS, 3) == pytest.approx(expected)
    assert metrics.average_precision_trapezoidal([0, 1], 1) == pytest.approx((0 + 1 / 2) / 2)
    assert metrics.average_precision_trapezoidal(HITS, 3) < metrics.average_precision(HITS, 3)


@given(st.lists(st.booleans(), min_size=1, max_size=30).filter(any))
def test_step_average_precision_is_that_of_scikit_learn(hits: list[bool]) -> None:
    expected = average_precision_score(hits, -np.arange(len(hits)))
    assert metrics.average_precision(hits, sum(hits)) == pytest.approx(expected)


def test_loc_score_by_hand() -> None:
    iou = [0.4, 9, 0.25, 9, 9, 1.0]  # read at positives only
    assert metrics.loc_score(HITS, iou, 4) == pytest.approx((1 * 0.4 + 2 / 3 * 0.25 + 3 / 6 * 1.0) / 4)
    assert metrics.loc_score(HITS, iou, 4, threshold=0.4) == pytest.approx((1 + 3 / 6) / 4)  # >=
    assert metrics.loc_score(HITS, iou, 4, threshold=0.0) == metrics.average_precision(HITS, 4)


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_an_iou_at_the_threshold_counts_at_every_precision(threshold: float) -> None:
    for dtype in (np.float32, np.float64):
        exactly = np.array([threshold], dtype)
        assert metrics.loc_score([1], exactly, 1, threshold) == 1
        assert metrics.loc_score([1], np.nextafter(exactly, dtype(0)), 1, threshold) == 0


def test_many_queries_at_once_and_none_without_positives() -> None:
    got = metrics.average_precision([HITS, HITS[::-1], [0] * 6], [3, 3, 0])
    assert got[:2] == pytest.approx([(1 + 2 / 3 + 3 / 6) / 3, (1 + 2 / 4 + 3 / 6) / 3])
    assert np.isnan(got[2])
    assert np.isnan(metrics.loc_score([0, 0], [0, 0], 0)) and np.isnan(metrics.average_precision_trapezoidal([0], 0))


def test_arguments_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="more positives than n_positives"):
        metrics.average_precision(HITS, 2)
    with pytest.raises(ValueError, match="k is 0, expected a depth >= 1"):
        metrics.average_precision(HITS, 3, k=0)
    with pytest.raises(ValueError, match="iou is NaN at a positive"):
        metrics.loc_score([1, 0], [np.nan, 0.5], 1)


# --- a whole evaluation against the definitions, image by image ---


def ratio(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (total - width * height)


def average(ranked: list[bool], weights: list[float], n_positives: int, k: int | None) -> float:
    found, total = 0, 0.0
    for place, (hit, weight) in enumerate(zip(ranked, weights, strict=True), 1):
        if hit:
            found += 1
            total += found / place * weight
    return total / (n_positives if k is None else min(n_positives, k))


def by_definition(ranking: Ranking, positives: list[Positive], features: FeatureSet, q: int, k: int | None) -> dict:
    """Metrics of one query in plain Python, straight from DESIGN: no vectorisation, no shared code."""
    truth: dict[int, list] = {}
    for query, image, box in positives:
        if query == q:
            truth.setdefault(image, []).extend([] if box is None else [box])
    listed = list(zip(ranking.images[q].tolist(), ranking.regions[q].tolist(), strict=True))[:k]
    hits = [image in truth and region >= 0 for image, region in listed]
    boxed = {image: boxes for image, boxes in truth.items() if boxes}
    # positives without a box leave the ranking
    localised = [(image, region) for image, region in listed if image not in truth or image in boxed or region < 0]
    overlap = [
        max(ratio(features.boxes[region].tolist(), box) for box in boxed[image])
        if image in boxed and region >= 0
        else 0.0
        for image, region in localised
    ]
    loc_hits = [image in boxed and region >= 0 for image, region in localised]
    scores = {"n_positives": len(truth), "ap": average(hits, [1.0] * len(hits), len(truth), k)}
    if not boxed:
        return scores | dict.fromkeys(metrics.SCORES[1:], float("nan"))
    scores["loc_score"] = average(loc_hits, overlap, len(boxed), k)
    for d in (0.3, 0.4, 0.5):
        reached = [float(np.float32(value) >= np.float32(d)) for value in overlap]
        scores[f"loc_score_{d}"] = average(loc_hits, reached, len(boxed), k)
    scores["mloc_score"] = (scores["loc_score_0.3"] + scores["loc_score_0.4"] + scores["loc_score_0.5"]) / 3
    return scores


def random_case(seed: int) -> tuple[Benchmark, list[Positive], FeatureSet]:
    """Ragged regions (some images without any), several boxes an image, unknown boxes, queries without positives."""
    rng = np.random.default_rng(seed)
    n_images, n_queries = int(rng.integers(1, 14)), int(rng.integers(1, 4))

    def box() -> list[float]:
        x, y, width, height = rng.integers(0, 60, 2).tolist() + rng.integers(1, 40, 2).tolist()
        return [float(x), float(y), float(x + width), float(y + height)]

    positives: list[Positive] = []
    for q in range(n_queries):
        for image in rng.permutation(n_images)[: rng.integers(0, n_images + 1)].tolist():
            positives += [(q, image, None if rng.random() < 0.3 else box()) for _ in range(rng.integers(1, 4))]
    counts = rng.integers(0, 4, n_images)
    rows = rng.integers(-2, 3, (counts.sum(), 3))
    queries = np.maximum(rng.integers(-2, 3, (n_queries, 3)), [[1, -2, -2]])
    features = feature_set(rows, counts, queries, boxes=np.array([box() for _ in rows]).reshape(-1, 4))
    return benchmark_of(n_images, n_queries, positives), positives, features


@given(st.integers(0, 10**6), st.sampled_from([None, 1, 2, 5, 50]))
def test_evaluate_equals_the_definitions(seed: int, k: int | None) -> None:
    benchmark, positives, features = random_case(seed)
    ranking = rank(features.query_descriptors, features)
    queries = sorted({query for query, _, _ in positives})
    table = metrics.evaluate(ranking, benchmark, features, k)
    assert table["query_id"].tolist() == [f"q{query}" for query in queries]
    for row, query in zip(table.to_dict("records"), queries, strict=True):
        expected = by_definition(ranking, positives, features, query, k)
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name
    left_out = table.attrs
    assert left_out["queries_without_positives"] == len(benchmark.queries) - len(queries)
    assert left_out["queries_without_boxes"] == int(table["loc_score"].isna().sum())
    pairs = {(query, image): [] for query, image, _ in positives}
    for query, image, box in positives:
        pairs[query, image] += [] if box is None else [box]
    assert left_out["positives_without_box"] == sum(not boxes for boxes in pairs.values())


@given(st.integers(0, 10**6), st.integers(1, 14))
def test_a_ranking_cut_at_k_gives_what_the_whole_one_gives_at_k(seed: int, k: int) -> None:
    benchmark, _, features = random_case(seed)
    whole = metrics.evaluate(rank(features.query_descriptors, features), benchmark, features, k)
    short = metrics.evaluate(rank(features.query_descriptors, features, k), benchmark, features, k)
    pd.testing.assert_frame_equal(whole, short)


@given(st.integers(0, 10**6))
def test_loc_scores_never_exceed_ap_where_all_positives_have_boxes(seed: int) -> None:
    benchmark, positives, features = random_case(seed)
    known = [p for p in positives if p[2] is not None]
    benchmark = benchmark_of(len(benchmark.images), len(benchmark.queries), known)
    table = metrics.evaluate(rank(features.query_descriptors, features), benchmark, features)
    assert (table["loc_score"] <= table["ap"] + 1e-9).all()
    assert (table["loc_score_0.3"] >= table["loc_score_0.5"]).all()


def ranked(images: list[int], regions: list[int]) -> Ranking:
    return Ranking(
        np.array([images], np.int32),
        np.linspace(1, 0, len(images), dtype=np.float32)[None],
        np.array([regions], np.int32),
    )


def one_region_each(n_images: int, box: tuple[int, ...] = (0, 0, 50, 100), n_queries: int = 1) -> FeatureSet:
    return feature_set(np.ones((n_images, 2)), [1] * n_images, np.ones((n_queries, 2)), [box] * n_images)


def test_the_best_of_several_boxes_counts_known_ones_only() -> None:
    positives: list[Positive] = [(0, 0, None), (0, 0, (0, 0, 50, 50)), (0, 0, (0, 0, 50, 80)), (0, 0, None)]
    row = metrics.evaluate(ranked([0], [0]), benchmark_of(1, 1, positives), one_region_each(1)).iloc[0]
    assert row["n_positives"] == 1 and row["ap"] == 1
    assert row["loc_score"] == pytest.approx(50 * 80 / (50 * 100))


def test_positives_without_a_box_make_way_in_the_localisation_scores_alone() -> None:
    positives: list[Positive] = [(0, 1, None), (0, 2, (0, 0, 50, 100)), (0, 3, None)]
    table = metrics.evaluate(ranked([0, 1, 2, 3], [0, 1, 2, 3]), benchmark_of(4, 1, positives), one_region_each(4))
    assert table["ap"][0] == pytest.approx((1 / 2 + 2 / 3 + 3 / 4) / 3)
    assert table["loc_score"][0] == pytest.approx(1 / 2)  # rank 2 once image 1 is gone, R = 1
    assert table.attrs["positives_without_box"] == 2


def test_an_image_without_regions_is_not_found_however_short_the_ranking_is() -> None:
    benchmark = benchmark_of(2, 1, [(0, 0, (0, 0, 50, 100)), (0, 1, (0, 0, 50, 100))])
    features = feature_set(np.ones((1, 2)), [1, 0], np.ones((1, 2)), [(0, 0, 50, 100)])
    row = metrics.evaluate(rank(np.ones((1, 2)), features), benchmark, features).iloc[0]
    assert (row["n_positives"], row["ap"], row["loc_score"]) == (2, 1 / 2, 1 / 2)


def test_fillers_of_an_approximate_search_touch_no_image() -> None:
    benchmark = benchmark_of(3, 1, [(0, 2, (0, 0, 50, 100))])
    assert metrics.evaluate(ranked([0, -1, -1], [0, -1, -1]), benchmark, one_region_each(3), 3)["ap"].tolist() == [0]


def test_a_query_that_cannot_be_read_and_one_without_positives_are_counted() -> None:
    benchmark = benchmark_of(2, 3, [(0, 0, None), (2, 1, None)])
    features = feature_set(np.eye(2), [1, 1], [[0, 0], [1, 0], [0, 1]])
    table = metrics.evaluate(rank(features.query_descriptors, features), benchmark, features)
    assert table["query_id"].tolist() == ["q2"]
    expected = {"queries_without_positives": 1, "unreadable_queries": 1}
    assert table.attrs == expected | {"queries_without_boxes": 1, "positives_without_box": 1}
    summary = metrics.summarise(table)
    assert summary["queries"] == 1 and summary["mAP"] == 100 and np.isnan(summary["LocScore"])


def test_nothing_to_evaluate() -> None:
    table = metrics.evaluate(ranked([0, 1], [0, 1]), benchmark_of(2, 1, []), one_region_each(2))
    assert table.empty and list(table.columns) == ["query_id", "n_positives", *metrics.SCORES]
    assert np.isnan(metrics.summarise(table)["mAP"])


def test_summary_is_the_mean_in_percent() -> None:
    table = pd.DataFrame({name: [0.5, 0.25] for name in metrics.SCORES}).assign(loc_score=[np.nan, 0.2])
    summary = metrics.summarise(table)
    assert summary["mAP"] == pytest.approx(100 * (0.5 + 0.25) / 2) and summary["LocScore"] == pytest.approx(20)


def test_what_does_not_belong_together_is_refused() -> None:
    benchmark, features = benchmark_of(3, 1, []), one_region_each(3)
    ranking = rank(features.query_descriptors, features)
    with pytest.raises(ValueError, match="the ranking has 1 queries, the benchmark 2"):
        metrics.evaluate(ranking, benchmark_of(3, 2, []), features)
    with pytest.raises(ValueError, match="the ranking holds 2 of 3 images, 3 are needed; rank deeper or pass k=2"):
        metrics.evaluate(ranking.head(2), benchmark, features)
    with pytest.raises(ValueError, match="features are of 4 images and 1 queries"):
        metrics.evaluate(ranking, benchmark, one_region_each(4))
    with pytest.raises(ValueError, match="k is 0, expected a depth >= 1"):
        metrics.evaluate(ranking, benchmark, features, k=0)


def test_explain_lists_the_terms_of_ap_and_loc_score() -> None:
    benchmark, _, features = random_case(8)
    ranking = rank(features.query_descriptors, features)
    for row in metrics.evaluate(ranking, benchmark, features).to_dict("records"):
        terms = metrics.explain(ranking, benchmark, features, int(row["query_id"][1:]))
        assert terms["precision"].sum() / row["n_positives"] == pytest.approx(row["ap"])


def test_winning_grids_are_told_apart_by_the_row_within_the_image() -> None:
    benchmark = benchmark_of(2, 1, [(0, 1, None)])
    features = feature_set(np.ones((60, 2)), [30, 30], np.ones((1, 2)))
    # rows of an image: 0 is 1x1, 1..4 are 2x2, 5..13 are 3x3, 14..29 are 4x4
    for row, grid in ((0, "1x1"), (1, "2x2"), (4, "2x2"), (5, "3x3"), (13, "3x3"), (14, "4x4"), (29, "4x4")):
        shares = metrics.winning_grids(ranked([1, 0], [30 + row, 0]), benchmark, features)
        assert shares["positives"].to_dict() == {"1x1": 0, "2x2": 0, "3x3": 0, "4x4": 0} | {grid: 1}
        assert shares.loc["1x1", "other images"] == 1
