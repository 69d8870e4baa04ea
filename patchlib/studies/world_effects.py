"""The main effects of the pages, each measured on one :class:`patchlib.studies.worlds.Visit`: points per query."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from patchlib.reranking import cutouts
from patchlib.session import Session
from patchlib.studies import attributes, compression, locscore, pooling, pq_training, pq_training_sets, reranking
from patchlib.studies.bootstrap import paired
from patchlib.studies.cross_fitting import cross_fitted
from patchlib.studies.pq_training import Trial
from patchlib.studies.worlds import Visit

if TYPE_CHECKING:
    from patchlib.reranking.matchers import Matcher


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


def places(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Effects of notebook 04: what the finest grid adds to the one before it, and what geometry alone would allow."""
    patches = run.features("L3", visit.data, visit.encoder)
    sets = {"L2": patches.at_level(2), "L3": patches}
    rankings, scores = run.evaluate(sets, visit.data)
    reach = {level: attributes.reachable(visit.data, part).set_index(attributes.PAIR) for level, part in sets.items()}
    found = locscore.positives_found(rankings["L3"], visit.data, patches).set_index(attributes.PAIR)
    by_query = {level: 100 * table["reachable"].groupby("query_id").mean() for level, table in reach.items()}
    missed = (reach["L3"]["reachable"] - found["iou"]).dropna()
    return {
        "mLocScore: L3 above L2": paired(scores["L2"], scores["L3"], "mloc_score"),
        "best IoU in the grid: L3 above L2": by_query["L3"] - by_query["L2"],
        "IoU of the best patch above the winner's, L3": 100 * missed.groupby("query_id").mean(),
    }


def training_sets(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Effects of notebook 09: codebooks of crops, of whole images and of L3 patches, all trained on as many vectors."""
    extract = partial(run.features, encoder=visit.encoder)
    patches, seeds, size = extract("L3", visit.data), 3, pq_training_sets.CODEWORDS
    sets = {
        "L0": patches.at_level(0).descriptors,
        "L3": patches.descriptors,
        "G.T. crops": pq_training_sets.crops(visit.data, extract)[1].descriptors,
    }
    spec = compression.rule(patches, size)
    score = partial(pq_training.score, patches, visit.data, sets, nlist=spec.nlist, k=run.depth_of(visit.data))
    planned = [Trial(name, size, spec.m, seed) for name in sets for seed in range(seeds)]
    scores = compression.run({trial: partial(score, trial) for trial in planned}, run.settings.workers, "codebooks")
    ap = {name: pq_training.per_query(scores, name, size, spec.m) for name in sets}
    pairs = (("G.T. crops", "L0"), ("G.T. crops", "L3"), ("L0", "L3"))
    return {f"codebook of {more} above one of {less}": ap[more] - ap[less] for more, less in pairs}


def rerankings(
    run: Session, visit: Visit, matcher: Matcher, lengths: Sequence[int] = (0, 25, 50, 100)
) -> dict[str, pd.Series]:
    """Effects of notebook 10: what the matcher adds to whole images and to patches; every cell is cross-fitted."""
    patches = run.features("L3", visit.data, visit.encoder)
    stages = run.evaluate({"global": patches.at_level(0), "L3": patches}, visit.data).rankings
    reading = {"workers": run.settings.workers, "skip_bad": run.settings.skip_bad}
    images = matcher.extract(cutouts.whole_images(visit.data), **reading)
    queries = matcher.extract(cutouts.queries(visit.data), query=True, **reading)
    by = {"scorer": "AMES", "matcher": matcher.config}
    logits = reranking.logits_of_stages(
        matcher.model, queries, images, stages, max(lengths), by, device=run.settings.device
    )
    grids = reranking.grids(stages, {"AMES": logits}, visit.data, lengths, run.depth_of(visit.data))
    instances = visit.data.queries["instance"]
    ap = {stage: 100 * cross_fitted(cells, instances).ap for (stage, _), cells in grids.items()}
    alone = {stage: 100 * reranking.first_stage(cells) for (stage, _), cells in grids.items()}
    return {f"AMES improves {stage}": ap[stage] - alone[stage] for stage in stages} | {
        "L3 alone above global + AMES": alone["L3"] - ap["global"]
    }


def scorings(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Effects of notebook 13: each idea at the strength that the other half of the instances chose."""
    patches = run.features("L3", visit.data, visit.encoder)
    cells = 100 * pooling.sweep(patches, visit.data, pooling.VARIANTS, run.depth_of(visit.data))
    instances = visit.data.queries.set_index("query_id").loc[cells.columns, "instance"]
    plain = cells.iloc[0]
    return {idea: cross_fitted(cells.loc[idea], instances).ap - plain for idea in pooling.VARIANTS}
