"""A bridge to Dask: one function over many items, on the workers of a ``dask.distributed.Client``.

:func:`patchlib.features.extract` and :func:`patchlib.scale.sharded_search.rank` take such a client as ``executor``;
what it stands on is Dask's business (``pip install '.[scale]'``, and ``dask-jobqueue`` or ``dask-kubernetes``)::

    client = Client("tcp://scheduler:8786")                                             # dask.distributed
    features.extract(data, "L3", encoders.create("SigLIP", "cuda", dtype="bfloat16"), dtype="float16", executor=client)

From the terminal it is ``python -m patchlib extract --scheduler tcp://scheduler:8786`` and ``reproduce --scheduler``;
what they set, ``PATCHLIB_SCHEDULER``, stands for an ``executor`` wherever none is given. ``site/clusters.md`` starts
such a cluster on one machine, with Slurm and on Kubernetes.

Images and the output folder (``PATCHLIB_DATA``, ``PATCHLIB_CACHE``) lie on a drive that all machines see under the same
path: a worker writes its shards there, the caller makes one array of them, and notebooks started later with the same
cache need no cluster. A worker on a GPU has one GPU and several threads, so that some decode while another encodes.

A worker that dies costs its unfinished task, which Dask gives to another. Where all of them or the scheduler are gone
for good, the caller gets a :class:`ClusterError`; a second run goes on where the first one stopped.
"""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from patchlib.support.wording import counted

if TYPE_CHECKING:
    from dask.distributed import Client, Future

PATIENCE = 120.0  # seconds without any worker before a run ends
POLL = 1.0  # seconds between two looks at the workers
ANSWER = "4s"  # until an address that does not answer is given up
ADDRESS = "PATCHLIB_SCHEDULER"  # environment variable
AHEAD = 2  # tasks given out per thread, so that no worker waits for the next one
Item = TypeVar("Item")
AGAIN = "what is finished is kept: see to the cluster and run again"
LOST = f"the connection to the cluster's scheduler is lost; {AGAIN}"


class ClusterError(ConnectionError):
    """The cluster is gone, or lost the same task again and again."""


class Sealed:
    """A value that travels as bytes and is opened at most once in a process, by the thread that needs it first."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Sealed, (self.content,)

    def open(self) -> Any:
        """The value."""
        with self.lock:
            if not hasattr(self, "value"):
                self.value = pickle.loads(self.content)
            return self.value


@lru_cache(1)
def connect(address: str) -> Client:
    """The cluster whose scheduler has this address, e.g. ``"tcp://10.0.0.1:8786"``; one connection a process.

    Raises:
        ClusterError: it does not answer.
        ValueError: Dask is not installed, or an address that is none.
    """
    distributed = _dask()
    import dask

    try:
        with dask.config.set({"distributed.comm.timeouts.connect": ANSWER}):
            return distributed.Client(address, timeout=ANSWER)
    except OSError as error:
        raise ClusterError(f"no scheduler answers at {address}; start one with: dask scheduler") from error


def use(address: str) -> None:
    """Give what follows, in this process and those it starts, the cluster of an address; raises as :func:`connect`."""
    connect(address)
    os.environ[ADDRESS] = address


def chosen(executor: Client | None) -> Client | None:
    """The executor, or else the cluster that ``PATCHLIB_SCHEDULER`` names, or None."""
    return connect(os.environ[ADDRESS]) if executor is None and os.environ.get(ADDRESS) else executor


def run(
    client: Client, function: Callable[[Any, Item], Any], common: Any, items: Sequence[Item], label: str = "task"
) -> Iterator[tuple[Item, Any]]:
    """Call ``function(common, item)`` for every item on the workers.

    Args:
        client: of ``dask.distributed``, in synchronous mode.
        function: of an importable module; must not mind being called again for an item whose worker died.
        common: sent once to each worker.
        items: small ones; each is sent with its task.
        label: what error messages call an item.

    Yields:
        (item, result) as they finish.

    Raises:
        ClusterError: no worker for ``PATIENCE`` seconds, the scheduler is gone, or an item kills its workers.
        ValueError: not a client, or an asynchronous one.
        Exception: what ``function`` raised, with a note that says where.
    """
    _check(client)
    from distributed.protocol.pickle import dumps

    # as the result of a task, Dask makes it again when the worker that holds it dies
    sealed = client.submit(_identity, Sealed(dumps(common)), pure=False)
    left = iter(items)
    running: dict[Future, Item] = {}
    try:
        while True:
            room = AHEAD * threads(client) - len(running)
            for item in islice(left, max(room, 0)):
                running[client.submit(_call, function, sealed, item, pure=False)] = item
            if not running:
                return
            for future in _finished(running):
                yield running.pop(future), _result(future, label)
    finally:
        if client.status == "running":  # forget what is left; tasks that are being worked on end by themselves
            client.cancel([*running, sealed], reason="the run that asked for it has ended")


def threads(client: Client) -> int:
    """Threads of all workers there are; waits ``PATIENCE`` seconds for the first worker. Errors as of :func:`run`."""
    _check(client)
    start = time.monotonic()
    while time.monotonic() - start <= PATIENCE:
        try:
            count = sum(client.nthreads().values())
        except (OSError, AttributeError) as error:  # a closed client has no scheduler to ask
            raise ClusterError(f"the scheduler of the cluster does not answer; {AGAIN}") from error
        if count:
            return count
        time.sleep(min(POLL, PATIENCE / 10))
    raise ClusterError(f"the cluster has had no worker for {PATIENCE:.0f} s; {AGAIN}")


def _dask() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ValueError("executor needs Dask; install it with: pip install '.[scale]'") from error
    return distributed


def _check(client: Any) -> None:
    if not isinstance(client, _dask().Client):
        raise ValueError(f"executor is {type(client).__name__}, expected a dask.distributed.Client")
    if client.asynchronous:
        raise ValueError("executor is an asynchronous client; make it with Client(..., asynchronous=False)")


def _finished(running: dict[Future, Any]) -> list[Future]:
    """Those that have ended; after ``POLL`` seconds possibly none."""
    from dask.distributed import CancelledError, wait

    try:
        return list(wait(list(running), timeout=POLL, return_when="FIRST_COMPLETED").done)
    except TimeoutError:
        return []
    except CancelledError as error:
        raise ClusterError(LOST) from error


def _result(future: Future, label: str) -> Any:
    from dask.distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except CancelledError as error:
        raise ClusterError(LOST) from error
    except KilledWorker as error:
        raise ClusterError(
            f"a {label} ended {counted(error.allowed_failures + 1, 'worker')} one after another, most likely for lack "
            f"of memory; what is finished is kept: give workers more memory or fewer threads and run again ({error})"
        ) from error
    except Exception as error:
        error.add_note(f"raised by a {label} on a worker of the cluster; what is finished is kept")
        raise


def _identity(value: Any) -> Any:
    return value


def _call(function: Callable[[Any, Any], Any], sealed: Sealed, item: Any) -> Any:
    return function(sealed.open(), item)
