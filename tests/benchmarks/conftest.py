"""``make benchmark``: what was measured becomes two tables, printed, and kept in the README when they are complete."""

from functools import partial

import pandas as pd
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from ratios import Best, Ratios, in_turns, where_measured

from patchlib import report
from patchlib.run import readme
from patchlib.support import paths, provenance

MEASURED = pytest.StashKey[Ratios]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = Ratios()


@pytest.fixture(scope="session", autouse=True)
def _silent() -> None:
    """No progress bars between the numbers, and none in the times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATCHLIB_PROGRESS", "off")
        yield


@pytest.fixture(scope="session")
def ratios(request: pytest.FixtureRequest) -> Ratios:
    """Where tests put their rows."""
    return request.config.stash[MEASURED]


@pytest.fixture
def best(benchmark: BenchmarkFixture) -> Best:
    """:func:`ratios.in_turns` for this test."""
    return partial(in_turns, benchmark)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    measured, where = config.stash[MEASURED], where_measured()
    for frame in (measured.table(), pd.DataFrame(measured.throughput)):
        if len(frame):
            terminalreporter.write_line(f"\n{frame.to_string(index=False)}")
    terminalreporter.write_line("\n" + "; ".join(where.values()))
    if not measured.complete or terminalreporter.stats.get("failed"):
        terminalreporter.write_line("not all was measured: the tables of the README stay as they are")
        return
    note = f"Measured on {where['processor']}, with {where['software']}, on {where['date']}: `make benchmark`."
    tables = {"table_speed": measured.table(), "table_throughput": pd.DataFrame(measured.throughput)}
    for item, frame in tables.items():
        report.save_table(frame, item, {"config": where, "profile": "builtin"}, decimals=1, note=note)
        # what one machine measured is no record of a notebook's run, which could be followed back to its data
        rows = frame.to_dict("records")
        provenance.write_json(paths.figures() / f"{item}.json", {"machine": where, "rows": rows})
    terminalreporter.write_line(f"written: {', '.join(tables)}; {readme.refresh()} brought up to date")
