"""Effects in several worlds: whose differences they are, how they are told, and what is said where none is visited."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders import benchmark_of, feature_set

from patchlib import profiles
from patchlib.session import Session
from patchlib.studies import world_effects, worlds
from patchlib.studies.claims import verdicts
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


LEVELS = {"L0": [0.1, 0.2, 0.3], "L3": [0.3, 0.6, 0.6]}


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


def _seen(monkeypatch: pytest.MonkeyPatch, descriptors: np.ndarray) -> tuple[Session, Visit]:
    """Two queries, the axes of the plane, and four images of 30 patches; of each, one positive has a small, far box."""
    boxes = [(0, 0, (0, 0, 10, 10)), (0, 1, (0, 0, 90, 90)), (1, 2, (0, 0, 10, 10)), (1, 3, (0, 0, 90, 90))]
    data, run = benchmark_of(4, 2, boxes), profiles.open("builtin", worlds=0, resamples=100)
    patches = feature_set(descriptors.reshape(-1, 2), [30] * 4, np.eye(2), regions="L3")
    monkeypatch.setattr(run, "features", lambda regions, data, encoder: patches)
    encoder: Any = SimpleNamespace(name="fake")
    return run, Visit("here", data, encoder)


def test_boxes_are_told_apart_by_borders_that_every_world_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    # whole images: all alike, so ties go to the lower image; a patch of images 0 and 3 shows the query's instance
    rows = np.full((4, 30, 2), np.sqrt(0.5))
    rows[0, 20], rows[3, 20] = [1, 0], [0, 1]
    run, visit = _seen(monkeypatch, rows)
    small, far, large = world_effects.gains_of_boxes(run, visit).values()
    # query 0 has image 0 first, query 1 has image 2 behind images 0 and 1: either way
    assert small.tolist() == far.tolist() == pytest.approx([0, 0])
    # query 0 has image 1 first either way, image 0 left out; image 3 of query 1 rises from the third rank to the first
    assert large.tolist() == pytest.approx([0, -100 * (1 - 1 / 3)])


def test_patches_of_one_size_are_drawn_from_the_finest_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    # all cells of the finest grid, and no other patch, tell the positives apart
    rows = np.full((4, 30, 2), np.sqrt(0.5))
    rows[:2, 14:], rows[2:, 14:] = [1, 0], [0, 1]
    more, mixed, located = world_effects.gains_of_regions(*_seen(monkeypatch, rows)).values()
    worse = 100 * (1 - (1 / 3 + 2 / 4) / 2)  # query 1: images 2 and 3 behind 0 and 1
    assert more.tolist() == pytest.approx([0, worse]) and mixed.tolist() == pytest.approx([0, -worse])
    assert len(located) == 2


def test_what_a_world_lacks_is_said() -> None:
    table = pd.concat(
        {("w", "e"): verdicts({"there": [1.0, 2.0], "lacking": [np.nan]}, 100)}, names=["world", "encoder", "effect"]
    )
    shown = worlds.side_by_side(table)["w, e"]
    assert shown["lacking"] == "none there" and shown["there"].startswith("+1.5 [")
    assert "lacking was not measured in 1 of 1 (w with e)." in worlds.summary(table)


def test_levels_and_gains_stand_in_one_row_a_world_and_encoder() -> None:
    tables = {level: pd.DataFrame({"query_id": ["a", "b", "c"], "ap": ap}) for level, ap in LEVELS.items()}
    row = worlds.level_table({("w", "e"): tables, ("w", "f"): tables}, 200).loc["w", "f"]
    assert (row["L0"], row["L3"], row["gain"], row["queries"]) == pytest.approx((20, 50, 30, 3))
    assert row["low"] < 30 < row["high"]
    assert row["smallest effect"] == pytest.approx((1.96 + 0.84) / 3.92 * (row["high"] - row["low"]))
    assert worlds.level_table({}, 200).empty
