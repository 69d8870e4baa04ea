"""Programs of others, as this project starts them: what make test and make lab do, without make."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from patchlib.__main__ import main
from patchlib.course import student
from patchlib.run import runner, tools
from patchlib.support import paths


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """What is started: its line without the interpreter, and how; mypy finds a mistake."""
    lines: list[tuple[list[str], dict[str, Any]]] = []

    def run(line: list[str], **how: Any) -> SimpleNamespace:
        assert line[:2] == [sys.executable, "-m"]
        lines.append((line[2:], how))
        return SimpleNamespace(returncode=3 * (line[2] == "mypy" and fails))

    fails = False
    monkeypatch.setattr(subprocess, "run", run)
    return lines


def test_testing_runs_each_check_and_hands_options_to_pytest(started: list) -> None:
    assert main(["test", "-k", "search or rank", "--lf"]) == 0
    *checks, (pytests, how) = started
    assert [line for line, _ in checks] == [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]]
    assert pytests[0] == "pytest" and pytests[-5:] == ["tests", "notebooks", "-k", "search or rank", "--lf"]
    assert how["cwd"] == paths.root()
    assert how["env"]["PATCHLIB_FIGURES"] == str(paths.root() / "build" / "test" / "figures")
