"""The compiled backend: NumPy's arrays, rules as compiled loops, and whole training steps as compiled programs.

A rule is one loop. Transcendental functions differ from NumPy's by rounding, and so do sums along a row in a recorded
step. Everything else is bitwise equal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import numpy as np

from ..common.errors import InputError
from ..kernels import Graph
from . import llvm, onednn
from .llvm import installed
from .numpy import Floats, NumPyBackend
from .operations import CannotRecord, Deferred
from .program import Program, rule_kernel

THREADS_FROM = 8_000_000
"""Number of elements from which a loop runs on all cores. Measured: below a few million, spinning BLAS threads cancel
the gain, which is limited by memory bandwidth."""

LINE = 16
"""Granularity of a thread's part in elements, so that no two threads write to the same cache line."""


class CompiledBackend(Deferred, NumPyBackend):
    """The backend of compiled loops on NumPy arrays. In :meth:`recording`, operations are recorded, not executed."""

    name = "compiled"
    program = Program

    def matmul(self, a: Floats, b: Floats, out: Floats) -> Floats:
        if self._program is None and onednn.multiply(a, b, out):
            return out
        return super().matmul(a, b, out)

    def bind(self, graph: Graph, arrays: list[dict[str, Floats]]) -> CompiledStep:  # type: ignore[override]
        return CompiledStep(self, graph, arrays)


class CompiledStep:
    """A rule bound to flat arrays, as one compiled loop over each slice.

    Attributes
    ----------
    hp: the host scalars of the next :meth:`launch`.

    Raises
    ------
    InputError: the arrays do not fit together. The loop itself checks nothing.
    """

    def __init__(self, backend: CompiledBackend, graph: Graph, arrays: list[dict[str, Floats]]) -> None:
        self._backend = backend
        self._stretches = [tuple(part[name] for name in graph.inputs) for part in arrays]
        for part in self._stretches:
            alike = all((a.shape, a.dtype) == (part[0].shape, self._stretches[0][0].dtype) for a in part)
            if not alike or not all(a.ndim == 1 and a.flags.carray for a in part):
                raise InputError("a compiled rule needs one-dimensional contiguous arrays of one size and dtype")
        dtype = arrays[0]["w"].dtype.name if arrays else "float32"
        self.hp = np.zeros(max(1, len(graph.slots)), dtype)
        self._words = [words for part in self._stretches for words in self._parts(part)]
        self._places = [[int(w.ctypes.data) for w in parts] for parts in self._words]
        self.threaded = any(len(part[0]) >= THREADS_FROM for part in self._stretches)
        """True if a launch uses several threads, which a program does not."""
        self._name, self._text = rule_kernel(graph, dtype)
        self._kernel: Any = None

    def __call__(self, scalars: tuple[float, ...]) -> None:
        self.hp[: len(scalars)] = scalars
        self.launch()

    def launch(self) -> None:
        """Update once, with the scalars in ``hp``."""
        if program := self._backend._program:
            if self.threaded:
                raise CannotRecord("a rule on several threads")
            for part in self._stretches:
                program.rule(self._name, self._text, part, self.hp)
            return
        if self._kernel is None:
            self._kernel = llvm.KERNEL(llvm.address(self._text, self._name))
        for first, *rest in self._places:
            if not rest:
                self._kernel(first)
                continue
            others = [_pool(os.getpid(), len(rest)).submit(self._kernel, place) for place in rest]
            try:
                self._kernel(first)
            finally:  # wait for all threads, even after Ctrl-C
                wait(others)

    def _parts(self, arrays: tuple[Floats, ...]) -> Iterator[list[Any]]:
        """Yield the words of a slice, cut into one part per core if it is long enough."""
        size = len(arrays[0])
        count = _cores() if size >= THREADS_FROM else 1
        step = max(1, -(-size // count // LINE) * LINE)
        cut = [[a[start : start + step] for a in arrays] for start in range(0, size, step)]
        words = [np.array([len(p[0]), self.hp.ctypes.data, *(a.ctypes.data for a in p)], np.int64) for p in cut]
        if words:
            yield words


@cache
def _pool(process: int, size: int) -> ThreadPoolExecutor:
    """Return the thread pool of this process. A forked process does not inherit its parent's threads."""
    return ThreadPoolExecutor(size, "optimlab")


def _cores() -> int:
    """Return the number of cores for this process; fewer if ``OMP_NUM_THREADS`` says so, as process pools set it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(given)) if given.isdigit() and int(given) else cores


__all__ = ["CannotRecord", "CompiledBackend", "CompiledStep", "Program", "installed"]
