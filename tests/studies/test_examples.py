"""Rows of examples: which queries are chosen, what they stand for, and pages that draw them."""

import json
from pathlib import Path

import builders
import matplotlib

matplotlib.use("Agg")
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image, ImageColor

from patchlib import charts, encoders, features, metrics, plots, search
from patchlib.studies import examples

RECORD = {"label": "built-in benchmark", "profile": "builtin"}


def table_of(ap_global: list[float], ap: list[float], loc: list[float], hits: list[int]) -> pd.DataFrame:
    """As :func:`examples.by_query` gives it."""
    table = pd.DataFrame({"query": range(len(ap)), "ap_global": ap_global, "ap": ap, "loc_global": 0.0, "loc": loc})
    table = table.assign(
        gain=table["ap"] - table["ap_global"], iou=table["loc"] / table["ap"], hits_global=0, hits=hits
    )
    return table.set_index(pd.Index([f"q{i}" for i in range(len(ap))], name="query_id"))


def of_gains(gains: list[float]) -> pd.DataFrame:
    return table_of([0.5] * len(gains), [0.5 + gain for gain in gains], [0.4] * len(gains), [1] * len(gains))


def test_pairs_hold_both_methods_scores() -> None:
    # four images of one region each for q0: i1 and i3 are right; globally they rank 2 and 4, by patches 1 and 2
    data = builders.benchmark_of(4, 1, [(0, 1, (0, 0, 1, 1)), (0, 3, (0, 0, 2, 1))])
    boxes = [(0, 0, 1, 1)] * 4
    query = [[1.0, 0.0]]
    sets = {
        "global": builders.feature_set([[0.9, 0], [0.8, 0], [0.7, 0], [0.6, 0]], [1] * 4, query, boxes),
        "Patchify": builders.feature_set([[0.1, 0], [0.9, 0], [0.2, 0], [0.8, 0]], [1] * 4, query, boxes),
    }
    rankings = {name: search.rank(found.query_descriptors, found) for name, found in sets.items()}
    scores = {name: metrics.evaluate(rankings[name], data, found) for name, found in sets.items()}
    row = examples.by_query(scores, rankings, data).loc["q0"]
    assert row["query"] == 0
    assert row["ap_global"] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert row["ap"] == pytest.approx((1 + 1) / 2)
    assert row["gain"] == pytest.approx(1 - 1 / 2)
    assert row["loc"] == pytest.approx((1 * 1 + 1 * 0.5) / 2)
    assert row["iou"] == pytest.approx((1 + 0.5) / 2)
    assert row["loc_global"] == pytest.approx((1 / 2 * 1 + 2 / 4 * 0.5) / 2)
    assert (row["hits_global"], row["hits"]) == (2, 2)


def test_each_group_is_shown_by_its_median_query() -> None:
    chosen = examples.by_gain(of_gains([0.3, -0.1, 0.0, 0.1, 0.4, 0.2]), 2)
    # ascending: q1 q2 q3 | q5 q0 q4
    assert chosen.index.tolist() == ["q2", "q0"]
    assert chosen["queries"].tolist() == [3, 3]
    assert chosen["lowest"].tolist() == pytest.approx([-0.1, 0.2])
    assert chosen["highest"].tolist() == pytest.approx([0.1, 0.4])
    assert chosen["label"].tolist() == ["1 of 2", "2 of 2"]


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40), st.integers(1, 12))
def test_groups_hold_every_query_once(gains: list[int], count: int) -> None:
    table = of_gains([gain / 100 for gain in gains])
    chosen = examples.by_gain(table, count)
    assert len(chosen) == min(count, len(gains))
    assert chosen["queries"].sum() == len(gains)
    assert chosen["queries"].max() - chosen["queries"].min() <= 1
    assert chosen.index.is_unique
    assert ((chosen["lowest"] <= chosen["gain"]) & (chosen["gain"] <= chosen["highest"])).all()
    # groups follow each other, so none could be shown by another group's query
    assert (chosen["highest"].to_numpy()[:-1] <= chosen["lowest"].to_numpy()[1:]).all()


def test_no_group_and_no_query_are_refused() -> None:
    with pytest.raises(ValueError, match="0 groups"):
        examples.by_gain(of_gains([0.1]), 0)
    with pytest.raises(ValueError, match="of 0 queries"):
        examples.by_gain(of_gains([]), 2)


def failing() -> pd.DataFrame:
    """q0 misses (and loses, and is badly located), q1 loses, q2 and q5 are found elsewhere; median AP 0.6."""
    return table_of(
        ap_global=[0.3, 0.5, 0.2, 0.2, 0.5, 0.1],
        ap=[0.1, 0.4, 0.7, 0.6, 0.6, 0.9],
        loc=[0.01, 0.01, 0.7 * 0.29, 0.6 * 0.3, 0.6 * 0.5, 0.9 * 0.1],
        hits=[0, 1, 3, 3, 3, 3],
    )


