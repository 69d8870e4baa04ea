"""Slides of the course, made from the same notebooks by nbconvert and reveal.js; they need no network.

What a slide is stands in the cells' ``slideshow`` metadata; code is left out, solutions with it. Template and style are
in ``site/slides``.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from patchlib.course import student
from patchlib.run import notebooks
from patchlib.support import paths, provenance

if TYPE_CHECKING:
    from nbformat import NotebookNode

REVEAL = "revealjs"  # folder beside the slides
FORMULA = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?P<line>[^$\n]+)\$", re.DOTALL)
WIDTH, HEIGHT = 1280, 800


def build(out: Path) -> list[Path]:
    """Write one page of slides a session, and reveal.js beside them, over what is there; returns the pages."""
    import sphinx_revealjs  # the package that brings reveal.js along
    from nbconvert import SlidesExporter

    exporter = SlidesExporter(
        template_name="slides", extra_template_basedirs=[str(paths.shipped() / "site")], exclude_input=True,
        reveal_url_prefix=REVEAL, reveal_theme="white", reveal_width=str(WIDTH), reveal_height=str(HEIGHT),
    )  # fmt: skip
    pages = []
    for source in student.sources():
        text, _ = exporter.from_notebook_node(
            with_formulas(notebooks.read(source)), {"metadata": {"name": source.stem}}
        )
        pages.append(out / f"{source.stem}.html")
        with provenance.atomic_write(pages[-1], "w") as file:
            file.write(text)
    shutil.copytree(Path(sphinx_revealjs.__file__).parent / "_static" / REVEAL, out / REVEAL, dirs_exist_ok=True)
    return pages


def with_formulas(notebook: NotebookNode) -> NotebookNode:
    """The notebook, changed in place: formulas of its text as MathML, which browsers draw without a script."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = FORMULA.sub(_mathml, cell.source)
    return notebook


def _mathml(formula: re.Match[str]) -> str:
    from docutils.utils.math.latex2mathml import tex2mathml

    block = formula["block"] is not None
    return " ".join(tex2mathml((formula["block"] or formula["line"]).strip(), as_block=block).split())
