"""A website of executed notebooks: Sphinx with MyST-NB does the work, this file prepares what it reads.

Nothing is executed again. A notebook's page shows each figure as it was saved, with its caption as alternative text,
and below it where its numbers come from: the record, with the hashes of settings and inputs. The first page shows all
figures and tables. Configuration, first page and style are in ``site/``.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patchlib.run import live as live_page
from patchlib.run import notebooks
from patchlib.support import items, paths, provenance
from patchlib.support.items import Item

if TYPE_CHECKING:
    from nbformat import NotebookNode

PAPER = (
    "*Patch-wise Retrieval: A Bag of Practical Techniques for Instance-level Matching* "
    "([arXiv 2512.12610](https://arxiv.org/abs/2512.12610), WACV 2026)"
)
BUILT_IN = (
    "Its numbers come from built-in benchmarks, procedural scenes and photographs that ship, and from small encoders: "
    "they show effects and mechanisms, and are not the paper's, which were measured on INSTRE and ILIAS."
)
LIVE = (
    '<p class="live"><a href="live.html">See it live</a>: search by patches in this browser, with your own '
    "photographs; drag an object over the grid and watch which patch wins.</p>\n"
)
THUMBNAIL = 480  # pixels of the longer side
LARGE = 200_000  # bytes; a picture above it is mostly photographs, which JPEG keeps in a third of the space
DATA = {"json": "record", "csv": "CSV", "md": "Markdown"}


def build(source: Path, figures: Path, out: Path, live: bool = False) -> Path:
    """Make the site; returns its first page.

    Args:
        source: folder of executed notebooks; those in ``appendix/`` come last.
        figures: folder of what they saved.
        out: the site's folder, made anew; what Sphinx reads is left beside it, in ``<out>-source``.
        live: whether the page on which patches search is part of it.

    Raises:
        ValueError: no executed notebooks; Sphinx failed; ``out`` holds something else than a site.
    """
    from sphinx.cmd.build import main as sphinx

    staged = out.with_name(f"{out.name}-source")
    for folder, signs in ((staged, ["notebooks"]), (out, ["searchindex.js", ".doctrees"])):
        if folder.exists():
            if not any((folder / sign).exists() for sign in signs):
                raise ValueError(f"{folder} is in the way, and no site made before; move it, or say --out elsewhere")
            shutil.rmtree(folder)
    stage(source, figures, staged, LIVE if live else "")
    if sphinx(["-q", "-j", "auto", "-c", os.fspath(paths.shipped() / "site"), os.fspath(staged), os.fspath(out)]):
        raise ValueError(f"Sphinx could not make the site of {staged}; its message stands above")
    for leftover in (".doctrees", ".buildinfo", "objects.inv", "jupyter_execute"):
        path = out / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if live:
        live_page.build(out, home=True)
    return out / "index.html"


def stage(source: Path, figures: Path, out: Path, first: str = "") -> None:
    """Write what Sphinx reads: the notebooks with captions and records, thumbnails, data files and the first page.

    ``first``: what the first page says below its opening, in Markdown.
    """
    files = [*sorted(source.glob("[0-9]*.ipynb")), *sorted(source.glob("appendix/*.ipynb"))]
    files = [file for file in files if not file.stem.endswith(".failed")]
    if not files:
        raise ValueError(f"no executed notebooks in {source}; make them first: make reproduce, with the same PROFILE")
    gallery, records = [], []
    for file in files:
        page = file.relative_to(source).with_suffix("")
        notebook = notebooks.read(file)
        saved = annotate(notebook, figures, "../" * len(page.parts))
        with provenance.atomic_write(out / "notebooks" / page.with_suffix(".ipynb"), "w") as stream:
            stream.write(json.dumps(notebook))
        gallery.append(_section(f"notebooks/{page.as_posix()}", notebook, saved))
        records += [item.record for item in saved]
        for item in saved:
            _publish(item, out)
    for name in ("protocols.md", "clusters.md"):
        shutil.copyfile(paths.shipped() / "site" / name, out / name)
    text = (paths.shipped() / "site" / "index.md").read_text(encoding="utf-8")
    with provenance.atomic_write(out / "index.md", "w") as stream:
        text = text.replace("<!-- opening -->\n", f"{_opening(records, len(files))}\n{first}")
        stream.write(text.replace("<!-- gallery -->\n", "\n".join(gallery)))


def _opening(records: Sequence[Mapping[str, Any]], count: int) -> str:
    """What the site is, and whose numbers it shows; only the plain run shows every experiment."""
    labels = ", ".join(dict.fromkeys(_text(record["label"]) for record in records)) or "no data"
    others = {record.get("profile", "builtin") for record in records} - {"builtin"}
    if others:
        names = " and ".join(map(_text, sorted(others)))
        return f"A run of the profile {names}: {count} notebooks of the companion of {PAPER}, on {labels}.\n"
    return (
        f"Every experiment of {PAPER} as a notebook to read, rerun and extend, shown as it was executed. {BUILT_IN}\n"
    )


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
        if cell.cell_type == "markdown":
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
            cells.append(new_markdown_cell("\n\n".join(_note(item, root) for item in new)))
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
        output.data["text/html"] = table.replace('class="dataframe"', f'class="dataframe{classes}"')
    return output


def _describe(cell: NotebookNode, saved: Sequence[Item], heading: str) -> None:
    """Alternative text of a cell's pictures; a figure that was saved takes the place of its smaller display."""
    pictures = _pictures(cell)
    if len(pictures) == len(saved):
        for output, item in zip(pictures, saved, strict=True):
            kind, data = _compact(item.picture)
            output.data = {kind: base64.b64encode(data).decode()}
    # the width makes Sphinx link a picture to its full size
    described = " ".join(item.caption for item in saved) or f"Picture to: {heading}"
    cell.metadata["mystnb"] = {"image": {"alt": described, "width": "100%"}}


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


