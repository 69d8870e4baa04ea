"""Figures and tables that notebooks saved, as their records tell."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from patchlib.support import provenance

SAVERS = ("save", "save_figure", "save_table", "shown", "compare")


class Item(NamedTuple):
    """A figure or table."""

    name: str  # e.g. "fig_1_teaser"
    record: Mapping[str, Any]  # what <name>.json says
    folder: Path  # of its files

    @property
    def caption(self) -> str:
        """A figure's caption; a table has none."""
        return self.record.get("caption", "")

    @property
    def message(self) -> str:
        """The caption's first sentence; ``G.T.`` ends none."""
        return re.split(r"(?<![ .][A-Z]\.)(?<=[.?!]) ", self.caption, maxsplit=1)[0]

    def file(self, suffix: str) -> Path:
        """One of its files, e.g. its ``"csv"``."""
        return self.folder / f"{self.name}.{suffix}"

    @property
    def picture(self) -> Path:
        """A figure as pixels: a png, or a jpg of photographs."""
        return next(filter(Path.exists, map(self.file, ("jpg", "png"))), self.file("png"))


def saved(source: str, figures: Path) -> Iterator[Item]:
    """What a notebook's cell saves, as far as it has a record.

    Args:
        source: of the cell; an item is the second argument of one of :data:`SAVERS`, as in
            ``run.save_figure(fig, "fig_levels", text)`` or ``run.save_table(frame, "table_levels")``.
        figures: folder of the records.
    """
    for call in ast.walk(ast.parse(source)):
        match call:
            case ast.Call(func=ast.Attribute(attr=function), args=[_, ast.Constant(value=str(name)), *_]):
                if function in SAVERS and (figures / f"{name}.json").exists():
                    yield Item(name, provenance.read_json(figures / f"{name}.json"), figures)
