"""``python -m patchlib search QUERY FOLDER``: one's own photographs, without labels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ENCODER, LEVEL = "EfficientNet-Lite0", "L3"
ABOUT = "Search a folder of photographs for what a picture shows; see which patch of each was most similar."
WHY = """\
Why EfficientNet-Lite0: by it patches (L3) gain over whole images on the photographs that ship, as they were shot and
composed into larger pictures; by cnn-small, trained on drawings, on the latter alone (notebook 03)."""


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command ``search``; ``run`` is the default of the same name."""
    parser = commands.add_parser("search", help="search one's own photographs", description=ABOUT, epilog=WHY)
    add = parser.add_argument
    add("query", type=Path, metavar="QUERY", help="a picture of what to look for")
    add("folder", type=Path, metavar="FOLDER", help="photographs; described on first use, then read from the cache")
    add("--level", default=LEVEL, metavar="L", help="patches of each photograph, L0 to L3 (default: %(default)s)")
    add("--encoder", default=ENCODER, metavar="E", help="default: %(default)s; all: python -m patchlib encoders")
    add("--top", type=int, default=10, metavar="N", help="images to show (default: %(default)s)")
    add("--html", type=Path, metavar="FILE", help="write the answer as one page, too")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Print the answer, and write the page that was asked for; 0.

    Raises:
        ValueError, OSError: as :func:`patchlib.explorer.search.run`.
    """
    from patchlib.explorer import search

    answer = search.run(asked.query, asked.folder, asked.level, asked.encoder, asked.top)
    said = f"{answer.total} photographs in {asked.folder}, {asked.level} by {asked.encoder}"
    print(said, *search.table(answer), sep="\n")
    for name in answer.left_out:
        print(f"patchlib: left out, cannot be read: {asked.folder / name}", file=sys.stderr)
    if asked.html:
        search.write_page(answer, asked.query, asked.folder, said, asked.html)
        print(f"wrote {asked.html}")
    return 0
