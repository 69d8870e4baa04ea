"""What a run has changed among figures and tables, and whether that is within what processors may move."""

import csv
from collections.abc import Mapping
from pathlib import Path

UNITS = 2  # of the last printed digit: what another processor's sums may move anywhere


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.*")) if path.is_file()}


def told(before: Mapping[str, bytes], after: Mapping[str, bytes], tolerances: Mapping[str, float]) -> str:
    """Lines that name the files that are no longer what they were; a table's says how far its numbers have moved.

    ``before`` and ``after`` of :func:`contents`; ``tolerances`` by the name of a table, in its unit, 0 where not named.
    """
    changed = [name for name in after if name in before and after[name] != before[name]]
    if not changed:
        return "no file that was there has changed\n" if before else ""
    tables = [name for name in changed if name.endswith(".csv")]
    lines = [f"  {name}: {moved(before[name], after[name], tolerances.get(name[:-4], 0.0))}" for name in tables]
    rest = [name for name in changed if name not in tables]
    lines += [f"  {', '.join(rest)}"] if rest else []
    return f"{len(changed)} file{'s' if changed[1:] else ''} changed:\n" + "".join(f"{line}\n" for line in lines)


def moved(before: bytes, after: bytes, tolerance: float) -> str:
    """How far the numbers of a csv file have moved, in words; at least two units in a last digit are tolerated."""
    old, new = (list(csv.reader(content.decode().splitlines())) for content in (before, after))
    if [len(row) for row in old] != [len(row) for row in new] or old[:1] != new[:1]:
        return "other rows or columns"
    pairs = [(a, b) for row, other in zip(old, new, strict=True) for a, b in zip(row, other, strict=True) if a != b]
    numbers = [(float(a), float(b), len(a.partition(".")[2])) for a, b in pairs if _number(a) and _number(b)]
    texts = len(pairs) - len(numbers)
    within = all(abs(a - b) <= max(tolerance, UNITS * 10**-digits) * (1 + 1e-6) for a, b, digits in numbers)
    largest = max((abs(a - b) for a, b, _ in numbers), default=0.0)
    said = f"numbers moved by up to {largest:.4g}, {'within' if within else 'beyond'} its tolerance" if numbers else ""
    words = ["", "1 text differs"][texts] if texts < 2 else f"{texts} texts differ"
    return ", ".join(filter(None, (said, words)))


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
