"""The course's pages have one anatomy: question, parameters, exercises with checks, self-tests; and one clean run."""

import ast
import re
from pathlib import Path

import pytest
from nbformat import NotebookNode

from patchlib.course import student
from patchlib.run import notebooks

BYTES = 700_000
PATHS = student.sources()
ABSOLUTE = re.compile(r"(?<![\w:/.<>])/(?:\w[\w.-]*/){2,}")
TAGS = {"parameters", student.SOLUTION, student.INSTRUCTOR}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> NotebookNode:
    return notebooks.read(path)


def test_opens_with_a_question_and_says_what_one_needs_and_writes(notebook: NotebookNode) -> None:
    first = notebook.cells[0].source
    assert first.startswith("# C") and "?" in first and "you need" in first and "you write" in first


def test_every_exercise_is_checked_right_after_it(notebook: NotebookNode) -> None:
    code = notebooks.code(notebook)
    assert sum("check.prediction(" in cell.source for cell in code) >= 1
    for number, cell in enumerate(code):
        if student.SOLUTION not in cell.metadata.tags:
            continue
        after = "\n".join(other.source for other in code[number + 1 : number + 4])
        for node in ast.parse(cell.source).body:
            name = node.name if isinstance(node, ast.FunctionDef) else ast.unparse(node.targets[0])
            assert re.search(rf"^check\.\w+\({name}\b", after, re.MULTILINE), f"{name} is not checked"


def test_two_self_tests_with_folded_answers(notebook: NotebookNode) -> None:
    (test,) = [cell.source for cell in notebook.cells if "## Test yourself" in cell.source]
    assert test.count("<details><summary>Answer</summary>") == test.count("</details>") == 2
    assert len(re.findall(r"^\*\*\d\.\*\*", test, re.MULTILINE)) == 2 and test.count("(c)") >= 2


def test_folds_are_closed_and_leave_lines_for_markdown(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        assert cell.source.count("<details>") == cell.source.count("</details>")
        assert not re.search(r"</summary>\n(?!\n)|(?<!\n)\n</details>", cell.source), cell.id


def test_parameters_are_literals_with_a_comment(path: Path, notebook: NotebookNode) -> None:
    assert "workers" in notebooks.parameters(path)
    (cell,) = [cell for cell in notebooks.code(notebook) if "parameters" in cell.metadata.tags]
    assert all("  # " in line for line in cell.source.splitlines())


def test_outputs_come_from_one_clean_run(path: Path, notebook: NotebookNode) -> None:
    assert [cell.execution_count for cell in notebooks.code(notebook)] == list(
        range(1, len(notebooks.code(notebook)) + 1)
    )
    assert path.stat().st_size <= BYTES
    for output in (output for cell in notebooks.code(notebook) for output in cell.outputs):
        assert output.output_type != "error" and output.get("name") != "stderr", output
        said = output.get("text", "") + "".join(v for k, v in output.get("data", {}).items() if k.startswith("text/"))
        assert not ABSOLUTE.search(said) and " at 0x" not in said, said


def test_tags_are_known(notebook: NotebookNode) -> None:
    tags = {tag for cell in notebook.cells for tag in cell.metadata.tags}
    assert {tag for tag in tags if not tag.startswith("tolerance=")} <= TAGS
