"""Programs of others, as this project starts them: what make test and make lab do, without make."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from patchlib.__main__ import main
from patchlib.course import student
from patchlib.run import runner, tools
from patchlib.support import paths

CHECKS = [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """What is started, without the interpreter, and how; a program that is asked to --fail does."""
    lines: list[tuple[list[str], dict[str, Any]]] = []

    def run(line: list[str], **how: Any) -> subprocess.CompletedProcess:
        lines.append((line[2:], how))
        return subprocess.CompletedProcess(line, 5 if line[:2] != [sys.executable, "-m"] or "--fail" in line else 0)

    monkeypatch.setattr(subprocess, "run", run)
    return lines


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a wheel's package keeps what ships, and an empty current folder beside it."""
    shipped = tmp_path / "site-packages" / "patchlib" / paths.LIFTED
    (shipped / "notebooks" / "course").mkdir(parents=True)
    (shipped / "notebooks" / paths.FIRST).write_text("a page")
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(paths, "PACKAGE", shipped.parent)
    monkeypatch.chdir(tmp_path / "here")
    return shipped


def test_testing_checks_first_and_hands_options_to_pytest(started: list) -> None:
    assert main(["test", "-k", "search or rank", "--lf"]) == 0
    *checks, (tests, how) = started
    assert [line for line, _ in checks] == CHECKS
    assert tests[0] == "pytest" and tests[-5:] == ["tests", "notebooks", "-k", "search or rank", "--lf"]
    assert how["cwd"] == paths.root()
    assert how["env"]["PATCHLIB_FIGURES"] == str(paths.root() / "build" / "test" / "figures")


def test_testing_ends_with_the_first_that_fails(started: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "CHECKS", (("ruff", "--fail"), ("mypy",)))
    assert main(["test"]) == 5
    assert [line for line, _ in started] == [["ruff", "--fail"]]


def test_a_program_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(tools, "CHECKS", (("no_such_linter", "."),))
    assert main(["test"]) == 2
    assert "no_such_linter is not installed; " in capsys.readouterr().err


def test_the_lab_opens_the_checkout(started: list) -> None:
    assert main(["lab", "--no-browser"]) == 0
    first = paths.root() / "notebooks" / paths.FIRST
    assert started[0][0] == ["jupyterlab", f"--notebook-dir={paths.root()}", str(first), "--no-browser"]


def test_outside_a_checkout_the_lab_opens_a_copy_and_keeps_what_was_written_there(started: list, wheel: Path) -> None:
    page = Path.cwd() / "notebooks" / paths.FIRST
    for content in ("a page", "my page"):
        assert main(["lab"]) == 0
        assert page.read_text() == content
        page.write_text("my page")
    assert started[1][0] == ["jupyterlab", f"--notebook-dir={Path.cwd()}", str(page)]
    assert (wheel / "notebooks" / paths.FIRST).read_text() == "a page"


def test_outside_a_checkout_nothing_is_written_beside_the_package(wheel: Path) -> None:
    for needs_one in (tools.test, student.write, lambda: runner.reproduce(runner.Run(in_place=True))):
        with pytest.raises(ValueError, match="needs a checkout"):
            needs_one()
