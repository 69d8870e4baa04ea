"""The published numbers, as read from the paper's tables, and their comparison with ours.

One CSV per table in ``patchlib/published/``. Cells that could not be read are empty, uncertain ones carry a note.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from patchlib.names import unknown

FOLDER = Path(__file__).parent / "published"


def tables() -> list[str]:
    """Names of the published tables, e.g. ``"table_5_pq_levels"``."""
    return sorted(path.stem for path in FOLDER.glob("table_*.csv"))


def table(name: str) -> pd.DataFrame:
    """One published table; metrics in percent.

    Raises:
        ValueError: no such table; lists the nearest.
    """
    if name not in tables():
        raise ValueError(unknown("published table", name, tables()))
    return pd.read_csv(FOLDER / f"{name}.csv", keep_default_na=True)


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
