"""Programs: lists of operations on NumPy's arrays, recorded once and repeated without Python.

Neighbouring elementwise operations and sums become one sweep, see :mod:`optimlab.kernels.sweep`. A working array that
only passes a value from one of them to the next is never stored.
"""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..kernels import Graph
from ..kernels import llvm_steps as steps
from ..kernels.llvm_source import rule_source
from ..kernels.names import rule_name
from . import blas, llvm, onednn
from .layout import layout
from .numpy import Floats
from .operations import CannotRecord, Operations, extent
from .plan import Address, Alone, Structure, plan


class Program(Operations):
    """A program: operations in the order in which they are recorded; :meth:`finish` makes them runnable.

    Raises
    ------
    CannotRecord: an operation cannot be done without Python.
    """

    # ---- recording

    def matmul(self, a: Floats, b: Floats, out: Floats) -> Floats:
        self._check_product(a, b, out)
        first, second = layout(a), layout(b)
        if first is None or second is None:
            raise CannotRecord("a product of matrices that are not stored by rows or by columns")
        (m, k), n = a.shape, b.shape[1]
        x, y = self._number(a, any_layout=True), self._number(b, any_layout=True)
        z = self._number(out, written=True)
        sizes = (m, n, k, Address(x), first.leading, Address(y), second.leading, Address(z), n)
        if onednn.fits(a, b, out):
            letters = [ord("T" if side.transposed else "N") for side in (first, second)]
            self._alone("product", steps.onednn_source(), (onednn.address(), *letters, *sizes), (x, y), (z,))
            return out
        found = blas.gemm(self.dtype)
        if found is None:
            raise CannotRecord("NumPy's BLAS was not found")
        turned = [TRANSPOSED if side.transposed else PLAIN for side in (first, second)]
        words = (found.address, BY_ROWS, *turned, *sizes)
        self._alone("product", steps.product_source(self.dtype, found.wide), words, (x, y), (z,))
        return out

    def rule(self, name: str, text: str, arrays: tuple[Floats, ...], scalars: Floats) -> None:
        """Record one update by a rule; it uses the host scalars in ``scalars`` at the time of execution."""
        places = tuple(self._number(a, written=True) for a in arrays)
        hp = self._number(scalars)
        self._alone(name, text, (len(arrays[0]), Address(hp), *map(Address, places)), (*places, hp), places)

    def take(self, rows: Floats, indices: Any, out: Floats) -> None:
        self._check_take(rows, indices, out)
        x, y = self._number(rows, any_type=True), self._number(indices, any_type=True)
        z = self._number(out, any_type=True, written=True)
        size = out.nbytes // max(1, len(out))
        words = (len(out), Address(x), Address(y), Address(z))
        self._alone("take", steps.take_source(size), words, (x, y), (z,))

    def put(self, table: Floats, index: Any, row: Floats) -> None:
        self._check_put(table, index, row)
        x = self._number(table, any_type=True, written=True)
        y, z = self._number(index, any_type=True), self._number(row, any_type=True)
        # the other rows of the table stay the same, so the table counts as read, too
        self._alone("put", steps.PUT, (Address(x), Address(y), Address(z), row.nbytes), (x, y, z), (x,))

    def count(self, counter: Any) -> None:
        if counter.dtype != np.int64 or counter.size != 1:
            raise CannotRecord("a counter that is not one 64-bit integer")
        x = self._number(counter, any_type=True, written=True)
        self._alone("count", steps.COUNT, (Address(x),), (x,), (x,))

    def uniform(self, generator: Any, out: Floats) -> None:
        interface = generator.bits.ctypes
        draw = interface.next_uint32 if self.dtype == "float32" else interface.next_uint64
        function = ctypes.cast(draw, ctypes.c_void_p).value or 0
        self._kept.append((generator, interface))
        state, x = np.array([interface.state_address], np.int64), self._number(out, written=True)
        words = (out.size, function, Address(self._number(state, any_type=True)), Address(x))
        self._alone("uniform", steps.uniform_source(self.dtype), words, (), (x,))

    def stop_unless_finite(self, value: Floats) -> None:
        if value.size != 1:
            raise CannotRecord("a check of several numbers at once")
        x = self._number(value)
        self._alone("finite", steps.finite_source(self.dtype), (Address(x),), (x,), ())

    def _alone(
        self,
        name: str,
        text: str,
        words: tuple[int | Address, ...],
        reads: tuple[int, ...],
        writes: tuple[int, ...],
    ) -> None:
        self._items.append(Alone(name, text, words, reads, writes))

    # ---- running

    def finish(self, working: Iterable[Floats]) -> None:
        """Fuse and compile. Only the program uses the ``working`` arrays, so results need not be stored in them."""
        made = plan(Structure(self.dtype, tuple(self._items), self._overlapping(), self._within(working)))
        addresses = np.array([start for start, _ in self._numbers], np.int64)
        self._words = made.words.copy()
        self._words[made.places] = addresses[made.arrays]
        self._plan, self._addresses = made, addresses
        self._replay = _replay()
        self._place()

    def moved(self, olds: Sequence[Floats], news: Iterable[Sequence[Floats]]) -> list[Program]:
        """Return the same operations for each list of ``news``, whose arrays are in place of the ``olds``.

        An array and the one in its place have the same shape, strides and dtype. What lies within the former is moved
        with it.

        Raises
        ------
        CannotRecord: an array of the program lies only partly within one that is replaced.
        """
        starts, stops = self._addresses, self._addresses + [size for _, size in self._numbers]
        extents = [extent(old) for old in olds]
        owner = np.full(len(starts), -1)
        for k, (start, stop) in enumerate(extents):
            inside = (starts >= start) & (stops <= stop)
            if (~inside & (starts < stop) & (stops > start)).any():
                raise CannotRecord("an array that lies partly within one that is replaced")
            owner[inside] = k
        made = []
        for own in news:
            shifts = [extent(new)[0] - start for new, (start, _) in zip(own, extents, strict=True)]
            twin = copy.copy(self)
            twin._addresses, twin._kept = starts + np.array([*shifts, 0], np.int64)[owner], [self._kept, own]
            twin._words = self._words.copy()
            twin._words[self._plan.places] = twin._addresses[self._plan.arrays]
            twin._place()
            made.append(twin)
        return made

    def _place(self) -> None:
        """Make the call that runs the program from the words of its kernels."""
        self._arguments = self._words.ctypes.data + 8 * self._plan.starts
        functions, arguments = self._plan.functions.ctypes.data, self._arguments.ctypes.data
        self._call = np.array([functions, arguments, len(self._plan.functions), 0], np.int64)
        self._at = self._call.ctypes.data

    def run(self, times: int = 1) -> int:
        """Run the program ``times`` times, and return the number of complete runs."""
        self._call[3] = times
        done: int = self._replay(self._at)
        return done


BY_ROWS, PLAIN, TRANSPOSED = 101, 111, 112
"""The C interface's constants for the layout of matrices."""


def _replay() -> Any:
    return llvm.KERNEL(llvm.address(steps.REPLAY, "replay"))


@lru_cache(maxsize=64)
def rule_kernel(graph: Graph, dtype: str) -> tuple[str, str]:
    """Return the name and the text of a rule's kernel."""
    return f"{rule_name(graph.name)}_{dtype}", rule_source(graph, dtype)


__all__ = ["CannotRecord", "Program", "rule_kernel"]
