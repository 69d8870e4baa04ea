"""Cutouts of a small benchmark, written down by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from patchlib.benchmarks.benchmark import Benchmark
from patchlib.features import FeatureSet
from patchlib.reranking import cutouts
from patchlib.search import Ranking


@pytest.fixture
def small(tmp_path: Path) -> Benchmark:
    images = pd.DataFrame({"image_id": ["a", "b", "c"], "path": ["a.png", "b.png", "s.tar::c.png"]})
    images[["width", "height"]] = 100, 50
    nan = np.nan
    queries = pd.DataFrame({"query_id": ["p", "q"], "path": ["p.png", "q.png"], "instance": ["i", "j"]})
    queries[["x0", "y0", "x1", "y1"]] = [[1, 2, 30, 40], [nan] * 4]
    positives = pd.DataFrame([["p", "a", nan, nan, nan, nan]], columns=["query_id", "image_id", "x0", "y0", "x1", "y1"])
    return Benchmark("small", tmp_path, images, queries, positives)


def features() -> FeatureSet:
    """Images with 2, 1 and 3 regions."""
    boxes = np.arange(24, dtype=np.float32).reshape(6, 4)
    return FeatureSet(np.zeros((6, 4), np.float32), boxes, np.array([0, 2, 3, 6]), np.zeros((2, 4), np.float32))


def ranking() -> Ranking:
    images = np.array([[2, 0, 1], [2, 1, 0]], np.int32)
    regions = np.array([[5, 1, 2], [5, 2, -1]], np.int32)
    return Ranking(images, np.array([[0.9, 0.5, 0.1], [0.9, 0.5, -np.inf]], np.float32), regions)


def test_whole_images_and_queries(small: Benchmark) -> None:
    images, queries = cutouts.whole_images(small), cutouts.queries(small)
    root = small.root.as_posix()
    assert images["cutout_id"].tolist() == ["a", "b", "c"] and images["x0"].isna().all()
    assert images["path"].tolist() == [f"{root}/a.png", f"{root}/b.png", f"{root}/s.tar::c.png"]
    assert queries["cutout_id"].tolist() == ["p", "q"] and set(queries["benchmark"]) == {small.hash}
    assert queries.loc[0, ["x0", "y0", "x1", "y1"]].tolist() == [1, 2, 30, 40] and np.isnan(queries.loc[1, "y1"])


def test_winning_regions_are_taken_once_each_and_every_place_finds_its_own(small: Benchmark) -> None:
    table, rows = cutouts.winning_regions(ranking(), features(), small, 2)
    assert table["cutout_id"].tolist() == ["a#1", "b#2", "c#5"]  # region 5 won twice
    assert table.loc[2, ["x0", "y0", "x1", "y1"]].tolist() == [20, 21, 22, 23]
    assert rows.tolist() == [[2, 0], [2, 1]]


def test_shortlists_longer_than_the_ranking_are_refused(small: Benchmark) -> None:
    for m in (0, 4):
        with pytest.raises(ValueError, match=f"a shortlist of {m} images, but the ranking holds 3"):
            cutouts.winning_regions(ranking(), features(), small, m)
    with pytest.raises(ValueError, match="the first 3 ranks hold images without regions"):
        cutouts.winning_regions(ranking(), features(), small, 3)
