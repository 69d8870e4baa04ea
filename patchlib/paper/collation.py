"""Paper versus ours, collated: the records in ``figures/`` beside what the paper prints. Nothing is measured here.

:mod:`patchlib.paper.items` lists the items of the paper, :mod:`patchlib.paper.compare` holds the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from patchlib.paper.compare import STATES, Comparison, Record
from patchlib.support import paths, provenance

COLUMNS = [
    "item", "statement", "published", "our row", "ours", "low", "high", "difference", "benchmark", "profile", "state",
    "why", "record",
]  # fmt: skip
NONE = "–"  # in the place of a number that does not exist


@dataclass(frozen=True, kw_only=True)
class PaperItem:
    """An item of the paper, a table or a figure.

    Attributes:
        names: as the paper counts, e.g. ``("Table 8", "Table 9")``.
        shows: what it is about.
        notebook: number of the notebook that answers it.
        counterpart: our table or figure.
        comparisons: the ways to compare.
    """

    names: tuple[str, ...]
    shows: str
    notebook: str
    counterpart: str
    comparisons: Sequence[Comparison]

    @property
    def label(self) -> str:
        """``"Tables 8, 9"``."""
        kind, *_ = self.names[0].split()
        plural = "s" if len(self.names) > 1 else ""
        return f"{kind}{plural} {', '.join(name.removeprefix(f'{kind} ') for name in self.names)}"


def records(*folders: Path) -> dict[str, Record]:
    """All records, by item; an earlier folder goes before a later one.

    Args:
        folders: none = where this run writes, then the checkout's ``figures/``.
    """
    found: dict[str, Record] = {}
    for folder in folders or (paths.figures(), paths.root() / "figures"):
        for path in sorted(folder.glob("*.json")):
            found.setdefault(path.stem, provenance.read_json(path))
    return found


def fingerprint(record: Record) -> str:
    """Hash of what a record says, whatever commit and packages it was made with."""
    return provenance.config_hash({key: record[key] for key in record if key not in ("git_commit", "packages")})


def compare(items: Sequence[PaperItem], found: Mapping[str, Record]) -> pd.DataFrame:
    """Every item in every way: :data:`COLUMNS`, and ``effects``, the published numbers by benchmark where there are."""
    rows = []
    for item in items:
        for way in item.comparisons:
            base = {"item": item.label, "statement": way.says, "record": way.record, "published": way.published()}
            record = found.get(way.record)
            if record is None:
                rows.append(base | {"state": "not run", "why": f"notebook {item.notebook} has not written its record"})
                continue
            base |= {"benchmark": record["label"], "profile": record["profile"]}
            rows += [base | row for row in way.rows(record)]
    return pd.DataFrame(rows, columns=[*COLUMNS, "effects"])


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table of :func:`compare` as text: intervals in one column, a dash where there is no number."""

    def interval(row: pd.Series) -> str:
        if pd.isna(row["ours"]):
            return NONE
        return (
            f"{row['ours']:.2f}"
            if pd.isna(row["low"])
            else f"{row['ours']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        )

    text = table[COLUMNS].drop(columns=["low", "high", "record"])
    text["ours"] = table.apply(interval, axis=1)
    text["difference"] = table["difference"].map(lambda value: NONE if pd.isna(value) else f"{value:+.2f}")
    return text.astype(object).fillna(NONE).replace("", NONE)


def coverage(items: Sequence[PaperItem], table: pd.DataFrame, found: Mapping[str, Record]) -> pd.DataFrame:
    """One row an item: our counterpart, its benchmark and profile, and how many rows are in which state."""
    rows = {}
    for item in items:
        own = table[table["item"] == item.label]
        counts = own["state"].value_counts().reindex(list(STATES)).dropna().astype(int)
        record = found.get(item.counterpart)
        rows[item.label] = {
            "shows": item.shows,
            "notebook": item.notebook,
            "ours": item.counterpart if record else f"{NONE} (no record)",
            "benchmark": record["label"] if record else NONE,
            "profile": record["profile"] if record else NONE,
            "state": ", ".join(f"{count} {state}" for state, count in counts.items()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("item")


def effects(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`compare` that hold a measured effect beside a printed one: those a chart can show."""
    printed = table["effects"].map(lambda value: isinstance(value, pd.Series) and len(value) > 0)
    return table[printed & table["low"].notna()].drop_duplicates("our row").reset_index(drop=True)
