"""Paper versus ours: the statements of ``items.yaml`` beside the records in ``figures/``. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from patchlib.paper.statements import KINDS, STATES, Picture, Record
from patchlib.support import paths, provenance

FILE = Path(__file__).parent / "items.yaml"
COLUMNS = [
    "item", "statement", "published", "our row", "ours", "low", "high", "difference", "benchmark", "profile", "state",
    "why", "record",
]  # fmt: skip
NONE = "–"  # in the place of a number that does not exist


@dataclass(frozen=True, kw_only=True)
class PaperItem:
    """Tables or figures of the paper that belong together.

    Attributes:
        name: e.g. ``"Tables 8, 9"``.
        shows: what they are about.
        notebook: number of the notebook that answers.
        counterpart: our table or figure.
        statements: what they say.
    """

    name: str
    shows: str
    notebook: str
    counterpart: str
    statements: Sequence[Picture]


def items() -> list[PaperItem]:
    """The paper's tables and figures, as ``items.yaml`` lists them."""
    made = []
    for entry in yaml.safe_load(FILE.read_text(encoding="utf-8")):
        own = {"record": entry["counterpart"]}
        parts = [KINDS[kind](**own | given) for part in entry["statements"] for kind, given in part.items()]
        made.append(PaperItem(**entry | {"statements": parts}))
    return made


def records(*folders: Path) -> dict[str, Record]:
    """All records, by item; an earlier folder goes before a later one.

    Args:
        folders: none = where this run writes, then the checkout's ``figures/``.
    """
    by_item: dict[str, Record] = {}
    for folder in folders or (paths.figures(), paths.root() / "figures"):
        for path in sorted(folder.glob("*.json")):
            by_item.setdefault(path.stem, provenance.read_json(path))
    return by_item


def fingerprint(record: Record) -> str:
    """Hash of what a record says, whatever commit and packages it was made with."""
    return provenance.config_hash({key: record[key] for key in record if key not in ("git_commit", "packages")})


def collate(items: Sequence[PaperItem], records: Mapping[str, Record]) -> pd.DataFrame:
    """Every statement of every item: :data:`COLUMNS`, and ``effects``, the published numbers by benchmark, if any."""
    rows = []
    for item in items:
        for statement in item.statements:
            base = {
                "item": item.name,
                "statement": statement.says,
                "record": statement.record,
                "published": statement.published(),
            }
            record = records.get(statement.record)
            if record is None:
                rows.append(base | {"state": "not run", "why": f"notebook {item.notebook} has not written its record"})
                continue
            base |= {"benchmark": record["label"], "profile": record["profile"]}
            rows += [base | row for row in statement.rows(record)]
    return pd.DataFrame(rows, columns=[*COLUMNS, "effects"])


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """The table of :func:`collate` as text: intervals in one column, a dash where there is no number."""

    def interval(row: pd.Series) -> str:
        if pd.isna(row["ours"]):
            return NONE
        if pd.isna(row["low"]):
            return f"{row['ours']:.2f}"
        return f"{row['ours']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"

    text = table[COLUMNS].drop(columns=["low", "high", "record"])
    text["ours"] = table.apply(interval, axis=1)
    text["difference"] = table["difference"].map(lambda value: NONE if pd.isna(value) else f"{value:+.2f}")
    return text.astype(object).fillna(NONE).replace("", NONE)


def coverage(items: Sequence[PaperItem], table: pd.DataFrame, records: Mapping[str, Record]) -> pd.DataFrame:
    """One row an item: our counterpart, its benchmark and profile, and how many rows are in which state."""
    rows = {}
    for item in items:
        counts = table.loc[table["item"] == item.name, "state"].value_counts().reindex(list(STATES)).dropna()
        record = records.get(item.counterpart)
        rows[item.name] = {
            "shows": item.shows,
            "notebook": item.notebook,
            "ours": item.counterpart if record else f"{NONE} (no record)",
            "benchmark": record["label"] if record else NONE,
            "profile": record["profile"] if record else NONE,
            "state": ", ".join(f"{count:.0f} {state}" for state, count in counts.items()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("item")


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`collate` that hold a measured effect beside a printed one: those a chart can show."""
    printed = table["effects"].map(lambda value: isinstance(value, pd.Series) and len(value) > 0)
    return table[printed & table["low"].notna()].drop_duplicates("our row").reset_index(drop=True)
