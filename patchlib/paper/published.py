"""The published numbers, as read from the paper's tables, and what they say: single cells, levels, effects.

One CSV per table in ``paper/tables/``, and ``numbers.csv`` for what figures, text and poster print. Every row says how
surely it was read, see the README there; cells that could not be read are empty, uncertain ones carry a note.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from patchlib.support import provenance
from patchlib.support.suggest import unknown_name

FOLDER = Path(__file__).parent / "tables"
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


def fingerprints() -> dict[str, str]:
    """``"published NAME"`` -> hash, for every file of published numbers."""
    return {f"published {path.stem}": provenance.sha256_file(path)[:8] for path in sorted(FOLDER.glob("*.csv"))}


def table(name: str, text: bool = False) -> pd.DataFrame:
    """One published table; metrics in percent, or as the printed text. Of an unknown one the nearest are named."""
    if name not in NUMBERS:
        raise ValueError(unknown_name("published table", name, NUMBERS))
    return pd.read_csv(FOLDER / f"{name}.csv", dtype=dict.fromkeys(NUMBERS[name], str) if text else None)


def numbers(item: str) -> pd.DataFrame:
    """What the paper prints outside its tables about an item: numbers of figures, of the text, of the poster.

    ``item``: e.g. ``"fig_3_locscore"``; of one without printed numbers the nearest are named.

    Returns:
        DataFrame with quantity, case (which of several), benchmark, value, printed (as text), source, status, note.
    """
    rows = pd.read_csv(FOLDER / "numbers.csv", dtype={"value": str}).rename(columns={"value": "printed"})
    if item not in set(rows["item"]):
        raise ValueError(unknown_name("item with printed numbers", item, rows["item"].unique()))
    rows = rows[rows["item"] == item].drop(columns="item").reset_index(drop=True)
    rows.insert(3, "value", rows["printed"].astype(float))
    return rows


def backbones() -> pd.DataFrame:
    """Tables 8 and 9: (model, benchmark, level) x metric, e.g. ``"LocScore@0.3"``, in percent; NaN is unreadable."""
    rows = table("table_8_9_backbones")
    return rows.pivot(index=["model", "benchmark", "level"], columns="metric", values="value")


def backbone_levels(model: str, benchmark: str) -> pd.DataFrame:
    """:func:`backbones` of one encoder, e.g. ``"SigLIP"``, on ``"INSTRE"`` or ``"ILIAS"``, indexed by level L0..L3.

    Raises:
        ValueError: no such encoder or benchmark; lists the nearest.
    """
    rows = backbones()
    for column, value in (("model", model), ("benchmark", benchmark)):
        if value not in (known := rows.index.unique(column)):
            raise ValueError(unknown_name(f"{column} of Tables 8 and 9", value, known))
    return rows.loc[model, benchmark]


def cells(name: str) -> pd.DataFrame:
    """A published table as one row per printed number.

    Returns:
        DataFrame with the table's keys (such as method, level, encoder), benchmark, metric, value and printed: the
        number as text, whose digits are the published precision. Cells that could not be read are left out.
    """
    rows = table(name, text=True)
    rows = rows.drop(columns=[*(READING | IMPLIED).intersection(rows)])
    if name in BENCHMARK:
        rows["benchmark"] = BENCHMARK[name]
    if "metric" in rows:
        rows = rows.rename(columns={"value": "printed"})
    else:
        rows = rows.melt([*rows.columns.drop([*NUMBERS[name]])], NUMBERS[name], "metric", "printed")
    if name == "table_4_pretraining":  # a column for each benchmark
        rows[["metric", "benchmark"]] = rows["metric"].str.split("_", expand=True)
    rows = rows.dropna(subset="printed")
    return rows.assign(value=rows["printed"].astype(float)).reset_index(drop=True)


def effect(name: str, metric: str, more: Mapping[str, Any], less: Mapping[str, Any]) -> pd.Series:
    """A published difference: the rows ``more`` minus the rows ``less``, matched in all their other keys.

    Args:
        name: of the table.
        more: column -> value of what should be better; a list of values is averaged over.
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
        values = {column: value if isinstance(value, list) else [value] for column, value in wanted.items()}
        return rows[rows[[*values]].isin(values).all(axis=1)].groupby(keys)["value"].mean()

    difference = (mean(more) - mean(less)).dropna()
    if difference.empty:
        raise ValueError(f"{name} has no {metric} for both {dict(more)} and {dict(less)}")
    return difference


def loc_scores(ranks: ArrayLike, iou: ArrayLike) -> dict[str, float]:
    """LocScore of a ranking in which all positives are found, each IoU weighted with the precision at its rank or not.

    ``ranks`` of the positives ascend from 1; ``iou`` of their winning regions.

    Source: section 3.2 (weighted); the poster prints the other.
    """
    ranks, iou = np.asarray(ranks, float), np.asarray(iou, float)
    precision = np.arange(1, len(ranks) + 1) / ranks
    return {"weighted": float((precision * iou).mean()), "plain mean": float(iou.mean())}
