"""What a notebook's file says: which ones there are, their parameters, their text."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from patchlib.support import items, paths
from patchlib.support.suggest import unknown_name

if TYPE_CHECKING:
    from nbformat import NotebookNode

NEEDS, MINUTES = "needs.yaml", "minutes.yaml"
TOLERANCE = "tolerance="
WIDGET = "application/vnd.jupyter.widget-view+json"


def select(only: Sequence[str], folder: Path) -> list[Path]:
    """Notebooks by number or name, in order; without any, all numbered ones (course and appendix run by name only).

    Raises:
        ValueError: an unknown number or name; lists the nearest ones. No notebooks at all.
    """
    main = sorted(folder.glob("[0-9]*.ipynb"))
    beside = [path for room in ("course", "appendix") for path in sorted(folder.glob(f"{room}/*.ipynb"))]
    if not main:
        raise ValueError(f"no notebooks in {folder}: they begin with a number, as {paths.FIRST} does")
    known = {path.stem: path for path in (*main, *beside)}
    numbers = {stem.split("_")[0]: path for stem, path in known.items()}
    for name in only:
        if name not in known and name not in numbers:
            raise ValueError(unknown_name("notebook", name, known))
    wanted = {known.get(name) or numbers[name] for name in only}
    return [path for path in known.values() if path in wanted] if only else main


def parameters(notebook: Path) -> dict[str, Any]:
    """Names and default values of a notebook's parameters.

    Raises:
        ValueError: not a notebook; no cell tagged ``parameters``; something else than ``name = literal`` in it.
    """
    cells = [cell for cell in read(notebook).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(
            f"{notebook} has {len(cells)} cells tagged 'parameters', expected 1; tag the cell in JupyterLab"
        )
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as error:
        raise ValueError(f"{notebook}: parameters cell is not plain Python: {error}") from error
    defaults = {}
    for statement in statements:
        try:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    defaults[name] = ast.literal_eval(value)
                case _:
                    raise ValueError("not an assignment to one name")
        except ValueError as error:
            text = ast.unparse(statement)
            raise ValueError(f"{notebook}: parameters cell holds {text!r}, expected name = literal") from error
    return defaults


def changes(notebooks: Sequence[Path], values: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """What to inject into each notebook: the given values of the parameters it has, where they are not its defaults.

    Raises:
        ValueError: a parameter that no notebook has, be it one of these or another in their folder; lists the nearest.
    """
    defaults = {path: parameters(path) for path in notebooks}
    known = set().union(*defaults.values())
    if values.keys() - known:  # the others are read for this alone
        known |= {name for folder in {path.parent for path in notebooks} for other in folder.glob("*.ipynb")
                  for name in parameters(other)}  # fmt: skip
    for key in values:
        if key not in known:
            raise ValueError(unknown_name("parameter", key, sorted(known)))
    return {
        path: {key: value for key, value in values.items() if key in default and default[key] != value}
        for path, default in defaults.items()
    }


def needs(notebooks: Sequence[Path]) -> dict[Path, set[Path]]:
    """Which others of them each notebook reads the figures and tables of, as ``needs.yaml`` beside them says."""
    known: dict[str, list[str]] = {}
    for folder in {path.parent for path in notebooks}:
        if (folder / NEEDS).exists():
            known |= yaml.safe_load((folder / NEEDS).read_text(encoding="utf-8"))
    return {
        path: {other for other in notebooks for pattern in known.get(path.stem, ()) if fnmatch(other.stem, pattern)}
        for path in notebooks
    }


def minutes(notebooks: Sequence[Path]) -> dict[str, float]:
    """How long each of them takes in a first run, as far as ``minutes.yaml`` beside them says."""
    known: dict[str, float] = {}
    for folder in {path.parent for path in notebooks}:
        if (folder / MINUTES).exists():
            known |= yaml.safe_load((folder / MINUTES).read_text(encoding="utf-8"))
    return {path.stem: known[path.stem] for path in notebooks if path.stem in known}


def saved(notebook: Path, figures: Path) -> list[str]:
    """Names of the figures and tables that a notebook saves, as far as they are there."""
    return sorted({item.name for cell in code(read(notebook)) for item in items.saved(cell.source, figures)})


def tolerances(notebooks: Sequence[Path]) -> dict[str, float]:
    """By how much the numbers of each table may move, where the cell that saves it has a tag such as tolerance=1.5."""
    allowed: dict[str, float] = {}
    for cell in (cell for path in notebooks for cell in code(read(path))):
        tags = [tag.removeprefix(TOLERANCE) for tag in cell.metadata.get("tags", []) if tag.startswith(TOLERANCE)]
        allowed |= {item.name: float(tags[0]) for item in items.saved(cell.source, paths.figures()) if tags}
    return allowed


def minutes_to_read(notebook: NotebookNode) -> int:
    """Minutes, in fives: 150 words or ten lines of code each, pictures included."""
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    lines = sum(len(cell.source.split("\n")) for cell in code(notebook))
    return max(5, 5 * round((words / 150 + lines / 10) / 5))


def code(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells of a notebook."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(notebook: NotebookNode) -> str:
    """Text of a notebook without what differs from run to run: times, run paths, the interpreter's version, widgets.

    A widget is nothing without its kernel; what stands beside it in the same output, a picture, is shown instead.
    """
    import nbformat

    notebook = copy.deepcopy(notebook)
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            if len(output.get("data", {})) > 1:
                output.data.pop(WIDGET, None)
    return nbformat.writes(notebook) + "\n"


def read(path: Path) -> NotebookNode:
    """A notebook from its file.

    Raises:
        ValueError: the file is not a notebook.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise ValueError(f"{path} is not a notebook: {str(error).splitlines()[0]}") from error
