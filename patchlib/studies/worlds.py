"""Does an effect hold beyond the data it was seen on? Three worlds, an encoder trained by us and a pretrained one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from patchlib.benchmarks import Benchmark
from patchlib.session import Session
from patchlib.studies.claims import verdicts
from patchlib.studies.encoder_study import sample

WORLDS: dict[str, dict[str, Any]] = {
    "procedural scenes": {"benchmark": "procedural"},
    "photographs": {"benchmark": "photographs"},
    "composed of photographs": {"benchmark": "photographs", "series": "composed"},
}
ENCODERS = ("cnn-small", "EfficientNet-Lite0")
HOLDS = {"yes": "holds", "no": "is the other way", "open": "is open", "not measured": "was not measured"}
# an interval of 95 % is 2 * 1.96 standard errors wide; an effect of 1.96 + 0.84 of them shows in 80 % of all draws
SMALLEST = (1.96 + 0.84) / (2 * 1.96)
Measure = Callable[[Session, Benchmark], Mapping[str, ArrayLike]]


def gains_of_levels(run: Session, data: Benchmark) -> dict[str, pd.Series]:
    """Effects of notebook 03: what patches add to the whole image, in points per query."""
    patches = run.features("L3", data)
    _, scores = run.evaluate({level: patches.at_level(int(level[1:])) for level in ("L0", "L1", "L3")}, data)
    points = {level: 100 * table.set_index("query_id") for level, table in scores.items()}
    return {
        "mAP: L3 above L0": points["L3"]["ap"] - points["L0"]["ap"],
        "mAP: L1 above L0": points["L1"]["ap"] - points["L0"]["ap"],
        "mLocScore: L3 above L0": points["L3"]["mloc_score"] - points["L0"]["mloc_score"],
    }


def effects(run: Session, measure: Measure) -> pd.DataFrame:
    """Effects in every world by every encoder, paired by query.

    Args:
        run: the session; its profile says how many images a world may have (``worlds``), 0 = none is visited.
        measure: effects of a world's session on (a sample of) its benchmark: name -> (Q,) differences in points.

    Returns:
        The columns of :func:`patchlib.studies.claims.verdicts`, indexed by world, encoder and effect.
    """
    tables = {}
    for (world, encoder), there in _sessions(run):
        differences = measure(there, sample(there.data, run.settings.worlds))
        tables[world, encoder] = verdicts(differences, run.settings.resamples)
    if not tables:
        return verdicts({}).rename_axis("effect")
    return pd.concat(tables, names=["world", "encoder", "effect"])


def farthest(run: Session) -> Session:
    """A session in the last world with the last encoder; the run's own where its profile visits none."""
    return [run, *(there for _, there in _sessions(run))][-1]


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """One row an effect, one column a world and an encoder, as text: mean [95 % interval].

    The last row holds the queries, and the smallest effect in the first row that so many would show in 80 % of draws.
    """
    columns = {}
    for (world, encoder), part in table.groupby(level=["world", "encoder"], sort=False) if len(table) else ():
        cells = [f"{row.evidence:+.1f} [{row.low:.1f}, {row.high:.1f}]" for row in part.itertuples()]
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


def _sessions(run: Session) -> Iterator[tuple[tuple[str, str], Session]]:
    for world, options in WORLDS.items() if run.settings.worlds else ():
        for encoder in ENCODERS:
            yield (world, encoder), run.beside(encoder=encoder, **options)
