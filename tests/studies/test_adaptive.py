"""Adaptive regions on trial: taken out of all windows, chosen by the other half of the instances."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from patchlib import benchmarks, encoders, features, metrics, search
from patchlib.benchmarks import Benchmark
from patchlib.features import FeatureSet, surprise
from patchlib.studies import adaptive, cross_fitting


@pytest.fixture(scope="module")
def data() -> Benchmark:
    return benchmarks.load("procedural", instances=6, positives=2, distractors=4)


@pytest.fixture(scope="module")
def windows(data: Benchmark) -> FeatureSet:
    return features.extract(data, "sliding-L3-0.25", encoders.create("colour-histogram"))


def table(data: Benchmark, part: FeatureSet) -> pd.DataFrame:
    return metrics.evaluate(search.rank(part.query_descriptors, part), data, part)


def test_chosen_windows_have_the_descriptors_that_extraction_gives(data: Benchmark, windows: FeatureSet) -> None:
    taken = adaptive.sets(windows, data, 6)[surprise.SHARPNESS]
    strategy = adaptive.first(data, surprise.SHARPNESS, 6)
    made = features.extract(data, strategy, encoders.create("colour-histogram"))
    assert (np.diff(taken.offsets) == 6).all()
    for image in range(taken.n_images):  # one in the order of all windows, the other in the order of the choice
        rows, others = taken.rows(image), made.rows(image)
        order, other = (np.lexsort(part.boxes[part.rows(image)].T) for part in (taken, made))
        assert (taken.boxes[rows][order] == made.boxes[others][other]).all()
        assert (np.asarray(taken.descriptors[rows])[order] == np.asarray(made.descriptors[others])[other]).all()


def test_sets_of_other_sharpness_or_number_have_other_names(data: Benchmark, windows: FeatureSet) -> None:
    sets = [part for count in (6, 7) for part in adaptive.sets(windows, data, count).values()]
    assert len({part.meta["hash"] for part in sets}) == len(sets) == 2 * len(adaptive.SHARPNESSES)


def test_each_half_is_scored_at_the_choice_of_the_other(data: Benchmark, windows: FeatureSet) -> None:
    tables = {s: table(data, part) for s, part in adaptive.sets(windows, data, 6).items()}
    choice = adaptive.choose(tables, data)
    fair = adaptive.fair(tables, choice, data).set_index("query_id")
    first = cross_fitting.halves(data.queries["instance"])
    for query, half in zip(data.queries["query_id"], first, strict=True):
        chosen = tables[choice.chosen[1 if half else 0]].set_index("query_id")
        assert fair.loc[query, "mloc_score"] == chosen.loc[query, "mloc_score"]
    pd.testing.assert_series_equal(fair["ap"], choice.ap.loc[fair.index], check_names=False)


def test_gains_are_against_the_base(data: Benchmark, windows: FeatureSet) -> None:
    base, rival = (table(data, part) for part in (windows.keep(np.arange(windows.n_images) * 276, "L0"), windows))
    told = adaptive.against(base, {"L0": base, "all": rival}, resamples=100)
    assert told.loc["L0", "mAP gain"] == 0
    assert told.loc["all", "mAP gain"] == pytest.approx(told.loc["all", "mAP"] - told.loc["L0", "mAP"])
