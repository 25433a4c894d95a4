"""The Numba backend: NumPy's arrays, and compiled loops for everything between two matrix products.

Each rule is one loop, compiled from the source that :func:`optimlab.kernels.numba_source` prints, and bitwise equal to
the NumPy backend. See :mod:`optimlab.backends.machine_code` for how it is compiled and kept.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import InputError
from ..kernels import Graph, numba_source
from . import machine_code, numba_loops, onednn
from .machine_code import Loop
from .numpy import Floats, NumPyBackend

THREADS_FROM = 8_000_000
"""Elements from which a loop runs on all cores. Measured: below a few million, the threads of the BLAS, which go on
spinning after a product, take from the loop's threads more than these bring; what they bring is limited by memory."""

LONG = 1_000_000
"""Elements from which a loop lets go of Python's lock: it takes half a millisecond then, and to let go some
microseconds."""

LINE = 16
"""Elements that a part is a multiple of, so that no two threads write to one cache line."""


def installed() -> bool:
    """Whether Numba could be imported; does not import it."""
    return find_spec("numba") is not None


class NumbaBackend(NumPyBackend):
    """Arrays of NumPy, updates compiled by Numba; matrix products of NumPy's BLAS, or of oneDNN where that is installed
    and faster."""

    name = "numba"

    @property
    def fused(self) -> Mapping[str, Any]:
        return _FUSED

    def matmul(self, a: Floats, b: Floats, out: Floats) -> Floats:
        return out if onednn.multiply(a, b, out) else np.matmul(a, b, out=out)

    def take(self, rows: Floats, indices: Floats, out: Floats) -> None:
        plain = rows.ndim == 2 and rows.flags.c_contiguous and out.flags.carray and indices.flags.c_contiguous
        fitting = plain and indices.dtype == np.int64 and out.shape == (*indices.shape, rows.shape[1])
        if fitting and rows.dtype == out.dtype and out.dtype.kind == "f":
            _loop(numba_loops.gather, (2, -1, 2), out.dtype)(rows, indices, out)
        else:
            super().take(rows, indices, out)

    def bind(self, graph: Graph, arrays: list[dict[str, Floats]]) -> NumbaStep:  # type: ignore[override]
        return NumbaStep(graph, arrays)


class NumbaStep:
    """A rule bound to flat arrays, as one compiled loop over each stretch.

    Raises
    ------
    InputError: arrays that do not go together: the loop itself looks at nothing but the addresses of the numbers.
    """

    def __init__(self, graph: Graph, arrays: list[dict[str, Floats]]) -> None:
        self._graph = graph
        self._stretches = [tuple(part[name] for name in graph.inputs) for part in arrays]
        for part in self._stretches:
            alike = all((a.shape, a.dtype) == (part[0].shape, self._stretches[0][0].dtype) for a in part)
            if not alike or not all(a.ndim == 1 and a.flags.carray for a in part):
                raise InputError("a compiled rule works on arrays of one axis, one size and one dtype, without gaps")
        self._long = [part for part in self._stretches if len(part[0]) >= LONG]
        self._stretches = [part for part in self._stretches if len(part[0]) < LONG]
        self._slots = np.empty(len(graph.slots), arrays[0]["w"].dtype if arrays else "float32")
        self._divisors = [n.args[1].value for n in graph.nodes if n.op == "divide" and n.args[1].op == "slot"]
        self._loops: dict[tuple[bool, ...], Loop] = {}

    def __call__(self, scalars: tuple[float, ...]) -> None:
        self._slots[:] = scalars
        # a division is what limits a loop whose arrays lie in the cache; a multiplication costs nothing beside them
        ones = tuple([self._slots.item(k) == 1 for k in self._divisors])
        loop = self._loops.get(ones)
        if loop is None:
            units = [slot for slot, one in zip(self._divisors, ones, strict=True) if one]
            loop = self._loops[ones] = compiled(self._graph.without_ones(units), self._slots.dtype.name)
        for arrays in self._stretches:
            loop(*arrays, self._slots)
        for arrays in self._long:
            _in_threads(machine_code.unlocked(loop), arrays, self._slots)


