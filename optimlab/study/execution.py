"""Execution of runs: in this process, on the cores of this machine, or on a Dask cluster.

Each of the three is a *pool*: a function that takes runs by key and yields ``(key, record)`` in any order, or
``(key, WorkerLost)`` for a run whose process died. A pool executes short runs in chunks, because they may share work.
:func:`run_all` does the rest for all pools: it looks in the store first, stores records as they arrive, and repeats
lost runs. Only the calling process writes to the store.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import accumulate
from multiprocessing import resource_tracker
from typing import Any

from ..backends.threads import one_thread
from ..common.errors import InputError, count, lacks
from ..common.version import __version__
from .plan import Run
from .results import Record
from .store import Store

Execute = Callable[[Sequence[Run]], Sequence[Record]]
"""A function that executes runs, and returns their records in the same order."""
Chunk = list[tuple[str, Run]]
"""Runs with their keys that are executed together."""

ALONE = 2
"""Number of times a run whose worker died is tried on its own, before it is recorded as an error."""
PATIENCE = 5.0
"""Seconds to wait for a Dask scheduler to answer, and for a cluster to have a first worker."""
STRANDED = 60.0
"""Seconds without any worker before the study gives up on a cluster."""
KEEP = 0.25
"""Seconds that finished runs may wait to be stored together: a write to disk takes as long as a short run."""
CHUNK = 2.0
"""Seconds that a chunk of runs should take. Longer ones share more work, but more is lost if they are killed."""
FASTER = 16
"""The most times by which the expected time of a run falls at once: the next ones may not diverge as early."""


class WorkerLost(RuntimeError):
    """Raised when the process that executes a run ends before the run."""


Outcomes = Generator[tuple[str, Record | WorkerLost], None, None]
Pool = Callable[[Execute, Mapping[str, Run]], Outcomes]
Result = tuple[float, Sequence[tuple[str, Record | WorkerLost]]]
"""The seconds that a chunk took, and its outcomes."""


def here(execute: Execute, runs: Mapping[str, Run]) -> Outcomes:
    """Execute one chunk of runs after another in this process: the pool without workers."""
    chunks = _Chunks(runs)
    while chunk := chunks.next(workers=1):
        yield from chunks.done(chunk, _work(execute, chunk))


def one_by_one(execute: Callable[[Run], Record]) -> Execute:
    """Return a function that executes one run after another.

    An exception of a run becomes its record, of status ``"error"``.
    """
    return partial(_one_by_one, execute)


def _one_by_one(execute: Callable[[Run], Record], runs: Sequence[Run]) -> list[Record]:
    records = []
    for run in runs:
        try:
            records.append(execute(run))
        except Exception as error:  # an error in one run must not stop the others
            records.append(_failed(run, error))
    return records


class _Chunks:
    """The runs that wait for a worker, cut into chunks that take about :data:`CHUNK` seconds each."""

    def __init__(self, runs: Mapping[str, Run]) -> None:
        self._waiting = [*runs.items()]
        problems = {run.problem for run in runs.values()}
        self._expected = {problem: problem.expected_seconds() for problem in problems}
        self._slower = 1.0
        """The time of a chunk, divided by what was expected of it."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def next(self, workers: int) -> Chunk:
        """Return the next chunk; towards the end they become smaller, so that all workers end at the same time."""
        most = -(-len(self._waiting) // (2 * workers - 1))
        times = (self._slower * self._expected[run.problem] for _, run in self._waiting[:most])
        number = max(1, sum(total <= CHUNK for total in accumulate(times)))
        chunk, self._waiting = self._waiting[:number], self._waiting[number:]
        return chunk

    def done(self, chunk: Chunk, result: Result) -> Outcomes:
        """Yield the outcomes of a chunk; the size of the next ones depends on the time it took."""
        seconds, outcomes = result
        expected = sum(self._expected[run.problem] for _, run in chunk)
        self._slower = max(seconds / expected, self._slower / FASTER)
        yield from outcomes


def run_all(
    runs: Iterable[Run],
    store: Store[Record],
    *,
    execute: Execute,
    pool: Pool = here,
    done: Callable[[Run, Record], None] = lambda run, record: None,
) -> list[Record]:
    """Return the record of each run, in the order given, from ``store`` or by executing the run and storing its record.

    A run whose worker died is repeated on its own. If it kills its worker each time, it is recorded as an error. Runs
    that finish within a quarter of a second are stored together. Ctrl-C stops at once; chunks that are
    finished are stored.

    Parameters
    ----------
    runs: the runs; equal ones are executed once.
    store: the store of finished runs.
    execute: executes runs, see :func:`one_by_one`. An exception that it raises becomes the record of all of them, of
        status ``"error"``.
    pool: where the runs are executed, see :func:`workers`.
    done: called once for each run, when its record is stored.

    >>> import tempfile
    >>> from optimlab.study import Contender, Problem, Run, Store
    >>> runs = [Run(Problem(epochs=1), Contender("sgd"), 0.1, seed) for seed in (0, 1)]
    >>> from optimlab.study.run import execute
    >>> records = run_all(runs, Store(tempfile.mkdtemp()), execute=one_by_one(execute))
    >>> [record.run["seed"] for record in records]
    [0, 1]

    Raises
    ------
    InputError: the store can no longer be written, or the cluster is gone. Finished runs are kept.
    """
    planned = [(run.key, run) for run in runs]
    missing = {key: run for key, run in planned if not store.finished(key)}

    waiting: dict[str, Record] = {}

    def keep() -> None:
        found = dict(waiting)
        waiting.clear()
        other = "the worker has other data, another engine, or another version of optimlab"
        store.append([r if r.key == key else missing[key].failed(other) for key, r in found.items()])
        for key in found:
            done(missing[key], store.records[key])

    for key, run in planned:
        if key not in missing:
            done(run, store.records[key])
    lost: dict[str, WorkerLost] = {}
    kept = time.monotonic()
    with closing(pool(execute, missing)) as outcomes:
        try:
            for key, outcome in outcomes:
                if isinstance(outcome, WorkerLost):
                    lost[key] = outcome
                    continue
                waiting[key] = outcome
                if time.monotonic() > kept + KEEP:
                    keep()
                    kept = time.monotonic()
        finally:
            keep()
    if lost:
        first, *others = lost
        more = f" or one of {len(others)} more" if others else ""
        warnings.warn(f"{lost[first]} during {missing[first]}{more}: repeating these runs one at a time", stacklevel=2)
    for key in lost:
        waiting[key] = _alone(pool, execute, key, missing[key])
        keep()
    return [store.records[key] for key, _ in planned]


@contextmanager
def workers(jobs: int = 1, dask: Any = None) -> Iterator[Pool]:
    """Yield a pool for any number of calls of :func:`run_all`; its processes end with the ``with`` block.

    Parameters
    ----------
    jobs: number of processes on this machine; 1 means this process alone. Starting them takes about a second.
    dask: the address of a Dask scheduler, such as ``"tcp://192.168.0.5:8786"``, or a ``distributed.Client``; not
        together with ``jobs``. Dask exchanges pickles: connect only to a cluster that you trust. Its workers need the
        same optimlab and the same data sets; give each one thread.

    BLAS uses one thread in every worker, so that a curve does not depend on where it was computed.

    >>> with workers(jobs=1) as pool:
    ...     pool is here
    True

    Raises
    ------
    InputError: ``jobs`` is not a positive whole number, or both are given; no scheduler answers, it has no worker, or
        its workers have another version of optimlab; ``distributed`` is not installed.
    """
    jobs = count("jobs", jobs)
    if dask is not None:
        if jobs > 1:
            raise InputError("give jobs or dask, not both: a cluster has its own workers")
        with _connected(dask) as client:
            yield partial(_on_cluster, client)
    elif jobs > 1:
        with processes():
            yield partial(_on_cores, jobs)
    else:
        yield here


def _work(execute: Execute, chunk: Chunk) -> Result:
    start = time.perf_counter()
    try:
        with one_thread():
            records = execute([run for _, run in chunk])
    except Exception as error:  # an error in these runs must not stop the others
        records = [_failed(run, error) for _, run in chunk]
    return time.perf_counter() - start, [(key, record) for (key, _), record in zip(chunk, records, strict=True)]


def _failed(run: Run, error: Exception) -> Record:
    return run.failed(f"{type(error).__name__}: {error}")


def _alone(pool: Pool, execute: Execute, key: str, run: Run) -> Record:
    for _ in range(ALONE):
        ((_, outcome),) = pool(execute, {key: run})
        if not isinstance(outcome, WorkerLost):
            return outcome
    return run.failed(f"WorkerLost: {outcome} each time it executed this run")


# --- the cores of this machine, by joblib


_keeping = 0
"""The number of open blocks of :func:`processes`."""


@contextmanager
def processes() -> Iterator[None]:
    """Keep the processes of this machine for all pools and calls in the ``with`` block; they end with the outermost."""
    from joblib.externals.loky import get_reusable_executor

    global _keeping
    _keeping += 1
    try:
        yield
    finally:
        _keeping -= 1
        if not _keeping:
            get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def in_processes(jobs: int, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call every task in one of ``jobs`` processes, or here if that is 1; return what they return, in order."""
    if jobs == 1:
        return [task() for task in tasks]
    from joblib import delayed

    with processes(), _results(_parallel(jobs, "generator"), (delayed(task)() for task in tasks)) as results:
        return list(results)


def _parallel(jobs: int, return_as: str) -> Any:
    """Return joblib's processes, which are given one task at a time."""
    from joblib import Parallel, parallel_config

    options = {"inner_max_num_threads": 1, "initializer": _end_with, "initargs": (os.getpid(),)}
    with parallel_config(backend="loky", n_jobs=jobs, **options):
        return Parallel(return_as=return_as, batch_size=1)


def _on_cores(jobs: int, execute: Execute, runs: Mapping[str, Run]) -> Outcomes:
    from joblib.externals.loky import BrokenProcessPool

    waiting = dict(runs)
    while waiting:
        started: list[str] = []
        chunks = _Chunks(waiting)
        parallel = _parallel(jobs, "generator_unordered")
        try:
            with _results(parallel, _tasks(execute, chunks, jobs, started)) as results:
                for chunk, result in results:
                    for key, record in chunks.done(chunk, result):
                        del waiting[key]
                        yield key, record
        except BrokenProcessPool as error:
            lost = WorkerLost(f"a worker process died ({_cause(error)})")
            for key in [key for key in started if key in waiting] or list(waiting):
                del waiting[key]
                yield key, lost
        except RuntimeError as error:  # joblib#1788: its list of results, changed by another thread while it was read
            if "changed size" not in str(error):
                raise


def _tasks(execute: Execute, chunks: _Chunks, jobs: int, started: list[str]) -> Iterator[Any]:
    from joblib import delayed

    while chunk := chunks.next(jobs):
        started += [key for key, _ in chunk]
        yield delayed(_named_work)(execute, chunk)


def _named_work(execute: Execute, chunk: Chunk) -> tuple[Chunk, Result]:
    return chunk, _work(execute, chunk)


def _end_with(parent: int) -> None:
    """End a worker when its parent is killed; otherwise it would idle for five minutes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _results(parallel: Any, tasks: Iterator[Any]) -> Iterator[Any]:
    """Yield the results of joblib's workers as they arrive, and close them without joblib's warning.

    Ctrl-C is blocked while the workers start, and they inherit this: a terminal sends Ctrl-C to them as well, and a
    worker that is importing would print a traceback. Ctrl-C stops this process, which ends them.
    """
    from joblib.externals.loky.backend import resource_tracker as joblib_tracker

    for tracker in (joblib_tracker, resource_tracker):  # start these first: they unblock Ctrl-C
        tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        results = parallel(tasks)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield results
        finally:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*You could benefit from adjusting the input task iterator")
                results.close()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cause(error: Exception) -> str:
    """Return the exit codes of a broken pool, such as ``SIGKILL(-9)``; without them, its message up to a period."""
    _, _, codes = str(error).partition("exit codes of the workers are {")
    return codes.partition("}")[0] or str(error).partition(".")[0]


# --- a cluster, by Dask


@contextmanager
def _connected(dask: Any) -> Iterator[Any]:
    import asyncio  # when needed: it takes a while

    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise lacks("a Dask cluster", "the package distributed", "cluster") from None
    if isinstance(dask, Client):
        _check_workers(dask, dask.scheduler_info()["address"])
        yield dask
        return
    # ask the scheduler first: a client that finds none would keep trying in the background
    with ThreadPoolExecutor(1) as thread:  # a thread of its own: a notebook already runs an event loop in this one
        try:
            thread.submit(asyncio.run, _ask(dask)).result()
        except Exception as error:
            why = f"none answered within {PATIENCE:g} s" if isinstance(error, TimeoutError) else str(error)
            raise InputError(f"no Dask scheduler at {dask!r}: {why}") from None
    with _one_line_only(), Client(dask, timeout=PATIENCE, set_as_default=False) as client:
        _check_workers(client, dask)
        yield client


def _check_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise InputError(f"the Dask scheduler at {address} has no worker; start one: dask worker {address}") from None
    try:
        versions = set(client.run(_version).values())
    except Exception as error:
        raise InputError(f"the workers of {address} cannot import this optimlab: {error}") from None
    if versions != {_version()}:
        raise InputError(f"the workers of {address} have optimlab {', '.join(versions)}, not {_version()} as here")


@contextmanager
def _one_line_only() -> Iterator[None]:
    """Keep Dask from logging tracebacks when a connection breaks: an InputError reports it."""
    loggers = [logging.getLogger(f"distributed.{name}") for name in ("client", "batched")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


async def _ask(address: str) -> None:
    import asyncio

    from distributed import rpc

    async with rpc(address) as scheduler:
        await asyncio.wait_for(scheduler.identity(), PATIENCE)


def _version() -> str:
    return __version__


def _on_cluster(client: Any, execute: Execute, runs: Mapping[str, Run]) -> Outcomes:
    from distributed import CancelledError, as_completed

    futures: dict[Any, Chunk] = {}
    chunks = _Chunks(runs)
    try:
        finished = as_completed([], loop=client.loop)
        look = _lookout(client)
        while chunks or futures:
            threads = look()
            while chunks and len(futures) < 2 * threads:
                chunk = chunks.next(threads)
                future = client.submit(_work, execute, chunk, pure=False)
                futures[future] = chunk
                finished.add(future)
            batch = finished.next_batch(block=False)
            for future in batch:
                chunk = futures.pop(future)
                yield from chunks.done(chunk, _outcome(future, chunk))
            if not batch:
                time.sleep(0.01)
    except (Exception, CancelledError) as error:
        if isinstance(error, OSError | CancelledError) or client.status != "running":
            raise InputError("the connection to the Dask scheduler was lost; finished runs are kept") from None
        raise
    finally:
        if futures and client.status == "running":
            client.cancel(list(futures))


def _outcome(future: Any, chunk: Chunk) -> Result:
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()  # type: ignore[no-any-return]
    except KilledWorker as error:
        lost = WorkerLost(
            f"{error.allowed_failures + 1} Dask worker(s) died (the last was {error.last_worker.address})"
        )
        return CHUNK, [(key, lost) for key, _ in chunk]
    except CancelledError:
        raise
    except Exception as error:  # the runs could not be sent, or their records could not be returned
        return CHUNK, [(key, _failed(run, error)) for key, run in chunk]


def _lookout(client: Any) -> Callable[[], int]:
    """Return a function that checks the cluster once a second and returns its number of threads, at least 1.

    It warns of lost workers, and raises an InputError if no worker comes back.
    """
    known, looked = client.nthreads(), time.monotonic()
    manned = looked

    def threads() -> int:
        return max(1, int(sum(known.values())))

    def look() -> int:
        nonlocal known, looked, manned
        if time.monotonic() < looked + 1:
            return threads()
        now = client.nthreads()
        for address in sorted({*known} - {*now}):
            warnings.warn(f"Dask lost the worker {address}: its runs are repeated", stacklevel=4)
        known, looked = now, time.monotonic()
        manned = looked if now else manned
        if looked > manned + STRANDED:
            raise InputError(f"the Dask cluster has had no worker for {STRANDED:g} s; finished runs are kept")
        return threads()

    return look
