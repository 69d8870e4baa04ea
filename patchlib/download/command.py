"""What ``python -m patchlib data list | get | verify | cite`` does; :mod:`patchlib.download.options` reads the line."""

import argparse
import sys
import textwrap
from pathlib import Path

from tqdm import tqdm

from patchlib.download import manifest, store
from patchlib.download.fetch import DownloadError
from patchlib.download.manifest import Entry
from patchlib.download.store import FetchOptions
from patchlib.download.unpack import ArchiveError
from patchlib.support.suggest import unknown_name
from patchlib.support.wording import counted


def run(asked: argparse.Namespace) -> int:
    """Do what the arguments say; 1 when something could not be fetched or differs from what it should be.

    Raises:
        ValueError, OSError: a mistake in what was asked, or in the manifest.
    """
    entries = manifest.load(asked.manifest)
    for name in asked.names:
        if name not in entries:
            raise ValueError(unknown_name("entry of the data manifest", name, entries))
    try:
        return ACTIONS[asked.action]([entries[name] for name in asked.names or entries], asked)
    except (DownloadError, ArchiveError) as error:
        print(f"patchlib: {error}", file=sys.stderr)
        return 1


def _list(entries: list[Entry], asked: argparse.Namespace) -> int:
    width = max(len(entry.name) for entry in entries)
    print(f"{'name':{width}}  {'size':>12}  {'state':>18}  title and licence")
    for entry in entries:
        size = tqdm.format_sizeof(entry.approximate_bytes, "B") if entry.approximate_bytes else "unknown size"
        print(f"{entry.name:{width}}  {size:>12}  {store.Shelf(entry, asked.data).state:>18}  {entry.title}")
        print(f"{'':{width}}  {'':>12}  {'':>18}  {textwrap.shorten(entry.licence, 100, placeholder=' ...')}")
    print(f"\nThey go to {asked.data}.")
    return 0


def _get(entries: list[Entry], asked: argparse.Namespace) -> int:
    chosen = {name: getattr(asked, name) for name in ("source", "only", "limit", "force", "keep")}
    options = FetchOptions(**chosen)
    for entry in entries:
        print(f"{entry.title}\n  licence: {entry.licence}\n  cite: python -m patchlib data cite {entry.name}")
        files = store.get(entry, asked.data, options)
        if not _counts_agree(entry, asked.data, files):
            print(f"{entry.name}: this is a part of what is published, or another version; results will say so too")
    return 0


def _verify(entries: list[Entry], asked: argparse.Namespace) -> int:
    counts = {entry.name: len(store.Shelf(entry, asked.data).whole) for entry in entries}
    if not asked.names and not any(counts.values()):
        print(f"nothing has been fetched into {asked.data} yet")
    agree = []
    for entry in [entry for entry in entries if asked.names or counts[entry.name]]:
        folder = asked.data / entry.folder
        if entry.layout is not None and folder.is_dir() and not counts[entry.name]:
            print(f"{entry.name}: {folder} was not fetched by this command, so only its counts can be compared")
        else:
            problems = store.verify(entry, asked.data, asked.quick)
            for path, reason in list(problems.items())[:20]:
                print(f"{entry.name}: {path} {reason}")
            print(f"{entry.name}: {counted(len(problems), 'file')} missing or different")
            agree.append(not problems)
        agree.append(_counts_agree(entry, asked.data, counts[entry.name]))
    return 0 if all(agree) else 1


def _cite(entries: list[Entry], asked: argparse.Namespace) -> int:
    print(*dict.fromkeys(entry.citation.strip() for entry in entries), sep="\n\n")
    return 0


def _counts_agree(entry: Entry, data: Path, files: int) -> bool:
    """Print what is expected beside what is there; returns whether they agree."""
    counts: dict[str, int] = {"files": files} if files else {}
    if entry.layout is not None:
        from patchlib import benchmarks  # pandas; `--help` need not wait for it

        benchmark = benchmarks.load(entry.layout, data / entry.folder, **entry.layout_options)
        counts |= {**benchmark.summary(), "text_queries": benchmark.meta["found"].get("text queries", 0)}
    compared = [(name, expected, counts[name]) for name, expected in entry.expected.items() if name in counts]
    for name, expected, count in compared:
        mark = "" if count == expected else "<-"
        print(f"{entry.name}: {name:>12}  expected {expected:>9,}  found {count:>9,}  {mark}")
    return all(expected == count for _, expected, count in compared)


ACTIONS = {"list": _list, "get": _get, "verify": _verify, "cite": _cite}
