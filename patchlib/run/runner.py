"""Run the notebooks in order, headless, with strict parameters. The only file that knows papermill.

Every notebook stands on its own: what it needs from an earlier one it finds in the cache or computes again. So a
notebook that fails does not stop those after it. Files appear whole or not at all: a notebook runs into a temporary
folder and takes its place when it has ended.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from patchlib import benchmarks, profiles
from patchlib.run import notebooks, readme
from patchlib.session import Profile
from patchlib.support import paths, provenance

DEFAULT_PROFILE = "builtin"
HARMLESS = {"workers"}  # overrides that change no result
LOOK_EVERY, LINE_EVERY = 0.5, 10.0  # seconds between two looks at a notebook's progress; where lines stay
# others on the machine cannot read along; of its own affairs a kernel logs nothing, an interruption among them
KERNELS = {
    "KernelManager": {"transport_encryption": "auto"},
    "NotebookClient": {"extra_arguments": ["--log-level=CRITICAL"]},
}
CLEAR = "\r\x1b[K"  # back to the start of the terminal's line, and clear it


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to run, and where to put what it makes."""

    profile: str = DEFAULT_PROFILE  # a profile's name, or a YAML file of one
    overrides: Mapping[str, Any] = field(default_factory=dict)  # notebook parameters, e.g. {"encoder": "cnn-small"}
    only: Sequence[str] = ()  # numbers ("03") or whole names of notebooks; empty = all numbered ones
    out: Path | None = None  # of notebooks and figures; None = build/<profile>, and figures/ for the plain profile
    in_place: bool = False  # refresh the committed notebooks instead
    folder: Path | None = None  # of the notebooks; None = the checkout's

    @property
    def is_plain(self) -> bool:
        """Whether the run shows what the committed figures show: the builtin profile as it is."""
        return self.profile == DEFAULT_PROFILE and not set(self.overrides) - HARMLESS

    @property
    def build(self) -> Path:
        """Folder of the executed notebooks and, unless the run is plain, of the figures; own data have one each."""
        root = str(self.overrides.get("benchmark") or "").partition(":")[2]
        name = "-".join([Path(self.profile).stem, *([Path(root).resolve().name] if root else [])])
        return (self.out or paths.root() / "build" / name).resolve()

    @property
    def figures(self) -> Path:
        """Folder of the figures, tables and records."""
        if self.out is None and (self.is_plain or "PATCHLIB_FIGURES" in os.environ):
            return paths.figures()
        return self.build / "figures"


