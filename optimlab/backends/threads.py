"""How many threads the libraries below work with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from . import onednn


@contextmanager
def one_thread() -> Iterator[None]:
    """Each library on one thread: on small matrices two are slower, and runs side by side have a core each."""
    onednn.library()  # its threads can be limited from when it is loaded, not before
    with threadpool_limits(1):
        yield
