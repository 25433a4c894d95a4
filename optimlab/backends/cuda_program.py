"""Programs of the CuPy backend: lists of kernel launches, recorded once and repeated.

Neighbouring elementwise operations and sums become one kernel, see :mod:`optimlab.kernels.tile`. A working array that
only passes a value from one of them to the next is never stored. The launches of a program can be captured as a CUDA
graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..common.errors import InputError
from ..kernels.cuda_sweep import cuda_tile
from ..kernels.sweep import Reduction, Seen
from ..kernels.tile import MOST_COLUMNS, THREADS, WHOLE, Tile
from . import cuda
from .operations import Operations, Part, operation_of, read_later

DeviceArray: TypeAlias = Any
"""The type ``cupy.ndarray``."""

ROWS_A_BLOCK = 32
"""Threads of a block, each with whole rows: a batch of few rows is spread over many multiprocessors."""


class Call(NamedTuple):
    """A step of a program: ``run()`` queues the work of the operations called ``name``."""

    name: str
    run: Callable[[], Any]
    reads: tuple[int, ...]
    writes: tuple[int, ...]


class CudaProgram(Operations):
    """A program of launches on arrays of the device. While it is made, the backend itself executes nothing.

    No call refers to the program, so that its memory is free as soon as the program is.

    Attributes
    ----------
    calls: the steps of the finished program.
    """

    def __init__(self, backend: Any, dtype: str) -> None:
        super().__init__(dtype)
        self._backend = backend
        self._arrays: dict[int, DeviceArray] = {}
        """The contiguous arrays by number."""
        self.calls: list[Call] = []

    # ---- recording

    def matmul(self, a: DeviceArray, b: DeviceArray, out: DeviceArray) -> DeviceArray:
        self._check_product(a, b, out)
        reads = self._number(a, any_layout=True), self._number(b, any_layout=True)
        self._call("product", partial(self._backend.matmul, a, b, out), reads, (self._number(out, written=True),))
        return out

    def column_sums(self, x: DeviceArray, out: DeviceArray) -> None:
        super().column_sums(x, out)
        if x.ndim == 1 and len(x) > WHOLE:  # one block would take long
            self._by_itself("column_sums", x, out)

    def _row_reduction(self, kind: str, x: DeviceArray, out: DeviceArray) -> None:
        super()._row_reduction(kind, x, out)
        if x.shape[1] > MOST_COLUMNS:
            name = {"sum": "row_sums", "max": "row_max", "argmax": "row_argmax"}[kind]
            self._by_itself(name, x, out)

    def _by_itself(self, name: str, x: DeviceArray, out: DeviceArray) -> None:
        """Make the last operation a call of the backend's."""
        part = self._items.pop()
        self._call(name, partial(getattr(self._backend, name), x, out), part.reads, part.writes)

    def rule(self, function: Any, arrays: tuple[DeviceArray, ...], scalars: DeviceArray) -> None:
        """Record one update by a rule; it uses the host scalars in ``scalars`` at the time of execution."""
        places = tuple(self._number(a, written=True) for a in arrays)

        run = partial(cuda.launch, function, arrays[0].size, *arrays, scalars)
        self._call("rule", run, (*places, self._number(scalars)), places)

    def take(self, rows: DeviceArray, indices: DeviceArray, out: DeviceArray) -> None:
        self._check_take(rows, indices, out)
        reads = self._number(rows, any_type=True), self._number(indices, any_type=True)
        writes = (self._number(out, any_type=True, written=True),)
        self._call("take", partial(self._backend.take, rows, indices, out), reads, writes)

    def put(self, table: DeviceArray, index: DeviceArray, row: DeviceArray) -> None:
        self._check_put(table, index, row)
        x = self._number(table, any_type=True, written=True)
        y, z = self._number(index, any_type=True), self._number(row, any_type=True)
        # the other rows of the table stay the same, so the table counts as read, too
        self._call("put", partial(self._backend.put, table, index, row), (x, y, z), (x,))

    def count(self, counter: DeviceArray) -> None:
        x = self._number(counter, any_type=True, written=True)
        self._call("count", partial(self._backend.count, counter), (x,), (x,))

    def uniform(self, generator: Any, out: DeviceArray) -> None:
        x = self._number(out, written=True)
        self._call("uniform", partial(self._backend.uniform, generator, out), (), (x,))

    def stop_unless_finite(self, value: DeviceArray) -> None:
        """Record nothing, because the end of the epoch checks."""

    def _call(self, name: str, run: Callable[[], Any], reads: tuple[int, ...], writes: tuple[int, ...]) -> None:
        self._items.append(Call(name, run, reads, writes))

    def _number(self, a: DeviceArray, **how: bool) -> int:
        number = super()._number(a, **how)
        if a.flags.c_contiguous:
            self._arrays.setdefault(number, a)
        return number

    # ---- running

    def finish(self, working: Iterable[DeviceArray]) -> None:
        """Fuse and compile. Only the program uses the ``working`` arrays, so results need not be stored in them."""
        overlapping = self._overlapping()
        shared = {array for pair in overlapping for array in pair}
        own = self._within(working) - shared
        groups = _groups(self._items, overlapping)
        alive = read_later([[group] if isinstance(group, Call) else group for group in groups])
        for group, later in zip(groups, alive, strict=True):
            self.calls.append(group if isinstance(group, Call) else self._fused(group, own - later))

    def run(self, times: int = 1) -> int:
        """Queue the program ``times`` times, and return the number of complete runs."""
        for _ in range(times):
            for call in self.calls:
                call.run()
        return times

    def _fused(self, parts: list[Part], dead: frozenset[int]) -> Call:
        """Return a call of the kernel for neighbouring operations. Results in ``dead`` arrays are not needed."""
        used = list(dict.fromkeys(array for part in parts for array, _ in part.arrays))
        place = {array: k for k, array in enumerate(used)}
        tile, values = Tile(parts[0].rows, parts[0].columns), list[float]()
        for part in parts:
            fits = tile.add(operation_of(part, place, len(values)), part.rows)
            assert fits
            values += part.numbers
        scalars = self._backend.asarray(values or [0.0], self.dtype)
        arrays = [self._arrays[array] for array in used]
        run = tile_launch(tile, self.dtype, {place[array] for array in dead if array in place}, arrays, scalars)
        return Call(" + ".join(part.name for part in parts), run, (), ())


