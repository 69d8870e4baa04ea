"""Tables as files: the same numbers in csv, markdown and record."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from patchlib import report

FRAME = pd.DataFrame(
    {"n": [2, 3], "mAP": [1 / 3, 12.346], "LocScore": [np.nan, 0.0]}, index=pd.Index(["L0", "L1"], name="level")
)


@pytest.fixture(autouse=True)
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHLIB_FIGURES", str(tmp_path))
    return tmp_path


def test_what_could_not_be_measured_is_not_zero() -> None:
    shown = report.percent(FRAME)
    assert shown["LocScore"].tolist() == ["no boxes", "0.0"]
    assert shown["n"].tolist() == [2, 3]


def test_three_files_with_the_same_numbers(figures: Path) -> None:
    assert report.save_table(FRAME, "table_x", {"profile": "builtin"}) is FRAME
    assert (figures / "table_x.csv").read_text() == "level,n,mAP,LocScore\nL0,2,0.33,\nL1,3,12.35,0.00\n"
    lines = (figures / "table_x.md").read_text().splitlines()
    assert lines[0] == "| level | n | mAP | LocScore |"
    assert lines[2] == "| L0 | 2 | 0.33 | no boxes |"
    record = json.loads((figures / "table_x.json").read_text())
    assert record["item"] == "table_x" and record["profile"] == "builtin"
    assert record["rows"][0] == {"level": "L0", "n": 2, "mAP": 0.33, "LocScore": None}


def test_writing_twice_gives_the_same_bytes(figures: Path) -> None:
    report.save_table(FRAME, "table_x", {})
    before = {path.name: path.read_bytes() for path in figures.iterdir()}
    report.save_table(FRAME, "table_x", {})
    assert before == {path.name: path.read_bytes() for path in figures.iterdir()}


def test_side_by_side_keeps_counts_whole() -> None:
    table = report.side_by_side(
        {"a": pd.Series({"queries": 3.0, "mAP": 1.5}), "b": pd.Series({"queries": 4.0, "mAP": 2.5})}
    )
    assert table["queries"].tolist() == [3, 4]
    assert table["queries"].dtype.kind == "i"


def test_bars_and_line_breaks_stay_in_their_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_FIGURES", str(tmp_path))
    report.save_table(pd.DataFrame({"a|b": ["x|y\nz", "w"]}), "table_x", {"label": ""})
    lines = (tmp_path / "table_x.md").read_text().splitlines()
    assert lines == [r"| a\|b |", "| --- |", r"| x\|y<br>z |", "| w |"]
