"""Students' versions of the course: the same notebooks with stubs where the solutions stood, and nothing run.

Tags of a cell decide. ``solution``: functions keep their signature, docstring and the comments below it, assignments
their name and comment; the rest becomes ``...``. ``instructor``: the cell is left out.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from patchlib.run import notebooks
from patchlib.support import paths, provenance

if TYPE_CHECKING:
    from nbformat import NotebookNode

SOLUTION, INSTRUCTOR = "solution", "instructor"
FOLDER = "student"


def sources() -> list[Path]:
    """The course's notebooks, with their solutions."""
    return sorted((paths.notebooks() / "course").glob("C[0-9]*.ipynb"))


def versions() -> Iterator[tuple[Path, str]]:
    """Where each student's version belongs, and its text."""
    for path in sources():
        yield path.parent / FOLDER / path.name, notebooks.text(version(notebooks.read(path)))


def write() -> list[Path]:
    """Write the students' versions; what was written into them before is gone. Returns their paths.

    Raises:
        ValueError: installed from a wheel, whose pages stay as they are.
    """
    paths.checkout("writing the students' pages")
    written = []
    for path, text in versions():
        with provenance.atomic_write(path, "w") as file:
            file.write(text)
        written.append(path)
    return written


def version(notebook: NotebookNode) -> NotebookNode:
    """A student's version of a notebook; the notebook itself is left as it is."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if INSTRUCTOR not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = cell.source.replace("](../", "](../../")  # a folder deeper
        if SOLUTION in cell.metadata.get("tags", []):
            cell.source = stub(cell.source)
    return notebook


def stub(source: str) -> str:
    """A solution's cell as a student finds it.

    Raises:
        ValueError: a function without a docstring would say nothing.
    """
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        match node:
            case ast.FunctionDef(body=[ast.Expr(value=ast.Constant()), first, *_]):
                lines[first.lineno - 1 : node.end_lineno] = ["    ..."]
            case ast.FunctionDef(name=name):
                raise ValueError(f"{name} needs a docstring: it is all that a student sees")
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                comment = lines[(value.end_lineno or 1) - 1].partition("  # ")[2]
                lines[node.lineno - 1 : node.end_lineno] = [f"{name} = ..." + (f"  # {comment}" if comment else "")]
    return "\n".join(lines)