def _groups(items: Iterable[Call | Part], overlapping: frozenset[tuple[int, int]]) -> list[Call | list[Part]]:
    """Group neighbouring operations that fit into one tile."""
    groups: list[Call | list[Part]] = []
    tile, here = Tile(0, 0), set[int]()
    for item in items:
        if isinstance(item, Call):
            groups.append(item)
            continue
        own = {array for array, _ in item.arrays}
        together = here | own
        apart = not any(a in together and b in together for a, b in overlapping)
        last = groups[-1] if groups else None
        if isinstance(last, list) and apart and tile.add(operation_of(item), item.rows):
            last.append(item)
            here = together
            continue
        tile, here = Tile(item.rows, item.columns), own
        fits = tile.add(operation_of(item), item.rows)
        assert fits
        groups.append([item])
    return groups


def tile_launch(
    tile: Tile, dtype: str, dead: Iterable[int], arrays: list[DeviceArray], scalars: DeviceArray
) -> Callable[[], Any]:
    """Return a function that launches the kernel of a tile on ``arrays``, in the order of their numbers."""
    name = f"{tile.owner}_tile"
    function = cuda.kernel(cuda_tile(tile, dtype, name, dead), name)
    grid, block = _grid(tile)
    given = (np.int64(tile.rows), *arrays, scalars)
    return partial(function, (grid,), (block,), given)


def _grid(tile: Tile) -> tuple[int, int]:
    """Return the number of blocks, and of threads in each."""
    if tile.owner in ("element", "row"):
        size, block = (tile.rows * tile.columns, cuda.THREADS) if tile.owner == "element" else (tile.rows, ROWS_A_BLOCK)
        return max(1, min(-(-size // block), cuda.MOST_BLOCKS)), block
    lines = 1 << (min(tile.rows, 32) - 1).bit_length()
    block = tile.width * lines
    if tile.owner == "whole":  # one thread for each row
        block = max(block, 32, 1 << (min(tile.rows, THREADS) - 1).bit_length())
    return (1 if tile.owner == "whole" else -(-tile.columns // tile.width)), min(block, THREADS)


def row_reduction(kind: str, x: DeviceArray, out: DeviceArray) -> None:
    """Write a sum or maximum of each row of ``x`` to ``out`` by one kernel, at once."""
    if not (x.flags.c_contiguous and out.flags.c_contiguous):
        raise InputError("a sum of rows is computed on contiguous arrays")
    rows = math.prod(x.shape[:-1])
    text, name, grid, block = _reduction(kind, rows, x.shape[-1], x.dtype.name)
    cuda.kernel(text, name)((grid,), (block,), (np.int64(rows), x, out, x))


@cache
def _reduction(kind: str, rows: int, columns: int, dtype: str) -> tuple[str, str, int, int]:
    """Return the text of a kernel that reduces rows, its name, and the number of blocks and of threads in each."""
    tile = Tile(rows, columns)
    tile.add(Reduction(kind, Seen(0, "full"), Seen(1, "column"), columns), rows)
    name = f"row_{kind}"
    return cuda_tile(tile, dtype, name), name, *_grid(tile)
