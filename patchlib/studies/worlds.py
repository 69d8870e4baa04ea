"""Does an effect hold beyond the data it was seen on? Three worlds, an encoder trained by us and a pretrained one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from patchlib import benchmarks, encoders
from patchlib.benchmarks import Benchmark
from patchlib.encoders import Encoder
from patchlib.regions import PATCHES
from patchlib.session import Session
from patchlib.studies import attributes, compression
from patchlib.studies.bootstrap import paired
from patchlib.studies.claims import verdicts
from patchlib.studies.encoder_study import sample
from patchlib.studies.region_strategies import at_equal_numbers

WORLDS: dict[str, dict[str, Any]] = {
    "procedural scenes": {"name": "procedural"},
    "photographs": {"name": "photographs"},
    "composed of photographs": {"name": "photographs", "series": "composed"},
}
ABOUT: dict[str, Any] = {"label": "procedural scenes and photographs", "worlds": WORLDS}  # of what is saved of them
ENCODERS = ("cnn-small", "EfficientNet-Lite0")
SMALL, LARGE = 0.1, 0.4  # box area as a share of the image: below, above
FAR = 0.3  # centre distance in half diagonals: above
CODE_BYTES = 16
HOLDS = {"yes": "holds", "no": "is the other way", "open": "is open", "not measured": "was not measured"}
# an interval of 95 % is 2 * 1.96 standard errors wide; an effect of 1.96 + 0.84 of them shows in 80 % of all draws
SMALLEST = (1.96 + 0.84) / (2 * 1.96)


class Visit(NamedTuple):
    """A world seen by an encoder; ``data`` is a sample where the world is large."""

    world: str
    data: Benchmark
    encoder: Encoder


Measure = Callable[[Session, Visit], Mapping[str, ArrayLike]]


def visits(run: Session) -> list[Visit]:
    """Every world with every encoder; none where the profile's ``worlds``, the images that a world may have, is 0."""
    if not run.settings.worlds:
        return []
    seen = {world: sample(benchmarks.load(**options), run.settings.worlds) for world, options in WORLDS.items()}
    run.use(**{f"benchmark {world}": data.hash for world, data in seen.items()})
    by = [encoders.create(name, device=run.settings.device) for name in ENCODERS]
    return [Visit(world, data, encoder) for world, data in seen.items() for encoder in by]


def farthest(run: Session, visits: Sequence[Visit]) -> Visit:
    """The last of the visits; the run's own world where there was none."""
    return visits[-1] if visits else Visit("", run.data, run.encoder)


