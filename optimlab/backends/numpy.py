"""The NumPy backend, the reference for every other backend."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache, cached_property
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import TRANSCENDENTAL, Formula, Graph, NumpySource, graph_of, numpy_source, scalars_of
from ..kernels.numpy_functions import FUNCTIONS

Floats = NDArray[Any]

BLOCK_BYTES = 1 << 17
"""Bytes of each array processed at a time. Measured for Adam in float32: below this the calls' overhead is noticeable,
far above it the scratch registers no longer fit into the cache."""


CACHE_LINE = 64


class NumPyBackend:
    """The backend of NumPy arrays, with matrix products by NumPy's BLAS."""

    name = "numpy"
    asynchronous = False
    xp = np

    @cached_property
    def special(self) -> ModuleType:
        return import_module("scipy.special")  # when first used: it takes as long as all of optimlab

    def empty(self, shape: int | tuple[int, ...], dtype: str) -> Floats:
        return _aligned(np.empty, shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: str) -> Floats:
        return _aligned(np.zeros, shape, dtype)

    def asarray(self, values: Any, dtype: Any = None) -> Floats:
        return np.ascontiguousarray(values, dtype=dtype)

    def to_numpy(self, array: Floats) -> Floats:
        return array

    def owns(self, value: Any) -> bool:
        return isinstance(value, np.ndarray)

    def matmul(self, a: Floats, b: Floats, out: Floats) -> Floats:
        return np.matmul(a, b, out=out)

    def map(
        self, formula: Formula, inputs: tuple[Floats, ...], out: Floats | tuple[Floats, ...], **numbers: float
    ) -> None:
        outs = out if isinstance(out, tuple) else (out,)
        first = outs[0]
        ids = [*map(id, inputs), *map(id, outs)]
        key = (formula, len(inputs), tuple(map(ids.index, ids)), first.shape, first.dtype, *numbers.items())
        call = _local.calls.get(key) or _call(key)
        if call.again:
            inputs = tuple([a.copy() if k in call.again else a for k, a in enumerate(inputs)])
        others = [outs[k] for k in call.others]
        for part, further in call.parts:
            if part is None:
                call.step(*inputs, *others, *further)
                continue
            arrays = [a[part] if a.ndim == first.ndim and len(a) == len(first) else a for a in inputs]
            call.step(*arrays, *[o[part] for o in others], *further)

    def column_sums(self, x: Floats, out: Floats) -> None:
        if x.ndim == 1:
            np.add.reduce(x, out=out.reshape(()))
        else:
            np.add.reduce(x, axis=-2, out=out, keepdims=out.ndim == x.ndim)

    def row_sums(self, x: Floats, out: Floats) -> None:
        np.add.reduce(x, axis=-1, out=out, keepdims=True)

    def row_max(self, x: Floats, out: Floats) -> None:
        columns = x.shape[-1]
        if x.size < 256 * columns or columns > 32:
            np.maximum.reduce(x, axis=-1, out=out, keepdims=True)
            return
        # NumPy is slow along a short axis: going by columns is faster, and a maximum is the same in any order
        out[...] = x[..., :1]
        for k in range(1, columns):
            np.maximum(out, x[..., k : k + 1], out=out)

    def row_argmax(self, x: Floats, out: Floats) -> None:
        out[..., 0] = x.argmax(axis=-1)

    def take(self, rows: Floats, indices: Floats, out: Floats) -> None:
        # the default mode="raise" would buffer the whole result
        rows.take(indices, axis=0, out=out, mode="clip")

    def put(self, table: Floats, index: Floats, row: Floats) -> None:
        table[index[0]] = row

    def count(self, counter: Floats) -> None:
        counter += 1

    def uniform(self, generator: NumPyGenerator | NumPyGenerators, out: Floats) -> None:
        generator.uniform(out)

    def stop_unless_finite(self, value: Floats) -> None:
        if not math.isfinite(value.item()):
            raise NotFinite

    def generator(self, seed: Any) -> NumPyGenerator:
        return NumPyGenerator(seed)

    def stacked(self, generators: Sequence[NumPyGenerator]) -> NumPyGenerators:
        return NumPyGenerators(generators)

    def bind(self, graph: Graph, arrays: list[dict[str, Floats]], block_bytes: int = BLOCK_BYTES) -> NumPyStep:
        return NumPyStep(graph, arrays, block_bytes)

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")


