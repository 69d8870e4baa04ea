"""The cases behind the audit: published numbers held against each other, one row a case, with a column ``agrees``.

Everything is arithmetic on ``patchlib/published/``. :mod:`patchlib.paper.audit` states what is tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import pandas as pd

from patchlib import metrics, paper

BACKBONES = "table_8_9_backbones"
METRICS = ("mAP", "LocScore", "mLocScore")
THRESHOLDS = tuple(f"LocScore@{threshold}" for threshold in metrics.THRESHOLDS)
TRANSFORMERS = ("DINOv2", "OpenCLIP", "SigLIP")
CNNS = ("VGG16", "ResNet101", "Inception", "ConvNext_IN1k")  # the paper excepts ConvNext on LAION-2B
OF_TABLE_4 = {
    ("ConvNext", "ImageNet-1K"): "ConvNext_IN1k",
    ("ConvNext", "LAION-2B"): "ConvNext_LAION2b",
    ("CLIP", "LAION-400M"): "OpenCLIP",
}
ROUNDING = 1e-6  # binary fractions


def case_name(key: Any) -> str:
    """An index entry as one text."""
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def backbones() -> pd.DataFrame:
    """Tables 8 and 9, indexed by (model, benchmark, level), a column a metric; NaN where a cell cannot be read."""
    return paper.table(BACKBONES).pivot(index=["model", "benchmark", "level"], columns="metric", values="value")


def mean_of_thresholds() -> pd.DataFrame:
    """mLocScore against the mean of the thresholds, wherever all can be read; ``clean``: all read without doubt."""
    rows = backbones()
    read = paper.table(BACKBONES)
    read = read[read["metric"].isin([*THRESHOLDS, "mLocScore"])]
    rows["clean"] = read["status"].str.startswith("clean").groupby([read[key] for key in rows.index.names]).all()
    rows = rows.assign(mean=rows[list(THRESHOLDS)].mean(axis=1, skipna=False)).dropna(subset="mean")
    rows["difference"] = rows["mLocScore"] - rows["mean"]
    # numbers printed with three digits are off by 0.0005 at most: so is their mean, and so is the printed mean
    return rows[["mean", "mLocScore", "difference", "clean"]].assign(
        agrees=rows["difference"].abs() <= 0.001 + ROUNDING
    )


def mean_of_ious() -> pd.DataFrame:
    """mLocScore against the continuous LocScore, which averages IoUs."""
    rows = backbones()[["LocScore", "mLocScore"]]
    return rows.assign(agrees=(rows["LocScore"] - rows["mLocScore"]).abs() <= 0.001 + ROUNDING)


def plain_mean() -> pd.DataFrame:
    """LocScore at L0, where a plain mean of the IoUs (all regions are whole images) knows no encoder."""
    whole = backbones().xs("L0", level="level")["LocScore"].groupby("benchmark").agg(["min", "max"])
    return whole.assign(agrees=whole["max"] - whole["min"] <= 0.001)


def order() -> pd.DataFrame:
    """Stricter thresholds score lower, and no LocScore exceeds mAP."""
    rows = backbones()
    pairs = [("mAP", "LocScore"), ("mAP", THRESHOLDS[0]), *zip(THRESHOLDS, THRESHOLDS[1:], strict=False)]
    found = {f"{high} >= {low}": rows[[high, low]].set_axis(["high", "low"], axis=1).dropna() for high, low in pairs}
    table = pd.concat(found, names=["pair"])
    return table.assign(agrees=table["high"] >= table["low"])


def same_cells(name: str) -> pd.DataFrame:
    """The cells of another table that Tables 8 and 9 print too, with one digit more."""
    rows = paper.cells(name)
    if name == "table_4_pretraining":
        pairs = zip(rows["encoder"], rows["pretraining_dataset"], strict=True)
        rows["model"] = [OF_TABLE_4.get(key, key[0]) for key in pairs]
        rows["level"] = rows["type"].map({"global": "L0", "local": "L3"})
    elif name == "table_2_region_selection":
        rows = rows.assign(model="SigLIP", level=rows["method"].map({"Global": "L0", "Patchify": "L3"}))
    else:
        rows = rows[rows["pq"] == "no"].assign(model="SigLIP")
    keys = ["model", "benchmark", "level", "metric"]
    both = rows.merge(paper.cells(BACKBONES), on=keys, suffixes=("", "_8_9")).set_index(keys)
    off = (both["value"] - both["value_8_9"]).abs()
    return both[["printed", "printed_8_9"]].assign(difference=off, agrees=off <= 0.005 + ROUNDING)


def above(name: str, metric: str, more: Mapping[str, Any], less: Mapping[str, Any]) -> pd.DataFrame:
    """Whether one row of a published table is above another, for all that both exist for."""
    found = paper.effect(name, metric, more, less).rename("effect").to_frame()
    return found.assign(agrees=found["effect"] > 0)


def strategies(more: str, *others: str) -> pd.DataFrame:
    """Table 2: one strategy above others, in both metrics on both benchmarks."""
    found = {
        (metric, f"above {less}"): above("table_2_region_selection", metric, {"method": more}, {"method": less})
        for metric in ("mAP", "LocScore")
        for less in others
    }
    return pd.concat(found)


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
    table = backbones()[metric].unstack("level")
    return table.assign(agrees=(table.diff(axis=1).iloc[:, 1:] > 0).all(axis=1))


def level_3_above_0(*names: str) -> pd.DataFrame:
    """L3 above L0 in the named metrics, for each encoder and benchmark."""
    found = {name: above(BACKBONES, name, {"level": "L3"}, {"level": "L0"}) for name in names}
    return pd.concat(found, names=["metric"])


def pretraining() -> pd.DataFrame:
    """Table 4: of two encoders with training sets of different size, the one with more data has the higher mAP."""
    table = paper.table("table_4_pretraining")
    size = table["dataset_size"].str.replace("M", "e6").str.replace("B", "e9").astype(float)
    name = table["encoder"].str.cat(table["dataset_size"], " ")
    rows = {}
    for kind, where in product(("global", "local"), ("INSTRE", "ILIAS")):
        own = table["type"] == kind
        for i, j in combinations(table.index[own], 2):
            if size[i] != size[j]:
                less, more = sorted((i, j), key=lambda row: size[row])
                gap = table.loc[more, f"mAP_{where}"] - table.loc[less, f"mAP_{where}"]
                rows[where, kind, f"{name[more]} above {name[less]}"] = {"gap": gap, "agrees": gap > 0}
    return pd.DataFrame.from_dict(rows, orient="index")


def families(*names: str) -> pd.DataFrame:
    """Each transformer above each CNN at L3, in the named metrics on both benchmarks."""
    table = backbones().xs("L3", level="level")
    rows = {}
    for metric, where, more, less in product(names, ("INSTRE", "ILIAS"), TRANSFORMERS, CNNS):
        gap = table.at[(more, where), metric] - table.at[(less, where), metric]
        rows[metric, where, f"{more} above {less}"] = {"gap": gap, "agrees": gap > 0}
    return pd.DataFrame.from_dict(rows, orient="index")


def on_par() -> pd.DataFrame:
    """ConvNext on LAION-2B at L3 against the range of the transformers: inside or above."""
    table = backbones().xs("L3", level="level")[["mAP", "LocScore"]].stack()
    table = table.unstack("model").sort_index()
    least = table[list(TRANSFORMERS)].min(axis=1)
    own = table["ConvNext_LAION2b"]
    return pd.DataFrame({"ConvNext_LAION2b": own, "least transformer": least, "agrees": own >= least})


def quantised(where: str) -> pd.DataFrame:
    """Table 5: what PQ does to mAP at every level of one benchmark; agrees where that is a loss."""
    found = above("table_5_pq_levels", "mAP", {"pq": "yes"}, {"pq": "no"})["effect"].xs(where, level="benchmark")
    return found.to_frame().assign(agrees=found < 0)


def quantised_above_global() -> pd.DataFrame:
    """Table 5: patches with PQ above the whole image without, in both metrics on both benchmarks."""
    less = {"level": "L0", "pq": "no"}
    found = {
        (metric, level): above("table_5_pq_levels", metric, {"level": level, "pq": "yes"}, less)
        for metric, level in product(("mAP", "LocScore"), ("L1", "L2", "L3"))
    }
    return pd.concat(found)


def training_features(best: str, others: tuple[str, ...]) -> pd.DataFrame:
    """Table 6: codebooks of one training feature above those of others."""
    value = paper.table("table_6_pq_training").set_index("training_feature")["mAP"]
    rows = {f"{best} above {other}": value[best] - value[other] for other in others}
    return pd.DataFrame({"gap": pd.Series(rows)}).assign(agrees=lambda table: table["gap"] > 0)


def table_6_in_table_5() -> pd.DataFrame:
    """Table 6's values against the ILIAS row of Table 5 that they would refine: L3 with PQ."""
    rows = paper.table("table_5_pq_levels").query("benchmark == 'ILIAS' and level == 'L3' and pq == 'yes'")
    table = paper.table("table_6_pq_training").set_index("training_feature")[["mAP"]]
    table["Table 5"] = rows["mAP"].item()
    return table.assign(agrees=table["mAP"] == table["Table 5"])


