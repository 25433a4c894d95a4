"""Limits on the threads of the underlying libraries."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from . import onednn


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit each library to one thread: two are slower on small matrices, and parallel runs have one core each."""
    onednn.library()  # its threads can be limited only after it is loaded
    with _libraries(len(sys.modules)).limit(limits=1):
        yield


@lru_cache(1)
def _libraries(modules: int) -> ThreadpoolController:
    """Find the loaded libraries, which takes milliseconds; cached until more modules are imported."""
    return ThreadpoolController()