def _in_threads(loop: Loop, arrays: tuple[Floats, ...], slots: Floats) -> None:
    """The loop over the arrays, cut into a part for each core if they are long enough."""
    count = _cores() if len(arrays[0]) >= THREADS_FROM else 1
    step = -(-len(arrays[0]) // count // LINE) * LINE
    parts = [[a[start : start + step] for a in arrays] for start in range(0, len(arrays[0]), step)]
    others = [_pool(os.getpid(), count - 1).submit(loop, *part, slots) for part in parts[1:]]
    try:
        loop(*parts[0], slots)
    finally:  # Ctrl-C, too, leaves no thread at work
        wait(others)


@cache
def _pool(process: int, size: int) -> ThreadPoolExecutor:
    """Threads of this very process: a forked one has none of its parent's."""
    return ThreadPoolExecutor(size, "optimlab")


def _cores() -> int:
    """Those this process may use; fewer if ``NUMBA_NUM_THREADS`` says so, as tools that run many processes do."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, int(os.environ.get("NUMBA_NUM_THREADS", cores)))


def compiled(graph: Graph, dtype: str) -> Loop:
    """A rule as a compiled loop: ``loop(<inputs>, slots)``."""
    return machine_code.compiled(graph.name, numba_source(graph, dtype), (1,) * (len(graph.inputs) + 1), dtype)


# ---- compiled forms of an activation, alone and behind a bias, a loss, and the count of right answers; equal, bit for
# bit, to the formulas


def _relu(b: Any, x: Floats, out: Floats, tmp: list[Floats]) -> None:
    _loop(numba_loops.relu, (1, 1), out.dtype)(_flat(x, out), out.reshape(-1))


def _relu_backward(b: Any, x: Floats, y: Floats, dy: Floats, out: Floats, tmp: list[Floats]) -> None:
    _loop(numba_loops.relu_backward, (1, 1, 1), out.dtype)(_flat(x, out), _flat(dy, out), out.reshape(-1))


def _bias_relu(z: Floats, b: Floats) -> None:
    _loop(numba_loops.bias_relu, (2, 1), z.dtype)(z, b)


def _bias_relu_backward(y: Floats, dy: Floats, db: Floats) -> None:
    _loop(numba_loops.bias_relu_backward, (2, 2, 1), dy.dtype)(y, dy, db)


def _softmax_cross_entropy(b: Any, logits: Floats, labels: Floats, out: Floats) -> tuple[float, Floats]:
    n, dtype = len(logits), logits.dtype
    logits, labels = np.ascontiguousarray(logits), np.ascontiguousarray(labels, np.int64)
    fitting = out.flags.carray and (out.shape, out.dtype) == (logits.shape, dtype)
    gradient = out if fitting else np.empty_like(logits)
    picked, total = np.empty(n, dtype), np.empty(n, dtype)
    _loop(numba_loops.shift, (2, -1, 2, 1), dtype)(logits, labels, gradient, picked)
    np.exp(gradient, gradient)
    np.add.reduce(gradient, axis=1, out=total)
    loss = float(np.add.reduce(np.log(total) - picked)) / n
    _loop(numba_loops.normalise, (2, -1, 1), dtype)(gradient, labels, total)
    if gradient is not out:
        out[...] = gradient
    return loss, out


def _correct(outputs: Floats, labels: Floats) -> int:
    outputs, labels = np.ascontiguousarray(outputs), np.ascontiguousarray(labels)
    count = np.empty(1, np.int64)
    _loop(numba_loops.correct, (2, -1, -1), outputs.dtype)(outputs, labels, count)
    return count.item()


_FUSED = {
    "relu": (_relu, _relu_backward),
    "dense relu": (_bias_relu, _bias_relu_backward),
    "softmax_cross_entropy": _softmax_cross_entropy,
    "correct": _correct,
}


def _flat(x: Floats, like: Floats) -> Floats:
    """``x``, which a layer of one's own may give in any layout and dtype, as a loop takes it beside ``like``."""
    if x.shape != like.shape:
        x = np.broadcast_to(x, like.shape)
    return np.ascontiguousarray(x, like.dtype).reshape(-1)


@cache
def _loop(function: Loop, dimensions: tuple[int, ...], dtype: np.dtype[Any]) -> Loop:
    text = f"from typing import Any\n\n\n{inspect.getsource(function)}"
    return machine_code.compiled(function.__name__, text, dimensions, dtype.name)
