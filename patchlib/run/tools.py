"""Programs of others, started as this project needs them: ruff, mypy and pytest on a checkout, JupyterLab anywhere."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from patchlib.support import paths

CHECKS = (("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",))
# a file of tests, or a notebook, on each core; its cells stay in order, and measurements are left to make benchmark
TESTS = (
    "pytest", "--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile", "-p", "no:benchmark",
    "--nbval", "--nbval-current-env", "tests", "notebooks",
)  # fmt: skip


def test(options: Sequence[str] = ()) -> int:
    """Lint, format and type checks, the tests, and the notebooks against their committed outputs.

    Notebooks write their figures under ``build/`` and show no progress: testing changes no committed file.

    Args:
        options: of pytest.

    Returns:
        Exit code of the first that fails, or 0.

    Raises:
        ValueError: outside a checkout; a program is not installed.
    """
    root = paths.checkout("test")
    moved = {"PATCHLIB_FIGURES": str(root / "build" / "test" / "figures"), "PATCHLIB_PROGRESS": "off"}
    for module, *arguments in (*CHECKS, (*TESTS, *options)):
        _check_installed(module, "'.[test,scale,site,heif]'")
        print("$", module, *arguments, flush=True)
        done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=root, env={**os.environ, **moved})
        if done.returncode:
            return done.returncode
    return 0


def lab(options: Sequence[str] = ()) -> int:
    """Open the notebooks in JupyterLab: the checkout's, or else a copy in the current folder, made when there is none.

    Args:
        options: of JupyterLab.

    Raises:
        ValueError: JupyterLab is not installed.
        FileExistsError: ``notebooks/`` of the current folder holds something else.
    """
    _check_installed("jupyterlab", "jupyterlab")
    folder = paths.root() / "notebooks"
    if not (folder / paths.FIRST).exists():
        shutil.copytree(paths.notebooks(), folder)
        print(f"copied the notebooks to {folder}")
    start = [f"--notebook-dir={folder.parent}", os.fspath(folder / paths.FIRST), *options]
    return subprocess.run([sys.executable, "-m", "jupyterlab", *start]).returncode


def _check_installed(module: str, requirement: str) -> None:
    if find_spec(module) is None:
        raise ValueError(f"{module} is not installed; {sys.executable} -m pip install {requirement}")
