"""Effects in several worlds: whose differences they are, how they are told, and what is said where none is visited."""

from __future__ import annotations

import numpy as np
import pytest

from patchlib import profiles
from patchlib.benchmarks import Benchmark
from patchlib.session import Session
from patchlib.studies import worlds


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Worlds and encoders in the order of the visits; their benchmarks are not loaded."""
    seen: list[tuple[str, str]] = []

    def benchmark(run: Session) -> None:
        seen.append((run.settings.label, run.settings.encoder))

    monkeypatch.setattr(Session, "data", property(benchmark))
    monkeypatch.setattr(worlds, "sample", lambda data, n_images: data)
    return seen


def measure(run: Session, data: Benchmark) -> dict[str, np.ndarray]:
    """A gain that is one for photographs alone, with noise that a constant interval does not have; and no gain."""
    at_home = run.settings.benchmark == "procedural"
    return {"up": np.tile([5.0, 7.0], 20) * (-1 if at_home else 1), "flat": np.tile([1.0, -1.0], 20)}


def test_every_world_is_asked_with_every_encoder(visited: list[tuple[str, str]]) -> None:
    table = worlds.effects(profiles.open("builtin", worlds=5), measure)
    labels = ["built-in benchmark", "photographs", "photographs (series=composed)"]
    assert visited == [(label, encoder) for label in labels for encoder in worlds.ENCODERS]
    assert table["evidence"].xs("up", level="effect").tolist() == [-6, -6, 6, 6, 6, 6]
    shown = worlds.side_by_side(table)
    assert list(shown.columns) == [f"{world}, {encoder}" for world in worlds.WORLDS for encoder in worlds.ENCODERS]
    assert list(shown.index) == ["up", "flat", "queries (smallest effect)"]
    assert shown.iloc[0, 2].startswith("+6.0 [5.") and shown.iloc[0, 0].startswith("-6.0 [-6.")
    # 40 queries of standard deviation 1: 2.8 standard errors of 1 / sqrt(40), up to the resampling
    count, _, smallest = shown.iloc[2, 0].partition(" ")
    assert count == "40" and float(smallest.strip("()")) == pytest.approx(2.8 / np.sqrt(40), abs=0.08)


def test_the_sentence_says_where(visited: list[tuple[str, str]]) -> None:
    up, flat = worlds.summary(worlds.effects(profiles.open("builtin", worlds=5), measure))
    assert up.startswith(
        "up holds in 4 of 6 (photographs with cnn-small; photographs with EfficientNet-Lite0; composed"
    )
    assert ", is the other way in 2 of 6 (procedural scenes with cnn-small; procedural" in up
    assert flat.startswith("flat is open in 6 of 6 (") and "holds" not in flat


def test_the_farthest_world_is_the_runs_own_where_none_is_visited() -> None:
    there = worlds.farthest(profiles.open("builtin", worlds=5))
    assert (there.settings.label, there.settings.encoder) == ("photographs (series=composed)", "EfficientNet-Lite0")
    run = profiles.open("builtin", worlds=0)
    assert worlds.farthest(run) is run


def test_no_world_is_visited_where_the_profile_wants_none(visited: list[tuple[str, str]]) -> None:
    table = worlds.effects(profiles.open("builtin", worlds=0), measure)
    assert not visited and worlds.side_by_side(table).empty
    assert worlds.summary(table) == ["no other world: the profile's 'worlds' is 0"]
