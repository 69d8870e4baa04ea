"""Every notebook has the same anatomy, so that whoever has read one can read all."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tolerance
from nbformat import NotebookNode

from patchlib.run import notebooks
from patchlib.support import paths

FOLDER = paths.notebooks()
PATHS = sorted(path for path in FOLDER.rglob("*.ipynb") if "course" not in path.parts)  # see tests/course
CODE_CELLS, LINES, WORDS, BYTES = range(8, 17), 15, range(300, 901), 1_500_000
COLUMNS, CODE_LINES = 100, 110
REUSED = {"_", "fig", "axes", "ax", "caption"}  # names that may stand for another thing in another cell
SECTIONS = ("what we see", "paper vs ours", "exercises")
# an absolute path with two folders at least; addresses of the web and fractions are none
ABSOLUTE = re.compile(r"(?<![\w:/.<>])/(?:\w[\w.-]*/){2,}")
# what has an address in memory, or depends on how fast the machine is
UNSTABLE = re.compile(r" at 0x[0-9a-f]{6,}|it/s\]|\d%\|")
# bold sentences that no data can deny: definitions, geometry, how to read a picture
FACTS = {
    "Every patch gets the encoder's full input resolution.",
    "LocScore is the area under LocScore(δ).",
    "Scores end where geometry ends.",
    "Small boxes have no patch that fits.",
    "Equal AP, unequal LocScore.",
    "One scene, one thing changes.",
    "What each strategy looks at.",
    "Left the first rule, right the second.",
    "How many effects have the paper's sign stands in the figure; sizes are another matter.",
    "Table 7 in bytes.",
    "The exceptions, one by one.",
}


@pytest.fixture(params=PATHS, ids=lambda path: path.relative_to(FOLDER).with_suffix("").as_posix())
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> NotebookNode:
    return notebooks.read(path)


def _prose(notebook: NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _nodes(notebook: NotebookNode) -> Iterator[ast.AST]:
    # magics and shell escapes are no Python, so they do not parse
    for cell in notebooks.code(notebook):
        yield from ast.walk(ast.parse(cell.source))


def test_names_are_ordered(path: Path) -> None:
    assert re.fullmatch(r"A\d_\w+" if path.parent.name == "appendix" else r"\d\d_\w+", path.stem)


def test_opens_with_title_question_and_what_it_reads_and_writes(notebook: NotebookNode) -> None:
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    head = first.source.split("```")[0]
    assert "?" in head
    for word in ("reads", "writes", "paper item"):
        assert re.search(rf"\b{word}\b", head, re.IGNORECASE), f"the first cell does not say: {word}"


def test_parameters_come_first_each_with_its_comment(path: Path, notebook: NotebookNode) -> None:
    assert notebooks.parameters(path)["profile"] == "builtin"
    cell = notebooks.code(notebook)[0]
    assert "parameters" in cell.metadata.tags
    assert all(re.fullmatch(r"\w+ = .*\S  # \S.*", line) for line in cell.source.splitlines())


def test_sections_are_there(notebook: NotebookNode) -> None:
    headings = [line.lower() for line in _prose(notebook).splitlines() if line.startswith("#")]
    for section in SECTIONS:
        assert any(section in heading for heading in headings), f"no heading {section!r}"


def test_size(path: Path, notebook: NotebookNode) -> None:
    assert len(notebooks.code(notebook)) in CODE_CELLS
    assert len(_prose(notebook).split()) in WORDS
    for number, cell in enumerate(notebooks.code(notebook), 1):
        lines = cell.source.splitlines()
        assert lines and len(lines) <= LINES, f"code cell {number}"
        assert max(map(len, lines)) <= COLUMNS, f"code cell {number}: a line over {COLUMNS}"
    assert sum(len(cell.source.splitlines()) for cell in notebooks.code(notebook)) <= CODE_LINES
    assert path.stat().st_size <= BYTES


def test_logic_lives_in_the_package(notebook: NotebookNode) -> None:
    for node in _nodes(notebook):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            assert (node.end_lineno or 0) - node.lineno < 3, f"{node.name} is longer than three lines"


def test_cells_need_no_second_look(notebook: NotebookNode) -> None:
    for cell in notebooks.code(notebook):
        last = getattr(ast.parse(cell.source).body[-1], "value", None)
        nothing = isinstance(last, ast.IfExp) and isinstance(last.orelse, ast.Constant) and last.orelse.value is None
        assert not nothing, f"ends with a condition and `else None`: {ast.unparse(last)}"
    for node in _nodes(notebook):
        captured = isinstance(node, ast.Lambda) and (node.args.defaults or any(node.args.kw_defaults))
        assert not captured, f"a lambda with captured defaults: {ast.unparse(node)}"


def test_a_name_stands_for_one_thing(notebook: NotebookNode) -> None:
    """No name gets a value by plain assignment in two cells; loops bind their variables otherwise."""
    bound: set[str] = set()
    for cell in notebooks.code(notebook):
        targets = [t for node in ast.parse(cell.source).body if isinstance(node, ast.Assign) for t in node.targets]
        stored = [name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        names = {name.id for name in stored if isinstance(name.ctx, ast.Store)} - REUSED
        assert not names & bound, f"bound to another thing again: {', '.join(sorted(names & bound))}"
        bound |= names


def test_values_are_hidden_by_name(notebook: NotebookNode) -> None:
    # nbval runs cells without history, where a trailing semicolon hides nothing
    for cell in notebooks.code(notebook):
        assert not cell.source.rstrip().endswith(";"), f"assign to _ instead: {cell.source.splitlines()[-1]}"


def test_bold_sentences_ask_or_hold_on_any_data(notebook: NotebookNode) -> None:
    # a direction, a winner or a "no" is told by a cell, from the table it rests on; prose asks what to look at
    opened = re.findall(r"(?m)^\*\*(?!Question\.)(.+?)\*\*", _prose(notebook))
    assert not {sentence for sentence in opened if sentence.endswith((".", ";"))} - FACTS


def test_nothing_is_installed_or_run_outside_python(notebook: NotebookNode) -> None:
    for node in _nodes(notebook):
        text = ast.unparse(node) if isinstance(node, ast.Call | ast.Import | ast.ImportFrom) else ""
        assert not re.search(r"\b(subprocess|os\.system|get_ipython|pip\.main)\b", text), text


def test_paths_come_from_the_package(notebook: NotebookNode) -> None:
    for node in _nodes(notebook):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not re.match(r"(/|~|\.\.?/|[A-Z]:\\)\w", node.value), node.value
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("open", "os.getcwd", "os.chdir", "Path.cwd"), ast.unparse(node)
            literal = node.args and isinstance(node.args[0], ast.Constant)
            assert not (called in ("Path", "pathlib.Path") and literal), ast.unparse(node)


def test_committed_outputs_come_from_one_clean_run(notebook: NotebookNode) -> None:
    assert [cell.execution_count for cell in notebooks.code(notebook)] == list(
        range(1, len(notebooks.code(notebook)) + 1)
    )
    for output in _outputs(notebook):
        assert output.output_type != "error", output.get("evalue")
        assert output.get("name") != "stderr", output.text
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    assert [tag for tag in tags if not tag.startswith(tolerance.TAG)] == ["parameters"]
    assert tolerance.allowed(tags) <= 3, "points of mAP; more than codebooks move from processor to processor"
    assert notebook.metadata.kernelspec.name == "python3"
    assert "papermill" not in notebook.metadata


def test_committed_outputs_are_the_same_on_every_machine(notebook: NotebookNode) -> None:
    for output in _outputs(notebook):
        for text in _texts(output):
            assert not ABSOLUTE.search(text), f"a path of one machine: {ABSOLUTE.search(text)}"
            assert not UNSTABLE.search(text), f"not the same in every run: {UNSTABLE.search(text)}"
            assert "<svg" not in text, "show figures as png: nbval compares svg as text"


def _outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    for cell in notebooks.code(notebook):
        yield from cell.outputs


def _texts(output: NotebookNode) -> Iterator[str]:
    if "text" in output:
        yield output.text
    for kind, content in output.get("data", {}).items():
        if kind.startswith("text/") or kind == "image/svg+xml":
            yield content