def reproduce(run: Run, dry_run: bool = False) -> int:
    """Run the notebooks, print a line for each and a last line that says what was written and where.

    Args:
        run: what to run, checked as a whole before anything starts.
        dry_run: only print what would run.

    Returns:
        0, or 1 if a notebook failed.

    Raises:
        ValueError: an unknown notebook, profile, parameter, benchmark or encoder; a notebook without parameters cell;
            a folder of one's own that holds no benchmark.
        FileNotFoundError: the benchmark's folder is not there.
    """
    if run.in_place and (not run.is_plain or run.out):
        raise ValueError(
            "the committed notebooks show the builtin profile: --in-place takes no profile, --set or --out"
        )
    settings = profiles.load(run.profile, **{key: run.overrides.get(key) for key in profiles.FIELDS})
    _check_folder(settings)
    chosen = notebooks.select(run.only, run.folder or paths.notebooks())
    given = notebooks.changes(chosen, {"profile": run.profile, **run.overrides})
    print(f"profile {settings.name}: {settings.label}, encoder {settings.encoder}, {_count(chosen)}", flush=True)
    if dry_run:
        for path in chosen:
            print(f"  {path.stem}  {given[path] or ''}".rstrip())
        print(f"would write notebooks to {_short(_home(run, chosen[0]))}, figures to {_short(run.figures)}")
        return 0
    done = [path.stem for number, path in enumerate(chosen, 1) if _step(run, path, given[path], number, chosen)]
    failed = [path.stem for path in chosen if path.stem not in done]
    if run.in_place and not failed:
        readme.refresh()
    written = f"{_count(done)} in {_short(_home(run, chosen[0]))}, figures and tables in {_short(run.figures)}"
    print(f"wrote {written}" + (f"; {len(failed)} FAILED: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def _check_folder(settings: Profile) -> None:
    """Say what is wrong with one's own data now; a kernel would after its imports, in the words of a traceback."""
    root = settings.benchmark_options.get("root")
    if root and not Path(root).is_dir():
        raise FileNotFoundError(f"{root} is not a folder; --set benchmark=NAME:FOLDER says where the data lie")
    if settings.benchmark == "folder":
        benchmarks.load("folder", **settings.benchmark_options)


def _step(run: Run, path: Path, values: dict[str, Any], number: int, chosen: Sequence[Path]) -> bool:
    """Run one notebook and print its line; whether it went well."""
    label = f"[{number}/{len(chosen)}] {path.stem:<{max(len(other.stem) for other in chosen)}}"
    home, before, start = _home(run, path), _state(run.figures), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="patchlib-") as folder:
        report = Path(folder) / "progress"
        with _environment(PATCHLIB_FIGURES=str(run.figures), PATCHLIB_PROGRESS=str(report)), _shown(label, report):
            executed, error = _execute(path, values, Path(folder) / "executed.ipynb")
    seconds = f"{time.monotonic() - start:6.1f} s"
    target = home / path.name if error is None else run.build / "notebooks" / f"{path.stem}.failed.ipynb"
    with provenance.atomic_write(target, "w") as file:
        file.write(executed)
    if error is not None:
        print(f"{label} {seconds}  FAILED\n{error}\n    as far as it got: {_short(target)}", flush=True)
        return False
    (run.build / "notebooks" / f"{path.stem}.failed.ipynb").unlink(missing_ok=True)
    items = sorted({name.stem for name, state in _state(run.figures).items() if before.get(name) != state})
    print(f"{label} {seconds}  {', '.join(items)}".rstrip(), flush=True)
    return True


def _execute(path: Path, values: dict[str, Any], output: Path) -> tuple[str, str | None]:
    """The executed notebook as text, as far as it got, and what went wrong."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    error = None
    try:
        papermill.execute_notebook(
            notebooks.read(path), str(output), values, progress_bar=False, config=Config(KERNELS)
        )
    except PapermillExecutionError as raised:
        first = (raised.source.strip().splitlines() or [""])[0]
        error = f"    cell [{raised.exec_count}]: {first}\n    {raised.ename}: {raised.evalue}"
    except DeadKernelError:
        error = "    the kernel died: killed for its memory, most likely; a profile with a smaller batch needs less"
    return notebooks.text(notebooks.read(output)), error


def _home(run: Run, path: Path) -> Path:
    return path.parent if run.in_place else run.build / "notebooks"


def _state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("*") if path.is_file()}


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Kernels take over this process's environment; papermill has no other way to tell them something."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _shown(label: str, report: Path) -> Iterator[None]:
    """Show the last line of what long steps report: on a terminal one line, rewritten; elsewhere a line at times."""
    ended = threading.Event()
    thread = threading.Thread(target=_show, args=(label, report, sys.stderr, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show(label: str, report: Path, stream: TextIO, ended: threading.Event) -> None:
    start, terminal = time.monotonic(), stream.isatty()
    while not ended.wait(LOOK_EVERY if terminal else LINE_EVERY):
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
        line = f"{label} {time.monotonic() - start:6.1f} s  {lines[-1] if lines else ''}".rstrip()
        # a line that wraps could not be cleared
        stream.write(f"{CLEAR}{line[: shutil.get_terminal_size().columns - 1]}" if terminal else f"{line}\n")
        stream.flush()
    if terminal:
        stream.write(CLEAR)
        stream.flush()


def _count(some: Sequence[object]) -> str:
    return f"{len(some)} notebook{'' if len(some) == 1 else 's'}"


def _short(path: Path) -> str:
    """A path as a person at this prompt would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
