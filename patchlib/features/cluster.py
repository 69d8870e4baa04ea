"""A bridge to Dask: one function over many items, on the workers of a ``dask.distributed.Client``.

:func:`patchlib.features.extract` and :func:`patchlib.scale.sharded_search.rank` take such a client as ``executor``;
what it stands on is Dask's business (``pip install '.[scale]'``, and ``dask-jobqueue`` or ``dask-kubernetes``)::

    client = Client(LocalCluster(n_workers=2, threads_per_worker=1))                    # dask.distributed
    slurm = SLURMCluster(queue="gpu", cores=16, processes=1, memory="64GB", walltime="08:00:00",
                         job_extra_directives=["--gres=gpu:1"])                         # dask_jobqueue
    slurm.scale(jobs=8)
    client = Client(slurm)
    client = Client(KubeCluster(name="patchlib", image="IMAGE WITH PATCHLIB", n_workers=8))  # dask_kubernetes.operator
    client.wait_for_workers(1)                                                          # however long the queue is
    features.extract(data, "L3", encoders.create("SigLIP", "cuda", dtype="bfloat16"), dtype="float16", executor=client)

Images and the output folder (``PATCHLIB_DATA``, ``PATCHLIB_CACHE``) lie on a drive that all machines see under the same
path: a worker writes its shards there, the caller makes one array of them, and notebooks started later with the same
cache need no cluster. A worker on a GPU has one GPU and several threads, so that some decode while another encodes.

A worker that dies costs its unfinished task, which Dask gives to another. Where all of them or the scheduler are gone
for good, the caller gets a :class:`ClusterError`; a second run goes on where the first one stopped.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dask.distributed import Client, Future

PATIENCE = 120.0  # seconds without any worker before a run ends
POLL = 1.0  # seconds between two looks at the workers
AHEAD = 2  # tasks given out per thread, so that no worker waits for the next one
Item = TypeVar("Item")
AGAIN = "what is finished is kept: see to the cluster and run again"
LOST = f"the connection to the cluster's scheduler is lost; {AGAIN}"


class ClusterError(RuntimeError):
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


def _check(client: Any) -> None:
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ValueError("executor needs Dask; install it with: pip install '.[scale]'") from error
    if not isinstance(client, Client):
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
            f"a {label} ended {error.allowed_failures + 1} worker(s) one after the other, most likely for lack of "
            f"memory; what is finished is kept: give workers more memory or fewer threads and run again ({error})"
        ) from error
    except Exception as error:
        error.add_note(f"raised by a {label} on a worker of the cluster; what is finished is kept")
        raise


def _identity(value: Any) -> Any:
    return value


def _call(function: Callable[[Any, Any], Any], sealed: Sealed, item: Any) -> Any:
    return function(sealed.open(), item)
