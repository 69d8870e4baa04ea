from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from patchlib.run import notebooks


def write(path: Path, cell: str = 'profile = "builtin"  # settings', tags: tuple[str, ...] = ("parameters",)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell, metadata={"tags": list(tags)})])
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("01_second", "00_first", "scratch", "appendix/A1_train"):
        write(tmp_path / f"{name}.ipynb")
    return tmp_path


@pytest.mark.parametrize(
    ("only", "expected"),
    [("", "00_first 01_second"), ("01 00", "00_first 01_second"), ("01_second", "01_second"),
     ("A1 01", "01_second A1_train")],
)  # fmt: skip
def test_select_by_number_or_name_in_order(folder: Path, only: str, expected: str) -> None:
    assert [path.stem for path in notebooks.select(only.split(), folder)] == expected.split()


def test_select_names_the_nearest_or_says_that_there_are_none(folder: Path) -> None:
    with pytest.raises(ValueError, match="unknown notebook '01_secnd'; did you mean 01_second"):
        notebooks.select(["01_secnd"], folder)
    with pytest.raises(ValueError, match="no notebooks in"):
        notebooks.select([], folder / "appendix")


def test_parameters_are_names_with_literal_defaults(tmp_path: Path) -> None:
    cell = 'profile = "builtin"  # settings\nlevels = [0, -1]\nworkers = None'
    path = write(tmp_path / "00_a.ipynb", cell)
    assert notebooks.parameters(path) == {"profile": "builtin", "levels": [0, -1], "workers": None}


@pytest.mark.parametrize("line", ["a = b = 1", "import os", "a = len([])", "a, b = 1, 2", "a: int = 1", "%load x"])
def test_parameters_hold_nothing_else(tmp_path: Path, line: str) -> None:
    message = "00_a.ipynb: parameters cell (holds .* expected name = literal|is not plain Python)"
    with pytest.raises(ValueError, match=message):
        notebooks.parameters(write(tmp_path / "00_a.ipynb", line))


def test_a_parameters_cell_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has 0 cells tagged 'parameters', expected 1"):
        notebooks.parameters(write(tmp_path / "00_a.ipynb", tags=()))


@pytest.mark.parametrize("content", ["{", "{}", '{"nbformat": 4}', ""])
def test_what_is_not_a_notebook_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "00_a.ipynb"
    path.write_text(content)
    with pytest.raises(ValueError, match="00_a.ipynb is not a notebook"):
        notebooks.parameters(path)


def test_changes_go_where_they_are_known_and_differ(tmp_path: Path) -> None:
    one = write(tmp_path / "00_a.ipynb", 'profile = "builtin"\nencoder = None')
    two = write(tmp_path / "01_b.ipynb", 'profile = "builtin"')
    changes = notebooks.changes([one, two], {"profile": "builtin", "encoder": "SigLIP"})
    assert changes == {one: {"encoder": "SigLIP"}, two: {}}
    with pytest.raises(ValueError, match="unknown parameter 'encodr'; did you mean encoder"):
        notebooks.changes([one, two], {"encodr": "SigLIP"})


def test_text_leaves_out_what_differs_from_run_to_run(tmp_path: Path) -> None:
    path = write(tmp_path / "00_a.ipynb")
    clean = notebooks.text(notebooks.read(path))
    stained = notebooks.read(path)
    stained.metadata["papermill"] = {"duration": 1.5}
    stained.metadata["language_info"] = {"name": "python", "version": "3.13.0"}
    stained.cells[0].metadata["papermill"] = {"duration": 1.5}
    stained.cells[0].metadata["execution"] = {"iopub.execute_input": "2026-01-01"}
    assert notebooks.text(stained) == clean
    assert "papermill" in stained.metadata, "the argument stays as it is"
