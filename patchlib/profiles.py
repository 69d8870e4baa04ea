"""Profiles: one named set of settings for a whole run.

A profile is a small YAML file. The shipped ones are ``patchlib/profiles/*.yaml``; any other file works by its path, and
may start from another profile with ``extends: NAME``. A notebook opens one: ``run = profiles.open(profile)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from patchlib import benchmarks, encoders, plots
from patchlib.session import Session
from patchlib.support import machine, provenance
from patchlib.support.suggest import unknown

FOLDER = Path(__file__).parent / "profiles"
DTYPES = ("float32", "float16")
MATCHERS = ("built-in", "published")
REQUIRED = ("encoder", "encoders", "levels", "device", "batch", "dtype", "k", "resamples")
TITLES = {
    "procedural": "built-in benchmark",
    "photographs": "photographs",
    "ilias": "ILIAS",
    "instre": "INSTRE",
    "grocery": "Grocery Store",
    "folder": "own photographs",
}


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(item, kind) for item in value)


WHOLE = (_whole, "a whole number of at least 1")
WHOLE_OR_NULL = (lambda value: value is None or _whole(value), f"{WHOLE[1]}, or null")
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("workers", "batch", "resamples"), WHOLE),
    **dict.fromkeys(("k", "sample"), WHOLE_OR_NULL),
    "encoders": (lambda value: _list_of(str, value), "a list of encoders' names"),
    "pair": (lambda value: value is None or (_list_of(str, value) and len(value) == 2), "two encoders' names, or null"),
    "levels": (lambda value: _list_of(int, value) and set(value) <= {0, 1, 2, 3}, "a list of levels 0..3"),
    "device": (lambda value: isinstance(value, str), 'a torch device such as "cpu" or "cuda"'),
    "dtype": (lambda value: value in DTYPES, " or ".join(DTYPES)),
    "matcher": (lambda value: value is None or value in MATCHERS, " or ".join(MATCHERS)),
    "skip_bad": (lambda value: value is None or isinstance(value, bool), "true or false"),
}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Settings of a run.

    Attributes:
        name: profile name (the stem of its file).
        benchmark: the benchmark in use.
        benchmark_options: its loader's keywords, ``root`` among them if it lies elsewhere.
        benchmarks: the benchmarks the profile lists, the default one first.
        encoder: the encoder in use, a name of the encoders' registry.
        encoders: those that the comparisons of encoders run.
        pair: the two encoders of the study of size, place and brightness; None = the first two of ``encoders``.
        levels: grid levels to study, of 0..3.
        matcher: what re-ranks: ``"built-in"``, or ``"published"``, the network of the AMES authors.
        device: torch device, e.g. ``"cpu"`` or ``"cuda"``.
        workers: processes or threads; null in the file = one per core.
        batch: crops in one forward.
        dtype: of the stored descriptors, ``"float32"`` or ``"float16"``.
        k: depth of AP; None = what the benchmark's protocol says.
        sample: images of the studies that describe each image many times; None = all.
        resamples: bootstrap resamples of a confidence interval.
        skip_bad: leave unreadable images out, and count them, instead of stopping.
    """

    name: str
    benchmark: str
    benchmark_options: dict[str, Any] = field(default_factory=dict)
    benchmarks: tuple[str, ...]
    encoder: str
    encoders: tuple[str, ...]
    pair: tuple[str, ...]
    levels: tuple[int, ...]
    matcher: str = "built-in"
    device: str
    workers: int
    batch: int
    dtype: str
    k: int | None
    sample: int | None = None
    resamples: int
    skip_bad: bool = False

    @property
    def label(self) -> str:
        """What figures say they show, e.g. ``"built-in benchmark"``; names the options that are not the default."""
        told = {key: value for key, value in self.benchmark_options.items() if key not in ("root", "skip_bad")}
        options = ", ".join(f"{key}={value}" for key, value in told.items())
        return TITLES[self.benchmark] + (f" ({options})" if options else "")

    def record(self, config: Mapping[str, Any], **inputs: str) -> dict[str, Any]:
        """Record of a figure or table made under this profile; ``inputs`` are hashes, e.g. ``benchmark=data.hash``."""
        return provenance.record(config, inputs, self.name, self.label)

    @property
    def extraction(self) -> dict[str, Any]:
        """The keywords of :func:`patchlib.features.extract` that a profile decides."""
        return {"workers": self.workers, "batch": self.batch, "dtype": self.dtype, "skip_bad": self.skip_bad}


