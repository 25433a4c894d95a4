"""Recording of GPU work as a CUDA graph, which is then launched repeatedly. It has never been run on a GPU."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from typing import Any

from .cublas import CuBLAS
from .cupy import CuPyBackend


class Recorder:
    """A recorder with its own memory pool. All recorders of a device share one stream, and cuBLAS on that stream.

    The temporary arrays of recorded work are in a pool that nothing else allocates from. A graph writes to their
    addresses long after Python has freed them.
    """

    def __init__(self, backend: CuPyBackend) -> None:
        self._cuda = import_module("cupy").cuda
        self._backend = backend
        self._stream, self._blas = _stream(self._cuda.runtime.getDevice())
        self._pool = self._cuda.MemoryPool()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Queue all work within on this stream, after earlier work and before later work."""
        outside = self._cuda.get_current_stream()
        self._stream.wait_event(outside.record())
        self._backend.blas = self._blas
        try:
            with self._stream, self._cuda.using_allocator(self._pool.malloc):
                yield
        finally:
            self._backend.blas = None
            outside.wait_event(self._stream.record())

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record the work that ``work`` queues, and return a function that launches it; nothing is computed yet.

        ``work`` must have run twice before, within :meth:`working`, so that kernels are compiled and memory is
        available in the pool.
        """
        stream = self._stream
        with _no_collection():
            stream.begin_capture()
            try:
                work()
            except BaseException:
                with suppress(Exception):  # the error may have ended the capture already
                    stream.end_capture()
                raise
            graph: Any = stream.end_capture()
        return lambda: graph.launch(stream)


@cache
def _stream(device: int) -> tuple[Any, CuBLAS]:
    """Return the stream of a device's recordings, and cuBLAS on it: one handle and one workspace for the process."""
    stream = import_module("cupy").cuda.Stream(non_blocking=True)
    return stream, CuBLAS(stream)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Suspend Python's garbage collection, which may synchronize the device and so end a capture."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
