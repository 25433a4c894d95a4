"""The Numba backend: NumPy's arrays and matrix products, and compiled loops for everything between them.

Each rule is one loop, compiled from the source that :func:`optimlab.kernels.numba_source` prints, and bitwise equal to
the NumPy backend. What has been compiled is kept in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..files import write_atomically
from ..kernels import Graph, numba_source
from . import numba_loops
from .numpy import Floats, NumPyBackend

Loop = Callable[..., None]

THREADS_FROM = 8_000_000
"""Elements from which a loop runs on all cores. Measured: below a few million, the threads of the BLAS, which go on
spinning after a product, take from the loop's threads more than these bring; what they bring is limited by memory."""

LINE = 16
"""Elements that a part is a multiple of, so that no two threads write to one cache line."""


def installed() -> bool:
    """Whether Numba could be imported; does not import it."""
    return find_spec("numba") is not None


class NumbaBackend(NumPyBackend):
    """Arrays of NumPy, matrix products of its BLAS, updates compiled by Numba."""

    name = "numba"

    @property
    def fused(self) -> Mapping[str, Any]:
        return _FUSED

    def take(self, rows: Floats, indices: Floats, out: Floats) -> None:
        plain = rows.ndim == 2 and indices.ndim == 1 and rows.flags.c_contiguous and out.flags.c_contiguous
        if plain and rows.dtype == out.dtype and out.dtype.kind == "f":
            _loop(numba_loops.gather, (2, -1, 2), out.dtype)(rows, indices, out)
        else:
            super().take(rows, indices, out)

    def bind(self, graph: Graph, arrays: list[dict[str, Floats]]) -> NumbaStep:  # type: ignore[override]
        return NumbaStep(graph, arrays)


class NumbaStep:
    """A rule bound to flat arrays, as one compiled loop over each stretch."""

    def __init__(self, graph: Graph, arrays: list[dict[str, Floats]]) -> None:
        self._graph = graph
        self._stretches = [tuple(part[name] for name in graph.inputs) for part in arrays]
        self._shared = [part for part in self._stretches if len(part[0]) >= THREADS_FROM]
        self._stretches = [part for part in self._stretches if len(part[0]) < THREADS_FROM]
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
        if self._shared:
            _in_threads(loop, self._shared, self._slots)


