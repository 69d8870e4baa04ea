"""What the README shows comes from files: blocks between markers are filled with what the notebooks wrote.

``<!-- table_levels -->`` ... ``<!-- /table_levels -->`` holds ``figures/table_levels.md``;
``<!-- gallery: fig_levels fig_controlled -->`` ... ``<!-- /gallery -->`` holds thumbnails of these figures, each with a
link to its notebook. The last two columns of a row about a notebook are minutes: to read, and of a first run
(``notebooks/minutes.yaml``).
"""

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from patchlib.run import notebooks
from patchlib.support import items, paths, provenance
from patchlib.support.items import Item

BLOCK = re.compile(r"<!-- (?P<item>\w+)(?:: (?P<names>[\w ]+))? -->\n.*?<!-- /(?P=item) -->", re.DOTALL)
ROW = re.compile(r"^(\| \[(\w+)\]\(notebooks/([\w/]+\.ipynb)\) \|.*\|) [^|]* \| ([^|]*) \|$", re.MULTILINE)
RUNS = {1: "under 1", 5: "1 to 5", 15: "5 to 15"}  # below so many minutes: coarse, as machines differ
COLUMNS, WIDTH = 3, 260  # of the gallery; pixels


def filled(text: str, figures: Path, source: Path | None = None) -> str:
    """``text`` of the README with every block filled anew from the folder of figures.

    Args:
        text: of the README.
        figures: folder of what the notebooks saved.
        source: folder of the notebooks; None = those that ship.

    Raises:
        FileNotFoundError: a block names a table or figure that no notebook has written.
    """

    source = source or paths.notebooks()

    def row(match: re.Match[str]) -> str:
        start, name, page, run = match.groups()
        known = notebooks.minutes([source / page])
        if name in known:
            run = next((said for limit, said in RUNS.items() if known[name] < limit), "over 15")
        return f"{start} {notebooks.minutes_to_read(notebooks.read(source / page))} | {run} |"

    def block(match: re.Match[str]) -> str:
        first, last = match[0].splitlines()[0], f"<!-- /{match['item']} -->"
        if match["names"]:
            return f"{first}\n{_gallery(match['names'].split(), figures, source)}{last}"
        file = figures / f"{match['item']}.md"
        if not file.exists():
            raise FileNotFoundError(f"README.md asks for {file.name}, which is not in {figures}; run make notebooks")
        return f"{first}\n{file.read_text(encoding='utf-8')}{last}"

    return ROW.sub(row, BLOCK.sub(block, text))


def refresh() -> Path:
    """Fill the blocks and minutes of the checkout's README in place; returns its path."""
    readme = paths.root() / "README.md"
    provenance.write_changed(readme, filled(readme.read_text(encoding="utf-8"), paths.figures()))
    return readme


def _gallery(names: list[str], figures: Path, source: Path) -> str:
    """Thumbnails in rows, each with its message and a link to its notebook."""
    made: Mapping[str, tuple[Item, str]] = {item.name: (item, page) for item, page in _figures(figures, source)}
    for name in names:
        if name not in made:
            raise FileNotFoundError(f"README.md shows {name}, which no notebook in {source} saves in {figures}")
    cells = [_thumbnail(*made[name]) for name in names]
    rows = ["".join(cells[start : start + COLUMNS]) for start in range(0, len(cells), COLUMNS)]
    return "<table>\n" + "".join(f"<tr>\n{row}</tr>\n" for row in rows) + "</table>\n"


def _figures(figures: Path, source: Path) -> Iterator[tuple[Item, str]]:
    """Figures and the notebooks that save them."""
    for file in sorted(source.rglob("*.ipynb")):
        for cell in notebooks.read(file).cells:
            if cell.cell_type == "code":
                yield from ((item, file.relative_to(source).as_posix()) for item in items.saved(cell.source, figures))


def _thumbnail(item: Item, page: str) -> str:
    picture = f'<img src="figures/{item.picture.name}" width="{WIDTH}" alt="{html.escape(item.caption)}">'
    return f'<td valign="top"><a href="notebooks/{page}">{picture}</a><br>{html.escape(item.message)}</td>\n'
