"""States follow from numbers: digits, intervals, and whose benchmark it is."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from patchlib import paper
from patchlib.paper import statements
from patchlib.paper.statements import Cells, Effect, Number, Picture

GRID = {"table": "table_2_region_selection", "more": {"method": "Patchify"}, "less": {"method": "Global"}}
ENCODERS = {"table": "table_8_9_backbones", "more": {"level": "L3"}, "less": {"level": "L0"}}


def claims(*rows: tuple[str, float | None, float | None, float | None], label: str = "built-in benchmark") -> dict:
    keys = ("claim", "evidence", "low", "high")
    return {"label": label, "rows": [dict(zip(keys, row, strict=True)) for row in rows]}


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [(0.1, 2, "trend"), (-1, 2, "open"), (0, 2, "open"), (-2, 0, "open"), (-2, -0.1, "differs"),
     (np.nan, np.nan, "not run")],
)  # fmt: skip
def test_state_of_an_interval(low: float, high: float, state: str) -> None:
    assert statements.of_interval(low, high)[0] == state
    assert state in statements.STATES


@pytest.mark.parametrize(
    ("ours", "printed", "equal"),
    [(19.77, "19.77", True), (19.78, "19.77", False), (1420.0, "1420", True), (1421.0, "1420", False),
     (0.38975, "0.390", True), (0.274461, "0.390", False), (18.8, "18.80", True)],
)  # fmt: skip
def test_digits_are_compared_at_the_printed_precision(ours: float, printed: str, equal: bool) -> None:
    assert statements.same_digits(ours, printed) is equal


def test_another_benchmark_is_never_subtracted() -> None:
    way = Effect(says="grid", record="x", claim="grid", **GRID)
    (row,) = way.rows(claims(("grid", 27.5, 20.0, 34.0)))
    assert row["state"] == "trend" and np.isnan(row["difference"])
    assert row["published"] == "ILIAS +10.13; INSTRE +8.53"


def test_the_same_benchmark_is() -> None:
    way = Effect(says="grid", record="x", claim="grid", **GRID)
    (row,) = way.rows(claims(("grid", 9.0, 8.0, 10.0), label="ILIAS"))
    assert row["difference"] == pytest.approx(9.0 - (65.16 - 55.03))


def test_a_named_row_is_compared_with_its_namesake_and_others_with_all() -> None:
    way = Effect(says="levels", record="x", claim="{model}: L3 above L0", **ENCODERS)
    same, other = way.rows(claims(("SigLIP: L3 above L0", 1.0, 0.5, 2.0), ("cnn-small: L3 above L0", -1.0, -2.0, -0.5)))
    assert same["published"] == f"ILIAS {65.165 - 55.029:+.2f}; INSTRE {87.015 - 78.483:+.2f}"
    assert other["published"].startswith("ILIAS -6.70 to +23.19 (7 of 8 above zero)")
    assert (same["state"], other["state"]) == ("trend", "differs")


def test_only_what_the_item_is_about() -> None:
    way = Effect(says="levels", record="x", claim="levels", only={"benchmark": "ILIAS", "model": "VGG16"}, **ENCODERS)
    assert way.published() == f"ILIAS {8.764 - 5.864:+.2f}"


def test_without_a_printed_number_the_interval_still_decides() -> None:
    (row,) = Effect(says="said", record="x", claim="said").rows(claims(("said", None, None, None)))
    assert (row["state"], row["published"]) == ("not run", "")
    (row,) = Effect(says="said", record="x", claim="other").rows(claims(("said", 1, 1, 1)))
    assert (row["state"], row["why"]) == ("not run", "the record has no such row")


def sizes(**changes: float) -> dict[str, Any]:
    rows = paper.table("table_7_storage").drop(columns=["note", "status"]).assign(**changes).to_dict("records")
    return {"label": "built-in benchmark", "rows": rows}


def test_cells_are_exact_when_all_are_equal_and_differ_when_one_is_not() -> None:
    way = Cells(record="x", table="table_7_storage")
    (row,) = way.rows(sizes())
    assert (row["state"], row["our row"], row["difference"]) == ("exact", "24 of 24 equal", 0)
    record = sizes()
    record["rows"][0]["quantized_MB"] += 0.01
    (row,) = way.rows(record)
    assert (row["state"], row["our row"]) == ("differs", "23 of 24 equal")
    assert row["difference"] == pytest.approx(0.01)


def test_some_cells_are_not_all() -> None:
    record = sizes()
    record["rows"] = record["rows"][:-1]
    (row,) = Cells(record="x", table="table_7_storage").rows(record)
    assert (row["state"], row["our row"]) == ("differs", "21 of 21 equal")


def test_cells_are_matched_by_our_names_for_the_same_benchmark_only() -> None:
    way = Cells(record="x", table="table_8_9_backbones", columns={"encoder": "model"}, names={"sig": "SigLIP"})
    record = {"rows": [{"encoder": "sig", "level": "L0", "mAP": 55.0, "LocScore": None}], "label": "ILIAS"}
    (pair,) = way.pairs(record).to_dict("records")
    assert (pair["metric"], pair["printed"], pair["ours"]) == ("mAP", "55.029", 55.0)
    (row,) = way.rows({**record, "label": "built-in benchmark"})
    assert (row["state"], row["why"]) == ("not run", "printed for INSTRE and ILIAS, ours is built-in benchmark")
    assert way.published() == "377 cells"


def test_numbers_and_pictures() -> None:
    record = {"config": {"ranks": [1, 3, 4, 7], "iou": [0.174, 0.391, 0.533, 0.461]}}
    given = {"says": "s", "record": "fig_3_locscore", "quantity": "LocScore(cont.)"}
    plain, weighted = (Number(**given, formula=formula) for formula in ("plain mean", "weighted"))
    assert (plain.rows(record)[0]["state"], weighted.rows(record)[0]["state"]) == ("exact", "differs")
    fitted = dataclasses.replace(plain, fitted="another mean").rows(record)[0]
    assert (fitted["state"], fitted["why"]) == ("fitted", "another mean")
    assert dataclasses.replace(weighted, fitted="another mean").rows(record)[0]["state"] == "differs"
    assert plain.published() == "0.390"
    (row,) = Picture(says="s", record="x").rows({"caption": "A message of 0.5 points. More."})
    assert (row["state"], row["our row"]) == ("shown", "A message of 0.5 points.")


def test_a_claim_is_found_by_its_keys() -> None:
    known = statements.claims("own lists: G.T. ({lists1}) above L3 ({lists2})")
    assert known["own lists: G.T. (32) above L3 (1024)"] == {"lists1": 32, "lists2": 1024}
    assert "own lists: G.T., new scenes (32) above L3 (1024)" not in known
    assert statements.claims("said") == {"said": {}}
    sizes = statements.claims("{encoder}, {size1:,} to {size2:,}")
    assert sizes["cnn-small, 400 to 8,000"] == {"encoder": "cnn-small", "size1": 400, "size2": 8000}
    with pytest.raises(KeyError, match="colour"):
        statements.claims("{colour} above grey")


def test_ranges_tell_how_many_are_above_zero() -> None:
    effects = pd.Series([1.0, -2.0, 3.0, 4.0], ["A", "A", "A", "B"])
    assert statements.span(effects) == "A -2.00 to +3.00 (2 of 3 above zero); B +4.00"


def test_a_table_of_other_columns_has_no_such_cells() -> None:
    way = Cells(record="x", table="table_3_reranking")
    rows = [{"first stage of": "L3", "re-ranker": "AMES", "gain": 2.0}]
    for label, why in (("built-in benchmark", "printed for mini-ILIAS, ours"), ("mini-ILIAS", "no such cells")):
        (row,) = way.rows({"label": label, "rows": rows})
        assert row["state"] == "not run" and why in row["why"]


def test_the_opposite_of_our_row_has_its_sign_turned() -> None:
    way = Effect(says="s", record="x", claim="a above b", reverse=True)
    (row,) = way.rows(claims(("a above b", 2.0, 1.0, 4.0)))
    assert (row["our row"], row["ours"], row["low"], row["high"]) == ("a above b, reversed", -2.0, -4.0, -1.0)
    assert row["state"] == "differs"


def test_a_benchmark_that_is_not_stated() -> None:
    record = {"label": "ILIAS", "rows": [{"training_feature": "L0", "mAP": 60.19}]}
    (row,) = Cells(record="x", table="table_6_pq_training").rows(record)
    assert row["why"] == "printed for a benchmark that is not stated, ours is ILIAS"
