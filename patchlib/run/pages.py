"""A notebook as a page of the site: figures as saved, below each where it comes from, long cells folded."""

from __future__ import annotations

import base64
import copy
import io
import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from patchlib.run import notebooks
from patchlib.support import items
from patchlib.support.items import Item

if TYPE_CHECKING:
    from nbformat import NotebookNode

LARGE = 200_000  # bytes; a picture above it is mostly photographs, which JPEG keeps in a third of the space
WIDE = 900  # pixels; a wider figure scrolls on a phone, or its labels would be too small to read
LONG = 10  # lines; a longer cell is folded
# a link to the source, which is no part of the site
ELSEWHERE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+patchlib/[^)]+\)")
DATA = {"json": "record", "csv": "CSV", "md": "Markdown"}


def annotate(notebook: NotebookNode, figures: Path, root: str) -> list[Item]:
    """Give the pictures of an executed notebook their alternative text, its figures and tables their records.

    Args:
        notebook: changed in place: figures as saved, controls that need a kernel left out, records below cells.
        figures: folder of what it saved.
        root: from its page to the site's first page, e.g. ``"../"``.

    Returns:
        What it saved, in order.
    """
    from nbformat.v4 import new_markdown_cell

    cells, heading = [], ""
    saved: dict[str, Item] = {}
    shown: NotebookNode | None = None  # the last cell with a picture, if that was not saved
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cells.append(cell)
        if cell.cell_type == "code" and cell.source.count("\n") >= LONG:
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
        if cell.cell_type == "markdown":
            cell.source = ELSEWHERE.sub(r"\1", cell.source).replace("](../site/", "](/")
            heading = (re.findall(r"^#+ +(.+)$", cell.source, re.MULTILINE) or [heading])[-1].replace("*", "")
            continue
        cell.outputs = [_styled(output) for output in cell.get("outputs", []) if not _needs_a_kernel(output)]
        new = [item for item in items.saved(cell.source, figures) if item.name not in saved]
        saved |= {item.name: item for item in new}
        drawn = [item for item in new if item.caption]
        if _pictures(cell) or not drawn:
            _describe(cell, drawn, heading)
            shown = cell if _pictures(cell) and not drawn else None
        elif shown:  # drawn in one cell, saved in a later one
            _describe(shown, drawn, heading)
        if new:
            cells.append(new_markdown_cell("\n\n".join(_note(item, root, cell) for item in new)))
    notebook.cells = cells
    return list(saved.values())


def _needs_a_kernel(output: NotebookNode) -> bool:
    """Whether an output is a control; one that carries a picture for readers without a kernel is that picture."""
    data = output.get("data", {})
    return data.pop(notebooks.WIDGET, None) is not None and set(data) <= {"text/plain"}


def _styled(output: NotebookNode) -> NotebookNode:
    """An output whose tables name their columns of words, ``words-1`` the last one: the style aligns them left."""
    table = output.get("data", {}).get("text/html")
    if table:
        rows = [re.findall(r"<td>(.*?)</td>", row, re.DOTALL)[::-1] for row in table.split("</tr>")]
        columns = zip_longest(*(row for row in rows if row), fillvalue="")
        shares = [sum(bool(re.search("[A-Za-z]{3}", cell)) for cell in column) / len(column) for column in columns]
        classes = "".join(f" words-{number}" for number, share in enumerate(shares, 1) if share > 0.5)
        table = table.replace("<th></th>", "<td></td>")  # a heading that says nothing is none
        output.data["text/html"] = table.replace('class="dataframe"', f'class="dataframe{classes}"')
    return output


def _describe(cell: NotebookNode, saved: Sequence[Item], heading: str) -> None:
    """Alternative text of a cell's pictures; a figure that was saved takes the place of its smaller display."""
    pictures = _pictures(cell)
    if len(pictures) == len(saved):
        for output, item in zip(pictures, saved, strict=True):
            kind, data = _compact(item.picture)
            output.data = {kind: base64.b64encode(data).decode()}
    described = " ".join(item.caption for item in saved) or f"Picture to: {heading}"
    # the width makes Sphinx link a picture to its full size
    image = {"alt": described, "width": "100%"}
    if any(_width(output) > WIDE for output in pictures):
        image["classes"] = "wide"
    cell.metadata["mystnb"] = {"image": image}


def _width(picture: NotebookNode) -> int:
    """Pixels across."""
    from PIL import Image

    (content,) = (picture.data[kind] for kind in ("image/png", "image/jpeg") if kind in picture.data)
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        return image.width


def _pictures(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.outputs if {"image/png", "image/jpeg"} & output.get("data", {}).keys()]


def _compact(picture: Path) -> tuple[str, bytes]:
    """MIME type and bytes of a picture for the web."""
    from PIL import Image

    data = picture.read_bytes()
    kind = "image/jpeg" if picture.suffix == ".jpg" else "image/png"
    if len(data) < LARGE or kind == "image/jpeg":
        return kind, data
    stream = io.BytesIO()
    with Image.open(picture) as image:
        image.convert("RGB").save(stream, "jpeg", quality=88, optimize=True)
    return ("image/jpeg", stream.getvalue()) if stream.tell() < len(data) else (kind, data)


def _note(item: Item, root: str, cell: NotebookNode) -> str:
    """What stands below a figure or table: its caption, and where it comes from, down to the hashes of its inputs."""
    record = item.record
    hashes = {"settings": record["config_hash"], **record["inputs"]}
    chain = " · ".join(f"{text(name)} `{value}`" for name, value in hashes.items())
    commit = (record["git_commit"] or "unknown")[:9]
    made = f"cell {cell.execution_count} · profile {text(record['profile'])} · commit `{commit}`"
    origin = f"`{item.name}`: {links(item, root)} · {text(record['label'])} · {made} · {chain}"
    return f":::{{container}} record\n:name: {anchor(item)}\n\n{text(item.caption)}\n\n{origin}\n:::"


def about(file: str, minutes: float | None, root: str) -> str:
    """What stands below a page's opening: the notebook to run, and how long that takes the first time.

    Args:
        file: of the notebook, below the site's ``notebooks/``.
        root: from the page to the site's first page.
    """
    took = f" · {minutes:.1f} minutes to run the first time" if minutes else ""
    link = f'<a href="{root}notebooks/{file}" download>{Path(file).name}</a>'
    return f'<p class="about">{link}, without outputs, to run{took} · <a href="{root}index.html#cite">cite</a></p>'


def empty(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook without its outputs: to run rather than to look at."""
    notebook = copy.deepcopy(notebook)
    for cell in notebooks.code(notebook):
        cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("widgets", None)
    return notebook


def anchor(item: Item) -> str:
    """Where an item stands in its page; a heading may be called like an item, so not by its plain name."""
    return f"record-{item.name.replace('_', '-')}"


def links(item: Item, root: str = "") -> str:
    """Links to the record and the data, as HTML; ``root`` leads to the site's first page."""
    files = [(item.file(suffix), kind) for suffix, kind in DATA.items()]
    return " · ".join(f'<a href="{root}figures/{file.name}">{kind}</a>' for file, kind in files if file.exists())


def text(plain: str) -> str:
    """Plain text as Markdown that reads the same."""
    return re.sub(r"([\\`*_{}\[\]<>#$|~^])", r"\\\1", plain)
