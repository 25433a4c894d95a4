"""Processes bound to cores, with as many threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def environment(threads: int) -> dict[str, str]:
    """The variables that libraries read when they are loaded; JAX's thread pool follows the cores it is bound to."""
    return os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))


@contextmanager
def pinned(count: int) -> Iterator[None]:
    """Bind this thread, and the processes it starts, to that many cores; does nothing where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, separate_cores(sorted(before))[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def separate_cores(processors: list[int]) -> list[int]:
    """The processors, one of each physical core first; the last first, since a system's own work likes the first."""
    seen: set[str] = set()
    first, others = [], []
    for k in reversed(processors):
        siblings = str(k)
        with suppress(OSError):
            siblings = Path(f"/sys/devices/system/cpu/cpu{k}/topology/thread_siblings_list").read_text()
        (others if siblings in seen else first).append(k)
        seen.add(siblings)
    return first + others


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