def test_a_query_has_the_first_case_that_holds() -> None:
    assert examples.cases(failing()).tolist() == [
        examples.MISSED,
        examples.WORSE,
        examples.ELSEWHERE,
        examples.FINE,  # exactly 0.3 is not poor
        examples.FINE,
        examples.ELSEWHERE,
    ]


def test_failures_stand_for_as_many_queries_as_fail_so() -> None:
    shown = examples.by_case(failing())
    assert shown["label"].tolist() == [examples.MISSED, examples.WORSE, examples.ELSEWHERE]
    assert shown["queries"].tolist() == [1, 1, 2]
    assert shown.index.tolist() == ["q0", "q1", "q2"]  # the lower of two medians: q2 gains 0.5, q5 0.8
    counted = examples.case_table(failing())
    assert counted["queries"].tolist() == [1, 1, 2, 2]
    assert counted["share"].sum() == pytest.approx(100)
    assert counted.loc[examples.ELSEWHERE, "gain"] == pytest.approx(100 * (0.5 + 0.8) / 2)


def test_without_boxes_nothing_is_called_badly_located() -> None:
    table = failing().assign(loc=np.nan, iou=np.nan)
    assert examples.ELSEWHERE not in set(examples.cases(table))
    assert examples.by_case(of_gains([0.1, 0.2])).empty
    assert examples.case_table(table).loc[examples.ELSEWHERE, "queries"] == 0
    ax = charts.examples.failures(Figure().add_subplot(), table, examples.by_case(table))
    assert [text.get_text() for text in ax.texts] == ["no boxes"]


def test_a_quantile_names_the_query_that_so_many_stay_below() -> None:
    table = of_gains([0.4, 0.1, 0.3, 0.2, 0.0])
    assert [examples.at_gain(table, share) for share in (0, 0.2, 0.5, 0.99)] == [4, 1, 3, 0]
    with pytest.raises(ValueError, match="quantile 1"):
        examples.at_gain(table, 1)


def test_listed_tables_are_in_percent_and_say_what_they_stand_for() -> None:
    table = failing()
    found = examples.listed({"gain": examples.by_gain(table, 1), "failure": examples.by_case(table)})
    assert len(found) == 1 + 3
    assert found.loc[("failure", examples.MISSED), "AP"] == pytest.approx(10)
    assert found.loc[("failure", examples.MISSED), "query"] == "q0"
    assert found["stands for"].tolist() == [6, 1, 1, 2]


def test_the_first_image_of_each_kind() -> None:
    data = builders.benchmark_of(3, 2, [(0, 2, None), (1, 0, None), (1, 1, None), (1, 2, None)])
    ranking = search.Ranking(
        np.array([[1, 0, 2], [2, 0, 1]], np.int32), np.zeros((2, 3), np.float32), np.zeros((2, 3), np.int32)
    )
    assert examples.best_of_each_kind(ranking, data, 0) == {"positive": 2, "negative": 1}
    assert examples.best_of_each_kind(ranking, data, 1) == {"positive": 2}


def test_every_patch_has_its_name_score_and_overlap() -> None:
    # image 0 has one region, image 1 the five of L1 on 4x4 pixels; the object fills the lower left quarter
    boxes = [(0, 0, 9, 9), (0, 0, 4, 4), (0, 0, 2, 2), (2, 0, 4, 2), (0, 2, 2, 4), (2, 2, 4, 4)]
    rows = [[1, 1], [0.5, 0], [0.1, 0], [0.2, 0], [0.9, 0], [0.3, 5]]
    owned = builders.feature_set(rows, [1, 5], [[1, 0]], boxes, regions="L1")
    found = examples.patch_scores(owned, [1, 0], 1, [[0, 2, 2, 4], [np.nan] * 4])
    assert found["score"].tolist() == pytest.approx([0.5, 0.1, 0.2, 0.9, 0.3])
    assert found["iou"].tolist() == pytest.approx([1 / 4, 0, 0, 1, 0])
    assert found["grid"].tolist() == [1, 2, 2, 2, 2]
    assert found["patch"].tolist()[:1] + found["patch"].tolist()[3:4] == ["whole image", "2×2 row 2 column 1"]
    assert examples.patch_scores(owned, [1, 0], 1)["iou"].isna().all()


def test_regions_that_are_no_grid_are_numbered() -> None:
    owned = builders.feature_set([[1, 0], [0, 1]], [2], [[1, 0]], regions="selective-search")
    assert examples.patch_scores(owned, [1, 0], 0)["patch"].tolist() == ["region 1", "region 2"]


class World:
    """A benchmark on disk, both methods on it."""

    def __init__(self, folder: Path) -> None:
        self.data = builders.benchmark_on_disk(folder, n_images=13, n_queries=2)
        patches = features.extract(self.data, "L1", encoders.create("colour-histogram"), folder / "out", workers=1)
        self.sets = {"global": patches.at_level(0), "Patchify": patches}
        self.rankings = {name: search.rank(found.query_descriptors, found) for name, found in self.sets.items()}
        self.scores = {m: metrics.evaluate(self.rankings[m], self.data, found) for m, found in self.sets.items()}
        self.table = examples.by_query(self.scores, self.rankings, self.data)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("qualitative"))


