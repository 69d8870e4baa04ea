"""From every figure and table back to its data: file, record, settings, benchmark, notebook, paper."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from patchlib import benchmarks, encoders, paper, profiles, studies
from patchlib.features import extraction
from patchlib.paper import audit, compare
from patchlib.run import notebooks, readme
from patchlib.support import items, paths, provenance

FIGURES = paths.root() / "figures"
KEPT = {path.stem: provenance.read_json(path) for path in sorted(FIGURES.glob("*.json"))}
RECORDS = {name: kept for name, kept in KEPT.items() if "item" in kept}  # the others are measurements of one machine
TABLES = sorted(name for name, record in RECORDS.items() if "rows" in record)
SUFFIXES = {"figure": {"json", "png", "pdf"}, "table": {"json", "csv", "md"}}
ITEMS = compare.items()
PAPER = {f"Table {n}" for n in range(2, 10)} | {"Figure 1", "Figure 3"} | {f"Figure S{n}" for n in range(1, 12)}


def _code(notebook: Path) -> list[str]:
    return [cell.source for cell in notebooks.code(notebooks.read(notebook))]


@cache
def _writers() -> dict[str, list[str]]:
    """Item -> the notebooks that save it."""
    found: dict[str, list[str]] = {}
    for path in sorted(paths.notebooks().rglob("*.ipynb")):
        for name in {item.name for source in _code(path) for item in items.saved(source, FIGURES)}:
            found.setdefault(name, []).append(path.stem)
    return found


@cache
def _benchmarks() -> dict[str, str]:
    """Hash of the tables, as loaded -> which notebooks use that benchmark."""
    settings = profiles.load("builtin")
    data = benchmarks.load(settings.benchmark, **settings.benchmark_options)
    return {data.hash: "whole", studies.sample(data, settings.sample, each=4).hash: "sample"} | _written_out()


def _written_out() -> dict[str, str]:
    """Benchmarks that a notebook loads with options written out in it, e.g. ``load("procedural", seed=1)``."""
    found = {}
    for path in sorted(path for path in paths.notebooks().rglob("*.ipynb") if "course" not in path.parts):
        for node in (node for source in _code(path) for node in ast.walk(ast.parse(source))):
            match node:
                case ast.Call(func=ast.Attribute(attr="load"), args=[ast.Constant(value="procedural")], keywords=given):
                    options = {str(option.arg): ast.literal_eval(option.value) for option in given}
                    found[benchmarks.load("procedural", **options).hash] = path.stem
    return found


def test_every_file_belongs_to_a_record_and_every_record_has_its_files() -> None:
    found: dict[str, set[str]] = {}
    for path in FIGURES.iterdir():
        suffix = path.suffix.removeprefix(".").replace("jpg", "png")  # the pixels of photographs
        found.setdefault(path.stem, set()).add(suffix)
    measured = {
        name: SUFFIXES["table"] if "rows" in kept else {"json"} for name, kept in KEPT.items() if name not in RECORDS
    }
    assert found == {name: SUFFIXES["table" if name in TABLES else "figure"] for name in RECORDS} | measured


def test_what_is_no_record_is_read_by_the_package_or_shown_in_the_readme() -> None:
    text = (paths.root() / "README.md").read_text(encoding="utf-8")
    source = "".join(path.read_text(encoding="utf-8") for path in (paths.root() / "patchlib").rglob("*.py"))
    for name in set(KEPT) - set(RECORDS):
        assert f'"{name}.json"' in source or f"<!-- {name} -->" in text


@pytest.mark.parametrize("name", RECORDS)
def test_record_leads_to_settings_benchmark_and_notebook(name: str) -> None:
    record = RECORDS[name]
    assert record["item"] == name
    assert record["config_hash"] == provenance.config_hash(record["config"])
    assert record["profile"] == "builtin"
    assert len(_writers().get(name, [])) == 1, "the notebooks that save it"
    if "benchmark" in record["inputs"]:
        assert record["inputs"]["benchmark"] in _benchmarks()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_prints_the_numbers_of_its_record(name: str) -> None:
    rows = pd.DataFrame(RECORDS[name]["rows"])
    csv = pd.read_csv(FIGURES / f"{name}.csv", dtype=str, keep_default_na=False)
    text = (FIGURES / f"{name}.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]  # a note may follow
    cells = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    assert set(csv.columns) == set(rows.columns) and cells[0] == csv.columns.tolist()
    assert len(rows) == len(csv) == len(cells) - 2
    for kept, as_csv, as_md in zip(rows.to_dict("records"), csv.to_dict("records"), cells[2:], strict=True):
        for column, text in zip(csv.columns, as_md, strict=True):
            assert _agree(kept[column], as_csv[column]), (column, kept[column], as_csv[column])
            assert _agree(kept[column], text), (column, kept[column], text)


def _agree(value: Any, text: str) -> bool:
    """Whether a printed cell shows a record's value: numbers as numbers, what is missing as such."""
    if isinstance(value, int | float) and not isinstance(value, bool) and not pd.isna(value):
        return float(text) == pytest.approx(value, abs=1e-9)
    return text in ("", "no boxes", "nan", "None") if pd.isna(value) else str(value).strip() == text.strip()


