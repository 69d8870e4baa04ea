"""Costs of re-ranking: what is stored, what is timed, and their sums."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from patchlib.reranking.local_features import LocalFeatures
from patchlib.studies import reranking_costs
from patchlib.support.machine import Stopwatch


def test_costs_add_up() -> None:
    index = pd.MultiIndex.from_tuples([("L3", "AMES"), ("L3", "Chamfer")])
    table = pd.DataFrame({"first stage": [40.0, 40.0], "re-ranked": [45.0, 42.0]}, index=index)
    stages = pd.DataFrame([[1000, 2.0]], index=["L3"], columns=reranking_costs.COST)
    scorers = pd.DataFrame([[500, 30.0], [900, 4.0]], index=["AMES", "Chamfer"], columns=reranking_costs.COST)
    cost = reranking_costs.of_methods(table, stages, scorers)
    assert list(cost.index) == ["L3", "L3 + AMES", "L3 + Chamfer"]
    assert cost["re-ranker"].tolist() == ["none", "AMES", "Chamfer"] and set(cost["first stage"]) == {"L3"}
    assert cost["mAP"].tolist() == [40, 45, 42]
    assert cost["bytes per image"].tolist() == [1000, 1000 + 500, 1000 + 900]
    assert cost["ms per query"].tolist() == [2, 2 + 30, 2 + 4]


def test_time_is_taken_of_a_few_queries() -> None:
    queries, images = (
        LocalFeatures(np.ones((count, 2, 3), np.float16), np.full(count, 2), [""] * count, {}) for count in (6, 9)
    )
    scored = []

    def scorer(*pair):  # type: ignore[no-untyped-def]
        scored.append(pair[2].shape)
        return pair[2].sum(dim=(1, 2))

    by = {"sum": SimpleNamespace(scorer=scorer, bytes_per_image=12)}
    cost = reranking_costs.of_matchers(by, {"sum": queries}, {"sum": images}, np.zeros((6, 5), int), "cpu", Stopwatch())
    assert set(scored) == {(5, 2, 3)} and len(scored) == 2 * reranking_costs.FEW  # the first call warms up
    assert cost.loc["sum", "bytes per image"] == 12 and cost.loc["sum", "ms per query"] > 0
    first = reranking_costs.of_stages({"L0": lambda: scored.clear()}, {"L0": 900}, 9, 6, Stopwatch())
    assert not scored and first.loc["L0", "bytes per image"] == 100
