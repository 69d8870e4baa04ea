"""How long a call takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def milliseconds(work: Callable[[], object], queries: int) -> float:
    """Wall time of a call for each of the queries it serves; the better of two, since the first one warms up."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times) / queries
