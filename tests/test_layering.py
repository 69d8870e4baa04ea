"""Arrows point one way: a module may import what stands before it in the order of the house."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from patchlib.support import paths

PACKAGE = paths.root() / "patchlib"
# the rooms and the modules of the core, from the ground up; each may import what stands before it
HOUSE = """
    support boxes images benchmarks download regions encoders features search metrics report plots
    session profiles pq paper reranking studies scale charts explorer training run course __main__
"""
ORDER = HOUSE.split()
FEATURES = ["feature_set", "cluster", "shards", "extraction", "proposals", "surprise"]
HEAVY = {"torch", "faiss", "papermill", "matplotlib", "h5py", "pooch", "pandas"}


def _module(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@cache
def _graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports; a package counts as one."""
    graph: dict[str, set[str]] = {}
    for path in SOURCES:
        graph.setdefault(_module(path), set()).update(set(_imported(path)) - {_module(path)})
    return graph


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(_graph())


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_one_way(module: str) -> None:
    assert not _graph()[module] - set(ORDER[: ORDER.index(module)])


def test_features_have_an_order_of_their_own() -> None:
    room = PACKAGE / "features"
    assert sorted(FEATURES) == sorted(path.stem for path in room.glob("*.py") if path.stem != "__init__")
    for place, module in enumerate(FEATURES):
        text = (room / f"{module}.py").read_text(encoding="utf-8")
        assert not [other for other in FEATURES[place:] if re.search(rf"import {other}\b|features\.{other} ", text)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_can_be_imported(path: Path) -> None:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    import_module(".".join(part for part in parts if part != "__init__"))


def test_only_the_runner_knows_papermill() -> None:
    assert {path.name for path in SOURCES if "import papermill" in path.read_text(encoding="utf-8")} == {"runner.py"}


@pytest.mark.parametrize("start", ["import patchlib", "import patchlib.__main__", "import patchlib.download.command"])
def test_light_modules_leave_the_heavy_libraries_alone(start: str) -> None:
    code = f"{start}, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=paths.root())
    assert not HEAVY & set(loaded.stdout.split())


def _imported(path: Path) -> Iterator[str]:
    """Modules of patchlib that a source imports when it runs, in its functions too; not those it needs for hints."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hints = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in hints:
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: say where from in full, {ast.unparse(node)}"
            names = [f"{node.module}.{name}" for name in names]
        for name in names:
            package, *rest = name.split(".")
            # constants of the package itself, such as its version, stand above everything
            if package == "patchlib" and rest and not rest[0].startswith("__version"):
                yield rest[0]
