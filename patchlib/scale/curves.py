"""What ``make scale`` has measured, as tables: levels at equal recall, time and bytes; a fit, and how far it was off.

A row of ``sizes`` is real images: ``images``, ``level``, ``method`` ("exact" or "PQ"), ``m``, ``nlist``, ``nprobe``,
``bits`` a dimension, ``bytes`` an image, ``mAP`` and ``mLocScore`` at 1k and ``positives`` in the first 100 (percent),
``found``: percent of exact search's first 100 images, ``ms`` a query on one core, ``build`` seconds.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from patchlib.support import paths, provenance

RECORD = "scale_machine.json"  # in figures/
KNOWN = 20_000  # images: larger databases are held back from the fit
REPEATS = 3  # of a query; the best counts, since other work on the machine only ever adds


def recorded(folder: Path | None = None) -> dict[str, Any]:
    """By step ``machine``, ``date``, ``load`` and ``rows``, of the checkout or another folder of figures."""
    target = (folder or paths.shipped() / "figures") / RECORD
    return provenance.read_json(target) if target.exists() else {}


def table(record: dict[str, Any], step: str) -> pd.DataFrame:
    """The rows of a step: "sizes", "copies", "density" or "engines"; empty if it has not been measured."""
    return pd.DataFrame(record.get(step, {}).get("rows", []))


def latency(search: Callable[[NDArray[np.float32]], Any], queries: NDArray[np.float32]) -> float:
    """Milliseconds of a query asked alone, all in the cache: the median over queries of the best of three."""
    search(queries[:1])
    times = [min(timeit.repeat(partial(search, query[None]), number=1, repeat=REPEATS)) for query in queries]
    return 1000 * float(np.median(times))


def fit(sizes: pd.DataFrame, images: Sequence[int]) -> pd.DataFrame:
    """mAP of exact search by level, logit(mAP) = a + b log(images), from databases of at most ``KNOWN`` images.

    Args:
        sizes: see above.
        images: where to predict.

    Returns:
        images, level, ``fitted``, ``low``, ``high`` (of a 95 % prediction interval), ``measured``, and ``error`` of
        fitted, NaN where nothing was measured; percent.

    Raises:
        ValueError: fewer than three sizes to fit to.
    """
    parts = []
    for level, own in sizes[sizes["method"] == "exact"].groupby("level"):
        known = own[own["images"] <= KNOWN]
        if len(known) < 3:
            raise ValueError(f"{len(known)} sizes of at most {KNOWN:,} images were measured, expected at least 3")
        x, share = np.log(known["images"]), known["mAP"] / 100
        line = stats.linregress(x, np.log(share / (1 - share)))
        rest = np.log(share / (1 - share)) - line.intercept - line.slope * x
        spread = np.sqrt((rest**2).sum() / (len(x) - 2))
        at = np.log(images)
        half = stats.t.ppf(0.975, len(x) - 2) * spread
        half = half * np.sqrt(1 + 1 / len(x) + (at - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
        ends = {"fitted": 0, "low": -half, "high": half}
        told = {name: 100 / (1 + np.exp(-line.intercept - line.slope * at - off)) for name, off in ends.items()}
        measured = own.set_index("images")["mAP"].reindex(images).to_numpy()
        parts.append(pd.DataFrame({"images": images, "level": level, **told, "measured": measured}))
    return pd.concat(parts, ignore_index=True).assign(error=lambda rows: rows["fitted"] - rows["measured"])


def tested(fitted: pd.DataFrame) -> str:
    """How far a fit was off at the sizes held back from it, if any has been measured."""
    if (held := fitted.dropna(subset="error")).empty:
        return f"No size beyond {KNOWN:,} images has been measured, so nothing tests the fit"
    inside = held["measured"].between(held["low"], held["high"]).sum()
    off = f"is off by at most {held['error'].abs().max():.1f} points of mAP"
    return (
        f"Held back up to {held['images'].max():,} images, the fit {off}, {inside} of {len(held)} within its interval"
    )


def at_recall(sizes: pd.DataFrame, found: float, m: int) -> pd.DataFrame:
    """Of every level, at one size and m, the cheapest row that finds ``found`` percent, else the nearest to it."""
    coded = sizes[(sizes["method"] == "PQ") & (sizes["m"] == m)].sort_values("nprobe")
    enough = coded[coded["found"] >= found].drop_duplicates("level")
    most = coded.sort_values("found").drop_duplicates("level", keep="last")
    return pd.concat([enough, most]).drop_duplicates("level").sort_values("level").set_index("level")


def at_most(sizes: pd.DataFrame, column: str, limit: float) -> pd.DataFrame:
    """The row of every level with the highest mAP, at one size, within ``limit``; ValueError: no level has one."""
    if not (sizes[column] <= limit).any():
        raise ValueError(f"no level takes at most {limit:g} {column}; the least is {sizes[column].min():.3g}")
    within = sizes[sizes[column] <= limit].sort_values(["mAP", "ms"], ascending=[False, True])
    return within.drop_duplicates("level").sort_values("level").set_index("level")


def points(sizes: pd.DataFrame, fitted: pd.DataFrame, copies: pd.DataFrame, m: int, nprobe: int) -> pd.DataFrame:
    """Rows to draw, of a kind "measured", "replicated" (codes come many times: no mAP) or "fitted"."""
    sizes = sizes.assign(GB=sizes["images"] * sizes["bytes"] / 1e9, kind="measured")
    coded = sizes[(sizes["m"] == m) & (sizes["nprobe"] == nprobe)]
    large = copies.assign(method="PQ", kind="replicated", mAP=np.nan)
    ahead = fitted.rename(columns={"fitted": "mAP"}).assign(method="exact", kind="fitted")
    columns = ["images", "level", "method", "kind", "mAP", "low", "high", "GB", "ms"]
    parts = [sizes[sizes["method"] == "exact"], coded, large, ahead]
    return pd.concat([part.reindex(columns=columns) for part in parts], ignore_index=True)


def reversal(copied: pd.Series, lost: pd.Series, real: pd.Series) -> list[str]:
    """The finest level against the coarsest at equal ``nprobe``, in two sentences.

    Args:
        copied, real: mAP by level in the large index, and among the most real images.
        lost: points of it that multiplying codes costs where both can be seen.
    """
    low, high = copied.index[0], copied.index[-1]
    push = "" if lost[high] > lost[low] else "not "
    told = f": a reversal, towards which copies do {push}push" if copied[high] < copied[low] else ""
    return [
        f"At equal nprobe {high} stands {copied[high] - copied[low]:+.1f} points from {low} among copies, "
        f"{real[high] - real[low]:+.1f} among real images{told}.",
        f"Where both can be seen, copies cost {low} {lost[low]:.1f} and {high} {lost[high]:.1f} points: a recombined "
        f"code can match a query in parts that no image has together, and {high} has more of them an image.",
    ]


def recommendation(equal: dict[str, pd.DataFrame], fitted: pd.DataFrame, limits: dict[str, float]) -> list[str]:
    """Three sentences: which level, within which limits, and how far that is known.

    Args:
        equal: rows by level at equal "recall", "time" and "bytes", of which ``limits`` are in ms and bytes of an image.
        fitted: of :func:`fit`, at sizes that were measured and one that was not.
    """
    recall, quick, small = (equal[name] for name in ("recall", "time", "bytes"))
    best, fast, slim = (part["mAP"].idxmax() for part in (recall, quick, small))
    first, top, coded = recall.iloc[0], recall.loc[best], small.loc[slim]
    ahead = fitted[fitted["images"] == fitted["images"].max()].set_index("level")
    method = f"PQ with m = {coded['m']:.0f}" if coded["method"] == "PQ" else "exact"
    clear = ahead["low"][best] > ahead["high"].drop(best).max()
    return [
        f"With time and bytes to spend take {best}: {top['mAP']:.1f} mAP where {first.name} has {first['mAP']:.1f}, "
        f"for {top['ms'] / first['ms']:.1f} times the time and {top['bytes'] / first['bytes']:.0f} times the bytes.",
        f"Within {limits['time']:g} ms a query {fast} is best ({quick.loc[fast, 'mAP']:.1f} mAP), within "
        f"{limits['bytes']:g} bytes an image {slim} ({coded['mAP']:.1f}, {method}).",
        f"{tested(fitted)}; at {ahead['images'].iloc[0]:,} images, which nobody has confirmed, its intervals say that "
        f"{best} {'keeps its lead' if clear else 'may lose its lead'}.",
    ]