def _texts(fig: Figure) -> str:
    return "\n".join(text.get_text() for ax in fig.axes for text in ax.texts)


def test_a_page_says_right_and_wrong_as_the_benchmark_does(world: World) -> None:
    chosen = examples.by_gain(world.table, 2)
    fig = charts.examples.page(world.data, world.sets, world.rankings, world.scores, chosen)
    axes = np.array(fig.axes).reshape(2, 2, 1 + examples.SHOWN)
    for block, (_, facts) in zip(axes, chosen.iterrows(), strict=True):
        positives = set(world.data.relevant(facts["query"])[0])
        for row, method in zip(block, world.sets, strict=True):
            first = world.rankings[method].images[facts["query"], : examples.SHOWN]
            expected = ["positive" if image in positives else "negative" for image in first]
            assert [ax.get_xlabel() for ax in row[1:]] == expected
            frames = [to_hex(ax.spines["left"].get_edgecolor()).upper() for ax in row[1:]]
            assert frames == [plots.BOXES[kind] for kind in expected]
        assert f"stands for {facts['queries']}" in _texts(fig)
        assert f"AP {facts['ap_global']:.3f}" in _texts(fig)
        assert f"LocScore {facts['loc']:.3f}" in _texts(fig)


def test_a_page_of_nothing_says_so(world: World) -> None:
    fig = charts.examples.page(world.data, world.sets, world.rankings, world.scores, world.table.head(0))
    assert [text.get_text() for text in fig.texts] == ["no query of this kind"]


def test_heat_maps_hold_every_score_and_frame_the_winner(world: World) -> None:
    fig = charts.heat_maps.page(world.data, world.sets["Patchify"], world.rankings["Patchify"], {"a": 0})
    kinds = examples.best_of_each_kind(world.rankings["Patchify"], world.data, 0)
    rows = np.array(fig.axes).reshape(len(kinds), 5)
    for row, (kind, image) in zip(rows, kinds.items(), strict=True):
        scores = examples.patch_scores(world.sets["Patchify"], world.sets["Patchify"].query_descriptors[0], image)
        assert [text.get_text() for ax in row[1:3] for text in ax.texts] == [f"{s:.2f}" for s in scores["score"]]
        blue = [ax for ax in row for p in ax.patches if to_hex(p.get_edgecolor()).upper() == plots.BOXES["winning"]]
        assert blue == [row[1 if scores["score"].argmax() == 0 else 2]]
        rank = int(np.flatnonzero(world.rankings["Patchify"].images[0] == image)[0]) + 1
        assert row[0].get_xlabel() == f"{kind} image, rank {rank}"


def test_the_rule_marks_the_queries_shown(world: World) -> None:
    table = of_gains([0.3, -0.1, 0.0, 0.1, 0.4, 0.2])
    ax = charts.examples.rule(Figure().add_subplot(), table, examples.by_gain(table, 2))
    marks = next(line for line in ax.lines if line.get_label() == "shown")
    # bars from the largest gain down: 0.4 0.3 0.2 0.1 0.0 -0.1; shown are 0.0 (place 4) and 0.3 (place 1)
    assert marks.get_xdata().tolist() == [4, 1]
    assert marks.get_ydata().tolist() == pytest.approx([0, 30])
    assert [bar.get_height() for bar in ax.patches][1::3] == pytest.approx([30, 0])
    edges = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert edges == [2.5]


def test_every_case_is_drawn_with_its_count() -> None:
    ax = charts.examples.failures(Figure().add_subplot(), failing(), examples.by_case(failing()))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [*(f"{case} ({n})" for case, n in zip(examples.CASES, [1, 1, 2, 2], strict=True)), "shown"]
    assert set(charts.examples.MARKS) == set(examples.CASES)
    assert len({marker for _, marker in charts.examples.MARKS.values()}) == len(examples.CASES)


def test_a_shown_figure_is_saved_and_carries_its_caption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_FIGURES", str(tmp_path))
    fig = Figure(figsize=(2, 1))
    fig.add_subplot().add_patch(matplotlib.patches.Rectangle((0, 0), 1, 1, color=plots.BOXES["negative"]))
    plots.save(fig, "fig_x", RECORD, "Orange fills it.", photographs=True)
    picture = charts.examples.small_copy("fig_x", "Orange fills it.")
    assert picture.alt == "Orange fills it."
    assert json.loads((tmp_path / "fig_x.json").read_text())["caption"] == "Orange fills it."
    with Image.open(tmp_path / "fig_x.jpg") as saved:
        middle = saved.getpixel((saved.width // 2, saved.height // 2))
    np.testing.assert_allclose(middle, ImageColor.getrgb(plots.BOXES["negative"]), atol=3)
