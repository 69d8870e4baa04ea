"""Committed outputs of notebooks beside new ones: the same words and counts, and values that agree.

Processors differ in the last bit of a sum. Two images of almost equal score can then swap, and a codebook trained by
k-means can end in a neighbouring optimum. The first is allowed everywhere, as two units in the last digit printed, the
second in cells that say so by a tag: ``tolerance=1.5`` lets their decimals differ by 1.5, in the unit in which they are
printed, and a verdict become open or cease to be.
"""

import copy
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

import pytest
from nbformat import NotebookNode, from_dict
from nbval.plugin import IPyNbCell, coalesce_streams

from patchlib.run import executed, notebooks

VERDICTS = {"yes", "no", "open"}
VALUE = re.compile(rf"([-+−]?\d+\.\d+|\b(?:{'|'.join(sorted(VERDICTS))})\b)")
PADDING = re.compile(r"\s+|-{2,}")
TAG = "tolerance="
TEXTS = {"text", "text/plain", "text/html", "text/markdown"}


def allowed(tags: Sequence[str]) -> float:
    """The tolerance that a cell's tags name; 0 where they name none."""
    return max([float(tag.removeprefix(TAG)) for tag in tags if tag.startswith(TAG)], default=0.0)


def agree(new: str, committed: str, tolerance: float) -> bool:
    """Whether two values are the same: decimals to the tolerance or two in the last digit, verdicts but for "open"."""
    if new in VERDICTS or committed in VERDICTS:
        return new == committed or (tolerance > 0 and {new, committed} <= VERDICTS and "open" in (new, committed))
    a, b = (float(number.replace("−", "-")) for number in (new, committed))
    digits = len(committed.partition(".")[2])
    return abs(a - b) <= max(tolerance, 2 * 10**-digits) * (1 + 1e-6)


def settle_text(new: str, committed: str, tolerance: float) -> str:
    """``new``, with every value that agrees written as in ``committed``; unchanged where the words differ."""
    ours, theirs = VALUE.split(new), VALUE.split(committed)
    if [PADDING.sub(" ", words) for words in ours[::2]] != [PADDING.sub(" ", words) for words in theirs[::2]]:
        return new
    agreed = [agree(a, b, tolerance) for a, b in zip(ours[1::2], theirs[1::2], strict=True)]
    if all(agreed):
        return committed
    ours[1::2] = [b if same else a for a, b, same in zip(ours[1::2], theirs[1::2], agreed, strict=True)]
    return "".join(ours)


def settle(new: Sequence[NotebookNode], committed: Sequence[NotebookNode], tolerance: float) -> list[NotebookNode]:
    """Outputs of one cell, each text settled with its committed twin; further outputs are left as they are."""
    settled = [from_dict(output) for output in new]
    for output, twin in zip(settled, committed, strict=False):
        for holder, other in ((output, twin), (output.get("data", {}), twin.get("data", {}))):
            for kind in TEXTS & holder.keys() & other.keys():
                holder[kind] = settle_text(holder[kind], other[kind], tolerance)
    return settled


def pytest_itemcollected(item: pytest.Item) -> None:
    """Settle the outputs of a notebook's cell before nbval compares them, letter by letter.

    Where this machine has executed the very same notebook, what it gave then is compared, and no kernel starts; what is
    executed now is kept, once all its cells have passed.
    """
    if not isinstance(item, IPyNbCell):
        return
    compare, tolerance = item.compare_outputs, allowed(item.cell.metadata.get("tags", []))
    item.compare_outputs = lambda new, committed: compare(settle(new, committed, tolerance), committed)
    known = _known(item.path)
    if known is not None and not item.options["skip"]:
        item.parent.setup = lambda: None
        item.runtest = partial(_compare, item, notebooks.code(known)[item.cell_num].outputs)
    else:
        item.runtest = partial(_execute, item, item.runtest)


@cache
def _known(path: Path) -> NotebookNode | None:
    return executed.known(path)


def _compare(item: IPyNbCell, outputs: list[NotebookNode]) -> None:
    asked = item.options["check"] and item.cell.execution_count is not None
    if asked and not item.compare_outputs(coalesce_streams(outputs), coalesce_streams(item.cell.outputs)):
        item.raise_cell_error("Cell outputs differ", "\n".join(item.comparison_traceback))


def _execute(item: IPyNbCell, run: Callable[[], None]) -> None:
    run()
    item.passed = True
    cells = notebooks.code(item.parent.nb)
    passed = [cell for cell in item.session.items if cell.parent is item.parent and getattr(cell, "passed", False)]
    if len(passed) == len(cells):
        done = copy.deepcopy(item.parent.nb)
        for cell, executed_cell in zip(passed, notebooks.code(done), strict=True):
            executed_cell.outputs = cell.test_outputs
        executed.keep(item.path, done)
