"""Records beside the paper: what is there, what is missing, and from where."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from patchlib.paper import compare, statements
from patchlib.paper.compare import PaperItem
from patchlib.paper.statements import Effect, Picture
from patchlib.support import provenance

LEVELS = Effect(
    says="L3 above L0",
    record="claims",
    claim="{encoder}: L3 above L0",
    table="table_5_pq_levels",
    more={"level": "L3", "pq": "no"},
    less={"level": "L0", "pq": "no"},
)
ITEMS = (
    PaperItem(name="Table 1", shows="levels", notebook="01", counterpart="table_1", statements=[LEVELS]),
    PaperItem(
        name="Figures S8, S9",
        shows="curves",
        notebook="02",
        counterpart="fig_curves",
        statements=[Picture(says="curves", record="fig_curves")],
    ),
)
LABEL = {"label": "built-in benchmark", "profile": "builtin"}
ROWS = [{"claim": "cnn-small: L3 above L0", "evidence": 2.0, "low": 1.0, "high": 3.0},
        {"claim": "vit-small: L3 above L0", "evidence": -1.0, "low": -2.0, "high": 1.0},
        {"claim": "scenes: L3 above L0", "evidence": 5.0, "low": 4.0, "high": 6.0}]  # fmt: skip
CLAIMS = {**LABEL, "rows": ROWS}


def test_a_missing_record_is_a_row_with_a_reason() -> None:
    table = compare.collate(ITEMS, {})
    assert table["state"].tolist() == ["not run", "not run"]
    assert table["why"].tolist() == [f"notebook {n} has not written its record" for n in ("01", "02")]
    assert table["published"].tolist() == ["ILIAS +10.13; INSTRE +8.53", ""]
    text = compare.as_text(table)
    assert not text.isna().to_numpy().any()
    covered = compare.coverage(ITEMS, table, {})
    assert covered["state"].tolist() == ["1 not run", "1 not run"]
    assert covered["ours"].str.contains("no record").all()


def test_states_are_counted_by_item() -> None:
    records: dict[str, Any] = {"claims": CLAIMS, "table_1": LABEL, "fig_curves": {**LABEL, "caption": "Up. Down."}}
    table = compare.collate(ITEMS, records)
    assert table["state"].tolist() == ["trend", "open", "shown"]
    assert table["profile"].tolist() == ["builtin"] * 3
    covered = compare.coverage(ITEMS, table, records)
    assert covered.index.tolist() == ["Table 1", "Figures S8, S9"]
    assert covered["state"].tolist() == ["1 trend, 1 open", "1 shown"]
    assert covered["ours"].tolist() == ["table_1", "fig_curves"]


def test_text_has_intervals_signs_and_dashes() -> None:
    text = compare.as_text(compare.collate(ITEMS, {"claims": CLAIMS}))
    assert text["ours"].tolist() == ["+2.00 [+1.00, +3.00]", "-1.00 [-2.00, +1.00]", "–"]
    assert text["difference"].tolist() == ["–"] * 3
    same = compare.collate(ITEMS, {"claims": {**CLAIMS, "label": "INSTRE"}})
    assert compare.as_text(same)["difference"].tolist() == [f"{2 - (87.01 - 78.48):+.2f}", f"{-1 - 8.53:+.2f}", "–"]


def test_a_chart_shows_what_is_measured_and_printed_each_once() -> None:
    table = compare.collate(ITEMS * 2, {"claims": CLAIMS, "fig_curves": {**LABEL, "caption": "Up."}})
    assert compare.measured(table)["our row"].tolist() == ["cnn-small: L3 above L0", "vit-small: L3 above L0"]
    assert compare.measured(compare.collate(ITEMS, {})).empty


def test_an_effect_counts_once_however_often_it_is_told() -> None:
    told = {"record": "table_worlds", "effect": "mAP: L3 above L0"}
    once = dataclasses.replace(LEVELS, effect="L3 above L0", elsewhere=told)
    again = dataclasses.replace(once, says="patches win", record="others", claim="mine", reverse=True)
    alone = dataclasses.replace(LEVELS, says="something else", record="others", claim="else")
    item = dataclasses.replace(ITEMS[0], name="Table 2", statements=[again, alone])
    others = [{"claim": "mine", "evidence": -4.0, "low": -5.0, "high": -3.0},
              {"claim": "else", "evidence": 2.5, "low": 0.1, "high": 4.9}]  # fmt: skip
    of_worlds = [
        {
            "world": world,
            "encoder": encoder,
            "effect": told["effect"],
            "evidence": gain,
            "low": gain - 1,
            "high": gain + 1,
        }
        for world, gain in (("procedural scenes", 9.0), ("photographs", -3.0), ("composed of photographs", 0.5))
        for encoder in ("cnn-small", "EfficientNet-Lite0")
    ]
    records = {
        "claims": CLAIMS,
        "others": {**LABEL, "rows": others},
        "table_worlds": {"config": {"effects": of_worlds}},
    }
    table = compare.collate([dataclasses.replace(ITEMS[0], statements=[once]), item], records)
    effects = compare.distinct(table)
    assert effects.index.tolist() == ["L3 above L0", "something else"]
    assert effects["rows"].tolist() == [3, 1] and effects["items"].tolist() == ["Table 1, Table 2", "Table 2"]
    assert effects["state"].tolist() == ["mixed", "trend"]
    # the widest row of the first effect holds zero; the second is 2.04 standard errors from it, 1 of 2 tests by Holm
    assert effects["p"].round(3).tolist() == [0.191, 0.041] and not effects["Holm"].any()
    assert effects.loc["L3 above L0", ["photographs", "composed of photographs"]].tolist() == [
        "-3.00 [-4.00, -2.00]",
        "+0.50 [-0.50, +1.50]",
    ]
    counts = compare.tally(table)
    assert counts["this run"].to_dict() == {"differs": 0, "mixed": 1, "open": 0, "trend": 1}
    assert counts["photographs"]["differs"] == counts["composed of photographs"]["open"] == 1
    assert compare.distinct(compare.collate(ITEMS, {})).empty


def test_an_earlier_folder_goes_before_a_later_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, names in (("run", ["a"]), ("checkout", ["a", "b"])):
        for name in names:
            provenance.write_json(tmp_path / folder / f"{name}.json", {"from": folder})
    records = compare.records(tmp_path / "run", tmp_path / "checkout")
    assert {name: record["from"] for name, record in records.items()} == {"a": "run", "b": "checkout"}
    monkeypatch.setenv("PATCHLIB_FIGURES", str(tmp_path / "run"))
    assert compare.records()["a"]["from"] == "run"


def test_the_same_content_has_the_same_fingerprint() -> None:
    base = {"rows": ROWS, "git_commit": "a", "packages": {"numpy": "1"}}
    assert compare.fingerprint(base) == compare.fingerprint({**base, "git_commit": "b", "packages": {}})
    other = pd.DataFrame(ROWS).assign(evidence=np.pi).to_dict("records")
    assert compare.fingerprint(base) != compare.fingerprint({**base, "rows": other})


def test_the_papers_items_are_what_the_file_lists() -> None:
    items = compare.items()
    assert [item.name for item in items[:3]] == ["Figure 1", "Figure 3", "Table 2"]
    assert {type(part).__name__ for item in items for part in item.statements} == {
        "Picture",
        "Number",
        "Cells",
        "Effect",
    }
    assert all(part.record == items[2].counterpart for part in items[2].statements[:1])
    for part in (part for item in items for part in item.statements):
        part.published()
        assert not isinstance(part, Effect) or statements.claims(part.claim)
