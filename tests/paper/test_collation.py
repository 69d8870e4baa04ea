"""Records beside the paper: what is there, what is missing, and from where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from patchlib.paper import collation
from patchlib.paper.collation import PaperItem
from patchlib.paper.compare import Effect, Picture
from patchlib.support import provenance

ITEMS = (
    PaperItem(
        names=("Table 1",),
        shows="levels",
        notebook="01",
        counterpart="table_1",
        comparisons=[
            Effect(
                says="L3 above L0",
                record="claims",
                claim=".+ above .+",
                table="table_5_pq_levels",
                more={"level": "L3", "pq": "no"},
                less={"level": "L0", "pq": "no"},
            )
        ],
    ),
    PaperItem(
        names=("Figure S8", "Figure S9"),
        shows="curves",
        notebook="02",
        counterpart="fig_curves",
        comparisons=[Picture(says="curves", record="fig_curves")],
    ),
)
LABEL = {"label": "built-in benchmark", "profile": "builtin"}
ROWS = [{"claim": "b above a", "evidence": 2.0, "low": 1.0, "high": 3.0}]
CLAIMS = {**LABEL, "rows": [*ROWS, {"claim": "c above b", "evidence": -1.0, "low": -2.0, "high": 1.0}]}


def test_a_missing_record_is_a_row_with_a_reason() -> None:
    table = collation.compare(ITEMS, {})
    assert table["state"].tolist() == ["not run", "not run"]
    assert table["why"].tolist() == [f"notebook {n} has not written its record" for n in ("01", "02")]
    assert table["published"].tolist() == ["ILIAS +10.13; INSTRE +8.53", ""]
    shown = collation.shown(table)
    assert not shown.isna().to_numpy().any()
    covered = collation.coverage(ITEMS, table, {})
    assert covered["state"].tolist() == ["1 not run", "1 not run"]
    assert covered["ours"].str.contains("no record").all()


def test_states_are_counted_by_item() -> None:
    found: dict[str, Any] = {"claims": CLAIMS, "table_1": LABEL, "fig_curves": {**LABEL, "caption": "Up. Down."}}
    table = collation.compare(ITEMS, found)
    assert table["state"].tolist() == ["trend", "open", "shown"]
    assert table["profile"].tolist() == ["builtin"] * 3
    covered = collation.coverage(ITEMS, table, found)
    assert covered.index.tolist() == ["Table 1", "Figures S8, S9"]
    assert covered["state"].tolist() == ["1 trend, 1 open", "1 shown"]
    assert covered["ours"].tolist() == ["table_1", "fig_curves"]


def test_shown_has_intervals_signs_and_dashes() -> None:
    shown = collation.shown(collation.compare(ITEMS, {"claims": CLAIMS}))
    assert shown["ours"].tolist() == ["+2.00 [+1.00, +3.00]", "-1.00 [-2.00, +1.00]", "–"]
    assert shown["difference"].tolist() == ["–"] * 3
    same = collation.compare(ITEMS, {"claims": {**CLAIMS, "label": "INSTRE"}})
    assert collation.shown(same)["difference"].tolist() == [f"{2 - (87.01 - 78.48):+.2f}", f"{-1 - 8.53:+.2f}", "–"]


def test_effects_are_what_is_measured_and_printed_each_once() -> None:
    table = collation.compare(ITEMS * 2, {"claims": CLAIMS, "fig_curves": {**LABEL, "caption": "Up."}})
    assert collation.effects(table)["our row"].tolist() == ["b above a", "c above b"]
    assert collation.effects(collation.compare(ITEMS, {})).empty


def test_an_earlier_folder_goes_before_a_later_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, names in (("run", ["a"]), ("checkout", ["a", "b"])):
        for name in names:
            provenance.write_json(tmp_path / folder / f"{name}.json", {"from": folder})
    found = collation.records(tmp_path / "run", tmp_path / "checkout")
    assert {name: record["from"] for name, record in found.items()} == {"a": "run", "b": "checkout"}
    monkeypatch.setenv("PATCHLIB_FIGURES", str(tmp_path / "run"))
    assert collation.records()["a"]["from"] == "run"


def test_the_same_content_has_the_same_fingerprint() -> None:
    base = {"rows": ROWS, "git_commit": "a", "packages": {"numpy": "1"}}
    assert collation.fingerprint(base) == collation.fingerprint({**base, "git_commit": "b", "packages": {}})
    other = pd.DataFrame(ROWS).assign(evidence=np.pi).to_dict("records")
    assert collation.fingerprint(base) != collation.fingerprint({**base, "rows": other})
