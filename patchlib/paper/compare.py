"""Ways to compare a statement of the paper with a record of ours; the state of each row follows from numbers.

Magnitudes are subtracted only where the benchmark is the same; elsewhere an *effect*, such as the gain of L3 over L0,
is compared by its sign.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd

from patchlib import paper
from patchlib.support import paths
from patchlib.support.items import Item

STATES = {
    "exact": "every printed digit is equal",
    "trend": "the effect has the sign that the paper states: its 95 % interval lies above zero",
    "open": "the 95 % interval of the effect holds zero",
    "differs": "the interval lies below zero, or printed digits differ",
    "shown": "a picture or curve without printed numbers; ours stands beside it",
    "not run": "nothing of ours to compare with; the row says why",
}
Record = Mapping[str, Any]
Row = dict[str, Any]  # what a comparison knows of the columns of ``collation.COLUMNS``


class Comparison(Protocol):
    """One way to compare: what the paper says, our record, and what they make together."""

    @property
    def says(self) -> str: ...

    @property
    def record(self) -> str: ...

    def published(self) -> str:
        """What is printed, as text; empty where there is no number."""

    def rows(self, record: Record) -> list[Row]:
        """Rows with some of :data:`COLUMNS`."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A statement of the paper, as a difference that is positive where the statement is true.

    Attributes:
        says: the statement.
        record: our table of claims (columns claim, evidence, low, high), as ``studies.verdicts`` makes them.
        claim: pattern of our rows. A named group picks the published row of that name, where there is one.
        table: the published table; None where the paper draws or says it without a number.
        metric: of the published table.
        more, less: rows of the published table, see :func:`patchlib.paper.published.effect`.
        only: published keys that the item is about, e.g. ``{"benchmark": "ILIAS"}``.
        reverse: our row measures the opposite; its sign is turned.
    """

    says: str
    record: str
    claim: str
    table: str | None = None
    metric: str = "mAP"
    more: Mapping[str, Any] = field(default_factory=dict)
    less: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, str] = field(default_factory=dict)
    reverse: bool = False

    def published(self) -> str:
        return span(self.printed())

    def printed(self, **names: str) -> pd.Series:
        """Published effects by benchmark; those of the named rows alone, where there are such rows."""
        if self.table is None:
            return pd.Series(dtype=float)
        found = paper.effect(self.table, self.metric, self.more, self.less).reset_index()
        for key, name in {**self.only, **names}.items():
            if key in found and (found[key] == name).any():
                found = found[found[key] == name]
        return found.set_index("benchmark")["value"]

    def rows(self, record: Record) -> list[Row]:
        made, turned = [], ", reversed" if self.reverse else ""
        for row in record["rows"]:
            match = re.fullmatch(self.claim, row["claim"])
            if match:
                found = self._row(row, self.printed(**match.groupdict()), record["label"])
                made.append({"our row": row["claim"] + turned} | found)
        return made or [{"state": "not run", "why": "the record has no such row"}]

    def _row(self, row: Record, printed: pd.Series, label: str) -> Row:
        ours, low, high = (np.nan if row[key] is None else row[key] for key in ("evidence", "low", "high"))
        if self.reverse:
            ours, low, high = -ours, -high, -low
        state, why = of_interval(low, high)
        same = printed[printed.index == label]
        difference = ours - same.iloc[0] if len(same) == 1 else np.nan
        found = {"published": span(printed), "ours": ours, "low": low, "high": high}
        return found | {"difference": difference, "state": state, "why": why, "effects": printed}


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The printed cells themselves, where ours are of the same benchmark.

    Attributes:
        record: our table.
        table: the published one.
        columns: our column -> the published key.
        names: our name -> the published one, in any key.
    """

    record: str
    table: str
    columns: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    says = "every printed number"

    def published(self) -> str:
        return f"{len(paper.cells(self.table))} cells"

    def pairs(self, record: Record) -> pd.DataFrame:
        """Published cells that the record has too: the published table's columns, and ``ours``."""
        published = paper.cells(self.table)
        rows = pd.DataFrame(record["rows"]).rename(columns=dict(self.columns))
        if "benchmark" not in rows:
            rows["benchmark"] = record["label"]
        keys = [key for key in published if key not in ("metric", "printed", "value")]
        metrics = [metric for metric in published["metric"].unique() if metric in rows]
        if not set(keys) <= set(rows):
            return published.head(0)
        ours = rows[[*keys, *metrics]].replace(dict(self.names)).melt(keys, metrics, "metric", "ours")
        return published.merge(ours, on=[*keys, "metric"]).dropna(subset="ours")

    def rows(self, record: Record) -> list[Row]:
        pairs, published = self.pairs(record), paper.cells(self.table)
        if pairs.empty:
            names = published["benchmark"].unique()
            where = " and ".join(names).replace("not stated", "a benchmark that is not stated")
            why = f"printed for {where}, ours is {record['label']}"
            return [{"state": "not run", "why": "the record has no such cells" if record["label"] in names else why}]
        equal = sum(same_digits(*pair) for pair in zip(pairs["ours"], pairs["printed"], strict=True))
        return [
            {
                "our row": f"{equal} of {len(pairs)} equal",
                "difference": (pairs["ours"] - pairs["value"]).abs().max(),
                "state": "exact" if equal == len(published) else "differs",
                "why": "printed digits compared; difference is the largest",
            }
        ]


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number that the paper prints outside its tables, and ours, which follows from a record's settings."""

    says: str
    record: str
    item: str
    quantity: str
    ours: Callable[[Record], float]

    def published(self) -> str:
        (text,) = paper.numbers(self.item).query("quantity == @self.quantity")["printed"]
        return text

    def rows(self, record: Record) -> list[Row]:
        ours, text = self.ours(record), self.published()
        state = "exact" if same_digits(ours, text) else "differs"
        return [{"ours": ours, "difference": ours - float(text), "state": state, "why": "printed digits compared"}]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture or curve without printed numbers."""

    says: str
    record: str

    def published(self) -> str:
        return ""

    def rows(self, record: Record) -> list[Row]:
        message = Item(name=self.record, record=record, folder=paths.figures()).message
        return [{"our row": message, "state": "shown", "why": "no printed numbers"}]


def of_interval(low: float, high: float) -> tuple[str, str]:
    """State of an effect, and why, from its interval in the paper's direction."""
    if np.isnan(low) or np.isnan(high):
        return "not run", "not measured: no values"
    if low > 0:
        return "trend", "interval above zero"
    return ("differs", "interval below zero") if high < 0 else ("open", "interval holds zero")


def same_digits(ours: float, printed: str) -> bool:
    """Whether ``ours``, rounded as the printed number is, gives it (records keep two decimals)."""
    decimals = len(printed.partition(".")[2])
    return abs(ours - float(printed)) < 0.5 * 10**-decimals + 1e-9


def span(effects: pd.Series) -> str:
    """Published effects as text: the one of a benchmark, or their range and how many are positive."""
    parts = []
    for name, values in effects.groupby(level=0, sort=False):
        text = f"{name} {values.min():+.2f}"
        if len(values) > 1:
            text += f" to {values.max():+.2f} ({(values > 0).sum()} of {len(values)} above zero)"
        parts.append(text)
    return "; ".join(parts)
