"""Tables as data first: csv and markdown beside a record, percentages with a stated precision."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from patchlib.support import paths, provenance

MISSING = "no boxes"


def percent(values: pd.DataFrame | pd.Series, decimals: int = 1) -> pd.DataFrame | pd.Series:
    """Numbers as text with ``decimals`` digits for display; NaN reads "no boxes".

    Localisation metrics are the only ones that can be NaN: a score that could not be measured must not look like zero.
    """

    def shown(value: Any) -> Any:
        if isinstance(value, float):
            return MISSING if pd.isna(value) else f"{value:.{decimals}f}"
        return value

    return values.map(shown)


def save_table(
    frame: pd.DataFrame, item: str, record: Mapping[str, Any], decimals: int = 2, note: str = ""
) -> pd.DataFrame:
    """Write ``figures/<item>.csv``, ``.md`` and ``.json``; returns the frame.

    Args:
        frame: numbers, one row per method; the index is written as columns when it has a name.
        item: name of the paper's item, e.g. ``"table_5_pq_levels"``.
        record: of :func:`patchlib.support.provenance.record`.
        decimals: of every float, in all three files.
        note: a sentence below the table in the ``.md``.
    """
    flat = frame.reset_index() if frame.index.name or frame.index.nlevels > 1 else frame
    flat = flat.round(decimals)
    contents = {
        "csv": flat.to_csv(index=False, float_format=f"%.{decimals}f", na_rep="", lineterminator="\n"),
        "md": _markdown(flat, decimals) + (f"\n{note}\n" if note else ""),
    }
    provenance.write_item(paths.figures(), item, contents, {**record, "rows": _rows(flat)})
    return frame


def _markdown(frame: pd.DataFrame, decimals: int) -> str:
    cells = percent(frame, decimals).astype(str)
    head = frame.columns.astype(str).to_series()
    lines = [_escaped(head).tolist(), ["---"] * len(head), *cells.apply(_escaped).to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(cells: pd.Series) -> pd.Series:
    """Texts as cells of a markdown table, where a bar or a line's end would end the cell or the row."""
    return cells.str.replace("|", r"\|").str.replace(r"\s*[\r\n]+\s*", "<br>", regex=True)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{key: None if pd.isna(v) else v for key, v in row.items()} for row in frame.to_dict("records")]


def side_by_side(series: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Summaries by name as one table, a row each; counts stay whole numbers."""
    table = pd.DataFrame(series).T
    counts = [column for column in ("queries", "n") if column in table]
    return table.astype(dict.fromkeys(counts, int))
