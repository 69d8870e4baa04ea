"""The runner, on small notebooks with real kernels."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat import v4

from patchlib.run import notebooks, runner
from patchlib.support import paths

PARAMETERS = 'profile = "builtin"  # settings\nencoder = None  # of the profile\nworkers = None  # cores'
FIGURE = """from patchlib.support import paths, provenance
provenance.write_json(paths.figures() / "fig_x.json", [encoder]);"""
PLAIN = {"encoder": "colour-histogram"}


def write(path: Path, *cells: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tagged = v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook = v4.new_notebook(cells=[tagged, *map(v4.new_code_cell, cells)], metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path


@pytest.fixture(autouse=True)
def tidy_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATCHLIB_FIGURES", raising=False)
    monkeypatch.delenv("PATCHLIB_PROGRESS", raising=False)


def test_notebooks_run_in_order_into_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # braces in a path are format fields to papermill
    folder, out = tmp_path / "note{books}", tmp_path / "out{0}"
    second = write(folder / "01_b.ipynb", "print(encoder, workers)")
    first = write(folder / "00_a.ipynb", FIGURE)
    before = first.read_bytes(), second.read_bytes()

    assert runner.reproduce(runner.Run(overrides={**PLAIN, "workers": 2}, out=out, folder=folder)) == 0

    head, *lines, last = capsys.readouterr().out.splitlines()
    assert head == "profile builtin: built-in benchmark, encoder colour-histogram, 2 notebooks"
    assert [line.split()[:2] for line in lines] == [["[1/2]", "00_a"], ["[2/2]", "01_b"]]
    assert lines[0].endswith(" s  fig_x")
    assert last == f"wrote 2 notebooks in {out}/notebooks, figures and tables in {out}/figures"
    assert (out / "figures/fig_x.json").read_text() == '[\n "colour-histogram"\n]\n'
    executed = notebooks.read(out / "notebooks/01_b.ipynb")
    assert executed.cells[-1].outputs[0].text == "colour-histogram 2\n"
    assert [cell.execution_count for cell in executed.cells] == [1, 2, 3]
    assert (first.read_bytes(), second.read_bytes()) == before


def test_a_failure_is_shown_and_the_rest_still_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = write(tmp_path / "00_a.ipynb", "x = 1\nx / 0", "print('never')")
    write(tmp_path / "01_b.ipynb", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    write(tmp_path / "02_c.ipynb", "print('here')")
    out = tmp_path / "out"
    run = runner.Run(overrides=PLAIN, out=out, folder=tmp_path)

    assert runner.reproduce(run) == 1

    shown = capsys.readouterr().out
    assert "cell [3]: x = 1\n    ZeroDivisionError: division by zero\n" in shown
    assert f"as far as it got: {out}/notebooks/00_a.failed.ipynb" in shown
    assert "the kernel died" in shown
    assert shown.splitlines()[-1].endswith("; 2 FAILED: 00_a, 01_b")
    left = sorted(path.name for path in (out / "notebooks").iterdir())
    assert left == ["00_a.failed.ipynb", "01_b.failed.ipynb", "02_c.ipynb"]

    write(broken, "x = 1")
    assert runner.reproduce(runner.Run(overrides=PLAIN, out=out, folder=tmp_path, only=["00"])) == 0
    assert not (out / "notebooks/00_a.failed.ipynb").exists()


def test_in_place_refreshes_outputs_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "notebooks/00_a.ipynb", "print(profile, encoder)")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    said = {"name": "builtin", "label": "built-in benchmark", "encoder": "none"}
    settings = SimpleNamespace(**said, benchmark="procedural", benchmark_options={})
    monkeypatch.setattr(runner.profiles, "load", lambda name, **overrides: settings)
    refreshed = []
    monkeypatch.setattr(runner.readme, "refresh", lambda: refreshed.append("README.md"))
    run = runner.Run(folder=path.parent, in_place=True)

    assert runner.reproduce(run) == 0

    once = path.read_bytes()
    notebook = notebooks.read(path)
    assert [cell.source for cell in notebook.cells] == [PARAMETERS, "print(profile, encoder)"]
    assert notebook.cells[1].outputs[0].text == "builtin None\n"
    assert notebook.metadata.keys() == {"kernelspec", "language_info"}
    assert [cell.metadata for cell in notebook.cells] == [{"tags": ["parameters"]}, {"tags": []}]
    assert refreshed == ["README.md"]
    assert runner.reproduce(run) == 0
    assert path.read_bytes() == once
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("settings", [{"profile": "paper"}, {"overrides": PLAIN}, {"out": Path("x")}])
def test_in_place_is_for_the_plain_builtin_profile(settings: dict) -> None:
    with pytest.raises(ValueError, match="--in-place takes no profile, --set or --out"):
        runner.reproduce(runner.Run(in_place=True, **settings))


@pytest.mark.parametrize(
    ("settings", "figures"),
    [({}, "figures"), ({"overrides": {"workers": 1}}, "figures"), ({"overrides": PLAIN}, "build/builtin/figures"),
     ({"profile": "workshop"}, "build/workshop/figures"), ({"profile": "at/mine.yaml"}, "build/mine/figures"),
     ({"overrides": {"benchmark": "folder:at/photos"}}, "build/builtin-photos/figures")],
)  # fmt: skip
def test_committed_figures_come_from_the_plain_builtin_profile_only(settings: dict, figures: str) -> None:
    assert runner.Run(**settings).figures == paths.root() / figures


def test_figures_go_where_the_environment_says_unless_out_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATCHLIB_FIGURES", str(tmp_path / "moved"))
    assert runner.Run(profile="workshop").figures == tmp_path / "moved"
    assert runner.Run(out=tmp_path / "out").figures == tmp_path / "out/figures"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"profile": "bultin"}, "unknown profile 'bultin'; did you mean builtin"),
        ({"overrides": {**PLAIN, "encodr": "x"}}, "unknown parameter 'encodr'; did you mean encoder"),
        ({"overrides": {"encoder": "SigLp"}}, "unknown encoder 'SigLp'; did you mean SigLIP"),
        ({"overrides": {**PLAIN, "workers": "two"}}, "workers is 'two', expected a whole number"),
        ({"overrides": PLAIN, "only": ["07"]}, "unknown notebook '07'"),
    ],
)
def test_mistakes_are_found_before_anything_runs(tmp_path: Path, settings: dict, message: str) -> None:
    write(tmp_path / "00_a.ipynb")
    with pytest.raises(ValueError, match=message):
        runner.reproduce(runner.Run(**{"overrides": PLAIN, **settings}, out=tmp_path / "out", folder=tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_dry_run_only_says_what_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "00_a.ipynb")
    run = runner.Run(overrides=PLAIN, out=tmp_path / "out", folder=tmp_path)
    assert runner.reproduce(run, dry_run=True) == 0
    assert "00_a  {'encoder': 'colour-histogram'}" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_run_leaves_no_half_file(tmp_path: Path, sent: signal.Signals) -> None:
    started = tmp_path / "started"
    write(tmp_path / "00_a.ipynb", f"open({str(started)!r}, 'w').close()\nimport time\ntime.sleep(600)")
    code = f"""
import signal, sys
from pathlib import Path
from patchlib.run import runner
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path({str(tmp_path)!r})
runner.reproduce(runner.Run(overrides={PLAIN!r}, out=folder / "out", folder=folder))
"""
    environment = {**os.environ, "PYTHONPATH": str(paths.root()), "TMPDIR": str(tmp_path)}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)
    while not started.exists():
        assert child.poll() is None, "the run ended before its notebook began"
        time.sleep(0.01)
    child.send_signal(sent)
    assert child.wait() != 0
    assert not list(tmp_path.glob("out/**/*.*"))


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_long_steps_show_their_last_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOOK_EVERY", 0.001)
    report = tmp_path / "progress"
    report.write_text("first: 1/9\nsecond: 3/9\n")
    stream, ended = _Terminal(), threading.Event()
    thread = threading.Thread(target=runner._show, args=("[1/1] 00_a", report, stream, ended))
    thread.start()
    while "second: 3/9" not in stream.getvalue():
        ended.wait(0.001)
    ended.set()
    thread.join()
    assert "first" not in stream.getvalue()
    assert stream.getvalue().endswith(runner.CLEAR)
