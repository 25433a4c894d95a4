"""Operations that are recorded instead of executed: what each reads and writes, by numbers of arrays.

Later code checks nothing, so every operation is checked when it is recorded. An unsupported operation raises
:class:`CannotRecord`. The backend then does the same work without a recording, or reports what is wrong with it.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..common.errors import InputError
from ..kernels import Formula, graph_of, scalars_of
from ..kernels.sweep import Map, Operation, Reduction, Seen
from .layout import broadcast

Array = Any
"""An array of NumPy or CuPy."""

Seens = tuple[tuple[int, str], ...]
"""Arrays of a program, by number, with the way an operation sees each."""

DEFERRED = (
    *("matmul", "map", "column_sums", "row_sums", "row_max", "row_argmax"),
    *("take", "put", "count", "uniform", "stop_unless_finite"),
)
"""The named operations of a backend that are recorded."""


class CannotRecord(InputError):
    """An error for work that a program cannot do, but that can be done without a program."""


class Item(Protocol):
    """A recorded operation, or several as one."""

    @property
    def reads(self) -> tuple[int, ...]: ...
    @property
    def writes(self) -> tuple[int, ...]: ...


class Part(NamedTuple):
    """An operation over ``rows`` that may be fused with others: a formula, or a sum or maximum of some kind."""

    kind: str
    rows: int
    columns: int
    inputs: Seens
    outputs: Seens
    formula: Formula | None = None
    numbers: tuple[float, ...] = ()

    @property
    def reads(self) -> tuple[int, ...]:
        return tuple([array for array, _ in self.inputs])

    @property
    def writes(self) -> tuple[int, ...]:
        return tuple([array for array, _ in self.outputs])

    @property
    def arrays(self) -> Seens:
        return (*self.inputs, *self.outputs)

    @property
    def name(self) -> str:
        """The name of the formula, or the kind of the sum or maximum."""
        return self.kind if self.formula is None else self.formula.__name__


class Operations:
    """A list of operations on arrays that stay where they are; a subclass makes it runnable.

    All arrays except indices have the dtype ``dtype`` and are contiguous. The list keeps them alive.

    Raises
    ------
    CannotRecord: an operation cannot be recorded. No part of the operation is then in the list.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self._items: list[Any] = []
        self._kept: list[Any] = []
        self._type = np.dtype(dtype)
        self._extents: dict[int, tuple[int, int]] = {}
        self._strict: dict[int, int] = {}
        """The numbers of the arrays that passed every check, by id."""
        self._numbers: dict[tuple[int, int], int] = {}
        """The number of each array, by address and bytes."""

    def map(self, formula: Formula, inputs: tuple[Array, ...], out: Any, **numbers: float) -> None:
        outs = out if isinstance(out, tuple) else (out,)
        graph, domain = graph_of(formula), outs[0].shape
        if len(graph.inputs) != len(inputs) or len(graph.outputs) != len(outs):
            raise CannotRecord(f"{len(inputs)} inputs and {len(outs)} outputs of {graph.name}")
        if len(domain) > 2 or any(a.shape != domain for a in outs):
            raise CannotRecord(f"a formula written to arrays of shapes {[a.shape for a in outs]}")
        for k, one in enumerate(outs):
            self._check_apart(one, *(a for a in inputs if a is not one), *outs[:k])
        kinds = [broadcast(a.shape, domain) for a in inputs]
        if not all(kinds):
            raise CannotRecord(f"shapes {[a.shape for a in inputs]} and {domain} in one formula")
        seen = tuple([(self._number(a), kind) for a, kind in zip(inputs, kinds, strict=True)])
        made = tuple([(self._number(a, written=True), "full") for a in outs])
        rows, columns = domain[0] if domain else 1, domain[1] if len(domain) > 1 else 1
        self._items.append(Part("map", rows, columns, seen, made, formula, scalars_of(formula, tuple(numbers.items()))))

    def column_sums(self, x: Array, out: Array) -> None:
        columns = x.shape[1] if x.ndim == 2 else 1
        if x.ndim not in (1, 2) or out.shape not in ((columns,), (1, columns)):
            raise CannotRecord(f"sums of the columns of shapes {x.shape} and {out.shape}")
        self._check_apart(out, x)
        inputs, outputs = ((self._number(x), "full"),), ((self._number(out, written=True), "row"),)
        self._items.append(Part("columns", x.shape[0], columns, inputs, outputs))

    def row_sums(self, x: Array, out: Array) -> None:
        self._row_reduction("sum", x, out)

    def row_max(self, x: Array, out: Array) -> None:
        self._row_reduction("max", x, out)

    def row_argmax(self, x: Array, out: Array) -> None:
        self._row_reduction("argmax", x, out)

    def _row_reduction(self, kind: str, x: Array, out: Array) -> None:
        if x.ndim != 2 or out.shape != (x.shape[0], 1) or not x.shape[1]:
            raise CannotRecord(f"the {kind} of each row of shapes {x.shape} and {out.shape}")
        self._check_apart(out, x)
        inputs, outputs = ((self._number(x), "full"),), ((self._number(out, written=True), "column"),)
        self._items.append(Part(kind, x.shape[0], x.shape[1], inputs, outputs))

    # ---- checks of operations that are never fused

    def _check_product(self, a: Array, b: Array, out: Array) -> None:
        if not a.ndim == b.ndim == 2 or b.shape[0] != a.shape[1] or out.shape != (a.shape[0], b.shape[1]):
            raise CannotRecord(f"a product of arrays of shapes {a.shape}, {b.shape} and {out.shape}")
        self._check_apart(out, a, b)

    def _check_take(self, rows: Array, indices: Array, out: Array) -> None:
        fitting = rows.dtype == out.dtype and rows.shape[1:] == out.shape[1:] and indices.shape == out.shape[:1]
        if not fitting or indices.dtype != np.int64:
            raise CannotRecord(f"rows of {rows.shape} taken to {out.shape}, or indices that are not 64-bit integers")
        self._check_apart(out, rows, indices)

    def _check_put(self, table: Array, index: Array, row: Array) -> None:
        if table.dtype != row.dtype or table.shape[1:] != row.shape or index.dtype != np.int64 or not index.size:
            raise CannotRecord(f"a row of shape {row.shape} put into a table of shape {table.shape}")
        self._check_apart(table, index, row)

    # ---- arrays

    def _number(self, a: Array, *, any_layout: bool = False, any_type: bool = False, written: bool = False) -> int:
        """Return the number of an array, and keep the array alive as long as the program."""
        known = self._strict.get(id(a))
        if known is None:
            if not any_type and a.dtype != self._type:
                raise CannotRecord(f"an array of {a.dtype} among arrays of {self.dtype}")
            if not (any_layout or a.flags.c_contiguous) or not getattr(a.flags, "aligned", True):
                raise CannotRecord("an array with gaps")
            start, stop = self._extent(a)
            known = self._numbers.setdefault((start, stop - start), len(self._numbers))
            if not any_type and not any_layout:
                self._strict[id(a)] = known
        if written and not getattr(a.flags, "writeable", True):
            raise CannotRecord("a read-only array")
        return known

    def _extent(self, a: Array) -> tuple[int, int]:
        """Return the first address of an array and the one after its last, and keep the array alive."""
        found = self._extents.get(id(a))
        if found is None:
            self._kept.append(a)
            found = self._extents[id(a)] = extent(a)
        return found

    def _check_apart(self, out: Array, *others: Array) -> None:
        """Check that an operation's output shares no memory with its other arrays."""
        first, last = self._extent(out)
        for a in others:
            start, stop = self._extent(a)
            if first < stop and start < last:
                raise CannotRecord("an output that shares memory with an input")

    def _within(self, working: Iterable[Array]) -> frozenset[int]:
        """Return the arrays that lie within the ``working`` arrays."""
        own = sorted(map(extent, working))
        starts = [start for start, _ in own]

        def is_inside(start: int, size: int) -> bool:
            k = bisect_right(starts, start) - 1
            return k >= 0 and start + size <= own[k][1]

        return frozenset(k for where, k in self._numbers.items() if is_inside(*where))

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


