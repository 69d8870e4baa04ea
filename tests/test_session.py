"""The session of a notebook: settings, features, scores, and records that name what was really used."""

import json
from pathlib import Path

import pandas as pd
import pytest
from builders import benchmark_on_disk
from matplotlib.figure import Figure

from patchlib import benchmarks, metrics, profiles, search
from patchlib.session import Session
from patchlib.support import machine, paths


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Levels 0 and 3 of a tiny benchmark by the colour histogram."""
    data = benchmark_on_disk(tmp_path / "data")
    monkeypatch.setattr(benchmarks, "load", lambda name, **options: data)
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATCHLIB_FIGURES", str(tmp_path / "figures"))
    return profiles.open("builtin", encoder="colour-histogram", levels=[0, 3], workers=1)


def test_settings_are_those_of_the_profile_and_the_overrides(run: Session) -> None:
    assert run.settings == profiles.load("builtin", encoder="colour-histogram", levels=[0, 3], workers=1)
    assert run.encoder.name == "colour-histogram" and run.settings.levels == (0, 3)


def test_depth_is_the_profiles_before_the_protocols(run: Session) -> None:
    assert run.depth is None
    run.data.meta["k"] = 5
    assert run.depth == 5
    shallow = profiles.open("builtin", k=3)
    assert shallow.depth == 3


def test_a_record_holds_the_hashes_that_were_used_until_then(run: Session) -> None:
    assert run.record({})["inputs"] == {}
    features = run.features("L3")
    sample = run.data.subset(images=[0, 1])
    used = {"benchmark": run.data.hash}
    for data, part in ((run.data, features), (sample, run.features("L3", sample))):
        used[f"L3 of {run.data.name} {data.hash} by colour-histogram"] = part.meta["hash"]
    assert len(used) == 3
    assert run.record({})["inputs"] == used
    run.use(codes="abc")
    record = run.record({"bins": 5})
    assert record["inputs"] == used | {"codes": "abc"}
    assert (record["profile"], record["label"], record["config"]["bins"]) == ("builtin", "built-in benchmark", 5)
    assert "workers" not in record["config"]  # they decide no number


def test_evaluate_ranks_and_scores_to_the_depth(run: Session) -> None:
    run.data.meta["k"] = 2
    patches = run.features("L3")
    sets = {f"L{level}": patches.at_level(level) for level in run.settings.levels}
    rankings, scores = run.evaluate(sets)
    for name, part in sets.items():
        expected = search.rank(part.query_descriptors, part, 2)
        assert (rankings[name].images == expected.images).all()
        pd.testing.assert_frame_equal(scores[name], metrics.evaluate(expected, run.data, part, k=2))


def test_tables_and_figures_stand_beside_their_record(run: Session, tmp_path: Path) -> None:
    table = pd.DataFrame({"mAP": [12.346]}, index=pd.Index(["L0"], name="level"))
    assert run.save_table(table, "table_x", bins=5) is table
    run.save_figure(Figure(), "fig_x", "A message. And more.", label="drawn", shown=2)
    kept = json.loads((tmp_path / "figures/table_x.json").read_text())
    assert kept["config"]["bins"] == 5 and kept["rows"] == [{"level": "L0", "mAP": 12.35}]
    drawn = json.loads((tmp_path / "figures/fig_x.json").read_text())
    assert (drawn["label"], drawn["config"]["shown"], drawn["caption"]) == ("drawn", 2, "A message. And more.")


def test_a_figures_times_are_taken_once_for_what_is_timed(run: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    run.use(index="abc")

    def drawn(time: float, **config: int) -> float:
        taken = run.stopwatch("fig_x", **config).take("search", lambda: time)
        run.save_figure(Figure(), "fig_x", "A message.", top=5, **config)
        return taken

    assert drawn(1.5) == 1.5
    record = (paths.figures() / "fig_x.json").read_bytes()
    assert drawn(9.9) == 1.5 and (paths.figures() / "fig_x.json").read_bytes() == record
    assert drawn(2.5, depth=3) == 2.5
    run.use(index="another")
    assert drawn(3.5, depth=3) == 3.5
    monkeypatch.setattr(machine, "kind", lambda: "another processor, 3 cores")
    assert drawn(4.5, depth=3) == 4.5
