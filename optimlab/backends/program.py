"""A list of operations on arrays that stay where they are, recorded once and done again and again without Python.

Neighbouring elementwise operations and sums become one sweep, see :mod:`optimlab.kernels.sweep`; what is only handed
from one of them to the next is never stored.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from ..errors import InputError
from ..kernels import Formula, Graph, scalars_of
from ..kernels import llvm_steps as steps
from ..kernels.llvm_source import rule_source
from ..kernels.names import rule_name
from . import blas, llvm, onednn
from .layout import layout
from .numpy import Floats
from .plan import Address, Alone, Part, Structure, plan


class CannotRecord(InputError):
    """Something that a program cannot do; the same work can be done without one."""


class Program:
    """Operations in the order in which they are recorded; :meth:`finish` makes them runnable.

    All arrays but indices have the dtype ``dtype`` and lie in memory without gaps. The program keeps them alive.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self._items: list[Alone | Part] = []
        self._kept: list[Any] = []
        self._numbers: dict[tuple[int, int], int] = {}
        """The number of each array, by address and size."""

    # ---- recording

    def product(self, a: Floats, b: Floats, out: Floats) -> None:
        first, second = layout(a) if a.ndim == 2 else None, layout(b) if b.ndim == 2 else None
        if first is None or second is None:
            raise CannotRecord("a product of matrices that do not lie in memory by rows or by columns")
        (m, k), n = a.shape, b.shape[1]
        x, y, z = self._number(a, any_layout=True), self._number(b, any_layout=True), self._number(out)
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
        domain = outs[0].shape
        seen = [(self._number(a), _kind(a.shape, domain)) for a in (*inputs, *outs)]
        count, rows, columns = len(inputs), domain[0] if domain else 1, domain[1] if len(domain) > 1 else 1
        values = scalars_of(formula, tuple(numbers.items()))
        self._items.append(Part("map", rows, columns, tuple(seen[:count]), tuple(seen[count:]), formula, values))

    def column_sums(self, x: Floats, out: Floats) -> None:
        columns = x.shape[1] if x.ndim > 1 else 1
        inputs, outputs = ((self._number(x), "full"),), ((self._number(out), "row"),)
        self._items.append(Part("columns", x.shape[0], columns, inputs, outputs))

    def row_reduction(self, kind: str, x: Floats, out: Floats) -> None:
        inputs, outputs = ((self._number(x), "full"),), ((self._number(out), "column"),)
        self._items.append(Part(kind, x.shape[0], x.shape[1], inputs, outputs))

    def rule(self, name: str, text: str, arrays: tuple[Floats, ...], scalars: Floats) -> None:
        """One update by a rule; its host scalars are those that ``scalars`` holds at that time."""
        places = tuple(self._number(a) for a in arrays)
        hp = self._number(scalars)
        self._alone(name, text, (len(arrays[0]), Address(hp), *map(Address, places)), (*places, hp), places)

    def take(self, rows: Floats, indices: Any, out: Floats) -> None:
        if indices.dtype != np.int64:
            raise CannotRecord("indices that are not 64-bit integers")
        x, y, z = (self._number(a, any_type=True) for a in (rows, indices, out))
        words = (len(out), Address(x), Address(y), Address(z), out[0].nbytes)
        self._alone("take", steps.TAKE, words, (x, y), (z,))

    def put(self, table: Floats, index: Any, row: Floats) -> None:
        x, y, z = (self._number(a, any_type=True) for a in (table, index, row))
        # of the table one row alone is written: the others matter as they were
        self._alone("put", steps.PUT, (Address(x), Address(y), Address(z), row.nbytes), (x, y, z), (x,))

    def count(self, counter: Any) -> None:
        x = self._number(counter, any_type=True)
        self._alone("count", steps.COUNT, (Address(x),), (x,), (x,))

    def uniform(self, generator: Any, out: Floats) -> None:
        interface = generator.bits.ctypes
        draw = interface.next_uint32 if self.dtype == "float32" else interface.next_uint64
        function = ctypes.cast(draw, ctypes.c_void_p).value or 0
        self._kept.append((generator, interface))
        state, x = np.array([interface.state_address], np.int64), self._number(out)
        words = (out.size, function, Address(self._number(state, any_type=True)), Address(x))
        self._alone("uniform", steps.uniform_source(self.dtype), words, (), (x,))

    def stop_unless_finite(self, value: Floats) -> None:
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

    def _number(self, a: Any, any_layout: bool = False, any_type: bool = False) -> int:
        if not any_type and a.dtype != self.dtype:
            raise CannotRecord(f"an array of {a.dtype} among those of {self.dtype}")
        if not (any_layout or a.flags.c_contiguous):
            raise CannotRecord("an array with gaps")
        self._kept.append(a)
        where = a.__array_interface__["data"][0], a.nbytes
        return self._numbers.setdefault(where, len(self._numbers))

    # ---- running

    def finish(self, working: Iterable[Floats]) -> None:
        """Fuse and compile. ``working`` arrays are nobody's but the program's: what they hold in the end is lost."""
        own = [(start := a.__array_interface__["data"][0], start + a.nbytes) for a in working]
        inside = frozenset(
            k for (start, size), k in self._numbers.items() if any(a <= start and start + size <= b for a, b in own)
        )
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
        """Do everything ``times`` times; how many times all of it was done."""
        self._call[3] = times
        done: int = self._replay(self._at)
        return done

    def _overlapping(self) -> frozenset[tuple[int, int]]:
        """Pairs of different arrays that share memory."""
        ordered = sorted((start, start + size, k) for (start, size), k in self._numbers.items())
        if all(end <= start for (_, end, _), (start, _, _) in pairwise(ordered)):
            return frozenset()
        pairs = combinations(ordered, 2)
        return frozenset((k, j) for (a, b, k), (c, d, j) in pairs if a < d and c < b)


BY_ROWS, PLAIN, TRANSPOSED = 101, 111, 112
"""What the C interface of a BLAS calls the layout of matrices."""


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


def _replay() -> Any:
    return llvm.KERNEL(llvm.address(steps.REPLAY, "replay"))


@lru_cache(maxsize=64)
def rule_kernel(graph: Graph, dtype: str) -> tuple[str, str]:
    """Name and text of a rule's kernel."""
    return f"{rule_name(graph.name)}_{dtype}", rule_source(graph, dtype)


__all__ = ["CannotRecord", "Program", "rule_kernel"]
