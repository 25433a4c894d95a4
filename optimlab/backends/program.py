"""Programs: lists of operations on fixed arrays, recorded once and repeated without Python.

Neighbouring elementwise operations and sums become one sweep, see :mod:`optimlab.kernels.sweep`. A working array that
only passes a value from one of them to the next is never stored.

Compiled code checks nothing, so every operation is checked when it is recorded. An unsupported operation raises
:class:`CannotRecord`. NumPy then does the same work, or reports what is wrong with it.
"""

from __future__ import annotations

import ctypes
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np

from ..common.errors import InputError
from ..kernels import Formula, Graph, graph_of, scalars_of
from ..kernels import llvm_steps as steps
from ..kernels.llvm_source import rule_source
from ..kernels.names import rule_name
from . import blas, llvm, onednn
from .layout import broadcast, layout
from .numpy import Floats
from .plan import Address, Alone, Part, Structure, plan


class CannotRecord(InputError):
    """An error for work that a program cannot do, but that can be done without a program."""


class Program:
    """A program: operations in the order in which they are recorded; :meth:`finish` makes them runnable.

    All arrays except indices have the dtype ``dtype`` and are contiguous. The program keeps them alive.

    Raises
    ------
    CannotRecord: an operation cannot be done without Python. No part of the operation is recorded.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self._items: list[Alone | Part] = []
        self._kept: list[Any] = []
        self._type = np.dtype(dtype)
        self._extents: dict[int, tuple[int, int]] = {}
        self._strict: dict[int, int] = {}
        """The numbers of the arrays that passed every check, by id."""
        self._numbers: dict[tuple[int, int], int] = {}
        """The number of each array, by address and bytes."""

    # ---- recording

    def product(self, a: Floats, b: Floats, out: Floats) -> None:
        if not a.ndim == b.ndim == 2 or b.shape[0] != a.shape[1] or out.shape != (a.shape[0], b.shape[1]):
            raise CannotRecord(f"a product of arrays of shapes {a.shape}, {b.shape} and {out.shape}")
        first, second = layout(a), layout(b)
        if first is None or second is None:
            raise CannotRecord("a product of matrices that are not stored by rows or by columns")
        self._check_apart(out, a, b)
        (m, k), n = a.shape, b.shape[1]
        x, y = self._number(a, any_layout=True), self._number(b, any_layout=True)
        z = self._number(out, written=True)
        sizes = (m, n, k, Address(x), first.leading, Address(y), second.leading, Address(z), n)
        if onednn.fits(a, b, out):
            letters = [ord("T" if side.transposed else "N") for side in (first, second)]
            self._alone("product", steps.onednn_source(), (onednn.address(), *letters, *sizes), (x, y), (z,))
            return
        found = blas.gemm(self.dtype)
        if found is None:
            raise CannotRecord("NumPy's BLAS was not found")
        turned = [TRANSPOSED if side.transposed else PLAIN for side in (first, second)]
        words = (found.address, BY_ROWS, *turned, *sizes)
        self._alone("product", steps.product_source(self.dtype, found.wide), words, (x, y), (z,))

    def map(
        self, formula: Formula, inputs: tuple[Floats, ...], outs: tuple[Floats, ...], numbers: dict[str, float]
    ) -> None:
        graph, domain = graph_of(formula), outs[0].shape
        if len(graph.inputs) != len(inputs) or len(graph.outputs) != len(outs):
            raise CannotRecord(f"{len(inputs)} inputs and {len(outs)} outputs of {graph.name}")
        if len(domain) > 2 or any(a.shape != domain for a in outs):
            raise CannotRecord(f"a formula written to arrays of shapes {[a.shape for a in outs]}")
        for k, out in enumerate(outs):
            self._check_apart(out, *(a for a in inputs if a is not out), *outs[:k])
        kinds = [broadcast(a.shape, domain) for a in inputs]
        if not all(kinds):
            raise CannotRecord(f"shapes {[a.shape for a in inputs]} and {domain} in one formula")
        seen = tuple([(self._number(a), kind) for a, kind in zip(inputs, kinds, strict=True)])
        made = tuple([(self._number(a, written=True), "full") for a in outs])
        rows, columns = domain[0] if domain else 1, domain[1] if len(domain) > 1 else 1
        self._items.append(Part("map", rows, columns, seen, made, formula, scalars_of(formula, tuple(numbers.items()))))

    def column_sums(self, x: Floats, out: Floats) -> None:
        columns = x.shape[1] if x.ndim == 2 else 1
        if x.ndim not in (1, 2) or out.shape not in ((columns,), (1, columns)):
            raise CannotRecord(f"sums of the columns of shapes {x.shape} and {out.shape}")
        self._check_apart(out, x)
        inputs, outputs = ((self._number(x), "full"),), ((self._number(out, written=True), "row"),)
        self._items.append(Part("columns", x.shape[0], columns, inputs, outputs))

    def row_reduction(self, kind: str, x: Floats, out: Floats) -> None:
        if x.ndim != 2 or out.shape != (x.shape[0], 1) or not x.shape[1]:
            raise CannotRecord(f"the {kind} of each row of shapes {x.shape} and {out.shape}")
        self._check_apart(out, x)
        inputs, outputs = ((self._number(x), "full"),), ((self._number(out, written=True), "column"),)
        self._items.append(Part(kind, x.shape[0], x.shape[1], inputs, outputs))

    def rule(self, name: str, text: str, arrays: tuple[Floats, ...], scalars: Floats) -> None:
        """Record one update by a rule; it uses the host scalars in ``scalars`` at the time of execution."""
        places = tuple(self._number(a, written=True) for a in arrays)
        hp = self._number(scalars)
        self._alone(name, text, (len(arrays[0]), Address(hp), *map(Address, places)), (*places, hp), places)

    def take(self, rows: Floats, indices: Any, out: Floats) -> None:
        fitting = rows.dtype == out.dtype and rows.shape[1:] == out.shape[1:] and indices.shape == out.shape[:1]
        if not fitting or indices.dtype != np.int64:
            raise CannotRecord(f"rows of {rows.shape} taken to {out.shape}, or indices that are not 64-bit integers")
        self._check_apart(out, rows, indices)
        x, y = self._number(rows, any_type=True), self._number(indices, any_type=True)
        z = self._number(out, any_type=True, written=True)
        words = (len(out), Address(x), Address(y), Address(z), out.nbytes // max(1, len(out)))
        self._alone("take", steps.TAKE, words, (x, y), (z,))

    def put(self, table: Floats, index: Any, row: Floats) -> None:
        if table.dtype != row.dtype or table.shape[1:] != row.shape or index.dtype != np.int64 or not index.size:
            raise CannotRecord(f"a row of shape {row.shape} put into a table of shape {table.shape}")
        self._check_apart(table, index, row)
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

    def _number(self, a: Any, *, any_layout: bool = False, any_type: bool = False, written: bool = False) -> int:
        """Return the number of an array, and keep the array alive as long as the program."""
        known = self._strict.get(id(a))
        if known is None:
            if not any_type and a.dtype != self._type:
                raise CannotRecord(f"an array of {a.dtype} among arrays of {self.dtype}")
            if not (any_layout or a.flags.c_contiguous) or not a.flags.aligned:
                raise CannotRecord("an array with gaps")
            start, stop = self._extent(a)
            known = self._numbers.setdefault((start, stop - start), len(self._numbers))
            if not any_type and not any_layout:
                self._strict[id(a)] = known
        if written and not a.flags.writeable:
            raise CannotRecord("a read-only array")
        return known

    def _extent(self, a: Any) -> tuple[int, int]:
        """Return the first address of an array and the one after its last, and keep the array alive."""
        found = self._extents.get(id(a))
        if found is None:
            self._kept.append(a)
            found = self._extents[id(a)] = _extent(a)
        return found

    def _check_apart(self, out: Any, *others: Any) -> None:
        """Check that an operation's output shares no memory with its other arrays."""
        first, last = self._extent(out)
        for a in others:
            start, stop = self._extent(a)
            if first < stop and start < last:
                raise CannotRecord("an output that shares memory with an input")

    # ---- running

    def finish(self, working: Iterable[Floats]) -> None:
        """Fuse and compile. Only the program uses the ``working`` arrays, so results need not be stored in them."""
        own = sorted(map(_extent, working))
        starts = [start for start, _ in own]

        def is_inside(start: int, size: int) -> bool:
            k = bisect_right(starts, start) - 1
            return k >= 0 and start + size <= own[k][1]

        inside = frozenset(k for where, k in self._numbers.items() if is_inside(*where))
        made = plan(Structure(self.dtype, tuple(self._items), self._overlapping(), inside))
        addresses = np.array([start for start, _ in self._numbers], np.int64)
        self._words = made.words.copy()
        self._words[made.places] = addresses[made.arrays]
        self._plan, self._arguments = made, self._words.ctypes.data + 8 * made.starts
        functions, arguments = made.functions.ctypes.data, self._arguments.ctypes.data
        self._call = np.array([functions, arguments, len(made.functions), 0], np.int64)
        self._at = self._call.ctypes.data
        self._replay = _replay()

    def run(self, times: int = 1) -> int:
        """Run the program ``times`` times, and return the number of complete runs."""
        self._call[3] = times
        done: int = self._replay(self._at)
        return done

    def _overlapping(self) -> frozenset[tuple[int, int]]:
        """Return pairs of different arrays that share memory."""
        ordered = sorted((start, start + size, k) for (start, size), k in self._numbers.items())
        pairs = set()
        for place, (_, stop, k) in enumerate(ordered):
            for start, _, j in islice(ordered, place + 1, None):
                if start >= stop:
                    break
                pairs.add((k, j))
        return frozenset(pairs)


def _extent(a: Any) -> tuple[int, int]:
    """Return the first address of an array, and the one after its last."""
    start: int = a.__array_interface__["data"][0]
    if a.flags.c_contiguous:
        return start, start + a.nbytes
    # a matrix with gaps between its rows or columns
    return start, start + a.itemsize + sum((n - 1) * step for n, step in zip(a.shape, a.strides, strict=True))


BY_ROWS, PLAIN, TRANSPOSED = 101, 111, 112
"""The C interface's constants for the layout of matrices."""


def _replay() -> Any:
    return llvm.KERNEL(llvm.address(steps.REPLAY, "replay"))


@lru_cache(maxsize=64)
def rule_kernel(graph: Graph, dtype: str) -> tuple[str, str]:
    """Return the name and the text of a rule's kernel."""
    return f"{rule_name(graph.name)}_{dtype}", rule_source(graph, dtype)


__all__ = ["CannotRecord", "Program", "rule_kernel"]
