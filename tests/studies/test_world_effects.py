"""Effects that the pages measure in every world: their names, and differences that hold on data made to have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from patchlib import benchmarks, encoders, profiles
from patchlib.reranking import matchers
from patchlib.session import Session
from patchlib.studies import world_effects
from patchlib.studies.worlds import Visit

Measure = Callable[[Session, Visit], Mapping[str, pd.Series]]


@pytest.fixture(scope="module")
def visit() -> Visit:
    data = benchmarks.load("procedural", instances=16, positives=3, distractors=12)
    return Visit("a small one", data, encoders.create("cnn-small"))


@pytest.fixture
def run() -> Session:
    return profiles.open("builtin", worlds=5)


@pytest.mark.parametrize(
    ("measure", "count"),
    [(world_effects.gains_of_levels, 3), (world_effects.places, 3), (world_effects.adaptive_regions, 4)],
)
def test_an_effect_has_a_value_a_query(run: Session, visit: Visit, measure: Measure, count: int) -> None:
    effects = measure(run, visit)
    assert len(effects) == count
    for difference in effects.values():
        assert set(difference.index) <= set(visit.data.queries["query_id"]) and difference.abs().max() <= 100


def test_geometry_is_on_the_side_of_finer_grids_and_of_the_best_patch(run: Session, visit: Visit) -> None:
    effects = world_effects.places(run, visit)
    assert (effects["best IoU in the grid: L3 above L2"] >= 0).all()
    assert (effects["IoU of the best patch above the winner's, L3"] >= -1e-6).all()


def test_the_matcher_is_cross_fitted_on_whole_images_and_on_patches(run: Session, visit: Visit) -> None:
    nets = {name: matchers.load("built-in", network=name) for name in ("AMES", "ELViS")}
    effects = world_effects.rerankings(run, visit, nets, lengths=(0, 10))
    both = effects["AMES improves L3"] - effects["AMES improves global"]
    # L3 + AMES - (global + AMES) = both + L3 alone - global alone
    gain = world_effects.gains_of_levels(run, visit)["mAP: L3 above L0"]
    alone = effects["L3 alone above global + AMES"]
    np.testing.assert_allclose(alone, gain - effects["AMES improves global"], atol=1e-3)
    assert both.notna().all()


def test_codebooks_of_three_kinds(run: Session, visit: Visit) -> None:
    # a codebook wants 256 vectors: as many images, and as many crops
    data = benchmarks.load("procedural", instances=65, positives=4, distractors=0)
    crops_l0, crops_l3, l0_l3 = world_effects.training_sets(run, visit._replace(data=data)).values()
    np.testing.assert_allclose(crops_l3 - crops_l0, l0_l3, atol=1e-9)
    assert crops_l0.abs().sum() > 0