def _note(item: Item, root: str) -> str:
    """What stands below a figure or table: caption, record, and the hashes that lead to settings and inputs."""
    hashes = {"settings": item.record["config_hash"], **item.record["inputs"]}
    chain = " · ".join(f"{_text(name)} `{value}`" for name, value in hashes.items())
    origin = f"`{item.name}`: {_links(item, root)} · {_text(item.record['label'])} · {chain}"
    return f":::{{container}} record\n:name: {_anchor(item)}\n\n{_text(item.caption)}\n\n{origin}\n:::"


def _section(page: str, notebook: NotebookNode, saved: Sequence[Item]) -> str:
    """A notebook's part of the first page: its figures as thumbnails, its tables as a list."""
    title = re.search(r"^# +(.+)$", notebook.cells[0].source, re.MULTILINE)
    lines = [f"## [{title[1] if title else page}](/{page}.ipynb)\n"]
    figures = [item for item in saved if item.caption]
    if figures:
        lines += ["::::{container} gallery", *(_card(item, page) for item in figures), "::::\n"]
    lines += [f"- [{item.name}](#{_anchor(item)}): {_links(item)}" for item in saved if not item.caption]
    return "\n".join([*lines, ""])


def _card(item: Item, page: str) -> str:
    """A figure's thumbnail, message and record; both lead to its place in the notebook."""
    return f""":::{{figure}} /thumbnails/{item.name}.png
:alt: {json.dumps(item.caption, ensure_ascii=False)}
:target: {page}.html#{_anchor(item)}
[{_text(item.message)}](#{_anchor(item)})

`{item.name}` · {_links(item)}
:::"""


def _anchor(item: Item) -> str:
    """Where an item stands in its page; a heading may be called like an item, so not by its plain name."""
    return f"record-{item.name.replace('_', '-')}"


def _links(item: Item, root: str = "") -> str:
    """Links to the record and the data, as HTML; ``root`` leads to the site's first page."""
    files = [(item.file(suffix), kind) for suffix, kind in DATA.items()]
    return " · ".join(f'<a href="{root}figures/{file.name}">{kind}</a>' for file, kind in files if file.exists())


def _publish(item: Item, out: Path) -> None:
    """Copy an item's record and data, and draw a figure's thumbnail."""
    from PIL import Image

    target = out / "files" / "figures"
    target.mkdir(parents=True, exist_ok=True)
    for file in filter(Path.exists, map(item.file, DATA)):
        shutil.copyfile(file, target / file.name)
    if item.caption:
        thumbnail = out / "thumbnails" / f"{item.name}.png"
        thumbnail.parent.mkdir(exist_ok=True)
        with Image.open(item.picture) as image:
            small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
        small.quantize(128).save(thumbnail, optimize=True)


def _text(plain: str) -> str:
    """Plain text as Markdown that reads the same."""
    return re.sub(r"([\\`*_{}\[\]<>#$|~^])", r"\\\1", plain)
