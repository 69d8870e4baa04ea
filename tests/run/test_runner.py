"""The runner, on small notebooks with real kernels."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from nbformat import v4

from patchlib.run import changes, display, executed, notebooks, runner
from patchlib.support import paths

PARAMETERS = 'profile = "builtin"  # settings\nencoder = None  # of the profile\nworkers = None  # cores'
FIGURE = """from patchlib.support import paths, provenance
class run:
    def save_table(frame, name):
        provenance.write_item(paths.figures(), name, {"csv": f"a,b\\n{frame},x\\n"}, {"of": encoder, "git_commit": "c"})
run.save_table(1.25, "fig_x")"""
PLAIN = {"encoder": "colour-histogram"}


def write(path: Path, *cells: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tagged = v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook = v4.new_notebook(cells=[tagged, *map(v4.new_code_cell, cells)], metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)
    return path


@pytest.fixture(autouse=True)
def tidy_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("PATCHLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("PATCHLIB_FIGURES", raising=False)
    monkeypatch.delenv("PATCHLIB_PROGRESS", raising=False)


def test_notebooks_run_in_order_into_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # braces in a path are format fields to papermill
    folder, out = tmp_path / "note{books}", tmp_path / "out{0}"
    second = write(folder / "01_b.ipynb", "print(encoder, workers)")
    first = write(folder / "00_a.ipynb", FIGURE)
    before = first.read_bytes(), second.read_bytes()

    assert runner.reproduce(runner.Run(overrides={**PLAIN, "workers": 2}, out=out, folder=folder, jobs=1)) == 0

    head, *lines, last = capsys.readouterr().out.splitlines()
    assert head == "profile builtin: built-in benchmark, encoder colour-histogram, 2 notebooks"
    assert [line.split()[:2] for line in lines] == [["[1/2]", "00_a"], ["[2/2]", "01_b"]]
    assert lines[0].endswith(" s  fig_x")
    assert last == f"wrote 2 notebooks in {out}/notebooks, figures and tables in {out}/figures"
    assert '"of": "colour-histogram"' in (out / "figures/fig_x.json").read_text()
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
        ({"overrides": {**PLAIN, "k": 1.5}}, "k is 1.5, expected a whole number"),
        ({"overrides": {"encoder": ["a"]}}, r"encoder is \['a'\], expected an encoder's name"),
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
    assert "00_a  not run here yet  {'encoder': 'colour-histogram'}" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()

    run.clock.parent.mkdir()
    page = tmp_path / "00_a.ipynb"
    run.clock.write_text(json.dumps({"00_a": {"seconds": 130.4, "of": executed.code(page, PLAIN)}}))
    runner.reproduce(run, dry_run=True)
    shown = capsys.readouterr().out
    assert "1 notebook, about 2 min\n" in shown
    assert "00_a  130 s last time, its results are in the cache  {" in shown
    write(page, "a_change = 1")
    runner.reproduce(run, dry_run=True)
    assert "00_a  130 s last time, other code or settings  {" in capsys.readouterr().out


def test_a_dry_run_looks_for_the_benchmarks_folder(tmp_path: Path) -> None:
    write(tmp_path / "00_a.ipynb", 'benchmark = "x"')
    run = runner.Run(overrides={**PLAIN, "benchmark": f"folder:{tmp_path}/nowhere"}, folder=tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        runner.reproduce(run, dry_run=True)


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


def test_only_what_has_changed_is_written_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = write(tmp_path / "00_a.ipynb", FIGURE)
    run = runner.Run(overrides=PLAIN, out=tmp_path / "out", folder=tmp_path)
    runner.reproduce(run)
    state = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "out").rglob("*.*")}
    capsys.readouterr()

    write(notebook, FIGURE.replace('"c"', '"another commit"'))
    runner.reproduce(run)
    assert capsys.readouterr().out.endswith("no file that was there has changed\n")
    figures = {path: at for path, at in state.items() if path.parent.name == "figures"}
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in figures} == figures

    write(notebook, FIGURE.replace("1.25", "1.35"))
    runner.reproduce(run)
    told = capsys.readouterr().out.splitlines()[-2:]
    assert told == ["1 file changed:", "  fig_x.csv: numbers moved by up to 0.1, beyond its tolerance"]


@pytest.mark.parametrize(("jobs", "meet"), [(1, False), (2, True)])
def test_notebooks_run_side_by_side_but_after_those_they_need(tmp_path: Path, jobs: int, meet: bool) -> None:
    """Each of two notebooks waits a while for the other; the third needs both."""
    seen = f"import time, pathlib\nfolder = pathlib.Path({str(tmp_path)!r})\n"
    for own, other in (("a", "b"), ("b", "a")):
        wait = f"for _ in range(100 if {meet} else 1):\n    met = (folder / '{other}').exists()\n"
        wait += "    if met: break\n    time.sleep(0.1)"
        write(tmp_path / f"0_{own}.ipynb", f"{seen}(folder / '{own}').touch()\n{wait}\nprint(met)")
    write(tmp_path / "1_last.ipynb", f"{seen}assert (folder / 'out/notebooks/0_a.ipynb').exists()")
    (tmp_path / "needs.yaml").write_text("1_last: ['0_*']")
    run = runner.Run(overrides=PLAIN, out=tmp_path / "out", folder=tmp_path, jobs=jobs)

    assert runner.reproduce(run) == 0

    first = notebooks.read(tmp_path / "out/notebooks/0_a.ipynb")
    assert first.cells[-1].outputs[0].text == f"{meet}\n"
    assert paths.cache() in run.clock.parents and "1_last" in run.clock.read_text()


def test_the_longest_starts_first_where_no_earlier_run_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "minutes.yaml").write_text("00_a: 1\n01_b: 2.5\n")
    for name in ("00_a", "01_b"):
        write(tmp_path / f"{name}.ipynb")
    monkeypatch.setattr(runner.Run, "is_plain", True)
    runner.reproduce(runner.Run(overrides=PLAIN, out=tmp_path / "out", folder=tmp_path, jobs=1))
    head, first, second, *_ = capsys.readouterr().out.splitlines()
    assert head.endswith("2 notebooks, about 4 min") and "01_b" in first and "00_a" in second


def test_minutes_are_told_of_pages_that_there_are() -> None:
    told = yaml.safe_load((paths.notebooks() / notebooks.MINUTES).read_text())
    assert set(told) <= {path.stem for path in notebooks.select([], paths.notebooks())}


def test_an_executed_page_is_known_until_something_that_decides_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setenv("PATCHLIB_DATA", str(tmp_path / "data"))
    image, record = tmp_path / "data/set/a.jpg", tmp_path / "figures/fig_x.json"
    for file in (image, record):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    page = write(tmp_path / "00_a.ipynb", "1 + 1")
    assert executed.known(page) is None
    given = v4.new_code_cell("workers = 2", metadata={"tags": ["injected-parameters"]})
    done = notebooks.read(page)
    done.cells[1:] = [given, v4.new_code_cell("1 + 1", outputs=[v4.new_output("stream", text="2\n")])]
    executed.keep(page, done)
    assert [cell.outputs for cell in executed.known(page).cells] == [[], done.cells[2].outputs]
    (tmp_path / "data/another").mkdir()  # of other pages
    assert executed.known(page) is not None
    for change, back in (
        (lambda: image.write_text("{ }"), None),
        (lambda: record.write_text("{ }"), lambda: record.write_text("{}")),
        (lambda: monkeypatch.setattr(executed.provenance, "library", lambda: "other"), None),
        (lambda: monkeypatch.setattr(executed.machine, "kind", lambda: "other"), None),
        (lambda: write(page, "1 + 2"), None),
    ):
        executed.keep(page, done)
        change()
        assert executed.known(page) is None
        if back:
            back()
            assert executed.known(page) is not None
    executed.keep(page, done)
    assert len(list(paths.cache().glob("runs/*.ipynb"))) == 1


def test_pages_that_read_records_say_which_they_need() -> None:
    pages = notebooks.select([], paths.notebooks())
    needs = notebooks.needs(pages)
    for page in pages:
        reads = any("compare.records" in cell.source for cell in notebooks.code(notebooks.read(page)))
        assert needs[page] == ({*pages[: pages.index(page)]} if reads else set())


def test_numbers_within_and_beyond_their_tolerance() -> None:
    old, new = b"name,a\nx,1.00\ny,yes\n", b"name,a\nx,1.02\ny,open\n"
    assert changes.moved(old, new, 0.0) == "numbers moved by up to 0.02, within its tolerance, 1 text differs"
    assert changes.moved(old, new.replace(b"1.02", b"1.03"), 0.0).startswith("numbers moved by up to 0.03, beyond")
    assert changes.moved(old, new.replace(b"1.02", b"2.03"), 1.5).startswith("numbers moved by up to 1.03, within")
    assert changes.moved(old, old + b"z,1\n", 9.0) == "other rows or columns"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_long_steps_show_their_last_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "LOOK_EVERY", 0.001)
    reports = {name: tmp_path / name for name in ("00_a", "01_b")}
    for name, report in reports.items():
        report.write_text(f"first of {name}: 1/9\nsecond of {name}: 3/9\n")
    shown = display.Display({"00_a": 1e9, "01_b": 1e9}, stream := _Terminal())
    with shown, shown.at_work("00_a", reports["00_a"]), shown.at_work("01_b", reports["01_b"]):
        while not ("second of 00_a: 3/9" in stream.getvalue() and "second of 01_b: 3/9" in stream.getvalue()):
            shown._ended.wait(0.001)
    assert "first" not in stream.getvalue()
    assert stream.getvalue().endswith(display.UP * 3 + display.CLEAR)


def test_a_log_gets_one_line_at_a_time_with_the_share_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "LINE_EVERY", 0.001)
    shown = display.Display({"00_a": 3e9, "01_b": 6e9, "02_c": 3e9}, stream := io.StringIO())
    with shown.at_work("00_a", tmp_path / "none"):
        pass
    with shown, shown.at_work("01_b", tmp_path / "none"), shown.at_work("02_c", tmp_path / "none"):
        while not stream.getvalue():
            shown._ended.wait(0.001)
    assert set(stream.getvalue().splitlines()) == {"25 %  01_b 0 s  02_c 0 s"}
