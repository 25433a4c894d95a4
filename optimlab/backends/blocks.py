"""Training steps of a small network in the shared memory of one thread block of a GPU.

A step is recorded once, from the same code that every backend runs. Each working array gets a place in the block's
shared memory; arrays that are not needed at the same time share one. Every rule runs in the same kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import InputError
from ..kernels import Formula, Graph, graph_of, scalars_of
from ..kernels import block_source as text
from ..kernels.block_source import Draw, Resident
from ..kernels.cuda_sweep import WAIT
from .cupy import NUMBERS, counters, uniform_source
from .layout import broadcast

Floats = Any

ALIGNED = 16
"""Bytes to which places are aligned."""


class Operation(NamedTuple):
    """A recorded operation: what it does, and the arrays it reads and writes."""

    kind: str
    reads: tuple[Floats, ...]
    writes: tuple[Floats, ...]
    formula: Formula | None = None
    numbers: tuple[tuple[str, float], ...] = ()
    generator: Any = None


class Recording:
    """A backend that records named operations on NumPy arrays, and computes nothing.

    An operation that it does not know is an error, because the kernel would lack it.
    """

    name, asynchronous, xp = "recording", True, np

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def empty(self, shape: Any, dtype: str) -> Floats:
        return np.empty(shape, dtype)

    def zeros(self, shape: Any, dtype: str) -> Floats:
        return np.zeros(shape, dtype)

    def asarray(self, values: Any, dtype: Any = None) -> Floats:
        return np.ascontiguousarray(values, dtype)

    def matmul(self, a: Floats, b: Floats, out: Floats) -> Floats:
        self._note("product", (a, b), out)
        return out

    def map(self, formula: Formula, inputs: tuple[Floats, ...], out: Any, **numbers: float) -> None:
        outs = out if isinstance(out, tuple) else (out,)
        self.operations.append(Operation("map", inputs, outs, formula, tuple(numbers.items())))

    def column_sums(self, x: Floats, out: Floats) -> None:
        self._note("column_sums", (x,), out)

    def row_sums(self, x: Floats, out: Floats) -> None:
        self._note("row_sum", (x,), out)

    def row_max(self, x: Floats, out: Floats) -> None:
        self._note("row_max", (x,), out)

    def row_argmax(self, x: Floats, out: Floats) -> None:
        self._note("row_argmax", (x,), out)

    def take(self, rows: Floats, indices: Floats, out: Floats) -> None:
        self._note("take", (rows, indices), out)

    def put(self, table: Floats, index: Floats, row: Floats) -> None:
        self._note("put", (row,), table)

    def count(self, counter: Floats) -> None:
        """Nothing: the kernel counts its steps."""

    def uniform(self, generator: Any, out: Floats) -> None:
        self.operations.append(Operation("uniform", (), (out,), generator=generator))

    def stop_unless_finite(self, value: Floats) -> None:
        """Nothing: the end of the epoch checks."""

    def _note(self, kind: str, reads: tuple[Floats, ...], out: Floats) -> None:
        self.operations.append(Operation(kind, reads, (out,)))


class Arrays(NamedTuple):
    """The arrays of a recorded network that are not only the step's.

    ``given`` has the text of the pointer to each array in the GPU's memory; ``others`` are those of layers.
    """

    weights: Floats
    gradient: Floats
    others: Sequence[Floats]
    given: Sequence[tuple[Floats, str]]


class Plan(NamedTuple):
    """The kernel of a network without its rule.

    Attributes
    ----------
    dtype: of all numbers.
    source: the text of the functions for both steps.
    weights, gradient, others: the arrays that stay in shared memory.
    generators: the generators of random numbers, in the order of the kernel's parameters.
    draws: the counters that each of them uses per step.
    batches: the rows of a full batch and of the last one.
    end: bytes of shared memory, without the rule's state.
    """

    dtype: str
    source: str
    weights: Resident
    gradient: Resident
    others: tuple[Resident, ...]
    generators: tuple[Any, ...]
    draws: tuple[Draw, ...]
    batches: tuple[int, int]
    end: int

    def bytes(self, graphs: Sequence[Graph]) -> int:
        """Return the bytes of shared memory that a block needs for any of these rules."""
        return self.end + text.most_states(graphs) * self.weights.size * np.dtype(self.dtype).itemsize

    def kernel(self, graphs: Sequence[Graph]) -> str:
        """Return the CUDA text of the kernel, see :func:`optimlab.kernels.block_source.epoch_source`."""
        kept = self.weights, self.gradient, self.others, self.draws, self.batches, self.end
        return f"{self.source}\n{text.epoch_source(graphs, self.dtype, *kept)}"


def plan_of(arrays: Arrays, steps: Sequence[Sequence[Operation]], batches: tuple[int, int]) -> Plan:
    """Choose the places of all arrays, and print both steps: that on full batches, and that on the rest.

    Raises
    ------
    InputError: an operation has arrays of a form for which there is no text.
    """
    dtype = arrays.weights.dtype.name
    kept: list[Resident] = []
    end = 0
    known: dict[int, str | int] = {id(_owner(array)): pointer for array, pointer in arrays.given}
    for k, array in enumerate((arrays.weights, arrays.gradient, *arrays.others)):
        kept.append(Resident(f"array{k - 2}", end, array.size))
        known[id(_owner(array))] = end
        end += _aligned(array.nbytes)
    generators = list({id(o.generator): o.generator for step in steps for o in step if o.kind == "uniform"}.values())
    constants: dict[int, tuple[str, Floats]] = {}
    parts, highest = [], end
    for name, step in zip(("step_0", "step_1"), steps, strict=True):
        places, top = _places(step, known, constants, end)
        highest = max(highest, top)
        parts.append(text.step_source(name, _operations(step, places, dtype, generators), len(generators)))
    draws = [
        Draw(*(sum(counters(o.writes[0].size, dtype) for o in step if o.generator is one) for step in steps))
        for one in generators
    ]
    declared = [text.constant(name, values, dtype) for name, values in constants.values()]
    source = "\n".join([text.prelude(dtype), *([uniform_source(dtype)] if generators else []), *declared, *parts])
    weights, gradient, *others = kept
    return Plan(dtype, source, weights, gradient, tuple(others), tuple(generators), tuple(draws), batches, highest)


# ---- places ----


class _Life(NamedTuple):
    """The part of a working array that a step uses, from operation ``first`` to operation ``last``."""

    first: int
    last: int
    size: int


def _places(
    step: Sequence[Operation], known: dict[int, str | int], constants: dict[int, tuple[str, Floats]], start: int
) -> tuple[dict[int, str | int], int]:
    """Return the place of every array by the identity of its owner, and the first byte after all of them.

    An array that a step reads and never writes is a constant. An elementwise result takes the place of an input that
    is not needed any more.
    """
    places, lives = dict(known), dict[int, _Life]()
    for t, operation in enumerate(step):
        for array, written in [*((a, False) for a in operation.reads), *((a, True) for a in operation.writes)]:
            owner = id(_owner(array))
            if owner in known:
                continue
            if owner not in lives and not written:
                name = constants.setdefault(owner, (f"constant{len(constants)}", _owner(array).view()))[0]
                places[owner] = name
                known[owner] = name
                continue
            life = lives.get(owner, _Life(t, t, 0))
            lives[owner] = life._replace(last=t, size=max(life.size, _start(array) + array.nbytes))
    end = start
    taken: dict[int, tuple[int, int]] = {}  # of the arrays in use, by owner
    for t, operation in enumerate(step):
        for owner in [one for one in taken if lives[one].last < t]:
            del taken[owner]
        for array in operation.writes:
            owner = id(_owner(array))
            if owner in places or owner not in lives:
                continue
            size = _aligned(lives[owner].size)
            heir = _heir_of(operation, array, lives, taken, t)
            place = _free(size, sorted(taken.values()), start) if heir is None else taken.pop(heir)[0]
            places[owner], taken[owner] = place, (place, place + size)
            end = max(end, place + size)
    return places, end


def _heir_of(
    operation: Operation, out: Floats, lives: dict[int, _Life], taken: dict[int, tuple[int, int]], t: int
) -> int | None:
    """Return the owner of an input whose place an elementwise result may take."""
    if operation.kind != "map":
        return None
    for array in operation.reads:
        owner = id(_owner(array))
        whole = array.shape == out.shape and array.dtype == out.dtype and not _start(array) and not _start(out)
        if owner in taken and lives[owner].last == t and whole and lives[id(_owner(out))].size <= lives[owner].size:
            return owner
    return None


def _free(size: int, taken: Sequence[tuple[int, int]], start: int) -> int:
    """Return the first gap of ``size`` bytes."""
    for first, stop in taken:
        if first - start >= size:
            return start
        start = max(start, stop)
    return start


def _owner(array: Floats) -> Floats:
    """Return the array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _start(array: Floats) -> int:
    """Return the bytes between the start of the memory and that of a view."""
    first: int = array.__array_interface__["data"][0]
    return first - int(_owner(array).__array_interface__["data"][0])


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