def reranked() -> pd.DataFrame:
    """Poster: what AMES adds to each first stage."""
    name, column = "table_3_reranking", {"column": "reranking_AMES"}
    stages = {"AMES": "global", "Patchify + AMES": "Patchify"}
    found = [
        above(name, "mAP@1k", column | {"method": more}, {"column": "global", "method": less})
        for more, less in stages.items()
    ]
    return pd.concat(found, keys=stages)


def poster_encoders() -> pd.DataFrame:
    """Poster: the rows whose encoder is SigLIP."""
    rows = paper.table("table_3_reranking")[["column", "method", "encoder", "adapted_dagger"]]
    rows = rows.set_index(["encoder", "method", "column"])
    return rows.assign(agrees=rows.index.get_level_values("encoder") == "SigLIP")


def poster_example() -> pd.DataFrame:
    """Poster: LocScore of its ranking by the formula, which weights each IoU with the precision at its rank."""
    rows = paper.numbers("fig_3_locscore").set_index(["quantity", "case"])["value"]
    ranks, iou = rows["rank"].to_numpy(), rows["IoU"].to_numpy()
    precision = pd.Series(range(1, len(ranks) + 1)).to_numpy() / ranks
    table = pd.DataFrame(
        {"printed": rows["LocScore(cont.)", 0], "weighted": (precision * iou).mean(), "plain mean": iou.mean()},
        index=["LocScore(cont.)"],
    )
    return table.assign(agrees=table["printed"] == table["weighted"].round(3))


def poster_thresholds() -> pd.DataFrame:
    """Figure 3's remark: the image at rank 3 is right for a threshold of 0.3 and wrong for 0.5."""
    rows = paper.numbers("fig_3_locscore").set_index(["quantity", "case"])["value"]
    (case,) = rows["rank"].index[rows["rank"] == 3]
    iou = rows["IoU", case]
    return pd.DataFrame({"IoU": iou, "agrees": [iou >= 0.3, iou < 0.5]}, index=["right at 0.3", "wrong at 0.5"])
