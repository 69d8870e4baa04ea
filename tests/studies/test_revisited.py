"""Published scores of R-Oxford and R-Paris against their own code's numbers, and a walk down a list."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from builders import benchmark_of

from patchlib.search import Ranking
from patchlib.studies.revisited import protocol

ORACLE = json.loads((Path(__file__).parents[1] / "data" / "average_precision.json").read_text())


def labelled(order: list[int], labels: dict[str, list[int]]):
    data = benchmark_of(len(order), 1, [])
    data.meta["labels"] = {"q0": {label: [f"i{i}" for i in images] for label, images in labels.items()}}
    images = np.array([order], np.int32)
    return Ranking(images, -np.arange(len(order), dtype=np.float32)[None], images), data


@pytest.mark.parametrize("case", ORACLE, ids=range(len(ORACLE)))
def test_the_publishers_average_precision(case) -> None:
    order = [*case["ranking"], *np.setdiff1d(range(case["n_database"]), case["ranking"]).tolist()]
    if len(case["ranking"]) < case["n_database"] and set(case["positives"]) - set(case["ranking"]):
        pytest.skip("a positive is beyond the ranking, which R-Oxford's never are")
    found = protocol(*labelled(order, {"easy": case["positives"], "hard": [], "junk": []})).loc["q0"]
    assert found["easy"] == found["medium"] == pytest.approx(case["trapezoidal_ap"], abs=1e-9)
    assert np.isnan(found["hard"])


def walk(order: list[int], positives: set[int], junk: set[int]) -> float:
    """Down the list: junk is stepped over, every positive adds a trapezoid."""
    area, seen, hits = 0.0, 0, 0
    for image in order:
        if image in junk:
            continue
        if image in positives:
            area += ((hits / seen if seen else 1.0) + (hits + 1) / (seen + 1)) / 2 / len(positives)
            hits += 1
        seen += 1
    return area


@pytest.mark.parametrize("seed", range(5))
def test_junk_is_stepped_over(seed: int) -> None:
    rng = np.random.default_rng(seed)
    easy, hard, junk = (part.tolist() for part in np.split(rng.permutation(30)[:12], [4, 7]))
    order = rng.permutation(30).tolist()
    found = protocol(*labelled(order, {"easy": easy, "hard": hard, "junk": junk})).loc["q0"]
    assert found["easy"] == pytest.approx(walk(order, set(easy), {*hard, *junk}))
    assert found["medium"] == pytest.approx(walk(order, {*easy, *hard}, set(junk)))
    assert found["hard"] == pytest.approx(walk(order, set(hard), {*easy, *junk}))


def test_another_benchmark_has_no_such_settings() -> None:
    ranking, data = labelled([0, 1], {})
    del data.meta["labels"]
    with pytest.raises(ValueError, match="tables has no labels easy, hard and junk"):
        protocol(ranking, data)