# ---- texts ----


class _Access(NamedTuple):
    """Bytes of the shared memory that are read or written; ``by`` is equal if the same threads touch the same bytes."""

    first: int
    stop: int
    written: bool
    by: tuple[int, int] | None

    def waits_for(self, other: _Access) -> bool:
        apart = self.stop <= other.first or other.stop <= self.first
        return not apart and (self.written or other.written) and (self.by is None or self.by != other.by)


def _operations(
    step: Sequence[Operation], places: dict[int, str | int], dtype: str, generators: Sequence[Any]
) -> list[str]:
    """Return the texts of a step's operations, with a barrier where threads need the results of others."""

    def pointer(array: Floats) -> str:
        place, start = places[id(_owner(array))], _start(array)
        if isinstance(place, str):
            return f"{place} + {start // array.itemsize}" if start else place
        return f"at<{'Index' if array.dtype == np.int64 else 'T'}>({place + start})"

    def access(array: Floats, written: bool, each: bool) -> list[_Access]:
        place = places[id(_owner(array))]
        if isinstance(place, str):
            return []
        first = place + _start(array)
        # a transposed matrix begins where the matrix does, and has as many bytes
        return [_Access(first, first + array.nbytes, written, (first, array.itemsize) if each else None)]

    lines: list[str] = []
    since: list[_Access] = []
    for operation in step:
        reads, writes = operation.reads, operation.writes
        lined = [operation.kind == "map" and a.shape == writes[0].shape for a in reads]
        mine = [one for a, each in zip(reads, lined, strict=True) for one in access(a, False, each)]
        mine += [one for a in writes for one in access(a, True, operation.kind not in ("product", "uniform"))]
        if any(one.waits_for(other) for one in mine for other in since):
            lines.append(WAIT)
            since = []
        since += mine
        lines.append(_text(operation, pointer, dtype, generators))
    return lines


