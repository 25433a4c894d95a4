"""Work on a GPU that is recorded once, as a CUDA graph, and launched again and again. Never run on a GPU yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from .cublas import CuBLAS
from .cupy import CuPyBackend


class Recorder:
    """A stream of its own, memory of its own, and cuBLAS on that stream.

    The temporary arrays of what is recorded lie in a pool that nothing else takes memory from: a graph writes to
    where they lay, long after Python has let go of them.
    """

    def __init__(self, backend: CuPyBackend) -> None:
        self._cuda = import_module("cupy").cuda
        self._backend = backend
        self._stream = self._cuda.Stream(non_blocking=True)
        self._pool = self._cuda.MemoryPool()
        self._blas = CuBLAS(self._stream)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Everything within is queued on this stream: after what was queued before, and before what comes after."""
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
        """The graph of what ``work`` queues, as a function that launches it; nothing is computed yet.

        ``work`` has to have been done twice before, within :meth:`working`: kernels are then compiled, and memory is
        there to be taken.
        """
        self._stream.begin_capture()
        try:
            work()
        except BaseException:
            with suppress(Exception):  # the capture may have been ended by what went wrong
                self._stream.end_capture()
            raise
        graph: Any = self._stream.end_capture()
        return lambda: graph.launch(self._stream)
