"""Codes by their true bytes, what they find, and the spectrum behind them."""

from typing import Any

import faiss
import numpy as np
import pandas as pd
import pytest
from builders import benchmark_of, feature_set, resembling

from patchlib import search
from patchlib.features.feature_set import FeatureSet
from patchlib.studies import codecs, compression
from patchlib.support.machine import Stopwatch

DIM, IMAGES, PER_IMAGE = 32, 120, 8


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    return resembling(IMAGES, PER_IMAGE, DIM)


@pytest.fixture(scope="module")
def exact(features: FeatureSet) -> search.Ranking:
    return search.rank(features.query_descriptors, features)


@pytest.fixture(scope="module")
def results(features: FeatureSet) -> dict[codecs.Key, compression.Result]:
    data = benchmark_of(IMAGES, 12, [(q, 10 * q, [0, 0, 50, 50]) for q in range(12)])
    wanted = {key: spec for key, spec in codecs.specs([16], DIM, nlist=4).items() if key[1] != "OPQ+PQ"}
    return {key: compression.measure(features, data, spec) for key, spec in wanted.items()}


@pytest.mark.parametrize(("size", "dim"), [(16, 128), (8, 128), (64, 1024), (24, 192), (16, 64)])
def test_codes_have_the_bytes_they_are_named_by(size: int, dim: int) -> None:
    specs = codecs.specs([size], dim, nlist=4)
    assert {name for _, name in specs} >= {"PQ", "OPQ+PQ", "SQ8", "RaBitQ"}
    for name, there in (("SQ4", 2 * size <= dim), ("PCA+PQ", 4 * size < dim)):
        assert ((size, name) in specs) == there
    for (of_bytes, _), spec in specs.items():
        index = faiss.index_factory(dim, spec.factory.format(nlist=spec.nlist), faiss.METRIC_INNER_PRODUCT)
        lists: Any = faiss.downcast_index(faiss.extract_index_ivf(index))
        assert lists.code_size == of_bytes, spec.factory
    # one bit of each dimension and two floats
    assert (dim // 8 + 8, "RaBitQ") in specs


def test_codes_can_be_built_and_find_what_they_should(results: dict[codecs.Key, compression.Result]) -> None:
    for (size, name), result in results.items():
        assert result.code_bytes == size and result.scores["ap"].mean() > 0.9, name
    with pytest.raises(ValueError, match="size is 10 bytes, expected a divisor of the 32"):
        codecs.specs([10], DIM, nlist=4)


def test_the_table_holds_map_and_recall(results: dict[codecs.Key, compression.Result], exact: search.Ranking) -> None:
    table = codecs.table(results, exact, top=5, resamples=100)
    assert list(table.index) == list(results)
    row, result = table.loc[(16, "PQ")], results[16, "PQ"]
    assert row["mAP"] == pytest.approx(100 * result.scores["ap"].mean())
    assert result.ranking is not None
    pairs = zip(result.ranking.images[:, :5].tolist(), exact.images[:, :5].tolist(), strict=True)
    assert row["recall"] == pytest.approx(100 * np.mean([len({*found} & {*wanted}) / 5 for found, wanted in pairs]))


def test_all_lists_find_what_the_table_says(
    results: dict[codecs.Key, compression.Result], features: FeatureSet, exact: search.Ranking
) -> None:
    curves = codecs.speed(results, features.query_descriptors, exact, 16, 5, Stopwatch())
    assert curves.loc[(16, "PQ")].index.tolist() == [1, 4]
    timed = [(12, "RaBitQ"), (16, "PQ"), (16, "SQ4")]  # RaBitQ of 32 bits has 12 bytes
    assert list(curves.index.droplevel("nprobe").unique()) == timed
    whole = codecs.table(results, exact, top=5, resamples=100)
    assert curves["recall"].xs(4, level="nprobe").to_dict() == pytest.approx(whole["recall"][timed].to_dict())
    assert (curves["per_second"] > 0).all()


def test_a_winner_is_named_only_where_the_difference_is_certain() -> None:
    def result(*ap: float) -> compression.Result:
        return compression.Result(pd.DataFrame({"query_id": range(len(ap)), "ap": ap}), 1, 1)

    close = {(8, "PQ"): result(0.1, 0.5, 0.3), (8, "SQ8"): result(0.5, 0.1, 0.4), (8, "SQ4"): result(0, 0, 0)}
    clear = {(4, "PQ"): result(0.1, 0.2, 0.3), (4, "SQ8"): result(0.2, 0.3, 0.4), (2, "PQ"): result(0, 1, 0)}
    assert codecs.best(close | clear, 200) == "Best of their size: SQ8 at 4 bytes, SQ8 or PQ at 8 bytes."


def test_the_spectrum_adds_up() -> None:
    # energies 9 + 1 of one direction's rows, 4 of another's, none of the third
    rows = np.diag([3.0, 2.0, 0.0])[[0, 1, 0, 2]] / [[1], [1], [3], [1]]
    share = codecs.spectrum(feature_set(rows, [4], rows[:1]))
    assert share == pytest.approx([100 * 10 / 14, 100, 100])
    told = codecs.directions({"a": share, "b": np.array([96.0, 100.0])})
    assert told == "95 % of the energy lies in 2 of 3 directions (a), 1 of 2 directions (b)."