def gains_of_levels(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Effects of notebook 03: what patches add to the whole image, in points per query."""
    patches = run.features("L3", visit.data, visit.encoder)
    sets = {level: patches.at_level(int(level[1:])) for level in ("L0", "L1", "L3")}
    scores = run.evaluate(sets, visit.data).scores
    return {
        "mAP: L3 above L0": paired(scores["L0"], scores["L3"]),
        "mAP: L1 above L0": paired(scores["L0"], scores["L1"]),
        "mLocScore: L3 above L0": paired(scores["L0"], scores["L3"], "mloc_score"),
    }


def gains_of_boxes(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Effects of notebook 05: what patches add or cost by size and place of the box, in points per query.

    The borders are the same in every world, so that its own mix of sizes does not decide what is called small.
    """
    patches = run.features("L3", visit.data, visit.encoder)
    boxes = attributes.attributes(visit.data).groupby(attributes.PAIR, as_index=False).max()
    kinds = [boxes["area"] < SMALL, boxes["distance"] > FAR, boxes["area"] > LARGE]
    members = pd.concat([boxes[kind].assign(bin=number) for number, kind in enumerate(kinds)])
    groups = attributes.Bins(("small", "far", "large"), members)
    sets = {"L0": patches.at_level(0), "L3": patches}
    _, tables = attributes.evaluate(sets, visit.data, {"boxes": groups}, run.depth_of(visit.data))["boxes"]
    small, far, large = (attributes.at(tables["L3"], n) - attributes.at(tables["L0"], n) for n in range(3))
    return {
        f"mAP: L3 above L0, boxes below {SMALL:.0%} of the image": small,
        f"mAP: L3 above L0, centres over {FAR} half diagonals away": far,
        f"mAP: L0 above L3, boxes above {LARGE:.0%} of the image": -large,
    }


def gains_of_regions(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Effects of notebook 07, of regions that L3 has: more of them, and equally many of several sizes or of one."""
    patches = run.features("L3", visit.data, visit.encoder)
    number = np.arange(len(patches.boxes)) - np.repeat(patches.offsets[:-1], np.diff(patches.offsets))
    three = patches.at_level(2)
    finest = patches.keep(np.flatnonzero(number >= PATCHES[2]), "4x4")
    _, one = at_equal_numbers(three, finest)
    scores = run.evaluate({"L3": patches, "three": three, "one": one}, visit.data).scores
    return {
        "mAP: L3 above L2": paired(scores["three"], scores["L3"]),
        "mAP: 14 patches of three sizes above 14 of one": paired(scores["one"], scores["three"]),
        "mLocScore: 14 patches of three sizes above 14 of one": paired(scores["one"], scores["three"], "mloc_score"),
    }


def costs_of_codes(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Effects of notebook 08: what PQ of 16 bytes costs L3, and what it leaves of the gain, in points per query."""
    patches = run.features("L3", visit.data, visit.encoder)
    sets = {"L0": patches.at_level(0), "L3": patches}
    exact = run.evaluate(sets, visit.data).scores
    spec = replace(compression.rule(patches), m=CODE_BYTES)
    coded = compression.measure(patches, visit.data, spec, run.depth_of(visit.data)).scores
    return {
        f"mAP: L3 exact above L3 with PQ of {CODE_BYTES} bytes": paired(coded, exact["L3"]),
        f"mAP: L3 with PQ of {CODE_BYTES} bytes above L0 exact": paired(exact["L0"], coded),
    }


def effects(run: Session, visits: Sequence[Visit], measure: Measure) -> pd.DataFrame:
    """Effects on every visit, paired by query.

    Args:
        run: computes features and scores.
        visits: of :func:`visits`.
        measure: effects on a visit: name -> (Q,) differences in points.

    Returns:
        The columns of :func:`patchlib.studies.claims.verdicts`, indexed by world, encoder and effect.
    """
    tables = {
        (visit.world, visit.encoder.name): verdicts(measure(run, visit), run.settings.resamples) for visit in visits
    }
    if not tables:
        return verdicts({}).rename_axis("effect")
    return pd.concat(tables, names=["world", "encoder", "effect"])


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """One row an effect, one column a world and an encoder, as text: mean [95 % interval].

    The last row holds the queries, and the smallest effect in the first row that so many would show in 80 % of draws.
    """
    columns = {}
    for (world, encoder), part in table.groupby(level=["world", "encoder"], sort=False) if len(table) else ():
        told = [f"{row.evidence:+.1f} [{row.low:.1f}, {row.high:.1f}]" for row in part.itertuples()]
        cells = [cell if count else "none there" for cell, count in zip(told, part["queries"], strict=True)]
        first = part.iloc[0]
        cells.append(f"{first['queries']} ({SMALLEST * (first['high'] - first['low']):.1f})")
        effect = [*part.index.get_level_values("effect"), "queries (smallest effect)"]
        columns[f"{world}, {encoder}"] = pd.Series(cells, effect)
    return pd.DataFrame(columns).rename_axis("effect")


def summary(table: pd.DataFrame) -> list[str]:
    """A sentence an effect: where it holds, where it is the other way, where it is open."""
    if table.empty:
        return ["no other world: the profile's 'worlds' is 0"]
    sentences = []
    for effect, part in table.groupby(level="effect", sort=False):
        told = []
        for verdict, says in HOLDS.items():
            where = [f"{world} with {encoder}" for world, encoder, _ in part.index[part["holds"] == verdict]]
            told += [f"{says} in {len(where)} of {len(part)} ({'; '.join(where)})"] if where else []
        sentences.append(f"{effect} {', '.join(told)}")
    return sentences
