"""Profiles: one named set of settings for a whole run.

A profile is a small YAML file. The shipped ones are ``patchlib/profiles/*.yaml``; any other file works by its path, and
may start from another profile with ``extends: NAME``. A notebook opens one: ``run = profiles.open(profile)``.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from patchlib import benchmarks, encoders, plots, regions
from patchlib.session import Profile, Session
from patchlib.support import machine
from patchlib.support.suggest import unknown_name

FOLDER = Path(__file__).parent / "profiles"
DTYPES = ("float32", "float16")
MATCHERS = ("built-in", "published")
REQUIRED = ("encoder", "encoders", "levels", "device", "batch", "dtype", "resamples")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(type(item) is kind for item in value)


def _levels(value: Any) -> bool:
    return _list_of(int, value) and set(value) <= set(regions.LEVELS) and len(set(value)) > 1


WHOLE = (_whole, "a whole number of at least 1")
RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("workers", "batch", "resamples", "k", "sample"), WHOLE),
    "encoder": (lambda value: isinstance(value, str), "an encoder's name"),
    "encoders": (lambda value: _list_of(str, value), "a list of encoders' names"),
    "pair": (lambda value: _list_of(str, value) and len(value) == 2, "two encoders' names"),
    "levels": (_levels, "at least two levels of 0..3"),
    "device": (lambda value: isinstance(value, str), 'a torch device such as "cpu" or "cuda"'),
    "dtype": (lambda value: value in DTYPES, " or ".join(DTYPES)),
    "matcher": (lambda value: value in MATCHERS, " or ".join(MATCHERS)),
    **dict.fromkeys(("skip_bad", "download"), (lambda value: isinstance(value, bool), "true or false")),
    "worlds": (lambda value: value == 0 or _whole(value), "a whole number"),
}


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
            raise ValueError(f"profile {name!r}: {unknown_name('parameter', key, FIELDS)}")
    given = {key: value for key, value in settings.items() if value is not None}
    settings = {"workers": machine.cores()} | _choose_benchmark(given)
    _check(settings, f"profile {name!r}")
    sequences = {key: tuple(settings[key]) for key in ("benchmarks", "encoders")}
    sequences["levels"] = tuple(sorted(set(settings["levels"])))
    sequences["pair"] = tuple(settings.get("pair") or sequences["encoders"][:2])
    return Profile(name=Path(name).stem, **(settings | sequences))


def open(profile: str, /, **overrides: Any) -> Session:
    """Open a session: settings as :func:`load` reads them, whose errors it raises; figures in the companion's style."""
    plots.use_style()
    return Session(load(profile, **overrides))


def _read(name: str) -> dict[str, Any]:
    """Settings of a profile's file, on top of those it extends."""
    is_path = Path(name).suffix in (".yaml", ".yml")
    if not is_path and name not in names():
        raise ValueError(f"{unknown_name('profile', name, names())}; or the path of a .yaml file")
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
        raise ValueError(unknown_name("benchmark", settings["benchmark"], benchmarks.NAMES))
    for key, (fits, expected) in RULES.items():
        if key in settings and not fits(settings[key]):
            raise ValueError(f"{source}: {key} is {settings[key]!r}, expected {expected}")
    for name in (settings["encoder"], *settings["encoders"], *settings.get("pair", ())):
        encoders.spec(name)