FIELDS = tuple(item.name for item in fields(Profile) if item.name != "name")


def names() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str, /, **overrides: Any) -> Profile:
    """Read a profile and put the overrides in.

    Args:
        name: a shipped profile, or the path of a YAML file.
        overrides: values for fields of :class:`Profile`; None leaves the profile's value. ``benchmark`` may be
            ``"NAME:FOLDER"`` for a benchmark that lies in a folder of one's own.

    Raises:
        ValueError: unknown profile, field, benchmark or encoder (names the nearest), or a value that does not fit.
        FileNotFoundError: ``name`` is a path and nothing is there.
    """
    settings = _read(name) | {key: value for key, value in overrides.items() if value is not None}
    for key in (*settings, *overrides):
        if key not in FIELDS:
            raise ValueError(f"profile {name!r}: {unknown('parameter', key, FIELDS)}")
    settings = _choose_benchmark(settings)
    if settings.get("workers") is None:
        settings["workers"] = machine.cores()
    _check(settings, f"profile {name!r}")
    sequences = {key: tuple(settings[key]) for key in ("benchmarks", "encoders", "levels")}
    sequences["pair"] = tuple(settings.get("pair") or sequences["encoders"][:2])
    return Profile(name=Path(name).stem, **(settings | sequences))


def open(profile: str, /, **overrides: Any) -> Session:
    """Open a session: settings as :func:`load` reads them, figures in the companion's style.

    Raises:
        ValueError, FileNotFoundError: as in :func:`load`.
    """
    plots.use_style()
    return Session(load(profile, **overrides))


def _read(name: str) -> dict[str, Any]:
    """Settings of a profile's file, on top of those it extends."""
    is_path = Path(name).suffix in (".yaml", ".yml")
    if not is_path and name not in names():
        raise ValueError(f"{unknown('profile', name, names())}; or the path of a .yaml file")
    path = Path(name) if is_path else FOLDER / f"{name}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds {type(content).__name__}, expected a mapping of settings")
    settings = dict(content)
    base = settings.pop("extends", None)
    return (_read(base) if base else {}) | settings


def _choose_benchmark(settings: dict[str, Any]) -> dict[str, Any]:
    """The benchmark in use, its options and its root, from the profile's list and the override."""
    listed = settings.get("benchmarks")
    if not isinstance(listed, Mapping) or not listed:
        raise ValueError(f"benchmarks is {listed!r}, expected a mapping of a benchmark's name to its options")
    name, _, root = str(settings.get("benchmark") or next(iter(listed))).partition(":")
    options = (listed.get(name) or {}) | settings.get("benchmark_options", {}) | ({"root": root} if root else {})
    if settings.get("skip_bad") and name != "procedural":  # whose images we have just drawn
        options["skip_bad"] = True
    return settings | {"benchmark": name, "benchmark_options": options, "benchmarks": list(listed)}


def _check(settings: Mapping[str, Any], source: str) -> None:
    """Refuse values that would fail, or mislead, hours later."""
    missing = [key for key in REQUIRED if key not in settings]
    if missing:
        raise ValueError(f"{source} lacks {', '.join(missing)}; add them, or start it with 'extends: builtin'")
    if settings["benchmark"] not in benchmarks.NAMES:
        raise ValueError(unknown("benchmark", settings["benchmark"], benchmarks.NAMES))
    encoders.spec(settings["encoder"])
    for key, (fits, expected) in RULES.items():
        if not fits(settings.get(key)):
            raise ValueError(f"{source}: {key} is {settings.get(key)!r}, expected {expected}")
