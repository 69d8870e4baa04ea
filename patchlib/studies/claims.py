"""Claims of the paper as per-query differences that are positive where a claim is true, and what the data say."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from patchlib.studies import attributes, bootstrap


def verdicts(differences: Mapping[str, ArrayLike], resamples: int = 1000) -> pd.DataFrame:
    """Claims and what the data say.

    Args:
        differences: claim -> per-query values in points, positive where the claim is true.

    Returns:
        DataFrame indexed by claim: ``evidence`` (mean), ``low``, ``high`` (95 % interval), ``queries``, ``holds``:
        "yes" if the interval lies above zero, "no" if below, "open" if it holds zero, "not measured" without values.
    """
    table = bootstrap.intervals(differences, resamples)
    holds = np.select([table["n"] == 0, table["low"] > 0, table["high"] < 0], ["not measured", "yes", "no"], "open")
    table = table.assign(holds=holds).rename(columns={"mean": "evidence", "n": "queries"})
    return table[["evidence", "low", "high", "queries", "holds"]].rename_axis("claim")


def claims_by_bin(
    label: str, factor: str, tables: Mapping[str, pd.DataFrame], groups: attributes.Bins
) -> dict[str, pd.Series]:
    """What the paper says about a property of positives, bin by bin; each claim begins with ``label``.

    Args:
        factor: ``"area"``/``"size"``, ``"distance"``/``"place"``, ``"alignment"`` or ``"brightness"``.
        tables: ``"global"`` and ``"Patchify"`` -> result of :func:`patchlib.studies.attributes.evaluate`.
        groups: the bins, ascending; of brightness the middle one is the image as it is.

    Source: supplement S3.1.
    """
    numbers = range(len(groups.labels))
    whole, local = ([attributes.at(tables[method], n) for n in numbers] for method in ("global", "Patchify"))
    gain = [b - a for a, b in zip(whole, local, strict=True)]
    if factor in ("area", "size"):
        small = pd.concat(gain[:2], axis=1).mean(axis=1)
        return {f"{label}: small objects (two smallest bins), L3 wins": small,
                f"{label}: large objects (largest bin), global wins": -gain[-1]}  # fmt: skip
    if factor in ("distance", "place"):
        return {f"{label}: off-centre, L3 loses less": (whole[0] - whole[-1]) - (local[0] - local[-1])}
    if factor == "alignment":
        return {f"{label}: boxes that a patch fits best gain more than those it fits worst": gain[-1] - gain[0]}
    middle = numbers[-1] // 2
    return {f"{label}: medium brightness better than dark, L3": local[middle] - local[0],
            f"{label}: medium brightness better than bright, L3": local[middle] - local[-1],
            f"{label}: L3 wins at every brightness (least gain)": min(gain, key=pd.Series.mean)}  # fmt: skip


def claims_of_encoders(scores: Mapping[str, Mapping[str, pd.DataFrame]], zoo: pd.DataFrame) -> dict[str, pd.Series]:
    """What the paper says about encoders, at the finest level; arguments as of ``encoder_study.pretraining_table``.

    Families are compared at their largest pretraining size alone, sizes within one architecture.

    Source: supplement S4.
    """
    ap = {name: 100 * list(levels.values())[-1].set_index("query_id")["ap"] for name, levels in scores.items()}
    trained = zoo[zoo["dataset_size"] > 0].sort_values("dataset_size", kind="stable")
    largest = trained.groupby("model", sort=False).tail(1)
    means = {family: pd.concat([ap[str(n)] for n in rows.index], axis=1).mean(axis=1)
             for family, rows in largest.groupby("family")}  # fmt: skip
    claims = {}
    if {"CNN", "Transformer"} <= set(means):
        claims["transformers above CNNs (mean of each)"] = means["Transformer"] - means["CNN"]
    for _, rows in trained.groupby("model", sort=False):
        for less, more in zip(rows.index, rows.index[1:], strict=False):
            sizes = f"{rows['dataset_size'][less]:,} to {rows['dataset_size'][more]:,}"
            claims[f"more pretraining is better: {more}, {sizes}"] = ap[more] - ap[less]
    for name in zoo.index[zoo["dataset_size"] == 0].intersection(list(ap)):
        claims |= {f"{other} above {name}": ap[other] - ap[name] for other in largest.index}
    return claims
