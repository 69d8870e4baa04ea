"""Run the notebooks, headless, with strict parameters, side by side. The only file that knows papermill.

Every notebook stands on its own but for those that ``needs.yaml`` names: what it needs from an earlier one it finds in
the cache or computes again. So a notebook that fails does not stop the others. Files appear whole or not at all: a
notebook runs into a temporary folder and takes its place when it has ended.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from patchlib import benchmarks, profiles
from patchlib.download import presence
from patchlib.run import changes, executed, notebooks, readme
from patchlib.run.display import Display
from patchlib.session import Profile
from patchlib.support import machine, paths, provenance
from patchlib.support.wording import counted

DEFAULT_PROFILE = "builtin"
HARMLESS = {"workers"}  # overrides that change no result
PAGE_BYTES = 3 << 30  # memory of a notebook at work; the largest of the built-in benchmark's takes two thirds of it
# others on the machine cannot read along; of its own affairs a kernel logs nothing, an interruption among them
KERNELS = {
    "KernelManager": {"transport_encryption": "auto"},
    "NotebookClient": {"extra_arguments": ["--log-level=CRITICAL"]},
}
# sums of one thread do not depend on the machine's cores, nor on what runs beside; extraction has threads of its own
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to run, and where to put what it makes."""

    profile: str = DEFAULT_PROFILE  # a profile's name, or a YAML file of one
    overrides: Mapping[str, Any] = field(default_factory=dict)  # notebook parameters, e.g. {"encoder": "cnn-small"}
    only: Sequence[str] = ()  # numbers ("03") or whole names of notebooks; empty = all numbered ones
    out: Path | None = None  # of notebooks and figures; None = build/<profile>, and figures/ for the plain profile
    in_place: bool = False  # refresh the committed notebooks instead
    folder: Path | None = None  # of the notebooks; None = those that ship
    jobs: int | None = None  # notebooks at a time; None = one a core, as far as memory goes

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

    @property
    def at_once(self) -> int:
        """How many notebooks to run at a time."""
        return self.jobs or max(1, min(machine.cores(), machine.free_memory() // PAGE_BYTES))

    @property
    def clock(self) -> Path:
        """File of how long each notebook took when it last ran, and of what it was then."""
        return paths.cache() / "runs" / f"{Path(self.profile).stem}-times.json"


def reproduce(run: Run, dry_run: bool = False) -> int:
    """Run the notebooks, print a line for each as it ends, and last what was written, and what has changed.

    Args:
        run: what to run, checked as a whole before anything starts.
        dry_run: only print what would run, how long it took last time, and whether what it computed then can be read.

    Returns:
        0, or 1 if a notebook failed.

    Raises:
        ValueError: an unknown notebook, profile, parameter, benchmark or encoder; a notebook without parameters cell;
            a folder of one's own that holds no benchmark.
        FileNotFoundError: the benchmark's folder is not there; it is not there and may not be fetched.
        DownloadError, ArchiveError: it could not be fetched; what has arrived is kept, and the next run continues.
    """
    if run.in_place and (not run.is_plain or run.out):
        raise ValueError(
            "the committed notebooks show the builtin profile: --in-place takes no profile, --set or --out"
        )
    if run.in_place:
        paths.checkout("--in-place")
    if run.jobs is not None and run.jobs < 1:
        raise ValueError(f"jobs is {run.jobs}, expected at least 1")
    settings = profiles.load(run.profile, **{key: run.overrides.get(key) for key in profiles.FIELDS})
    _check_folder(settings)
    chosen = notebooks.select(run.only, run.folder or paths.notebooks())
    clock = provenance.read_json(run.clock) if run.clock.exists() else {}
    seconds = {name: 60.0 * long for name, long in notebooks.minutes(chosen).items()} if run.is_plain else {}
    seconds |= {name: last["seconds"] for name, last in clock.items()}
    print(
        f"profile {settings.name}: {settings.label}, encoder {settings.encoder}, {counted(len(chosen), 'notebook')}"
        f"{_estimate(chosen, seconds, run.at_once)}",
        flush=True,
    )
    profile = {} if run.profile == DEFAULT_PROFILE else {"profile": run.profile}  # the pages' own; a session has none
    given = notebooks.changes(chosen, {**profile, **run.overrides})
    absent = presence.missing(settings.benchmark, settings.benchmark_options)
    if dry_run:
        print(f"would fetch {absent}\n" if absent else "", end="")
        for path in chosen:
            told = _told(clock.get(path.stem), executed.code(path, given[path]), seconds.get(path.stem))
            print(f"  {path.stem}  {told}  {given[path] or ''}".rstrip())
        print(f"would write notebooks to {_short(_home(run, chosen[0]))}, figures to {_short(run.figures)}")
        return 0
    if absent:  # once, here: not by whichever notebook comes first
        presence.load(settings.benchmark, settings.benchmark_options, settings.download)
    before = changes.contents(run.figures)
    ended = list(_all(run, chosen, given, seconds, clock))
    failed = [path.stem for path, went_well in ended if not went_well]
    if run.in_place and not failed:
        readme.refresh()
    for path in (path for path, went_well in ended if went_well and run.is_plain):  # last: pages read one another's
        executed.keep(path, notebooks.read(_home(run, path) / path.name))
    written = (
        f"{counted(len(chosen) - len(failed), 'notebook')} in {_short(_home(run, chosen[0]))}, figures and tables in "
    )
    print(
        f"wrote {written}{_short(run.figures)}"
        + (f"; {len(failed)} FAILED: {', '.join(sorted(failed))}" if failed else "")
    )
    print(changes.told(before, changes.contents(run.figures), notebooks.tolerances(chosen)), end="")
    return 1 if failed else 0


def _check_folder(settings: Profile) -> None:
    """Say what is wrong with one's own data now; a kernel would after its imports, in the words of a traceback."""
    root = settings.benchmark_options.get("root")
    if root and not Path(root).is_dir():
        raise FileNotFoundError(f"{root} is not a folder; --set benchmark=NAME:FOLDER says where the data lie")
    if settings.benchmark == "folder":
        benchmarks.load("folder", **settings.benchmark_options)


def _all(
    run: Run,
    chosen: Sequence[Path],
    given: Mapping[Path, dict[str, Any]],
    seconds: Mapping[str, float],
    clock: dict[str, Any],
) -> Iterator[tuple[Path, bool]]:
    """Run the notebooks, as many at a time as may be and each after those that it needs; whether each went well."""
    needs = notebooks.needs(chosen)
    # the longest first, so that none is left to run alone at the end; those of which nothing is known in their order
    waiting = sorted(chosen, key=lambda path: -seconds.get(path.stem, float("inf")))
    width, running = max(len(path.stem) for path in chosen), dict[Future[_Ended], Path]()
    kernels = _Kernels()
    with ThreadPoolExecutor(run.at_once) as pool, Display(_shares(chosen, seconds)) as display, kernels:
        while waiting or running:
            for path in [path for path in waiting if not needs[path] & {*waiting, *running.values()}]:
                if len(running) < run.at_once:
                    running[pool.submit(_step, run, path, given[path], display, kernels)] = path
                    waiting.remove(path)
            ended = wait(running, return_when=FIRST_COMPLETED).done
            for future in ended:
                path, result = running.pop(future), future.result()
                label = f"[{len(chosen) - len(waiting) - len(running)}/{len(chosen)}] {path.stem:<{width}}"
                display.say(f"{label} {result.seconds:6.1f} s  {result.text}".rstrip())
                if result.went_well:
                    of = executed.code(path, given[path])
                    clock[path.stem] = {"seconds": round(result.seconds, 1), "of": of}
                    provenance.write_json(run.clock, clock)
                yield path, result.went_well


class _Ended(NamedTuple):
    """How a notebook ended."""

    went_well: bool
    seconds: float
    text: str  # what it saved, or what went wrong


def _step(run: Run, path: Path, values: dict[str, Any], display: Display, kernels: _Kernels) -> _Ended:
    """Run one notebook and put it into its place."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="patchlib-") as folder:
        report = Path(folder) / "progress"
        variables = {**ONE_THREAD, "PATCHLIB_FIGURES": str(run.figures), "PATCHLIB_PROGRESS": str(report)}
        with display.at_work(path.stem, report):
            executed, error = _execute(path, values, Path(folder) / "executed.ipynb", kernels.manager(variables))
    if kernels.stopped:
        raise InterruptedError
    failed = run.build / "notebooks" / f"{path.stem}.failed.ipynb"
    target = _home(run, path) / path.name if error is None else failed
    provenance.write_changed(target, executed)
    seconds = time.monotonic() - start
    if error is not None:
        return _Ended(False, seconds, f"FAILED\n{error}\n    as far as it got: {_short(target)}")
    failed.unlink(missing_ok=True)
    return _Ended(True, seconds, ", ".join(notebooks.saved(path, run.figures)))


def _execute(path: Path, values: dict[str, Any], output: Path, manager: type) -> tuple[str, str | None]:
    """The executed notebook as text, as far as it got, and what went wrong."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    error, engine = None, {"config": Config(KERNELS), "kernel_manager_class": manager}
    try:
        papermill.execute_notebook(notebooks.read(path), str(output), values, progress_bar=False, **engine)
    except PapermillExecutionError as raised:
        first = (raised.source.strip().splitlines() or [""])[0]
        error = f"    cell [{raised.exec_count}]: {first}\n    {raised.ename}: {raised.evalue}"
    except DeadKernelError:
        error = "    the kernel died: killed for its memory, most likely; a profile with a smaller batch needs less"
    return notebooks.text(notebooks.read(output)), error


class _Kernels:
    """The kernels of a run: papermill cannot tell them anything, and stops those of the main thread only."""

    def __init__(self) -> None:
        self.started: list[Any] = []
        self.stopped = False

    def manager(self, variables: Mapping[str, str]) -> type:
        """A class of managers that start their kernel with these variables in its environment."""
        from jupyter_client.manager import AsyncKernelManager

        kernels = self

        class Manager(AsyncKernelManager):
            async def _async_pre_start_kernel(self, **given: Any) -> Any:
                kernels.started.append(self)
                if kernels.stopped:
                    raise InterruptedError
                return await super()._async_pre_start_kernel(env={**os.environ, **variables}, **given)

        return Manager

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """After an interruption the notebooks end with their kernels."""
        self.stopped = kind is not None
        for kernel in self.started if self.stopped else ():
            if kernel.provisioner is not None and kernel.provisioner.process is not None:
                kernel.provisioner.process.kill()


def _home(run: Run, path: Path) -> Path:
    return path.parent if run.in_place else run.build / "notebooks"


def _shares(chosen: Sequence[Path], seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds that each notebook should take; one of which nothing is known, as long as the others' mean."""
    known = [seconds[path.stem] for path in chosen if path.stem in seconds]
    return {path.stem: seconds.get(path.stem, sum(known) / len(known) if known else 1.0) for path in chosen}


def _told(last: Mapping[str, Any] | None, now: str, seconds: float | None) -> str:
    """What is known of a notebook that would run: its last time here, or its first anywhere."""
    if last is None:
        return "not run here yet" + (f", {seconds:.0f} s where it was written" if seconds else "")
    unchanged = last["of"] == now
    return f"{seconds:.0f} s last time, " + ("its results are in the cache" if unchanged else "other code or settings")


def _estimate(chosen: Sequence[Path], seconds: Mapping[str, float], jobs: int) -> str:
    """How long the notebooks should take, if something is known of each."""
    if not {path.stem for path in chosen} <= seconds.keys():
        return ""
    known = [seconds[path.stem] for path in chosen]
    expected = max(*known, sum(known) / min(jobs, len(known))) if len(known) > 1 else known[0]
    return f", about {expected / 60:.0f} min" if expected > 90 else f", about {expected:.0f} s"


def _short(path: Path) -> str:
    """A path as a person at this prompt would write it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
