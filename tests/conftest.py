"""Fixtures and switches that all tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from patchlib.support import paths

if TYPE_CHECKING:
    from dask.distributed import Client

# one thread a library: tests stay fast when several run at once, and sums come out in one order
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PATCHLIB_PROGRESS", "off")
RESOURCES = ("browser", "data", "gpu", "slow")
# the same examples in every run, and no deadline: a busy machine must not fail a test
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    for name in RESOURCES:
        parser.addoption(f"--require-{name}", action="store_true", help=f"run tests marked {name}, do not skip them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for name in RESOURCES:
            marker = item.get_closest_marker(name)
            if marker and not config.getoption(f"--require-{name}"):
                reason = missing(name, marker.args)
                if reason:
                    item.add_marker(pytest.mark.skip(reason=f"{reason} (--require-{name} runs it all the same)"))


def missing(resource: str, names: tuple[str, ...]) -> str:
    """Why a test that needs ``resource`` cannot run here; empty if it can. ``names``: of benchmarks, for data."""
    if resource == "browser":
        absent = [name for name in ("chromium", "chromedriver") if not shutil.which(name)]
        return f"no {' and no '.join(absent)} found" if absent else ""
    if resource == "gpu":
        import torch

        return "" if torch.cuda.is_available() else "no CUDA device"
    if resource == "data":
        absent = [name for name in names if not (paths.data() / name).is_dir()]
        return f"not downloaded: {', '.join(absent) or 'anything'}" if absent or not names else ""
    return "slow"


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """A Dask cluster on this machine: two worker processes of one thread; its dashboard takes any free port."""
    from dask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local, Client(local) as client:
        yield client


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of sample data beside the checkout."""
    folder = paths.root().parent / "shared"
    if not folder.is_dir():
        pytest.skip("no folder of sample data beside the checkout")
    return folder
