"""How many threads the libraries below work with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

from . import onednn


@contextmanager
def one_thread() -> Iterator[None]:
    """Each library on one thread: on small matrices two are slower, and runs side by side have a core each."""
    onednn.library()  # its threads can be limited from when it is loaded, not before
    with _libraries(len(sys.modules)).limit(limits=1):
        yield


@lru_cache(1)
def _libraries(modules: int) -> ThreadpoolController:
    """Those loaded, which takes milliseconds to find out: anew when there are more modules than before."""
    return ThreadpoolController()