def extent(a: Array) -> tuple[int, int]:
    """Return the first address of an array, and the one after its last."""
    start: int = a.__array_interface__["data"][0] if isinstance(a, np.ndarray) else a.data.ptr
    if a.flags.c_contiguous:
        return start, start + a.nbytes
    # a matrix with gaps between its rows or columns
    return start, start + a.itemsize + sum((n - 1) * step for n, step in zip(a.shape, a.strides, strict=True))


def operation_of(part: Part, place: Mapping[int, int] | None = None, first: int = 0) -> Operation:
    """Return a part as an operation of a sweep or tile, with ``place`` as the new numbers of its arrays.

    ``first`` is the place of its first host scalar.
    """

    def seen(arrays: Seens) -> tuple[Seen, ...]:
        return tuple(Seen(array if place is None else place[array], kind) for array, kind in arrays)

    if part.formula is not None:
        return Map(graph_of(part.formula), seen(part.inputs), seen(part.outputs), part.columns, first)
    (x,), (out,) = seen(part.inputs), seen(part.outputs)
    return Reduction(part.kind, x, out, part.columns)


def read_later(groups: Sequence[Sequence[Item]]) -> list[set[int]]:
    """Return, for each group of operations, the arrays that are read after it, in this run or in the next one."""
    written, alive = set[int](), set[int]()
    for item in (item for group in groups for item in group):
        alive |= set(item.reads) - written
        written |= set(item.writes)
    found = []
    for group in reversed(groups):
        found.append(set(alive))
        for item in reversed(group):
            alive -= set(item.writes)
            alive |= set(item.reads)
    return found[::-1]


class Deferred:
    """A part of a backend: in :meth:`recording`, this thread's operations are recorded, not executed.

    A subclass says in ``program`` what records them. The class that executes them follows it among the bases.
    """

    program: Callable[[str], Any]
    """``program(dtype)``: a new list of operations."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    @contextmanager
    def recording(self, dtype: str) -> Iterator[Any]:
        """Record the named operations of this thread in a program instead of executing them."""
        program = self._local.program = self.program(dtype)
        try:
            yield program
        finally:
            self._local.program = None

    def record(self, work: Callable[[], None], dtype: str, working: Callable[[], Iterable[Array]]) -> Any:
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
    def _program(self) -> Any:
        return getattr(self._local, "program", None)


def _deferred(name: str) -> Callable[..., Any]:
    """Return the method that records the operation ``name``, or executes it."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        program = self._program
        return getattr(super(Deferred, self) if program is None else program, name)(*args, **kwargs)

    method.__name__ = name
    return method


for _name in DEFERRED:
    setattr(Deferred, _name, _deferred(_name))


__all__ = ["CannotRecord", "Deferred", "Item", "Operations", "Part", "Seens", "extent", "operation_of", "read_later"]
