"""Databases grown by distractor scenes: those of the benchmark of that size; killed runs go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from patchlib import benchmarks, encoders, features, search
from patchlib.benchmarks import Benchmark
from patchlib.benchmarks.procedural import rendering
from patchlib.features import FeatureSet
from patchlib.scale import scenes

SMALL = {"seed": 5, "instances": 3, "positives": 2, "workers": 1}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Benchmark, FeatureSet]:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scenes, "SHARD", 4)
    data = benchmarks.load("procedural", tmp_path / "data", distractors=2, **SMALL)
    return data, features.extract(data, "L1", encoders.create("colour-histogram"), workers=1)


def test_a_grown_benchmark_is_the_benchmark_of_that_size(own: tuple[Benchmark, FeatureSet], tmp_path: Path) -> None:
    data, patches = scenes.database(*own, 17, workers=1)
    whole = benchmarks.load("procedural", tmp_path / "whole", distractors=11, **SMALL)
    expected = features.extract(whole, "L1", encoders.create("colour-histogram"), workers=1)
    assert data.images.equals(whole.images) and data.hash == whole.hash
    np.testing.assert_array_equal(patches.boxes, expected.boxes)
    np.testing.assert_array_equal(patches.offsets, expected.offsets)
    np.testing.assert_array_equal(patches.descriptors, expected.descriptors.astype(np.float16))
    assert patches.at_level(0).n_images == 17
    found = search.rank(patches.query_descriptors, patches)
    np.testing.assert_array_equal(found.images, search.rank(expected.query_descriptors, expected).images)


def test_a_run_that_was_killed_goes_on(
    own: tuple[Benchmark, FeatureSet], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered, jpeg = [], rendering.jpeg

    def dying(config: object, instance: None, number: int) -> object:
        if number == 9 and 9 not in rendered:
            rendered.append(number)
            raise KeyboardInterrupt
        rendered.append(number)
        return jpeg(config, instance, number)

    monkeypatch.setattr(rendering, "jpeg", dying)
    with pytest.raises(KeyboardInterrupt):
        scenes.database(*own, 17, workers=1)
    scenes.database(*own, 17, workers=1)
    assert [rendered.count(number) for number in range(12)] == [1] * 8 + [2, 2, 1, 1]
    assert "scenes: 11 of 11" in capsys.readouterr().out
    count = len(rendered)
    smaller = scenes.database(*own, 10, workers=1)[1]
    assert len(rendered) == count and smaller.n_images == 10


def test_what_cannot_be_grown_is_refused(own: tuple[Benchmark, FeatureSet]) -> None:
    with pytest.raises(ValueError, match="size is 7, expected at least 8, the images of procedural"):
        scenes.database(*own, 7)
    with pytest.raises(ValueError, match="are no grid features of procedural"):
        scenes.database(own[0], FeatureSet(*(getattr(own[1], name) for name in FIELDS)), 20)
    assert scenes.database(*own, 8)[1].n_images == 8


FIELDS = ("descriptors", "boxes", "offsets", "query_descriptors")


def test_the_quick_network_gives_the_rows_of_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path))
    encoder = encoders.create("cnn-small")
    crops = np.random.default_rng(0).integers(0, 256, (6, 80, 80, 3), dtype=np.uint8)
    np.testing.assert_allclose(scenes._network.__wrapped__("cnn-small").encode(crops), encoder.encode(crops), atol=1e-5)
