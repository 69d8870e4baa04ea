"""The main effects of the pages, each measured on one :class:`patchlib.studies.worlds.Visit`: points per query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from patchlib.features import surprise
from patchlib.regions import PATCHES
from patchlib.session import Session
from patchlib.studies import adaptive, attributes, compression, locscore, pq_training, pq_training_sets
from patchlib.studies.bootstrap import paired
from patchlib.studies.cross_fitting import cross_fitted
from patchlib.studies.encoder_study import by_level, sample
from patchlib.studies.pq_training import Trial
from patchlib.studies.region_strategies import at_equal_numbers
from patchlib.studies.worlds import Visit

if TYPE_CHECKING:
    from patchlib.reranking.matchers import Matcher

SMALL, LARGE = 0.1, 0.4  # box area as a share of the image: below, above
FAR = 0.3  # centre distance in half diagonals: above
CODE_BYTES = 16
SAMPLE = 300  # images whose regions are described for one page alone


def gains_of_levels(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Effects of notebook 03: what patches add to the whole image, in points per query."""
    patches = run.features("L3", visit.data, visit.encoder)
    scores = by_level(patches, visit.data, (0, 1, 3), run.depth_of(visit.data))
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
    three = patches.at_level(2)
    finest = patches.keep(np.flatnonzero(patches.number_in_image() >= PATCHES[2]), "4x4")
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
    depth = run.depth_of(visit.data)
    exact = by_level(patches, visit.data, (0, 3), depth)
    spec = replace(compression.rule(patches), m=CODE_BYTES)
    coded = compression.measure(patches, visit.data, spec, depth).scores
    return {
        f"mAP: L3 exact above L3 with PQ of {CODE_BYTES} bytes": paired(coded, exact["L3"]),
        f"mAP: L3 with PQ of {CODE_BYTES} bytes above L0 exact": paired(exact["L0"], coded),
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
    spec = replace(compression.rule(patches, size), m=CODE_BYTES)
    score = partial(pq_training.score, patches, visit.data, sets, nlist=spec.nlist, k=run.depth_of(visit.data))
    planned = [Trial(name, size, spec.m, seed) for name in sets for seed in range(seeds)]
    scores = compression.run({trial: partial(score, trial) for trial in planned}, run.settings.workers, "codebooks")
    ap = {name: pq_training.per_query(scores, name, size, spec.m) for name in sets}
    pairs = (("G.T. crops", "L0"), ("G.T. crops", "L3"), ("L0", "L3"))
    return {f"codebook of {more} above one of {less}": ap[more] - ap[less] for more, less in pairs}


def rerankings(
    run: Session, visit: Visit, matchers: Mapping[str, Matcher], lengths: Sequence[int] = (0, 25, 50)
) -> dict[str, pd.Series]:
    """Effects of notebook 10: what AMES and ELViS add to whole images and to patches; every cell is cross-fitted."""
    from patchlib.reranking import cutouts  # here: both import torch, for which no other page waits
    from patchlib.studies import reranking

    patches = run.features("L3", visit.data, visit.encoder)
    stages = run.evaluate({"global": patches.at_level(0), "L3": patches}, visit.data).rankings
    reading = {"workers": run.settings.workers, "skip_bad": run.settings.skip_bad}
    logits = {}
    for name in ("AMES", "ELViS"):
        matcher = matchers[name]
        images = matcher.extract(cutouts.whole_images(visit.data), **reading)
        queries = matcher.extract(cutouts.queries(visit.data), query=True, **reading)
        by, device = {"scorer": name, "matcher": matcher.config}, run.settings.device
        seen = (queries, images, stages, max(lengths), by)
        logits[name] = reranking.logits_of_stages(matcher.scorer, *seen, device=device)
    grids = reranking.grids(stages, logits, visit.data, lengths, run.depth_of(visit.data))
    instances = visit.data.queries["instance"]
    ap = {key: 100 * cross_fitted(cells, instances).ap for key, cells in grids.items()}
    alone = {stage: 100 * reranking.first_stage(cells) for (stage, _), cells in grids.items()}
    return {f"{name} improves {stage}": ap[stage, name] - alone[stage] for name in logits for stage in stages} | {
        "ELViS above AMES on L3": ap["L3", "ELViS"] - ap["L3", "AMES"],
        "L3 alone above global + AMES": alone["L3"] - ap["global", "AMES"],
    }


def adaptive_regions(run: Session, visit: Visit) -> dict[str, pd.Series]:
    """Effects of notebook 13, on a sample: windows that surprise, as many as L3 has patches and fewer."""
    data = sample(visit.data, SAMPLE)
    patches = run.features("L3", data, visit.encoder)
    thirty = run.features(adaptive.first(data, surprise.SHARPNESS, surprise.MOST), data, visit.encoder)
    fourteen = thirty.keep(np.flatnonzero(thirty.number_in_image() < PATCHES[2]), "adaptive-14")
    sets = {"L3": patches, "L2": patches.at_level(2), "30": thirty, "14": fourteen}
    scores = run.evaluate(sets, data).scores
    return {
        "mAP: 30 adaptive regions above L3": paired(scores["L3"], scores["30"]),
        "mLocScore: 30 adaptive regions above L3": paired(scores["L3"], scores["30"], "mloc_score"),
        "mAP: 14 adaptive regions above L2": paired(scores["L2"], scores["14"]),
        "mAP: 14 adaptive regions above L3": paired(scores["L3"], scores["14"]),
    }
