"""Effects in several worlds: whose differences they are, how they are told, and what is said where none is visited."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from patchlib import profiles
from patchlib.session import Session
from patchlib.studies import worlds
from patchlib.studies.worlds import Visit


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What is loaded, in order; benchmarks are stand-ins, and a sample of one is the whole."""
    seen: list[dict[str, object]] = []

    def load(name: str, **options: object) -> SimpleNamespace:
        seen.append({"name": name, **options})
        return SimpleNamespace(hash=f"hash {len(seen)}", name=name)

    monkeypatch.setattr(worlds.benchmarks, "load", load)
    monkeypatch.setattr(worlds.encoders, "create", lambda name, device: SimpleNamespace(name=name))
    monkeypatch.setattr(worlds, "sample", lambda data, n_images: data)
    return seen


def measure(run: Session, visit: Visit) -> dict[str, np.ndarray]:
    """A gain that is one for photographs alone, with noise that a constant interval does not have; and no gain."""
    at_home = visit.world == "procedural scenes"
    return {"up": np.tile([5.0, 7.0], 20) * (-1 if at_home else 1), "flat": np.tile([1.0, -1.0], 20)}


@pytest.fixture
def table(loaded: list[dict[str, object]]) -> pd.DataFrame:
    run = profiles.open("builtin", worlds=5)
    return worlds.effects(run, worlds.visits(run), measure)


def test_every_world_is_loaded_once_seen_by_every_encoder_and_named_in_records(loaded: list[dict[str, object]]) -> None:
    run = profiles.open("builtin", worlds=5)
    visits = worlds.visits(run)
    assert [(visit.world, visit.encoder.name) for visit in visits] == [
        (world, encoder) for world in worlds.WORLDS for encoder in worlds.ENCODERS
    ]
    assert loaded == list(worlds.WORLDS.values()) and loaded[2] == {"name": "photographs", "series": "composed"}
    assert run.record({})["inputs"] == {f"benchmark {world}": f"hash {n}" for n, world in enumerate(worlds.WORLDS, 1)}


def test_every_visit_is_a_column(table: pd.DataFrame) -> None:
    assert table["evidence"].xs("up", level="effect").tolist() == [-6, -6, 6, 6, 6, 6]
    shown = worlds.side_by_side(table)
    assert list(shown.columns) == [f"{world}, {encoder}" for world in worlds.WORLDS for encoder in worlds.ENCODERS]
    assert list(shown.index) == ["up", "flat", "queries (smallest effect)"]
    assert shown.iloc[0, 2].startswith("+6.0 [5.") and shown.iloc[0, 0].startswith("-6.0 [-6.")
    # 40 queries of standard deviation 1: 2.8 standard errors of 1 / sqrt(40), up to the resampling
    count, _, smallest = shown.iloc[2, 0].partition(" ")
    assert count == "40" and float(smallest.strip("()")) == pytest.approx(2.8 / np.sqrt(40), abs=0.08)


def test_the_sentence_says_where(table: pd.DataFrame) -> None:
    up, flat = worlds.summary(table)
    assert up.startswith(
        "up holds in 4 of 6 (photographs with cnn-small; photographs with EfficientNet-Lite0; composed"
    )
    assert ", is the other way in 2 of 6 (procedural scenes with cnn-small; procedural" in up
    assert flat.startswith("flat is open in 6 of 6 (") and "holds" not in flat


def test_the_farthest_world_is_the_runs_own_where_none_is_visited(
    loaded: list[dict[str, object]],
) -> None:
    run = profiles.open("builtin", worlds=5)
    there = worlds.farthest(run, worlds.visits(run))
    assert (there.world, there.encoder.name) == ("composed of photographs", "EfficientNet-Lite0")
    assert worlds.farthest(run, []) == ("", run.data, run.encoder)


def test_no_world_is_visited_where_the_profile_wants_none(loaded: list[dict[str, object]]) -> None:
    run = profiles.open("builtin", worlds=0)
    nothing = worlds.effects(run, worlds.visits(run), measure)
    assert not loaded and worlds.side_by_side(nothing).empty
    assert worlds.summary(nothing) == ["No other world is visited: the profile's 'worlds' is 0."]
