"""The published numbers, as read from the paper's tables, and what they say: single cells, levels, effects.

One CSV per table in ``patchlib/published/``, and ``numbers.csv`` for what figures, text and poster print. Every row
says how surely it was read (:data:`STATUS`); cells that could not be read are empty, uncertain ones carry a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from patchlib.support import provenance
from patchlib.support.suggest import unknown

FOLDER = Path(__file__).parent / "tables"
STATUS = {
    "clean": "read without doubt",
    "clean_grid": "read in its own cell of the grid",
    "clean_grid_with_ghost": "the same, but a second, distorted reading of the cell stands beside it",
    "decimal_point_restored": "the digits are clear, their point was lost",
    "garbled_recovered": "put together from fragments",
    "label_restored": "the number is clear, the label of its row follows from the order",
    "uncertain": "could be misread; the note says how",
    "unreadable": "left empty",
}
NUMBERS = {
    "table_2_region_selection": ("mAP", "LocScore"),
    "table_3_reranking": ("mAP@1k",),
    "table_4_pretraining": ("mAP_INSTRE", "mAP_ILIAS"),
    "table_5_pq_levels": ("mAP", "LocScore"),
    "table_6_pq_training": ("mAP",),
    "table_7_storage": ("uncompressed_MB", "quantized_MB", "compression_ratio"),
    "table_8_9_backbones": ("value",),
}
BENCHMARK = {"table_3_reranking": "mini-ILIAS", "table_6_pq_training": "not stated"}  # of tables without such a column
READING = {"status", "note", "source", "source_lines", "raw_ocr", "table", "implied_by_mLocScore"}
IMPLIED = {"patches", "patches_per_image", "patchify", "patchify_level", "dataset_size", "feature_dim"}  # by other keys


def tables() -> list[str]:
    """Names of the published tables, e.g. ``"table_5_pq_levels"``."""
    return sorted(path.stem for path in FOLDER.glob("table_*.csv"))


def fingerprints() -> dict[str, str]:
    """Name -> hash of every file of published numbers."""
    return {path.stem: provenance.sha256_file(path)[:8] for path in sorted(FOLDER.glob("*.csv"))}


def table(name: str) -> pd.DataFrame:
    """One published table; metrics in percent.

    Raises:
        ValueError: no such table; lists the nearest.
    """
    return _read(name)


def numbers(item: str) -> pd.DataFrame:
    """What the paper prints outside its tables about an item: numbers of figures, of the text, of the poster.

    Args:
        item: e.g. ``"fig_3_locscore"``.

    Returns:
        DataFrame with quantity, case (which of several), benchmark, value, printed (as text), source, status, note.

    Raises:
        ValueError: nothing is printed about such an item; lists the nearest.
    """
    rows = pd.read_csv(FOLDER / "numbers.csv", dtype={"value": str}).rename(columns={"value": "printed"})
    if item not in set(rows["item"]):
        raise ValueError(unknown("item with printed numbers", item, rows["item"].unique()))
    rows = rows[rows["item"] == item].drop(columns="item").reset_index(drop=True)
    rows.insert(3, "value", rows["printed"].astype(float))
    return rows


def backbone_levels(model: str, benchmark: str) -> pd.DataFrame:
    """Tables 8 and 9: the metrics of one encoder on one benchmark, one row per level.

    Args:
        model: the paper's name, e.g. ``"SigLIP"``.
        benchmark: ``"INSTRE"`` or ``"ILIAS"``.

    Returns:
        DataFrame indexed by level L0..L3 with the columns mAP, LocScore, LocScore@0.3, ..., mLocScore in percent.
    """
    rows = table("table_8_9_backbones")
    for column, value in (("model", model), ("benchmark", benchmark)):
        if value not in set(rows[column]):
            raise ValueError(unknown(f"{column} of Tables 8 and 9", value, rows[column].unique()))
    chosen = rows[(rows["model"] == model) & (rows["benchmark"] == benchmark)]
    return chosen.pivot(index="level", columns="metric", values="value")


def cells(name: str) -> pd.DataFrame:
    """A published table as one row per printed number.

    Returns:
        DataFrame with the table's keys (such as method, level, encoder), benchmark, metric, value and printed: the
        number as text, whose digits are the published precision. Cells that could not be read are left out.
    """
    rows = _read(name, dtype=dict.fromkeys(NUMBERS.get(name, ()), str))
    rows = rows.drop(columns=[*(READING | IMPLIED).intersection(rows)]).assign(**_benchmark(name))
    if "metric" in rows:
        rows = rows.rename(columns={"value": "printed"})
    else:
        keys = [column for column in rows if column not in NUMBERS[name]]
        rows = rows.melt(keys, NUMBERS[name], "metric", "printed")
    if name == "table_4_pretraining":  # a column for each benchmark
        rows[["metric", "benchmark"]] = rows["metric"].str.split("_", expand=True)
    rows = rows.dropna(subset="printed")
    return rows.assign(value=rows["printed"].astype(float)).reset_index(drop=True)


def effect(name: str, metric: str, more: Mapping[str, Any], less: Mapping[str, Any]) -> pd.Series:
    """A published difference: the rows ``more`` minus the rows ``less``, matched in all their other keys.

    Args:
        name: of the table.
        metric: e.g. ``"mAP"``.
        more: column -> value of what should be better; a tuple of values is averaged over.
        less: the same columns, of what it is compared with.

    Returns:
        Series in points, indexed by the other keys, the benchmark among them.

    Raises:
        ValueError: no two rows match.
    """
    rows = cells(name)
    rows = rows[rows["metric"] == metric]
    keys = [column for column in rows if column not in {"metric", "printed", "value", *more, *less}]

    def mean(wanted: Mapping[str, Any]) -> pd.Series:
        fits = pd.Series(True, rows.index)
        for column, value in wanted.items():
            fits &= rows[column].isin(value if isinstance(value, tuple) else (value,))
        return rows[fits].groupby(keys)["value"].mean()

    found = (mean(more) - mean(less)).dropna()
    if not len(found):
        raise ValueError(f"{name} has no {metric} for both {dict(more)} and {dict(less)}")
    return found


def _read(name: str, **options: Any) -> pd.DataFrame:
    if name not in tables():
        raise ValueError(unknown("published table", name, tables()))
    return pd.read_csv(FOLDER / f"{name}.csv", keep_default_na=True, **options)


def _benchmark(name: str) -> dict[str, str]:
    return {"benchmark": BENCHMARK[name]} if name in BENCHMARK else {}
