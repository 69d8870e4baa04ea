"""Benchmarks: one record, one loader per published layout."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from patchlib.benchmarks.benchmark import Benchmark
from patchlib.support.suggest import unknown_name

NAMES = ("procedural", "photographs", "ilias", "instre", "grocery", "roxford5k", "rparis6k", "folder")

__all__ = ["NAMES", "Benchmark", "load"]


def load(name: str, root: str | Path | None = None, **options: Any) -> Benchmark:
    """Load a benchmark from disk.

    Args:
        name: one of :data:`NAMES`.
        root: its folder; None = where ``python -m patchlib data get`` puts it (for ``folder`` a root is needed).
        options: the loader's own keywords, e.g. ``instances=40`` of the procedural benchmark.

    Raises:
        ValueError: unknown name or option.
        FileNotFoundError: the benchmark is not there; the message says which command fetches it.
    """
    if name not in NAMES:
        raise ValueError(unknown_name("benchmark", name, NAMES))
    loader = import_module(f"patchlib.benchmarks.{name}").load
    known = [key for key in inspect.signature(loader).parameters if key != "root"]
    for option in options:
        if option not in known:
            raise ValueError(unknown_name(f"option of benchmark {name!r}", option, known))
    return loader(root=None if root is None else Path(root), **options)
