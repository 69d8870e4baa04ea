"""The published numbers held against each other and against the text: what agrees, what does not, how it may be read.

``audit.yaml`` lists the statements. The functions here, and those of :mod:`patchlib.paper.table_7`, turn each of them
into cases that are true or false by arithmetic on the published tables, one row a case with a column ``agrees``;
nothing depends on our encoders or benchmark. A case that does not agree is a fact about printed numbers and not about
anybody's care: ``reading`` names the harmless explanation where there is one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from patchlib import encoders, metrics, paper
from patchlib.paper import published, table_7

FILE = Path(__file__).parent / "audit.yaml"
BACKBONES = "table_8_9_backbones"
THRESHOLDS = [f"LocScore@{threshold}" for threshold in metrics.THRESHOLDS]
LEVELS = {"global": "L0", "local": "L3", "Global": "L0", "Patchify": "L3"}  # of Tables 4 and 2
MODELS = {  # of Table 4
    ("ConvNext", "ImageNet-1K"): "ConvNext_IN1k",
    ("ConvNext", "LAION-2B"): "ConvNext_LAION2b",
    ("CLIP", "LAION-400M"): "OpenCLIP",
}
ROUNDING = 1e-6  # binary fractions


@dataclass(frozen=True, kw_only=True)
class Check:
    """A statement and its cases."""

    name: str
    where: str  # section or table
    says: str  # the statement, close to the paper's words
    # makes the evidence: one row a case, its index names the case, column ``agrees`` says whether it does
    cases: Callable[[], pd.DataFrame]
    reading: str = ""  # how to read what does not agree, or what follows


def checks() -> list[Check]:
    """The statements of ``audit.yaml``; ``cases`` there is a function of this room, ``given`` are its arguments."""
    listed = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    functions = vars(table_7) | globals()
    return [
        Check(**entry | {"cases": partial(functions[entry["cases"]], **entry.pop("given", {}))}) for entry in listed
    ]


def findings(checks: Iterable[Check]) -> pd.DataFrame:
    """Every check's verdict: "confirmed", "with exceptions" or "not confirmed" as all, some or none of its cases agree.

    Returns:
        DataFrame indexed by the checks' names: where, statement, cases, agree, verdict, exceptions (three of them),
        reading.
    """
    rows = {}
    for check in checks:
        cases = check.cases()
        agree = int(cases["agrees"].sum())
        missed = [_name(key) for key in cases.index[~cases["agrees"]]]
        rows[check.name] = {
            "where": check.where,
            "statement": check.says,
            "cases": len(cases),
            "agree": agree,
            "verdict": "confirmed" if not missed else "with exceptions" if agree else "not confirmed",
            "exceptions": "; ".join(missed[:3]) + (f"; {len(missed) - 3} more" if len(missed) > 3 else ""),
            "reading": check.reading,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("check")


def _name(key: Any) -> str:
    """An index entry as one text."""
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def effects(
    table: str, pairs: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]], metrics: Sequence[str] = ("mAP",)
) -> pd.DataFrame:
    """Rows of a published table above others, for all that both exist for.

    ``pairs``: name -> what should be better and what it is compared with, see :func:`patchlib.paper.effect`.
    """
    parts = {
        (metric, name): paper.effect(table, metric, more, less)
        for metric, (name, (more, less)) in product(metrics, pairs.items())
    }
    rows = pd.concat(parts).to_frame("effect")
    rows = rows.droplevel(1) if len(pairs) == 1 else rows
    return rows.assign(agrees=rows["effect"] > 0)


def mean_of_thresholds() -> pd.DataFrame:
    """mLocScore against the mean of the thresholds, wherever all can be read; ``clean``: all read without doubt."""
    rows = paper.backbones()
    read = paper.table(BACKBONES)
    read = read[read["metric"].isin([*THRESHOLDS, "mLocScore"])]
    rows["clean"] = read["status"].str.startswith("clean").groupby([read[key] for key in rows.index.names]).all()
    rows = rows.assign(mean=rows[THRESHOLDS].mean(axis=1, skipna=False)).dropna(subset="mean")
    rows["difference"] = rows["mLocScore"] - rows["mean"]
    # numbers printed with three digits are off by 0.0005 at most: so is their mean, and so is the printed mean
    agrees = rows["difference"].abs() <= 0.001 + ROUNDING
    return rows[["mean", "mLocScore", "difference", "clean"]].assign(agrees=agrees)


def mean_of_ious() -> pd.DataFrame:
    """mLocScore against the continuous LocScore, which averages IoUs."""
    rows = paper.backbones()[["LocScore", "mLocScore"]]
    return rows.assign(agrees=(rows["LocScore"] - rows["mLocScore"]).abs() <= 0.001 + ROUNDING)


def plain_mean() -> pd.DataFrame:
    """LocScore at L0, where a plain mean of the IoUs (all regions are whole images) knows no encoder."""
    whole = paper.backbones().xs("L0", level="level")["LocScore"].groupby("benchmark").agg(["min", "max"])
    return whole.assign(agrees=whole["max"] - whole["min"] <= 0.001)


def order() -> pd.DataFrame:
    """Stricter thresholds score lower, and no LocScore exceeds mAP."""
    rows = paper.backbones()
    pairs = [("mAP", "LocScore"), ("mAP", THRESHOLDS[0]), *zip(THRESHOLDS, THRESHOLDS[1:], strict=False)]
    parts = {f"{high} >= {low}": rows[[high, low]].set_axis(["high", "low"], axis=1).dropna() for high, low in pairs}
    table = pd.concat(parts, names=["pair"])
    return table.assign(agrees=table["high"] >= table["low"])


def same_cells(table: str) -> pd.DataFrame:
    """The cells of another table that Tables 8 and 9 print too, with one digit more."""
    rows = paper.cells(table)
    if table == "table_4_pretraining":
        pairs = zip(rows["encoder"], rows["pretraining_dataset"], strict=True)
        rows = rows.assign(model=[MODELS.get(pair, pair[0]) for pair in pairs], level=rows["type"].map(LEVELS))
    elif table == "table_2_region_selection":
        rows = rows.assign(model="SigLIP", level=rows["method"].map(LEVELS))
    else:
        rows = rows[rows["pq"] == "no"].assign(model="SigLIP")
    keys = ["model", "benchmark", "level", "metric"]
    both = rows.merge(paper.cells(BACKBONES), on=keys, suffixes=("", "_8_9")).set_index(keys)
    off = (both["value"] - both["value_8_9"]).abs()
    return both[["printed", "printed_8_9"]].assign(difference=off, agrees=off <= 0.005 + ROUNDING)


def coincide() -> pd.DataFrame:
    """Table 2: of two strategies, the one of higher mAP has the higher LocScore too."""
    rows = {}
    for where, table in paper.table("table_2_region_selection").groupby("benchmark"):
        for (_, a), (_, b) in combinations(table.iterrows(), 2):
            gaps = {metric: b[metric] - a[metric] for metric in ("mAP", "LocScore")}
            rows[where, a["method"], b["method"]] = gaps | {"agrees": gaps["mAP"] * gaps["LocScore"] > 0}
    return pd.DataFrame.from_dict(rows, orient="index")


def finer_levels(metric: str) -> pd.DataFrame:
    """Whether a metric rises from every level to the next, for each encoder and benchmark."""
    table = paper.backbones()[metric].unstack("level")
    return table.assign(agrees=(table.diff(axis=1).iloc[:, 1:] > 0).all(axis=1))


def correlation(over: str) -> pd.DataFrame:
    """Tables 8 and 9: mAP and LocScore over all cells of a family, or over the levels of one encoder; r of Pearson.

    Args:
        over: ``"family"`` (CNN, Transformer) or ``"model"``.
    """
    rows = paper.backbones()[["mAP", "LocScore"]].dropna().reset_index()
    rows["family"] = [encoders.spec(name).family for name in rows["model"]]
    r = {key: part["mAP"].corr(part["LocScore"]) for key, part in rows.groupby([over, "benchmark"])}
    table = pd.Series(r).to_frame("r")
    return table.assign(agrees=table["r"] > 0)


def pretraining(dimensions: Sequence[str] = ("fewer", "equal", "more")) -> pd.DataFrame:
    """Table 4: of two encoders with training sets of different size, the one with more data has the higher mAP.

    Args:
        dimensions: pairs whose encoder with more data has so many dimensions, beside the other.
    """
    table = paper.table("table_4_pretraining")
    size = table["dataset_size"].str.replace("M", "e6").str.replace("B", "e9").astype(float)
    name, width = table["encoder"].str.cat(table["dataset_size"], " "), table["feature_dim"]
    gaps = {}
    for kind, where in product(("global", "local"), ("INSTRE", "ILIAS")):
        for pair in combinations(table.index[table["type"] == kind], 2):
            less, more = sorted(pair, key=size.get)
            wider = ("equal", "more", "fewer")[int(np.sign(width[more] - width[less]))]
            if size[less] < size[more] and wider in dimensions:
                gap = table.loc[more, f"mAP_{where}"] - table.loc[less, f"mAP_{where}"]
                gaps[where, kind, f"{name[more]} above {name[less]}"] = gap
    return _positive(gaps)


def families(metrics: Sequence[str], above: Sequence[str], below: Sequence[str]) -> pd.DataFrame:
    """Tables 8 and 9: each of some encoders above each of others at L3, in the named metrics on both benchmarks."""
    table = paper.backbones().xs("L3", level="level")
    gaps = {}
    for metric, where, more, less in product(metrics, ("INSTRE", "ILIAS"), above, below):
        gaps[metric, where, f"{more} above {less}"] = table[metric][more, where] - table[metric][less, where]
    return _positive(gaps)


def _positive(gaps: Mapping[Any, float]) -> pd.DataFrame:
    """Cases that agree where their gap is positive."""
    table = pd.Series(gaps).to_frame("gap")
    return table.assign(agrees=table["gap"] > 0)


def on_par(model: str, others: Sequence[str]) -> pd.DataFrame:
    """Tables 8 and 9: an encoder at L3 against the range of others: inside or above."""
    table = paper.backbones().xs("L3", level="level")[["mAP", "LocScore"]].stack().unstack("model").sort_index()
    least = table[list(others)].min(axis=1)
    return pd.DataFrame({model: table[model], "least of the others": least, "agrees": table[model] >= least})


def table_6_in_table_5() -> pd.DataFrame:
    """Table 6's values against the ILIAS row of Table 5 that they would refine: L3 with PQ."""
    rows = paper.table("table_5_pq_levels").query("benchmark == 'ILIAS' and level == 'L3' and pq == 'yes'")
    table = paper.table("table_6_pq_training").set_index("training_feature")[["mAP"]]
    table["Table 5"] = rows["mAP"].item()
    return table.assign(agrees=table["mAP"] == table["Table 5"])