def _in_threads(loop: Loop, stretches: list[tuple[Floats, ...]], slots: Floats) -> None:
    """The loop over each stretch, cut into a part for each core."""
    count = _cores()
    for arrays in stretches:
        step = -(-len(arrays[0]) // count // LINE) * LINE
        parts = [[a[start : start + step] for a in arrays] for start in range(0, len(arrays[0]), step)]
        if len(parts) == 1:
            loop(*arrays, slots)
            continue
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
    import numba

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    config: Any = numba.config
    return min(cores, int(config.NUMBA_NUM_THREADS))


class Compiled(NamedTuple):
    """What came of making one loop."""

    rule: str
    dtype: str
    seconds: float
    cached: bool
    """Whether it was read from the disk."""


compilations: list[Compiled] = []
"""Every loop this process has compiled or read, in order."""


def compiled(graph: Graph, dtype: str) -> Loop:
    """A rule as a compiled loop: ``loop(<inputs>, slots)``."""
    return _compiled(graph.name, numba_source(graph, dtype), (1,) * (len(graph.inputs) + 1), dtype)


# ---- compiled forms of an activation, alone and behind a bias, and a loss; equal, bit for bit, to the formulas


def _relu(b: Any, x: Floats, out: Floats, tmp: list[Floats]) -> None:
    _loop(numba_loops.relu, (1, 1), out.dtype)(x.ravel(), out.reshape(-1))


def _relu_backward(b: Any, x: Floats, y: Floats, dy: Floats, out: Floats, tmp: list[Floats]) -> None:
    _loop(numba_loops.relu_backward, (1, 1, 1), out.dtype)(x.ravel(), dy.ravel(), out.reshape(-1))


def _bias_relu(z: Floats, b: Floats, out: Floats) -> None:
    _loop(numba_loops.bias_relu, (2, 1, 2), out.dtype)(z, b, out)


def _bias_relu_backward(z: Floats, dy: Floats, db: Floats) -> None:
    _loop(numba_loops.bias_relu_backward, (2, 2, 1), dy.dtype)(z, dy, db)


def _softmax_cross_entropy(b: Any, logits: Floats, labels: Floats, out: Floats) -> tuple[float, Floats]:
    n, dtype = len(logits), logits.dtype
    gradient, picked, total = _rows(out), np.empty(n, dtype), np.empty(n, dtype)
    _loop(numba_loops.shift, (2, -1, 2, 1), dtype)(_rows(logits), labels, gradient, picked)
    np.exp(gradient, gradient)
    np.add.reduce(gradient, axis=1, out=total)
    loss = float(np.add.reduce(np.log(total) - picked)) / n
    _loop(numba_loops.normalise, (2, -1, 1), dtype)(gradient, labels, total)
    if gradient is not out:
        out[...] = gradient
    return loss, out


_FUSED = {
    "relu": (_relu, _relu_backward),
    "dense relu": (_bias_relu, _bias_relu_backward),
    "softmax_cross_entropy": _softmax_cross_entropy,
}

_rows = np.ascontiguousarray  # a layer or a loss from outside may lay its arrays out as it likes


@cache
def _loop(function: Loop, dimensions: tuple[int, ...], dtype: np.dtype[Any]) -> Loop:
    text = f"from typing import Any\n\n\n{inspect.getsource(function)}"
    return _compiled(function.__name__, text, dimensions, dtype.name)


@cache
def _compiled(name: str, text: str, dimensions: tuple[int, ...], dtype: str) -> Loop:
    """The function of that name in ``text``, from the user's cache folder or newly compiled; then, on a terminal, a
    line says so. ``dimensions``: of each argument, a contiguous array; a negative one is of labels."""
    import numba

    types = [
        numba.types.Array(numba.int64 if d < 0 else numba.from_dtype(np.dtype(dtype)), abs(d), "C") for d in dimensions
    ]
    start = time.perf_counter()
    path = _source_file(f"{name}_{dtype}", text)
    try:
        loop: Any = _jit(text, types, path)
    except Exception:  # a damaged entry of the cache; or an error that comes again
        if path is None:
            raise
        for file in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
            file.unlink(missing_ok=True)
        loop = _jit(text, types, None)
    entry = Compiled(name, dtype, time.perf_counter() - start, bool(loop.stats.cache_hits))
    compilations.append(entry)
    if not entry.cached and sys.stderr.isatty():
        print(f"optimlab: compiled {name} for {dtype} in {entry.seconds:.1f} s", file=sys.stderr)
    compiled_loop: Loop = loop
    return compiled_loop


def _jit(text: str, types: list[Any], path: Path | None) -> Any:
    import numba

    # Numba imports the module of this name when it reads its cache
    scope: dict[str, Any] = {"__name__": __name__}
    # exec of a string would make Python end by SIGINT after a Ctrl-C that hits it, handled or not
    exec(compile(text, str(path or "<loop>"), "exec"), scope)
    function = [f for f in scope.values() if inspect.isfunction(f)][-1]
    # compiled code is linked by name, so that no two loops may have the same one
    function.__name__ = function.__qualname__ = f"loop_{_digest(text)}"
    return numba.njit(numba.void(*types), error_model="numpy", nogil=True, cache=path is not None)(function)


def _source_file(name: str, text: str) -> Path | None:
    """The text as a file in the user's cache folder: Numba keeps compiled code beside the file it came from. None,
    with one warning, where the folder cannot be written to."""
    from platformdirs import user_cache_path

    safe = "".join(c if c.isalnum() else "_" for c in name)
    path = user_cache_path("optimlab") / "numba" / f"{safe}_{_digest(text)}.py"
    try:
        (path.parent / "__pycache__").mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != text:
            write_atomically(path, text)
        if not os.access(path.parent / "__pycache__", os.W_OK):
            raise InputError("it is read-only")
    except (OSError, InputError) as error:
        _warn_once(f"compiled loops cannot be kept in {path.parent}, and are compiled in each process: {error}")
        return None
    return path


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)
