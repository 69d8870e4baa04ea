"""The command line of ``python -m patchlib data``; what it needs is loaded only when something is to be done."""

import argparse
from pathlib import Path
from typing import Any

from patchlib.support import paths

# action -> what it is, which names it takes, an example
ACTIONS = {
    "list": ("what there is: size, state, licence", "an entry (default: all)", "data list grocery"),
    "get": ("fetch, verify, unpack", "an entry, see `data list`", "data get instre --from /media/disk/INSTRE.zip"),
    "verify": (
        "compare files with what was fetched, and counts with what is published",
        "an entry (default: all that have been fetched)",
        "data verify --quick",
    ),
    "cite": ("BibTeX", "an entry (default: all)", "data cite ilias"),
}


def add_parsers(commands: Any) -> None:
    """Add the command ``data`` with its four actions."""
    told = {"help": "benchmarks, weights and published features: list, fetch, verify, cite"}
    data = commands.add_parser("data", epilog="example: python -m patchlib data get grocery", **told)
    data.set_defaults(run=_run)
    actions = data.add_subparsers(dest="action", required=True)
    for name, (about, names, example) in ACTIONS.items():
        action = actions.add_parser(name, help=about, epilog=f"example: python -m patchlib {example}")
        add = action.add_argument
        add("names", nargs="+" if name == "get" else "*", metavar="NAME", help=names)
        add("--manifest", type=Path, help="another manifest")
        if name != "cite":
            add("--data", type=_folder, default=paths.data(), help="data folder (default: %(default)s)")
        if name == "verify":
            add("--quick", action="store_true", help="compare lengths only, not hashes")
        if name == "get":
            add("--from", dest="source", metavar="FILE|FOLDER|URL", help="take it from there, and nowhere else")
            add("--only", metavar="PATTERN", help="only files whose name matches, e.g. '*siglip*'")
            add("--limit", type=int, metavar="N", help="only the first N files, e.g. of 1,000 shards")
            add("--force", action="store_true", help="fetch again, and trust a new hash where none is published")
            add("--keep", action="store_true", help="keep archives after unpacking, e.g. to be a mirror for others")


def _run(asked: argparse.Namespace) -> int:
    from patchlib.download import command

    return command.run(asked)


def _folder(text: str) -> Path:
    return Path(text).expanduser().resolve()
