"""Numbers in the README come from files: blocks between markers are filled with the tables that the notebooks wrote.

A block looks like ``<!-- table_levels -->`` ... ``<!-- /table_levels -->``; what lies between is replaced by
``figures/table_levels.md``.
"""

from __future__ import annotations

import re
from pathlib import Path

from patchlib import paths, provenance

BLOCK = re.compile(r"<!-- (?P<item>\w+) -->\n.*?<!-- /(?P=item) -->", re.DOTALL)


def filled(text: str, figures: Path) -> str:
    """``text`` with every block replaced by its table.

    Raises:
        FileNotFoundError: a block names a table that no notebook has written.
    """

    def table(match: re.Match[str]) -> str:
        file = figures / f"{match['item']}.md"
        if not file.exists():
            raise FileNotFoundError(f"README.md asks for {file.name}, which is not in {figures}; run make notebooks")
        return f"<!-- {match['item']} -->\n{file.read_text(encoding='utf-8')}<!-- /{match['item']} -->"

    return BLOCK.sub(table, text)


def refresh(readme: Path | None = None) -> Path:
    """Fill the blocks of the README (None = the checkout's) in place; returns its path."""
    readme = readme or paths.root() / "README.md"
    text = filled(readme.read_text(encoding="utf-8"), paths.figures())
    with provenance.atomic_write(readme, "w") as file:
        file.write(text)
    return readme
