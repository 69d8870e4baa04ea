"""Scores of place: worked by hand, and what changes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from patchlib.studies import localisation as place


def found(query: str, ranks: list[int], iou: list[float], reachable: list[float]) -> pd.DataFrame:
    rows = {"rank": ranks, "iou": iou, "reachable": reachable}
    return pd.DataFrame(rows).assign(query_id=query, image_id=[f"{query}{rank}" for rank in ranks])


@pytest.fixture
def table() -> pd.DataFrame:
    first = found("a", [1, 4], [0.8, 0.4], [0.8, 0.8])
    return pd.concat([first, found("b", [3, 9, 12], [0.5, 0.5, 0.2], [0.5, 1.0, 0.5])], ignore_index=True)


def test_scores_by_hand(table: pd.DataFrame) -> None:
    a = place.scores(table).loc["a"]
    assert a["AP"] == pytest.approx((1 / 1 + 2 / 4) / 2)
    assert a["LocScore"] == pytest.approx((0.8 + 0.5 * 0.4) / 2)
    assert a[place.RATIO] == pytest.approx((0.8 + 0.5 * 0.4) / 1.5)
    assert a["first R"] == pytest.approx(0.8)  # of the first two images one is a positive
    assert a["mean IoU"] == pytest.approx(0.6)
    assert a[place.SHARE] == pytest.approx(1.2 / 1.6)


def test_without_a_positive_among_the_first_there_is_no_score_of_these() -> None:
    late = place.scores(found("a", [5, 6], [0.5, 0.5], [1, 1])).loc["a"]
    assert np.isnan(late["first R"]) and late["mean IoU"] == 0.5


def test_ten_times_the_wrong_images_move_the_ranks(table: pd.DataFrame) -> None:
    moved = place.more_wrong_images(table)
    # a: none before the first, two before the second; b: two, seven, nine
    assert moved["rank"].tolist() == [1, 2 + 20, 1 + 20, 2 + 70, 3 + 90]
    assert (moved["iou"] == table["iou"]).all()


def test_what_each_change_does(table: pd.DataFrame) -> None:
    told = place.sensitivity(table, table.assign(iou=table["iou"] / 4, reachable=table["reachable"] / 2), images=40)
    free = ["mean IoU", place.SHARE]
    assert told.loc[free, ["random ranks", "10x wrong images"]].abs().to_numpy().max() < 1e-9
    assert told.loc["LocScore", "10x wrong images"] < -10
    assert told["IoU halved"].to_numpy() == pytest.approx(-50)
    assert told.loc["mean IoU", "coarser regions"] == pytest.approx(-75)
    assert told.loc[place.SHARE, "coarser regions"] == pytest.approx(-50)


def test_random_ranks_are_distinct_and_within_the_database(table: pd.DataFrame) -> None:
    drawn = place.random_ranks(table, 12)
    assert drawn.groupby("query_id")["rank"].nunique().tolist() == [2, 3] and drawn["rank"].between(1, 12).all()


def test_encoders_that_lie_far_apart_keep_their_order(table: pd.DataFrame) -> None:
    plain = place.scores(table)
    kept = place.order_kept({"good": plain, "bad": plain * 0.1, "worst": plain * 0.01}, resamples=50)
    assert (kept == 100).all() and "AP" not in kept
