"""Kinds of statement, and how a record of ours answers each; the state of a row follows from numbers.

Magnitudes are subtracted only where the benchmark is the same; elsewhere an *effect*, such as the gain of L3 over L0,
is compared by its sign.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from string import Formatter
from typing import Any

import numpy as np
import pandas as pd

from patchlib import encoders, paper, regions
from patchlib.paper.published import loc_scores
from patchlib.support import paths
from patchlib.support.items import Item

STATES = {
    "exact": "every printed digit is equal",
    "fitted": "every printed digit is equal, with a definition or inputs that were chosen so that it is",
    "trend": "the effect has the sign that the paper states: its 95 % interval lies above zero",
    "open": "the 95 % interval of the effect holds zero",
    "differs": "the interval lies below zero, or printed digits differ",
    "shown": "a picture or curve without printed numbers; ours stands beside it",
    "not run": "nothing of ours to compare with; the row says why",
}
PRETRAINED = "EfficientNet-Lite0"  # whose effects on photographs stand beside ours


def networks() -> list[str]:
    """Names of all encoders but the baselines, which the paper does not speak of."""
    return [name for name in encoders.names() if encoders.spec(name).family != "Baseline"]


KEYS: dict[str, Callable[[], Iterable[Any]]] = {  # fields of a claim -> what may stand there
    "encoder": networks,
    "model": networks,  # as Tables 8 and 9 call it
    "level": lambda: [f"L{level}" for level in regions.LEVELS],
    "m": lambda: range(1, 129),
    "lists": lambda: [2**power for power in range(13)],
    "proposer": lambda: ["selective-search", "grounding-dino"],
    "size": lambda: sorted({encoders.spec(name).dataset_size for name in encoders.names()}),
}
Record = Mapping[str, Any]
Row = dict[str, Any]  # some of COLUMNS, and ``effects``


@cache
def claims(template: str) -> dict[str, dict[str, Any]]:
    """Every claim that a template stands for, and its keys; two fields of one kind are numbered, as in ``{m1}``."""
    fields = [name for _, name, _, _ in Formatter().parse(template) if name]
    values = [KEYS[name.rstrip("12")]() for name in fields]
    keys = [dict(zip(fields, chosen, strict=True)) for chosen in product(*values)]
    return {template.format(**chosen): chosen for chosen in keys}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture or curve without printed numbers, and what every statement has."""

    says: str
    record: str  # ours that answers
    fitted: str = ""  # what was chosen so that digits agree, if anything was

    @property
    def key(self) -> str:
        """The same for all statements about one effect."""
        return self.says

    def on_photographs(self, records: Mapping[str, Record]) -> dict[str, Row]:
        """World of photographs -> our row there, by the pretrained encoder; nothing where it was not measured."""
        return {}

    def published(self) -> str:
        """What is printed, as text; empty where there is no number."""
        return ""

    def by_digits(self, equal: bool, why: str) -> Row:
        """State of printed digits, and why."""
        if equal and self.fitted:
            return {"state": "fitted", "why": self.fitted}
        return {"state": "exact" if equal else "differs", "why": why}

    def rows(self, record: Record) -> list[Row]:
        """What the record and the published numbers make together."""
        message = Item(name=self.record, record=record, folder=paths.figures()).message
        return [{"our row": message, "state": "shown", "why": "no printed numbers"}]


