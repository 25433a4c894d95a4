"""The NumPy backend: the default, and the reference every other backend is compared with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..kernels import Graph, NumpySource, numpy_source

Floats = NDArray[Any]

BLOCK_BYTES = 1 << 17
"""Bytes of each array worked on at a time. Measured for Adam in float32: below this the cost of the calls
shows, far above it the scratch registers fall out of the cache."""


class NumPyBackend:
    """Arrays of NumPy, matrix products of its BLAS."""

    name = "numpy"
    xp = np
    special = special

    def __reduce__(self) -> tuple[Any, ...]:
        from . import get

        return get, (self.name,)

    def empty(self, shape: int | tuple[int, ...], dtype: str) -> Floats:
        return np.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: str) -> Floats:
        return np.zeros(shape, dtype)

    def asarray(self, values: Any, dtype: Any = None) -> Floats:
        return np.ascontiguousarray(values, dtype=dtype)

    def to_numpy(self, array: Floats) -> Floats:
        return array

    def owns(self, value: Any) -> bool:
        return isinstance(value, np.ndarray)

    def matmul(self, a: Floats, b: Floats, out: Floats) -> Floats:
        return np.matmul(a, b, out=out)

    def take(self, rows: Floats, indices: Floats, out: Floats) -> None:
        # the default mode="raise" would go through a buffer of the whole result
        np.take(rows, indices, axis=0, out=out, mode="clip")

    def generator(self, seed: Any) -> NumPyGenerator:
        return NumPyGenerator(seed)

    def bind(self, graph: Graph, arrays: list[dict[str, Floats]], block_bytes: int = BLOCK_BYTES) -> NumPyStep:
        return NumPyStep(graph, arrays, block_bytes)

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")


class NumPyGenerator:
    """PCG64; its state is a dictionary of plain integers."""

    def __init__(self, seed: Any) -> None:
        self._generator = np.random.default_rng(seed)

    def uniform(self, out: Floats) -> None:
        self._generator.random(out=out, dtype=out.dtype.type)

    @property
    def state(self) -> dict[str, Any]:
        return dict(self._generator.bit_generator.state)

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._generator.bit_generator.state = value


class NumPyStep:
    """A rule bound to flat arrays; arrays longer than a block are worked on block by block, so that scratch
    registers stay in the cache. The result is the same, bit for bit."""

    def __init__(self, graph: Graph, arrays: list[dict[str, Floats]], block_bytes: int = BLOCK_BYTES) -> None:
        source = numpy_source(graph)
        self._step = _compiled(source)
        dtype = arrays[0]["w"].dtype if arrays else np.dtype("float32")
        block = max(1, block_bytes // dtype.itemsize)
        block = min(block, max((len(a["w"]) for a in arrays), default=0))
        self._slots = np.empty(source.slots, dtype)
        slots = [self._slots[k : k + 1].reshape(()) for k in range(source.slots)]
        scratch = [np.empty(block, dtype) for _ in range(source.registers)]
        scratch += [np.empty(block, bool) for _ in range(source.masks)]
        self._calls = []
        for group in arrays:
            ordered = [group[name] for name in graph.inputs]
            for start in range(0, len(ordered[0]), block or 1):
                views = [a[start : start + block] for a in ordered]
                self._calls.append((*views, *slots, *(r[: len(views[0])] for r in scratch)))

    def __call__(self, scalars: tuple[float, ...]) -> None:
        self._slots[:] = scalars
        step = self._step
        for arguments in self._calls:
            step(*arguments)


@cache
def _compiled(source: NumpySource) -> Callable[..., None]:
    scope: dict[str, Any] = dict(vars(np))
    # exec of a string would make Python end by SIGINT after a Ctrl-C that hits it, handled or not
    exec(compile(source.text, "<rule as NumPy calls>", "exec"), scope)
    step: Callable[..., None] = scope["step"]
    return step
