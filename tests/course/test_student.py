"""Students' versions: up to date, without solutions, and they run to their first stub."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from patchlib.course import student
from patchlib.run import notebooks

SOURCES = student.sources()


def test_there_are_five_sessions() -> None:
    assert [path.stem.split("_")[0] for path in SOURCES] == ["C1", "C2", "C3", "C4", "C5"]


@pytest.mark.parametrize(("path", "text"), list(student.versions()), ids=lambda value: getattr(value, "stem", ""))
def test_committed_versions_are_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run make course"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_solution_is_left(path: Path) -> None:
    source, students = notebooks.read(path), student.version(notebooks.read(path))
    solved = [cell for cell in source.cells if student.SOLUTION in cell.metadata.tags]
    assert len(solved) >= 3
    for cell in solved:
        (stub,) = [other.source for other in students.cells if other.id == cell.id]
        assert "..." in stub and "return" not in stub and cell.source not in stub
    assert not any(student.INSTRUCTOR in cell.metadata.tags for cell in students.cells)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in students.cells)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_links_of_a_version_lead_somewhere(path: Path) -> None:
    home = path.parent / student.FOLDER
    for cell in student.version(notebooks.read(path)).cells:
        for part in cell.source.split("](")[1:] if cell.cell_type == "markdown" else ():
            target = part.partition(")")[0]
            assert target.startswith("http") or (home / target).exists(), target


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_version_runs_to_its_first_stub(path: Path) -> None:
    notebook = student.version(notebooks.read(path))
    with pytest.raises(CellExecutionError) as caught:
        NotebookClient(notebook, timeout=300).execute()
    assert caught.value.ename == "NotYet"
    (output,) = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"
    ]
    assert len(output.traceback) == 1 and "is not written yet" in output.traceback[0]
    stubs = [cell for cell in notebook.cells if student.SOLUTION in cell.metadata.tags]
    assert [cell.execution_count is not None for cell in stubs] == [True] + [False] * (len(stubs) - 1)


def test_a_stub_keeps_what_a_student_needs() -> None:
    source = '''import numpy as np

guess = "2x2"  # 1x1 or 2x2
text = (
    "one "
    "two"
)


def double(x, times=2):
    """Twice x."""
    # start with x
    y = x * times
    return y'''
    expected = '''import numpy as np

guess = ...  # 1x1 or 2x2
text = ...


def double(x, times=2):
    """Twice x."""
    # start with x
    ...'''
    assert student.stub(source) == expected
    with pytest.raises(ValueError, match="double needs a docstring"):
        student.stub("def double(x):\n    return 2 * x")


def test_writing_again_forgets_what_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student.paths, "notebooks", lambda: tmp_path)
    (tmp_path / "course").mkdir()
    nbformat.write(notebooks.read(SOURCES[0]), tmp_path / "course" / SOURCES[0].name)
    (written,) = student.write()
    clean = written.read_text(encoding="utf-8")
    written.write_text("typed", encoding="utf-8")
    assert student.write() == [written] and written.read_text(encoding="utf-8") == clean