def poster_encoders() -> pd.DataFrame:
    """Poster: the rows whose encoder is SigLIP."""
    rows = paper.table("table_3_reranking")[["column", "method", "encoder", "adapted_dagger"]]
    rows = rows.set_index(["encoder", "method", "column"])
    return rows.assign(agrees=rows.index.get_level_values("encoder") == "SigLIP")


def poster_example() -> pd.DataFrame:
    """Poster: LocScore of its ranking by the formula, which weights each IoU with the precision at its rank."""
    rows = paper.numbers("fig_3_locscore").set_index(["quantity", "case"])["value"]
    scores = published.loc_scores(rows["rank"], rows["IoU"])
    table = pd.DataFrame({"printed": rows["LocScore(cont.)", 0], **scores}, index=["LocScore(cont.)"])
    return table.assign(agrees=table["printed"] == table["weighted"].round(3))


def poster_thresholds() -> pd.DataFrame:
    """Figure 3's remark: the image at rank 3 is right for a threshold of 0.3 and wrong for 0.5."""
    rows = paper.numbers("fig_3_locscore").set_index(["quantity", "case"])["value"]
    (case,) = rows["rank"].index[rows["rank"] == 3]
    iou = rows["IoU", case]
    return pd.DataFrame({"IoU": iou, "agrees": [iou >= 0.3, iou < 0.5]}, index=["right at 0.3", "wrong at 0.5"])