@dataclass(frozen=True, kw_only=True)
class Effect(Picture):
    """A difference that is positive where the statement is true; the record is a table of ``studies.verdicts``."""

    # key of our rows, see :func:`claims`. Its fields pick the published rows of those names, where there are.
    claim: str
    table: str | None = None  # the published table; None where the paper draws or says it without a number
    # metric, more, less: of the published effect, see :func:`patchlib.paper.effect`
    metric: str = "mAP"
    more: Mapping[str, Any] = field(default_factory=dict)
    less: Mapping[str, Any] = field(default_factory=dict)
    # published keys that the item is about, e.g. ``{"benchmark": "ILIAS"}``
    only: Mapping[str, str] = field(default_factory=dict)
    reverse: bool = False  # our row measures the opposite; its sign is turned
    effect: str = ""  # name of the effect, where statements that different records answer are about the same one
    # ``record`` and ``effect`` of :func:`patchlib.studies.worlds.compare` that tell it in other worlds
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.effect or f"{self.record}: {self.claim}"

    def on_photographs(self, records: Mapping[str, Record]) -> dict[str, Row]:
        record = records.get(self.elsewhere.get("record", ""), {})
        wanted = (self.elsewhere.get("effect"), PRETRAINED)
        rows = [row for row in record.get("config", {}).get("effects", ()) if (row["effect"], row["encoder"]) == wanted]
        return {row["world"]: row for row in rows if "photographs" in row["world"]}

    def published(self) -> str:
        return span(self.printed({}))

    def printed(self, keys: Mapping[str, Any]) -> pd.Series:
        """Published effects by benchmark; those of the named rows alone, where there are such rows."""
        if self.table is None:
            return pd.Series(dtype=float)
        effects = paper.effect(self.table, self.metric, self.more, self.less).reset_index()
        for key, name in {**self.only, **keys}.items():
            if key in effects and (effects[key] == name).any():
                effects = effects[effects[key] == name]
        return effects.set_index("benchmark")["value"]

    def rows(self, record: Record) -> list[Row]:
        known = claims(self.claim)
        rows = [self._row(row, known[row["claim"]], record["label"]) for row in record["rows"] if row["claim"] in known]
        return rows or [{"state": "not run", "why": "the record has no such row"}]

    def _row(self, row: Record, keys: Mapping[str, Any], label: str) -> Row:
        ours, low, high = (np.nan if row[key] is None else row[key] for key in ("evidence", "low", "high"))
        if self.reverse:
            ours, low, high = -ours, -high, -low
        state, why = of_interval(low, high)
        effects = self.printed(keys)
        same = effects[effects.index == label]
        difference = ours - same.iloc[0] if len(same) == 1 else np.nan
        return {"our row": row["claim"] + ", reversed" * self.reverse, "ours": ours, "low": low, "high": high,
                "difference": difference, "state": state, "why": why, "published": span(effects),
                "effects": effects}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Cells(Picture):
    """The printed cells themselves, where ours are of the same benchmark."""

    says: str = "every printed number"
    table: str  # the published one
    columns: Mapping[str, str] = field(default_factory=dict)  # our column -> the published key
    names: Mapping[str, str] = field(default_factory=dict)  # our name -> the published one, in any key

    def published(self) -> str:
        return f"{len(paper.cells(self.table))} cells"

    def pairs(self, record: Record) -> pd.DataFrame:
        """Published cells that the record has too: the published table's columns, and ``ours``."""
        published = paper.cells(self.table)
        rows = pd.DataFrame(record["rows"]).rename(columns=dict(self.columns)).replace(dict(self.names))
        rows = rows if "benchmark" in rows else rows.assign(benchmark=record["label"])
        keys = [key for key in published if key not in ("metric", "printed", "value")]
        if not set(keys) <= set(rows):
            return published.head(0)
        ours = rows.melt(keys, rows.columns.intersection(published["metric"]), "metric", "ours")
        return published.merge(ours, on=[*keys, "metric"]).dropna(subset="ours")

    def rows(self, record: Record) -> list[Row]:
        pairs, published = self.pairs(record), paper.cells(self.table)
        if pairs.empty:
            names = published["benchmark"].unique()
            where = " and ".join(names).replace("not stated", "a benchmark that is not stated")
            why = f"printed for {where}, ours is {record['label']}"
            return [{"state": "not run", "why": "the record has no such cells" if record["label"] in names else why}]
        equal = sum(same_digits(*pair) for pair in zip(pairs["ours"], pairs["printed"], strict=True))
        row = {"our row": f"{equal} of {len(pairs)} equal", "difference": (pairs["ours"] - pairs["value"]).abs().max()}
        return [row | self.by_digits(equal == len(published), "printed digits compared; difference is the largest")]


@dataclass(frozen=True, kw_only=True)
class Number(Picture):
    """A LocScore that the paper prints outside its tables, and that of the ranking in the record's settings."""

    quantity: str  # of the printed number, see :func:`patchlib.paper.numbers`; its item is the record
    formula: str  # a key of :func:`patchlib.paper.published.loc_scores`

    def published(self) -> str:
        return paper.numbers(self.record).set_index("quantity").at[self.quantity, "printed"]

    def rows(self, record: Record) -> list[Row]:
        ours = loc_scores(record["config"]["ranks"], record["config"]["iou"])[self.formula]
        text = self.published()
        row = {"ours": ours, "difference": ours - float(text)}
        return [row | self.by_digits(same_digits(ours, text), "printed digits compared")]


KINDS = {"effect": Effect, "cells": Cells, "number": Number, "picture": Picture}


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
