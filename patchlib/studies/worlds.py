"""Does an effect hold beyond the data it was seen on? Three worlds, an encoder trained by us and a pretrained one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from numpy.typing import ArrayLike

from patchlib import benchmarks, encoders, regions
from patchlib.benchmarks import Benchmark
from patchlib.encoders import Encoder
from patchlib.session import Session
from patchlib.studies.bootstrap import intervals, paired
from patchlib.studies.claims import verdicts
from patchlib.studies.encoder_study import by_level, sample

WORLDS: dict[str, dict[str, Any]] = {
    "procedural scenes": {"name": "procedural"},
    "photographs": {"name": "photographs"},
    "composed of photographs": {"name": "photographs", "series": "composed"},
}
# what was asked, and in which pictures it was searched for
PHOTOGRAPHS: dict[str, dict[str, Any]] = {
    f"{series.replace('_', ' ')}, {queries} queries": {"name": "photographs", "series": series, "queries": queries}
    for series in ("as_shot", "composed")
    for queries in ("iconic", "natural")
}
LABEL = "procedural scenes and photographs"
ENCODERS = ("cnn-small", "EfficientNet-Lite0")
HOLDS = {"yes": "holds", "no": "is the other way", "open": "is open", "not measured": "was not measured"}
# an interval of 95 % is 2 * 1.96 standard errors wide; an effect of 1.96 + 0.84 of them shows in 80 % of all draws
SMALLEST = (1.96 + 0.84) / (2 * 1.96)


class Visit(NamedTuple):
    """A world seen by an encoder; ``data`` is a sample where the world is large."""

    world: str
    data: Benchmark
    encoder: Encoder


Measure = Callable[[Session, Visit], Mapping[str, ArrayLike]]


def visits(
    run: Session, worlds: Mapping[str, Mapping[str, Any]] = WORLDS, names: Sequence[str] = ENCODERS
) -> list[Visit]:
    """Every world with every encoder; none where the profile's ``worlds``, the images that a world may have, is 0."""
    if not run.settings.worlds:
        return []
    seen = {world: sample(benchmarks.load(**options), run.settings.worlds) for world, options in worlds.items()}
    run.use(**{f"benchmark {world}": data.hash for world, data in seen.items()})
    by = [encoders.create(name, device=run.settings.device) for name in names]
    return [Visit(world, data, encoder) for world, data in seen.items() for encoder in by]


def compare(run: Session, name: str, measure: Measure) -> pd.DataFrame:
    """A page's effects in every world: prints their :func:`summary`, saves the table :func:`side_by_side`."""
    elsewhere = effects(run, visits(run), measure)
    print(*summary(elsewhere), sep="\n")
    rows = elsewhere.dropna().round(2).reset_index().to_dict("records")
    return run.save_table(side_by_side(elsewhere), name, label=LABEL, worlds=WORLDS, effects=rows)


def farthest(run: Session, visits: Sequence[Visit]) -> Visit:
    """The last of the visits; the run's own world where there was none."""
    return visits[-1] if visits else Visit("", run.data, run.encoder)


def scores_by_level(run: Session, visits: Sequence[Visit]) -> dict[tuple[str, str], dict[str, pd.DataFrame]]:
    """(world, encoder) -> "L0" .. "L3" -> table of ``metrics.evaluate``."""
    scores = {}
    for visit in visits:
        patches = run.features("L3", visit.data, visit.encoder)
        depth = run.depth_of(visit.data)
        scores[visit.world, visit.encoder.name] = by_level(patches, visit.data, regions.LEVELS, depth)
    return scores


def level_table(scores: Mapping[tuple[str, str], Mapping[str, pd.DataFrame]], resamples: int = 1000) -> pd.DataFrame:
    """mAP of every level, what L3 adds to L0, and how small an effect would show; of :func:`scores_by_level`.

    Returns:
        DataFrame indexed by world and encoder: a column a level in percent; ``gain`` with ``low`` and ``high``, and
        ``smallest effect``, which so many ``queries`` would show in 80 % of draws, in points.
    """
    index = pd.MultiIndex.from_tuples(list(scores), names=["world", "encoder"])
    means = [{name: 100 * table["ap"].mean() for name, table in levels.items()} for levels in scores.values()]
    gains = intervals({key: paired(levels["L0"], levels["L3"]) for key, levels in scores.items()}, resamples)
    gains = gains.rename(columns={"mean": "gain", "n": "queries"}).drop(columns="standard_error").set_axis(index)
    gains["smallest effect"] = SMALLEST * (gains["high"] - gains["low"])
    return pd.DataFrame(means, index).join(gains)


def effects(run: Session, visits: Sequence[Visit], measure: Measure) -> pd.DataFrame:
    """Effects on every visit, paired by query.

    ``measure`` gives those of a visit: name -> (Q,) differences in points.

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

    The last row holds the queries, and how small an effect so many would show in 80 % of draws: that of the first row,
    or of the one that most queries measure.
    """
    columns = {}
    for (world, encoder), part in table.groupby(level=["world", "encoder"], sort=False) if len(table) else ():
        told = [f"{row.evidence:+.1f} [{row.low:.1f}, {row.high:.1f}]" for row in part.itertuples()]
        cells = [cell if count else "none there" for cell, count in zip(told, part["queries"], strict=True)]
        first = part.sort_values("queries", ascending=False, kind="stable").iloc[0]
        cells.append(f"{first['queries']} ({SMALLEST * (first['high'] - first['low']):.1f})")
        effect = [*part.index.get_level_values("effect"), "queries (smallest effect)"]
        columns[f"{world}, {encoder}"] = pd.Series(cells, effect)
    return pd.DataFrame(columns).rename_axis("effect")


def summary(table: pd.DataFrame) -> list[str]:
    """A sentence an effect: where it holds, where it is the other way, where it is open."""
    if table.empty:
        return ["No other world is visited: the profile's 'worlds' is 0."]
    sentences = []
    for effect, part in table.groupby(level="effect", sort=False):
        told = []
        for verdict, says in HOLDS.items():
            where = [f"{world} with {encoder}" for world, encoder, _ in part.index[part["holds"] == verdict]]
            told += [f"{says} in {len(where)} of {len(part)} ({'; '.join(where)})"] if where else []
        sentences.append(f"{effect} {', '.join(told)}.")
    return sentences
