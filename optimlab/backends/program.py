"""A list of operations on arrays that stay where they are, recorded once and done again and again without Python.

Neighbouring elementwise operations and sums become one sweep, see :mod:`optimlab.kernels.sweep`; what is only handed from
one of them to the next is never stored.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..kernels import Formula, Graph, graph_of, scalars_of
from ..kernels import llvm_steps as steps
from ..kernels.llvm_source import llvm_source, rule_sweep
from ..kernels.sweep import ColumnSums, Map, Operation, RowReduction, Seen, Sweep
from . import blas, llvm, onednn
from .layout import layout
from .numpy import Floats, aliases

PlainFunction = Any


class CannotRecord(InputError):
    """Something that a program cannot do; the same work can be done without one."""


@dataclass(frozen=True)
class _Array:
    """Where an array lies."""

    address: int
    bytes: int
    columns: int
    """Numbers in a row; 1 of an array of one axis."""


@dataclass
class _Kernel:
    """A kernel that stands alone: its text, its words, and the arrays that it reads and writes."""

    name: str
    text: str
    words: list[int]
    reads: list[int]
    writes: list[int]


@dataclass
class _Part:
    """An operation of a sweep: its arrays by address."""

    rows: int
    operation: Operation
    arrays: tuple[_Array, ...]
    numbers: tuple[float, ...] = ()


@dataclass
class Program:
    """Operations in the order in which they are recorded; :meth:`finish` makes them runnable.

    All arrays but indices have the dtype ``dtype``, are contiguous, and must stay alive: the program refers to them.
    """

    dtype: str
    _items: list[_Kernel | _Part] = field(default_factory=list)
    _kept: list[Any] = field(default_factory=list)

    # ---- recording

    def product(self, a: Floats, b: Floats, out: Floats) -> None:
        first, second = layout(a), layout(b)
        if a.ndim != 2 or b.ndim != 2 or first is None or second is None:
            raise CannotRecord("a product of matrices that do not lie in memory by rows or by columns")
        (m, k), n = a.shape, b.shape[1]
        x, y, z = self._address(a, any_layout=True), self._address(b, any_layout=True), self._address(out)
        if onednn.fits(a, b, out):
            letters = [ord("T" if side.transposed else "N") for side in (first, second)]
            words = [onednn.address(), *letters, m, n, k, x, first.leading, y, second.leading, z, n]
            text = steps.onednn_source()
        else:
            found = blas.gemm(self.dtype)
            if found is None:
                raise CannotRecord("NumPy's BLAS was not found")
            turned = [112 if side.transposed else 111 for side in (first, second)]
            words = [found.address, 101, *turned, m, n, k, x, first.leading, y, second.leading, z, n]
            text = steps.product_source(self.dtype, found.wide)
        self._items.append(_Kernel("product", text, words, [x, y], [z]))

    def map(
        self, formula: Formula, inputs: tuple[Floats, ...], outs: tuple[Floats, ...], numbers: dict[str, float]
    ) -> None:
        shape = outs[0].shape
        columns = shape[1] if len(shape) > 1 else 1
        arrays: list[_Array] = []
        seen = []
        for a in (*inputs, *outs):
            kind = _kind(a.shape, shape)
            arrays.append(self._array(a))
            seen.append(kind)
        graph = graph_of(formula)
        count = len(inputs)
        op = Map(
            graph,
            tuple(Seen(k, s) for k, s in enumerate(seen[:count])),
            tuple(Seen(count + k, s) for k, s in enumerate(seen[count:])),
            columns,
            0,
        )
        self._items.append(
            _Part(shape[0] if shape else 1, op, tuple(arrays), scalars_of(formula, tuple(numbers.items())))
        )

    def column_sums(self, x: Floats, out: Floats) -> None:
        columns = x.shape[1] if x.ndim > 1 else 1
        op = ColumnSums(Seen(0, "full"), Seen(1, "row"), columns)
        self._items.append(_Part(x.shape[0], op, (self._array(x), self._array(out))))

    def row_reduction(self, kind: str, x: Floats, out: Floats) -> None:
        op = RowReduction(kind, Seen(0, "full"), Seen(1, "column"), x.shape[1])
        self._items.append(_Part(x.shape[0], op, (self._array(x), self._array(out))))

    def rule(self, name: str, text: str, arrays: tuple[Floats, ...], scalars: Floats) -> None:
        """One update by a rule; its host scalars are those that ``scalars`` holds at that time."""
        places = [self._address(a) for a in arrays]
        words = [len(arrays[0]), self._address(scalars), *places]
        self._items.append(_Kernel(name, text, words, [*places, words[1]], places))

    def take(self, rows: Floats, indices: Any, out: Floats) -> None:
        size = out[0].nbytes
        x, y, z = (self._address(a, any_type=True) for a in (rows, indices, out))
        if indices.dtype != np.int64:
            raise CannotRecord("indices that are not 64-bit integers")
        self._items.append(_Kernel("take", steps.TAKE, [len(out), x, y, z, size], [x, y], [z]))

    def put(self, table: Floats, index: Any, row: Floats) -> None:
        x, y, z = (self._address(a, any_type=True) for a in (table, index, row))
        self._items.append(_Kernel("put", steps.PUT, [x, y, z, row.nbytes], [y, z], [x]))

    def count(self, counter: Any) -> None:
        x = self._address(counter, any_type=True)
        self._items.append(_Kernel("count", steps.COUNT, [x], [x], [x]))

    def uniform(self, generator: Any, out: Floats) -> None:
        interface = generator.bits.ctypes
        draw = interface.next_uint32 if self.dtype == "float32" else interface.next_uint64
        self._kept.append((generator, interface))
        words = [out.size, ctypes.cast(draw, ctypes.c_void_p).value or 0, interface.state_address, self._address(out)]
        self._items.append(_Kernel("uniform", steps.uniform_source(self.dtype), words, [], [words[3]]))

    def stop_unless_finite(self, value: Floats) -> None:
        x = self._address(value)
        self._items.append(_Kernel("finite", steps.finite_source(self.dtype), [x], [x], []))

    def _address(self, a: Any, any_layout: bool = False, any_type: bool = False) -> int:
        if not any_type and a.dtype != self.dtype:
            raise CannotRecord(f"an array of {a.dtype} among those of {self.dtype}")
        if not (any_layout or a.flags.c_contiguous):
            raise CannotRecord("an array with gaps")
        self._kept.append(a)
        address: int = a.__array_interface__["data"][0]
        return address

    def _array(self, a: Floats) -> _Array:
        return _Array(self._address(a), a.nbytes, a.shape[-1] if a.ndim > 1 else 1)

    # ---- running

    def finish(self, working: Iterable[Floats]) -> None:
        """Fuse and compile. ``working`` arrays are nobody's but the program's: what they hold in the end is lost."""
        own = {a.__array_interface__["data"][0] for a in working}
        groups = self._grouped()
        later: list[set[int]] = []
        alive = self._read_before_written() - set()
        for group in reversed(groups):
            later.append(set(alive))
            if isinstance(group, _Kernel):
                alive -= set(group.writes)
                alive |= set(group.reads)
            else:
                for part in reversed(group):
                    alive -= {part.arrays[s.array].address for s in part.operation.outputs}
                    alive |= {part.arrays[s.array].address for s in part.operation.inputs}
        later.reverse()
        functions, words = [], []
        for group, wanted in zip(groups, later, strict=True):
            kernel = group if isinstance(group, _Kernel) else self._sweep(group, own - wanted)
            functions.append(llvm.address(kernel.text, kernel.name))
            words.append(np.array(kernel.words, np.int64))
        self._kept.append(words)
        self._functions = np.array(functions, np.int64)
        self._arguments = np.array([a.__array_interface__["data"][0] for a in words], np.int64)
        self._call = np.array([self._functions.ctypes.data, self._arguments.ctypes.data, len(functions), 0], np.int64)
        self._at = self._call.ctypes.data
        self._replay = llvm.KERNEL(llvm.address(steps.REPLAY, "replay"))

    def run(self, times: int = 1) -> int:
        """Do everything ``times`` times; how many times all of it was done."""
        self._call[3] = times
        done: int = self._replay(self._at)
        return done

    def _read_before_written(self) -> set[int]:
        """The arrays whose contents matter from one time to the next."""
        written: set[int] = set()
        found: set[int] = set()
        for item in self._items:
            if isinstance(item, _Kernel):
                reads, writes = item.reads, item.writes
            else:
                reads = [item.arrays[s.array].address for s in item.operation.inputs]
                writes = [item.arrays[s.array].address for s in item.operation.outputs]
            found |= set(reads) - written
            written |= set(writes)
        return found

    def _grouped(self) -> list[_Kernel | list[_Part]]:
        """Neighbours that fit into one sweep together."""
        groups: list[_Kernel | list[_Part]] = []
        sweep, places = Sweep(), {}
        for item in self._items:
            if isinstance(item, _Kernel):
                groups.append(item)
                continue
            last = groups[-1] if groups else None
            if isinstance(last, list) and last[0].rows == item.rows:
                known = dict(places)
                new = _renumbered(item, known)
                if sweep.accepts(new) and not _overlapping(known):
                    places = known
                    sweep.operations.append(new)
                    last.append(item)
                    continue
            places = {}
            sweep = Sweep([_renumbered(item, places)])
            groups.append([item])
        return groups

    def _sweep(self, parts: list[_Part], dead: set[int]) -> _Kernel:
        places: dict[_Array, int] = {}
        operations: list[Operation] = []
        numbers: list[float] = []
        for part in parts:
            operation = _renumbered(part, places)
            if isinstance(operation, Map):
                operation = replace(operation, first=len(numbers))
                numbers += part.numbers
            operations.append(operation)
        unread = frozenset(k for a, k in places.items() if a.address in dead)
        sweep = Sweep(operations, unread, len(numbers))
        scalars = np.array(numbers or [0.0], self.dtype)
        self._kept.append(scalars)
        words = [parts[0].rows, scalars.__array_interface__["data"][0], *(a.address for a in places)]
        return _Kernel(_name(operations), llvm_source(sweep, self.dtype), words, [], [])


def _kind(shape: tuple[int, ...], domain: tuple[int, ...]) -> str:
    """How an operation over ``domain`` sees an array of that shape."""
    if shape == domain:
        return "full"
    if all(n == 1 for n in shape):
        return "scalar"
    if len(domain) == 2 and shape in ((domain[1],), (1, domain[1])):
        return "row"
    if len(domain) == 2 and shape == (domain[0], 1):
        return "column"
    raise CannotRecord(f"shapes {shape} and {domain} in one formula")


def _renumbered(part: _Part, places: dict[_Array, int]) -> Operation:
    """The operation with the numbers of its arrays in the sweep; ``places`` grows."""
    numbers = [places.setdefault(a, len(places)) for a in part.arrays]

    def seen(s: Seen) -> Seen:
        return Seen(numbers[s.array], s.kind)

    op = part.operation
    if isinstance(op, Map):
        return replace(op, inputs=tuple(map(seen, op.inputs)), outputs=tuple(map(seen, op.outputs)))
    return replace(op, x=seen(op.x), out=seen(op.out))


def _overlapping(arrays: Iterable[_Array]) -> bool:
    """Whether two different arrays share memory."""
    ordered = sorted((a.address, a.bytes) for a in arrays)
    return any(a + size > b for (a, size), (b, _) in zip(ordered, ordered[1:], strict=False))


def _name(operations: list[Operation]) -> str:
    """What a sweep is called in the list of kernels: its first formula."""
    names = [op.graph.name if isinstance(op, Map) else type(op).__name__ for op in operations]
    return next((name for name in names if name.isidentifier()), "sweep")


def rule_kernel(graph: Graph, dtype: str) -> tuple[str, str]:
    """Name and text of a rule's kernel."""
    from ..kernels.names import rule_name

    return f"{rule_name(graph.name)}_{dtype}", llvm_source(rule_sweep(graph), dtype)


__all__ = ["CannotRecord", "Program", "aliases", "rule_kernel"]
