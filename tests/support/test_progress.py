"""Progress of long steps."""

import itertools
from pathlib import Path

import pytest

from patchlib.support import progress


def test_states_are_appended_to_the_file_and_the_last_one_is_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 2.0, 2.5, 4.0, 0.0, 2.0])  # start, then one reading an update
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setenv("PATCHLIB_PROGRESS", str(tmp_path / "state"))
    (tmp_path / "state").write_text("before\n")
    with progress.track("L3 of x", 10, "image") as bar:
        bar.update(4)  # shown
        bar.update()  # half a second later: left out
        bar.update(5)  # the end is always shown
    with progress.track("file", None, "B") as bar:
        bar.update(4)
    assert (tmp_path / "state").read_text().splitlines() == [
        "before",
        f"L3 of x: 4/10 image ({4 / 2:.1f}/s)",
        f"L3 of x: 10/10 image ({10 / 4:.1f}/s)",
        f"file: 4/? B ({4 / 2:.1f}/s)",
    ]


def test_a_log_gets_a_line_every_ten_seconds_of_whatever_is_at_work(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PATCHLIB_PROGRESS")
    monkeypatch.delitem(progress.sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(progress._Log, "last", 100.0)
    clock = itertools.count(100.0, 0.25)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    for number in range(50):
        with progress.track(f"step {number}", 1) as bar:  # half a second each
            bar.update()
    lines = capfd.readouterr().err.splitlines()
    assert lines == ["step 20: 1/1 it (4.0/s)", "step 40: 1/1 it (4.0/s)"]


def test_off_is_silent_and_the_default_is_a_bar_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATCHLIB_PROGRESS", "off")
    with progress.track("quiet", 2) as bar:
        bar.update(2)
    assert capfd.readouterr() == ("", "")
    monkeypatch.delenv("PATCHLIB_PROGRESS")
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    with progress.track("loud", None, "B") as bar:
        bar.update(2000)
    out, err = capfd.readouterr()
    assert out == "" and "loud: 0.00B" in err


def test_a_line_goes_where_progress_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for target in ("off", str(tmp_path / "state"), ""):
        monkeypatch.setenv("PATCHLIB_PROGRESS", target)
        progress.say("waiting")
    assert (tmp_path / "state").read_text() == "waiting\n" and capfd.readouterr() == ("", "waiting\n")
