"""The machine this process runs on: its cores, its processor, how long a call takes on it, or may take."""

import os
import platform
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def cores() -> int:
    """Cores this process may use; a container or a batch system may lend fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def kind() -> str:
    """What times depend on: the processor and its cores."""
    return f"{processor()}, {cores()} cores"


def free_memory() -> int:
    """Bytes that this machine, or the container, can still lend."""
    info, limit = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    lent = [int(text)] if limit.exists() and (text := limit.read_text(encoding="utf-8").strip()).isdigit() else []
    return min(free + lent, default=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def processor() -> str:
    """Name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    return ", ".join(sorted(names)) or platform.processor() or platform.machine()


def within(seconds: float, call: Callable[[], T]) -> T:
    """What a call gives, within so many seconds: one that waits for another machine may have no clock of its own.

    Raises:
        TimeoutError: it has given nothing by then; its thread goes on until it does, or until the process ends.
    """
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no whole answer within {seconds:.0f} s") from error


class Stopwatch:
    """Times by name, as far as they are known; the others are taken when they are asked for."""

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        self.times = dict(known or {})

    def take(self, name: str, measure: Callable[..., T], *arguments: Any) -> T:
        """What ``measure(*arguments)`` gave, or gives now: a number, or numbers by name."""
        if name not in self.times:
            self.times[name] = measure(*arguments)
        return self.times[name]


def milliseconds(work: Callable[[], object], queries: int) -> float:
    """Wall time of a call for each of the queries it serves; the better of two, since the first one warms up."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times) / queries