def _text(operation: Operation, pointer: Callable[[Floats], str], dtype: str, generators: Sequence[Any]) -> str:
    kind, reads, out = operation.kind, operation.reads, operation.writes[0]
    arrays = [pointer(a) for a in (*reads, *operation.writes)]
    match kind:
        case "product":
            (m, k), n = reads[0].shape, reads[1].shape[1]
            strides = tuple([step // a.itemsize for a in reads for step in a.strides])
            return text.product(arrays[0], arrays[1], arrays[2], (m, n, k), strides)
        case "map":
            assert operation.formula is not None
            graph, numbers = graph_of(operation.formula), scalars_of(operation.formula, operation.numbers)
            kinds = {name: broadcast(a.shape, out.shape) for name, a in zip(graph.inputs, reads, strict=True)}
            if not all(kinds.values()) or out.ndim > 2:
                raise InputError(f"{graph.name} of shapes {[a.shape for a in reads]} in shared memory")
            named = dict(zip((*graph.inputs, *graph.written), arrays, strict=True))
            shapes = {name: one for name, one in kinds.items() if one != "full"}
            return text.elementwise(graph, dtype, named, shapes, _matrix(out), numbers)
        case "take":
            width = out.size // len(reads[1]) if reads[1].dtype == np.int64 and reads[1].ndim == 1 else 0
            if reads[0].dtype == np.int64:  # the row of the present step
                return f"copy({arrays[0]}, {arrays[2]}, {out.size});"
            return f"take<{width}>({arrays[0]}, {arrays[1]}, {arrays[2]}, {len(reads[1])});"
        case "put":
            return f"copy({arrays[0]}, {arrays[1]}, {reads[0].size});"
        case "uniform":
            g = [id(one) for one in generators].index(id(operation.generator))
            return text.uniform(arrays[0], out.size, NUMBERS[dtype][0], f"key{g}", f"used{g}")
        case _:
            rows, columns = _matrix(reads[0], tall=True)
            return f"{kind}<{rows}, {columns}>({arrays[0]}, {arrays[1]});"


def _matrix(array: Floats, tall: bool = False) -> tuple[int, int]:
    """Return rows and columns; a one-dimensional array is a row, or a column if ``tall``."""
    if array.ndim == 1:
        return (array.size, 1) if tall else (1, array.size)
    return array.shape  # type: ignore[no-any-return]
