"""Paper versus ours: the statements of ``items.yaml`` beside the records in ``figures/``. Nothing is measured here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import pandas as pd
import yaml

from patchlib.paper.statements import KINDS, STATES, Picture, Record, of_interval
from patchlib.support import paths, provenance

FILE = Path(__file__).parent / "items.yaml"
COLUMNS = [
    "item", "statement", "published", "our row", "ours", "low", "high", "difference", "benchmark", "profile", "state",
    "why", "record",
]  # fmt: skip
NONE = "–"  # in the place of a number that does not exist


@dataclass(frozen=True, kw_only=True)
class PaperItem:
    """Tables or figures of the paper that belong together."""

    name: str  # e.g. ``"Tables 8, 9"``
    shows: str  # what they are about
    notebook: str  # number of the notebook that answers
    counterpart: str  # our table or figure
    statements: Sequence[Picture]  # what they say


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
        folders: none = where this run writes, then ``figures/`` as they ship.
    """
    by_item: dict[str, Record] = {}
    for folder in folders or (paths.figures(), paths.shipped() / "figures"):
        for path in sorted(folder.glob("*.json")):
            by_item.setdefault(path.stem, provenance.read_json(path))
    return by_item


def fingerprint(record: Record) -> str:
    """Hash of what a record says, whatever commit and packages it was made with."""
    return provenance.config_hash({key: record[key] for key in record if key not in ("git_commit", "packages")})


def collate(items: Sequence[PaperItem], records: Mapping[str, Record]) -> pd.DataFrame:
    """Every statement of every item: :data:`COLUMNS`, and what they are made of.

    ``effects`` are the published numbers by benchmark, if any; ``effect`` is the same for rows about one effect; ``on
    photographs`` holds its rows in the other worlds.
    """
    rows = []
    for item in items:
        for statement in item.statements:
            base = {
                "item": item.name,
                "statement": statement.says,
                "record": statement.record,
                "published": statement.published(),
                "effect": statement.key,
                "on photographs": statement.on_photographs(records),
            }
            record = records.get(statement.record)
            if record is None:
                rows.append(base | {"state": "not run", "why": f"notebook {item.notebook} has not written its record"})
                continue
            base |= {"benchmark": record["label"], "profile": record["profile"]}
            rows += [base | row for row in statement.rows(record)]
    return pd.DataFrame(rows, columns=[*COLUMNS, "effects", "effect", "on photographs"])


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """The table of :func:`collate` as text: intervals in one column, a dash where there is no number."""

    text = table[COLUMNS].drop(columns=["low", "high", "record"])
    text["ours"] = [_interval(*row) for row in table[["ours", "low", "high"]].itertuples(index=False)]
    text["difference"] = table["difference"].map(lambda value: NONE if pd.isna(value) else f"{value:+.2f}")
    return text.astype(object).fillna(NONE).replace("", NONE)


def _interval(mean: float, low: float, high: float) -> str:
    if pd.isna(mean):
        return NONE
    return f"{mean:.2f}" if pd.isna(low) else f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def distinct(table: pd.DataFrame) -> pd.DataFrame:
    """Every measured effect once, however many items and rows of ours are about it; of :func:`collate`.

    Returns:
        DataFrame indexed by statement: ``items``, ``rows`` of ours, their ``state`` ("mixed" where they differ), the
        largest of their ``p`` values (two-sided, by the normal distribution whose 95 % interval is ours), ``Holm``
        (whether it stays below 0.05 when all effects are tested at once), and a column for each world of photographs.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    rows = {}
    for _, part in table[table["low"].notna()].groupby("effect", sort=False):
        own = part.drop_duplicates(["record", "our row"])
        told = {world: row for rows in part["on photographs"] for world, row in rows.items()}
        errors = (own["high"] - own["low"]).to_numpy(float) / (2 * 1.96)
        rows[part["statement"].iloc[0]] = {
            "items": ", ".join(part["item"].unique()),
            "rows": len(own),
            "state": own["state"].iloc[0] if own["state"].nunique() == 1 else "mixed",
            "p": max(2 * NormalDist().cdf(-abs(ours / error)) for ours, error in zip(own["ours"], errors, strict=True)),
            **{world: _interval(row["evidence"], row["low"], row["high"]) for world, row in told.items()},
        }
    effects = pd.DataFrame.from_dict(rows, orient="index").rename_axis("statement")
    if effects.empty:
        return effects
    ascending = effects["p"].sort_values(kind="stable")
    corrected = (ascending * [*range(len(ascending), 0, -1)]).cummax()
    effects.insert(4, "Holm", corrected.reindex(effects.index) < 0.05)
    return effects.fillna(NONE)


def tally(table: pd.DataFrame) -> pd.DataFrame:
    """How many distinct effects are in which state: in the records' own data, and in each world of photographs."""
    counts = {"this run": distinct(table)["state"].value_counts()}
    elsewhere = table[table["low"].notna()].drop_duplicates("effect")["on photographs"]
    for world in dict.fromkeys(world for rows in elsewhere for world in rows):
        states = [of_interval(rows[world]["low"], rows[world]["high"])[0] for rows in elsewhere if world in rows]
        counts[world] = pd.Series(states).value_counts()
    return pd.DataFrame(counts).fillna(0).astype(int).rename_axis("effects")


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