def _aligned(make: Callable[..., Floats], shape: int | tuple[int, ...], dtype: Any) -> Floats:
    """Return an array aligned to a cache line, so that no vector of a compiled loop crosses a line."""
    size, itemsize = math.prod(shape if isinstance(shape, tuple) else (shape,)), np.dtype(dtype).itemsize
    raw = make(size * itemsize + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    aligned: Floats = raw[start : start + size * itemsize].view(dtype).reshape(shape)
    return aligned


class NotFinite(ArithmeticError):
    """An error that ends the work because a number that must be finite is not."""


class _Call(NamedTuple):
    """A formula as NumPy calls, for arrays of given shapes."""

    step: Callable[..., None]
    others: list[int]
    """Indices of the outputs that are not inputs."""
    parts: list[tuple[slice | None, list[Any]]]
    """For each block of rows (None means all), the step's arguments after the arrays: numbers and scratch."""
    again: frozenset[int]
    """Inputs that alias an output a second time, and are read after it has been written."""


class _Local(threading.local):
    """The calls and working arrays of each thread."""

    def __init__(self) -> None:
        self.calls: dict[Any, _Call] = {}
        self.scratch: dict[Any, tuple[list[Floats], list[Floats]]] = {}


_local = _Local()


def _call(key: tuple[Any, ...]) -> _Call:
    """Return the cached call of this key."""
    formula, count, same, shape, dtype, *numbers = key
    # for each output, the index of the same input; -1 for none
    aliases = tuple(k if k < count else -1 for k in same[count:])
    source, step = _program(formula, aliases)
    slots = scalars_of(formula, tuple(numbers))
    block = max(1, BLOCK_BYTES // (dtype.itemsize * (shape[-1] if len(shape) > 1 else 1)))
    parts: list[tuple[slice | None, list[Any]]] = []
    if len(shape) > 2 or not shape or shape[0] <= block + block // 2:
        parts.append((None, [*slots, *_scratch(shape, dtype, source.registers, source.masks)]))
    else:
        for start in range(0, shape[0], block):
            rows = min(block, shape[0] - start)
            scratch = _scratch((rows, *shape[1:]), dtype, source.registers, source.masks)
            parts.append((slice(start, start + rows), [*slots, *scratch]))
    if len(_local.calls) > 1000:  # shapes or numbers keep changing
        _local.calls.clear()
    again = frozenset(k for k in range(count) if same[k] in aliases and same[k] != k)
    call = _local.calls[key] = _Call(step, [k for k, alias in enumerate(aliases) if alias < 0], parts, again)
    return call


@cache
def _program(formula: Formula, aliases: tuple[int, ...]) -> tuple[NumpySource, Callable[..., None]]:
    """Return a formula as NumPy calls."""
    graph = graph_of(formula, aliases)
    source = numpy_source(graph)
    overflows = any(node.op in (*TRANSCENDENTAL, "divide") for node in graph.nodes)
    step = _compiled(source)
    return source, _quiet(step) if overflows else step


def _quiet(step: Callable[..., None]) -> Callable[..., None]:
    """Wrap a step to suppress warnings: a sigmoid's e^-x may overflow on the way to its limit."""

    def call(*arguments: Any) -> None:
        with np.errstate(all="ignore"):
            step(*arguments)

    return call


def _scratch(shape: tuple[int, ...], dtype: Any, registers: int, masks: int) -> list[Floats]:
    """Return working arrays of this thread."""
    if not registers + masks:
        return []
    if len(_local.scratch) > 64:  # shapes keep changing
        _local.scratch.clear()
        _local.calls.clear()
    floats, bools = _local.scratch.setdefault((shape, dtype), ([], []))
    while len(floats) < registers:
        floats.append(_aligned(np.empty, shape, dtype))
    while len(bools) < masks:
        bools.append(np.empty(shape, bool))
    return [*floats[:registers], *bools[:masks]]


class NumPyGenerator:
    """NumPy's PCG64 generator; its state is a dictionary of plain integers."""

    def __init__(self, seed: Any) -> None:
        self._generator = np.random.default_rng(seed)
        self.bits = self._generator.bit_generator

    def uniform(self, out: Floats) -> None:
        self._generator.random(out=out, dtype=out.dtype.type)

    @property
    def state(self) -> dict[str, Any]:
        return dict(self._generator.bit_generator.state)

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._generator.bit_generator.state = value


class NumPyGenerators:
    """Several generators, each of which fills one part of an array along its first axis."""

    def __init__(self, generators: Sequence[NumPyGenerator]) -> None:
        # one by one: replicas that begin with the same generator go on with copies of their own
        self._generators = [copy.deepcopy(generator) for generator in generators]

    def __getitem__(self, replica: int) -> NumPyGenerator:
        return self._generators[replica]

    def uniform(self, out: Floats) -> None:
        for generator, part in zip(self._generators, out, strict=True):
            generator.uniform(part)


class NumPyStep:
    """A rule bound to flat arrays.

    Arrays longer than a block are processed block by block, so that scratch registers stay in the cache. The result is
    the same, bit for bit. Two-dimensional arrays, all of one shape, are replicas: each has one row of the arrays and
    one row of scalars.
    """

    def __init__(self, graph: Graph, arrays: list[dict[str, Floats]], block_bytes: int = BLOCK_BYTES) -> None:
        self._graph = graph
        first = arrays[0]["w"] if arrays else np.empty(0, "float32")
        longest = max((len(a["w"]) for a in arrays), default=0)
        block = max(1, min(longest, block_bytes // (first.itemsize * math.prod(first.shape[1:]))))
        self._blocks = [
            (slice(start, start + block), [group[name][start : start + block] for name in graph.inputs])
            for group in arrays
            for start in range(0, len(group["w"]), block)
        ]
        self._replicas = first.ndim > 1
        self._slots = np.empty((*first.shape[: first.ndim - 1], len(graph.slots)), first.dtype)
        self._shape = (block, *first.shape[1:])
        self._scratch: list[Floats] = []
        self._masks: list[Floats] = []
        self._programs: dict[bytes, tuple[Callable[..., None], list[tuple[Any, ...]]]] = {}

    def __call__(self, scalars: Any) -> None:
        self._slots[:] = scalars
        ones = b""
        if len(self._blocks) > 1:  # on a single block, searching for ones costs as much as it saves
            found = self._slots == 1
            ones = (found.all(axis=0) if self._replicas else found).tobytes()
        program = self._programs.get(ones)
        if program is None:
            program = self._programs[ones] = self._program(ones)
        step, calls = program
        for arguments in calls:
            step(*arguments)

    def _program(self, ones: bytes) -> tuple[Callable[..., None], list[tuple[Any, ...]]]:
        """Return the compiled step and its arguments, without multiplications and divisions by slots that are 1."""
        source = numpy_source(self._graph.without_ones([k for k, one in enumerate(ones) if one]))
        # a program with fewer operations may need more registers: a buffer that held a new value may keep the old one
        while len(self._scratch) < source.registers:
            self._scratch.append(_aligned(np.empty, self._shape, self._slots.dtype))
        while len(self._masks) < source.masks:
            self._masks.append(np.empty(self._shape, bool))
        scratch = [*self._scratch[: source.registers], *self._masks[: source.masks]]
        calls = [(*views, *self._of(part), *(r[: len(views[0])] for r in scratch)) for part, views in self._blocks]
        return _compiled(source), calls

    def _of(self, part: slice) -> list[Floats]:
        """Return the slots for a block, each a number or a column for the block's rows."""
        count = self._slots.shape[-1]
        if self._replicas:
            return [self._slots[part, k : k + 1] for k in range(count)]
        return [self._slots[k : k + 1].reshape(()) for k in range(count)]


def _sign(x: Floats, out: Floats) -> None:
    """Compute ``np.sign``, with the same bits.

    Measured: NumPy's own takes ten times as long if signs are mixed, but less than these four calls on up to some
    thousand elements.
    """
    if x.size < 2000:
        np.sign(x, out)
        return
    huge = np.finfo(x.dtype).max
    with np.errstate(over="ignore"):
        np.multiply(x, huge, out)
        np.multiply(out, huge, out)  # beyond 1, however small x is
    np.clip(out, -1, 1, out)
    np.add(out, 0, out)  # -0.0 becomes 0.0


INTEGERS: dict[int, Any] = {2: np.int16, 4: np.int32, 8: np.int64}


def _select(mask: Floats, yes: Any, no: Any, out: Floats) -> None:
    """Write ``np.where`` to ``out``, which may be one of the operands.

    Bits are selected bitwise, with a mask of all ones or all zeros for each number. Measured: NumPy's own functions
    take five to ten times as long on many numbers.
    """
    integer = INTEGERS.get(out.itemsize)
    if integer is None or out.size < 4000:  # a long double, or too small for the calls below to pay off
        out[...] = np.where(mask, yes, no)
        return
    bits, other = _scratch(out.shape, np.dtype(integer), 2, 0)
    np.copyto(bits, mask)
    np.negative(bits, bits)
    one, two, result = (np.asarray(v, out.dtype).view(integer) for v in (yes, no, out))
    if not two.ndim and not two:
        np.bitwise_and(one, bits, result)
        return
    other = other if out is no else result
    np.bitwise_xor(one, two, other)
    np.bitwise_and(other, bits, other)
    np.bitwise_xor(other, two, result)


@cache
def _compiled(source: NumpySource) -> Callable[..., None]:
    scope: dict[str, Any] = {**vars(np), "sign": _sign, "select": _select, **FUNCTIONS}
    # a Ctrl-C during exec of a string would end Python with SIGINT even if it is handled
    exec(compile(source.text, "<rule as NumPy calls>", "exec"), scope)
    step: Callable[..., None] = scope["step"]
    return step
