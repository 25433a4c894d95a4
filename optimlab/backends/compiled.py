"""The compiled backend: NumPy's arrays, rules as compiled loops, and whole training steps as compiled programs.

A rule is one loop, bitwise equal to the NumPy backend. A recorded step differs from NumPy's by rounding in
transcendental functions and in sums along a row; everything else is equal.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from ..common.errors import InputError
from ..kernels import Formula, Graph
from . import llvm, onednn
from .llvm import installed
from .numpy import Floats, NumPyBackend
from .program import CannotRecord, Program, rule_kernel

THREADS_FROM = 8_000_000
"""Number of elements from which a loop runs on all cores. Measured: below a few million, spinning BLAS threads cancel
the gain, which is limited by memory bandwidth."""

LINE = 16
"""Granularity of a thread's part in elements, so that no two threads write to the same cache line."""


class CompiledBackend(NumPyBackend):
    """The backend of compiled loops on NumPy arrays. In :meth:`recording`, operations are recorded, not executed."""

    name = "compiled"

    def __init__(self) -> None:
        self._local = threading.local()

    @contextmanager
    def recording(self, dtype: str) -> Iterator[Program]:
        """Record the named operations of this thread in a program instead of executing them."""
        program = self._local.program = Program(dtype)
        try:
            yield program
        finally:
            self._local.program = None

    def record(self, work: Callable[[], None], dtype: str, working: Callable[[], Iterable[Floats]]) -> Program:
        """Return the operations of ``work`` as a program.

        ``working`` is called afterwards, because ``work`` may allocate arrays. It lists the arrays whose contents are
        not used elsewhere.

        Raises
        ------
        CannotRecord: a program cannot contain one of the operations.
        """
        with self.recording(dtype) as program:
            work()
        program.finish(working())
        return program

    @property
    def _program(self) -> Program | None:
        return getattr(self._local, "program", None)

    def matmul(self, a: Floats, b: Floats, out: Floats) -> Floats:
        if program := self._program:
            program.product(a, b, out)
            return out
        return out if onednn.multiply(a, b, out) else np.matmul(a, b, out=out)

    def map(
        self, formula: Formula, inputs: tuple[Floats, ...], out: Floats | tuple[Floats, ...], **numbers: float
    ) -> None:
        if program := self._program:
            program.map(formula, inputs, out if isinstance(out, tuple) else (out,), numbers)
        else:
            super().map(formula, inputs, out, **numbers)

    def column_sums(self, x: Floats, out: Floats) -> None:
        if program := self._program:
            program.column_sums(x, out)
        else:
            super().column_sums(x, out)

    def row_sums(self, x: Floats, out: Floats) -> None:
        if program := self._program:
            program.row_reduction("sum", x, out)
        else:
            super().row_sums(x, out)

    def row_max(self, x: Floats, out: Floats) -> None:
        if program := self._program:
            program.row_reduction("max", x, out)
        else:
            super().row_max(x, out)

    def row_argmax(self, x: Floats, out: Floats) -> None:
        if program := self._program:
            program.row_reduction("argmax", x, out)
        else:
            super().row_argmax(x, out)

    def take(self, rows: Floats, indices: Any, out: Floats) -> None:
        if program := self._program:
            program.take(rows, indices, out)
        else:
            super().take(rows, indices, out)

    def put(self, table: Floats, index: Any, row: Floats) -> None:
        if program := self._program:
            program.put(table, index, row)
        else:
            super().put(table, index, row)

    def count(self, counter: Any) -> None:
        if program := self._program:
            program.count(counter)
        else:
            super().count(counter)

    def uniform(self, generator: Any, out: Floats) -> None:
        if program := self._program:
            program.uniform(generator, out)
        else:
            super().uniform(generator, out)

    def stop_unless_finite(self, value: Floats) -> None:
        if program := self._program:
            program.stop_unless_finite(value)
        else:
            super().stop_unless_finite(value)

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