def test_tables_of_the_readme_are_tables_of_records() -> None:
    text = (paths.root() / "README.md").read_text(encoding="utf-8")
    for match in readme.BLOCK.finditer(text):
        for name in (match["names"] or match["item"]).split():
            assert name in KEPT


def test_every_item_of_the_paper_is_listed_once() -> None:
    names = []
    for item in ITEMS:
        kind, numbers = item.name.split(" ", maxsplit=1)
        names += [f"{kind.removesuffix('s')} {number}" for number in numbers.split(", ")]
    assert sorted(names) == sorted(PAPER)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.name)
def test_every_item_of_the_paper_has_a_counterpart_or_a_reason(item: compare.PaperItem) -> None:
    rows = [row for row in RECORDS["paper_vs_ours"]["rows"] if row["item"] == item.name]
    assert rows
    if item.counterpart in RECORDS:
        (writer,) = _writers()[item.counterpart]
        assert writer.startswith(f"{item.notebook}_")
    else:
        assert any(row["state"] == "not run" and row["why"] for row in rows)


def test_every_statement_finds_its_row_in_the_record() -> None:
    table = compare.collate(ITEMS, RECORDS)
    assert not table["why"].eq("the record has no such row").any()


def test_the_collation_is_that_of_the_records_as_they_are() -> None:
    made, kept = compare.collate(ITEMS, RECORDS), RECORDS["paper_vs_ours"]
    used = set(made["record"]) & set(RECORDS)
    assert kept["inputs"] == {name: compare.fingerprint(RECORDS[name]) for name in used} | paper.fingerprints()
    assert kept["rows"] == compare.as_text(made).to_dict("records")


def test_the_audit_is_that_of_the_published_numbers_as_they_are() -> None:
    kept = RECORDS["audit"]
    assert paper.fingerprints().items() <= kept["inputs"].items()
    columns = ["check", "cases", "agree", "verdict"]
    made = audit.findings(audit.checks()).reset_index()[columns].to_dict("records")
    assert [{key: row[key] for key in columns} for row in kept["rows"]] == made


def test_features_are_those_of_the_benchmark_the_encoder_and_its_weights() -> None:
    record = RECORDS["table_8_9_backbones"]
    settings = profiles.load("builtin")
    data = benchmarks.load(settings.benchmark, **settings.benchmark_options)
    for name in record["config"]["encoders"]:
        # the plan of an extraction: its hash is there before anything is described
        plan = extraction._plan(data, "L3", encoders.create(name), None, settings.dtype, settings.batch)
        assert record["inputs"][f"L3 of {data.name} {data.hash} by {name}"] == plan.meta["hash"], name
