"""``python -m patchlib data list | get | verify | cite``."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

from patchlib.download import manifest, store
from patchlib.download.fetch import DownloadError
from patchlib.download.manifest import Entry
from patchlib.download.sources import FetchOptions
from patchlib.download.unpack import ArchiveError
from patchlib.support import paths
from patchlib.support.suggest import unknown

MIRROR = "PATCHLIB_MIRROR"
# what the published counts of an entry refer to, where a loader's default is a part of it
COUNTED_AS: dict[str, dict[str, str]] = {"grocery": {"classes": "all"}}


def add_parsers(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command ``data`` with its four actions; ``run`` is the default of the same name."""
    data = commands.add_parser("data", help="benchmarks, weights and published features: list, fetch, verify, cite")
    data.set_defaults(run=run)
    actions = data.add_subparsers(dest="action", required=True)
    for name, about in ABOUT.items():
        add = actions.add_parser(name, help=about).add_argument
        default = {"get": "see `data list`", "verify": "default: all that have been fetched"}.get(name, "default: all")
        add("names", nargs="+" if name == "get" else "*", metavar="NAME", help=default)
        add("--manifest", type=Path, help="another manifest")
        if name != "cite":
            add("--data", type=Path, help="data folder (default: PATCHLIB_DATA, or data/)")
        if name == "verify":
            add("--quick", action="store_true", help="compare lengths only, not hashes")
        if name == "get":
            add("--from", dest="source", metavar="FILE|FOLDER|URL", help="take it from there, and nowhere else")
            add("--only", metavar="PATTERN", help="only files whose name matches, e.g. '*siglip*'")
            add("--limit", type=int, metavar="N", help="only the first N files, e.g. of 1,000 shards")
            add("--force", action="store_true", help="fetch again, and trust a new hash where none is published")
            add("--keep", action="store_true", help="keep archives after unpacking, e.g. to be a mirror for others")


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say.

    Returns:
        0, or 1 when something could not be fetched or differs from what it should be.

    Raises:
        ValueError, OSError: a mistake in what was asked, or in the manifest.
    """
    entries = manifest.load(arguments.manifest)
    for name in arguments.names:
        if name not in entries:
            raise ValueError(unknown("entry of the data manifest", name, entries))
    chosen = [entries[name] for name in arguments.names] or list(entries.values())
    try:
        return ACTIONS[arguments.action](chosen, arguments)
    except (DownloadError, ArchiveError) as error:
        print(f"patchlib: {error}", file=sys.stderr)
        return 1


def counts(entry: Entry, folder: Path) -> dict[str, int]:
    """What a benchmark's folder holds, under the names of :data:`manifest.COUNTS`.

    Raises:
        FileNotFoundError, ValueError: as its loader does.
    """
    from patchlib import benchmarks  # pandas; `--help` need not wait for it

    if entry.layout is None:
        return {}
    benchmark = benchmarks.load(entry.layout, folder, **COUNTED_AS.get(entry.layout, {}))
    pairs = benchmark.positives.drop_duplicates(["query_id", "image_id"])
    return {
        "images": len(benchmark.images),
        "queries": len(benchmark.queries),
        "positives": len(pairs),
        "boxes": int(benchmark.positives["x0"].notna().sum()),
        "text_queries": int(benchmark.meta["found"].get("text queries", 0)),
    }


def _list(entries: list[Entry], arguments: argparse.Namespace) -> int:
    data = _data(arguments)
    width = max(len(entry.name) for entry in entries)
    print(f"{'name':{width}}  {'size':>16}  {'state':>18}  title and licence")
    for entry in entries:
        size = store.human(entry.approximate_bytes) if entry.approximate_bytes else "unknown size"
        print(f"{entry.name:{width}}  {size:>16}  {store.state(entry, data):>18}  {entry.title}")
        print(f"{'':{width}}  {'':>16}  {'':>18}  {textwrap.shorten(entry.licence, 100, placeholder=' ...')}")
    print(f"\nThey go to {data}.")
    return 0


def _get(entries: list[Entry], arguments: argparse.Namespace) -> int:
    chosen = {name: getattr(arguments, name) for name in ("source", "only", "limit", "force", "keep")}
    options = FetchOptions(**chosen, mirror=os.environ.get(MIRROR) or None, progress=sys.stderr.isatty())
    data = _data(arguments)
    for entry in entries:
        print(f"{entry.title}\n  licence: {entry.licence}\n  cite: python -m patchlib data cite {entry.name}")
        store.get(entry, data, options)
        if not _print_counts(entry, data):
            print(f"{entry.name}: this is a part of what is published, or another version; results will say so too")
    return 0


def _verify(entries: list[Entry], arguments: argparse.Namespace) -> int:
    data, ok = _data(arguments), True
    if not arguments.names:
        entries = [entry for entry in entries if store.count_files(entry, data)]
        if not entries:
            print(f"nothing has been fetched into {data} yet")
    for entry in entries:
        folder = data / entry.folder
        if entry.layout is not None and folder.is_dir() and not store.count_files(entry, data):
            print(f"{entry.name}: {folder} was not fetched by this command, so only its counts can be compared")
        else:
            problems = store.verify(entry, data, arguments.quick)
            for path, reason in problems[:20]:
                print(f"{entry.name}: {path} {reason}")
            if problems[20:]:
                print(f"{entry.name}: ... and {len(problems) - 20} more")
            print(f"{entry.name}: {len(problems) or 'no'} file(s) miss or differ")
            ok &= not problems
        ok &= _print_counts(entry, data)
    return 0 if ok else 1


def _cite(entries: list[Entry], arguments: argparse.Namespace) -> int:
    for citation in dict.fromkeys(entry.citation.strip() for entry in entries):
        print(citation, end="\n\n")
    return 0


def _print_counts(entry: Entry, data: Path) -> bool:
    """A table expected / found; returns whether they agree."""
    held = counts(entry, data / entry.folder)
    if files := store.count_files(entry, data):
        held["files"] = files
    compared = [(name, expected, held[name]) for name, expected in entry.expected.items() if name in held]
    for name, expected, count in compared:
        mark = "" if count == expected else "<-"
        print(f"{entry.name}: {name:>12}  expected {expected:>9,}  found {count:>9,}  {mark}")
    return all(expected == count for _, expected, count in compared)


def _data(arguments: argparse.Namespace) -> Path:
    return paths.data() if arguments.data is None else arguments.data.expanduser().resolve()


ACTIONS = {"list": _list, "get": _get, "verify": _verify, "cite": _cite}
ABOUT = {
    "list": "what there is: size, state, licence",
    "get": "fetch, verify, unpack",
    "verify": "compare files with what was fetched, and counts with what is published",
    "cite": "BibTeX",
}
