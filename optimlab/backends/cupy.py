"""The CuPy backend: arrays, matrix products and updates on an NVIDIA GPU.

A rule is one kernel, compiled from the text of :func:`optimlab.kernels.cuda_source` and launched once per slice. Each
formula of a network is a kernel, too. Only :meth:`CuPyBackend.to_numpy` and the state of a generator synchronize the
device. CuPy is imported when the backend is first requested.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, cached_property
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from ..common.errors import InputError, install, one_line
from ..kernels import Formula, Graph, cuda_source, graph_of, scalars_of
from ..kernels.c_source import C_TYPES, STACKED, function_name
from ..kernels.tile import MOST_COLUMNS
from .cublas import current
from .cuda import OPTIONS, ROW_TYPES, THREADS, kernel, launch, rows_source
from .cuda_program import CudaProgram, row_reduction
from .layout import broadcast
from .operations import CannotRecord, Deferred

DeviceArray: TypeAlias = Any
"""The type ``cupy.ndarray``."""


def missing() -> str:
    """Return what the backend lacks on this machine, as the end of a sentence; empty if it is available."""
    if "cupy" not in sys.modules and find_spec("cupy") is None:
        return f"needs CuPy: {install('cuda13')} (or '.[cuda12]' for an older driver)"
    try:
        if import_module("cupy").cuda.is_available():
            return ""
    except Exception as error:  # a broken installation may raise anything
        return f"needs CuPy, which cannot be imported here: {one_line(error)}"
    return "needs an NVIDIA GPU and its driver; CuPy is installed, but finds none"


class _CuPyArrays:
    """Arrays on the current device, and operations on them that are executed at once."""

    name = "cupy"
    asynchronous = True
    blas: Any = None
    """The matrix products for capturing a CUDA graph, see :mod:`optimlab.backends.recording`."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[Any, DeviceArray] = {}

    @property
    def xp(self) -> ModuleType:
        return import_module("cupy")

    @cached_property
    def special(self) -> ModuleType:
        return import_module("cupyx.scipy.special")

    def empty(self, shape: int | tuple[int, ...], dtype: str) -> DeviceArray:
        with self.quiet():
            return self.xp.empty(shape, dtype)

    def zeros(self, shape: int | tuple[int, ...], dtype: str) -> DeviceArray:
        with self.quiet():
            return self.xp.zeros(shape, dtype)

    def asarray(self, values: Any, dtype: Any = None) -> DeviceArray:
        if not self.owns(values):
            values = np.asarray(values)
            if values.dtype.kind not in "biuf":
                raise InputError(f"a GPU holds real numbers, got dtype {values.dtype}")
        with self.quiet():
            # ascontiguousarray takes CuPy's arrays alone
            return self.xp.ascontiguousarray(self.xp.asarray(values, dtype))

    def to_numpy(self, array: DeviceArray) -> Any:
        return self.xp.asnumpy(array)

    def owns(self, value: Any) -> bool:
        cupy = sys.modules.get("cupy")  # CuPy arrays exist only if CuPy was imported
        return cupy is not None and isinstance(value, cupy.ndarray)

    def matmul(self, a: DeviceArray, b: DeviceArray, out: DeviceArray) -> DeviceArray:
        blas = self.blas or (current() if out.ndim > 2 else None)
        return blas.matmul(a, b, out) if blas else self.xp.matmul(a, b, out=out)

    def map(
        self,
        formula: Formula,
        inputs: tuple[DeviceArray, ...],
        out: DeviceArray | tuple[DeviceArray, ...],
        **numbers: float,
    ) -> None:
        outs = out if isinstance(out, tuple) else (out,)
        if not all(o.flags.c_contiguous for o in outs):
            raise InputError("a formula is written to contiguous arrays")
        domain = outs[0].shape
        # for each output, the index of the same input
        places = tuple([next((k for k, a in enumerate(inputs) if a is o), -1) for o in outs])
        kinds = [broadcast(array.shape, domain) for array in inputs]
        if not all(kinds):
            wrong = inputs[kinds.index("")]
            raise InputError(f"shapes {wrong.shape} and {domain} in one formula")
        # a kernel gets pointers, so arrays with gaps are copied, such as the biases of replicas
        arrays = [array if array.flags.c_contiguous else self.xp.ascontiguousarray(array) for array in inputs]
        dtype = outs[0].dtype.name
        arrays += [o for o, place in zip(outs, places, strict=True) if place < 0]
        sizes = [np.int64(domain[-1])] if any(kind != "full" for kind in kinds) else []
        sizes += [np.int64(math.prod(domain[1:]))] if any(kind in STACKED for kind in kinds) else []
        function = kernel(*_map_source(formula, places, tuple(kinds), dtype))
        launch(function, outs[0].size, *sizes, *arrays, self._on_device(formula, tuple(numbers.items()), dtype))

    def _on_device(self, formula: Formula, numbers: tuple[tuple[str, float], ...], dtype: str) -> DeviceArray:
        """Return the host scalars of a formula. They are never freed, because a CUDA graph refers to them."""
        values = scalars_of(formula, numbers) or (0.0,)
        known = self._numbers.get((values, dtype))
        if known is None:
            known = self._numbers[values, dtype] = self.asarray(values, dtype)
        return known

    def column_sums(self, x: DeviceArray, out: DeviceArray) -> None:
        if x.ndim == 1:
            self.xp.sum(x, out=out.reshape(()))
        else:
            self.xp.sum(x, axis=-2, out=out, keepdims=out.ndim == x.ndim)

    def row_sums(self, x: DeviceArray, out: DeviceArray) -> None:
        if x.shape[-1] > MOST_COLUMNS:
            self.xp.sum(x, axis=-1, out=out, keepdims=True)
        else:
            row_reduction("sum", x, out)

    def row_max(self, x: DeviceArray, out: DeviceArray) -> None:
        if x.shape[-1] > MOST_COLUMNS:
            self.xp.max(x, axis=-1, out=out, keepdims=True)
        else:
            row_reduction("max", x, out)

    def row_argmax(self, x: DeviceArray, out: DeviceArray) -> None:
        if x.shape[-1] > MOST_COLUMNS:
            out[..., 0] = self.xp.argmax(x, axis=-1)
        else:
            row_reduction("argmax", x, out)

    def take(self, rows: DeviceArray, indices: DeviceArray, out: DeviceArray) -> None:
        dtype, width = out.dtype.name, math.prod(out.shape[1:])
        if dtype not in ROW_TYPES or not rows.flags.c_contiguous:
            rows.take(indices, axis=0, out=out)
            return
        function = kernel(rows_source(dtype), f"take_{dtype}")
        launch(function, out.size, np.int64(width), rows, indices, out)

    def put(self, table: DeviceArray, index: DeviceArray, row: DeviceArray) -> None:
        function = kernel(rows_source(row.dtype.name), f"put_{row.dtype.name}")
        launch(function, row.size, table, index, row)

    def count(self, counter: DeviceArray) -> None:
        counter += 1

    def uniform(self, generator: PhiloxGenerator, out: DeviceArray) -> None:
        generator.uniform(out)

    def stop_unless_finite(self, value: DeviceArray) -> None:
        """Do nothing, because reading a number synchronizes the device. The end of the epoch checks."""

    def generator(self, seed: Any) -> PhiloxGenerator:
        return PhiloxGenerator(seed)

    def stacked(self, generators: Sequence[PhiloxGenerator]) -> PhiloxGenerator:
        return PhiloxGenerator.stacked(generators)

    def quiet(self) -> AbstractContextManager[Any]:
        return _memory()


class CuPyBackend(Deferred, _CuPyArrays):
    """The backend of CuPy arrays on the current device.

    In :meth:`recording`, operations are recorded, and neighbours become one kernel.
    """

    def program(self, dtype: str) -> CudaProgram:
        return CudaProgram(self, dtype)

    def bind(self, graph: Graph, arrays: list[dict[str, DeviceArray]]) -> CuPyStep:
        return CuPyStep(self, graph, arrays)


@contextmanager
def _memory() -> Iterator[None]:
    """Turn an out-of-memory error of the device into an :class:`InputError`."""
    try:
        yield
    except MemoryError as error:  # CuPy's error is a subclass
        raise InputError(
            f"the GPU's memory is full: {one_line(error)}; use a smaller batch_size, network or data set"
        ) from None


def largest_block() -> int:
    """Return the bytes of shared memory that a thread block may have on the current device."""
    runtime = import_module("cupy").cuda.runtime
    most: int = runtime.deviceGetAttribute(runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin, runtime.getDevice())
    return most


def launch_blocks(function: Any, blocks: int, threads: int, shared: int, *arguments: Any) -> None:
    """Run a kernel with ``shared`` bytes of shared memory for each block."""
    driver = import_module("cupy").cuda.driver
    driver.funcSetAttribute(function.ptr, driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared)
    function((blocks,), (threads,), arguments, shared)


@cache
def _map_source(formula: Formula, places: tuple[int, ...], kinds: tuple[str, ...], dtype: str) -> tuple[str, str]:
    """Return the CUDA text of a formula, and the kernel's name."""
    graph = graph_of(formula, places)
    shapes = {name: kind for name, kind in zip(graph.inputs, kinds, strict=True) if kind != "full"}
    return cuda_source(graph, dtype, shapes), function_name(graph)


class CuPyStep:
    """A rule bound to flat device arrays, as one kernel launch per slice.

    Two-dimensional arrays are replicas: each has one row of the array and one row of scalars.
    """

    def __init__(self, backend: CuPyBackend, graph: Graph, arrays: list[dict[str, DeviceArray]]) -> None:
        cupy = import_module("cupy")
        self._backend = backend
        self.dtype = np.dtype(arrays[0]["w"].dtype if arrays else "float32")
        replicas = arrays[0]["w"].shape[:-1] if arrays else ()
        source = cuda_source(graph, self.dtype.name, slots_by_row=bool(replicas))
        self._kernel = kernel(source, function_name(graph))
        self._stretches = [tuple(part[name] for name in graph.inputs) for part in arrays]
        self._columns = [[np.int64(part[0].shape[-1])] if replicas else [] for part in self._stretches]
        for views in self._stretches:
            for view in views:  # a kernel gets a pointer and ignores strides
                if not view.flags.c_contiguous or view.dtype != self.dtype or view.shape != views[0].shape:
                    raise InputError(f"a rule runs on contiguous {self.dtype} arrays of one length")
        self._scalars = np.zeros((*replicas, max(1, len(graph.slots))), self.dtype)
        self.hp = cupy.zeros(self._scalars.shape, self.dtype)
        """The host scalars on the device."""

    def __call__(self, scalars: Any) -> None:
        self._scalars[..., : np.shape(scalars)[-1]] = scalars
        # a copy of so few bytes from pageable memory is part of the command, without synchronization
        self.hp.set(self._scalars, stream=import_module("cupy").cuda.get_current_stream())
        self.launch()

    def launch(self) -> None:
        """Update once, with the scalars in ``hp``."""
        if program := self._backend._program:
            if self.hp.ndim > 1:
                raise CannotRecord("a rule with the scalars of several replicas")
            for views in self._stretches:
                program.rule(self._kernel, views, self.hp)
            return
        for columns, views in zip(self._columns, self._stretches, strict=True):
            launch(self._kernel, views[0].size, *columns, *views, self.hp)


# ---- random numbers ----

_PHILOX = """\
__device__ void philox(unsigned long long counter, const unsigned long long *key, unsigned long long *x)
{{
    unsigned long long k0 = key[0], k1 = key[1];
    x[0] = counter;
    x[1] = x[2] = x[3] = 0;
    for (int round = 0; round < 10; ++round) {{
        const unsigned long long a = 0xD2E7470EE14C6C93ULL, b = 0xCA5A826395121157ULL;
        const unsigned long long y0 = __umul64hi(b, x[2]) ^ x[1] ^ k0, y2 = __umul64hi(a, x[0]) ^ x[3] ^ k1;
        x[1] = b * x[2];
        x[3] = a * x[0];
        x[0] = y0;
        x[2] = y2;
        k0 += 0x9E3779B97F4A7C15ULL;
        k1 += 0xBB67AE8584CAA73BULL;
    }}
}}

/* Numbers from ``first`` on, at most {numbers}, of the ``size`` numbers after ``used`` counters. */
__device__ void uniform_part(long long first, long long size, {type} *out, const unsigned long long *key,
                             unsigned long long used)
{{
    unsigned long long x[4];
    philox(used + first / {numbers} + 1, key, x);
    for (int j = 0; j < {numbers} && first + j < size; ++j)
        out[first + j] = {number};
}}
"""

_PHILOX_KERNEL = """
extern "C" __global__ void philox_{type}(long long n, long long size, {type} *out, const unsigned long long *keys,
                                         const unsigned long long *counter)
{{
    const long long stride = (long long)gridDim.x * blockDim.x, parts = (size + {numbers} - 1) / {numbers};
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride) {{
        const long long stream = i / parts;
        uniform_part(i % parts * {numbers}, size, out + stream * size, keys + 2 * stream, counter[0]);
    }}
}}"""

NUMBERS = {
    "float32": (8, "((unsigned)(x[j / 2] >> 32 * (j % 2)) >> 8) * (1.0f / 16777216)"),
    "float64": (4, "(x[j] >> 11) * (1.0 / 9007199254740992)"),
}
"""The count of numbers of each dtype from the four words of one counter, and the text of number ``j``, as in NumPy."""


@cache
def philox_source(dtype: str) -> str:
    """Return the CUDA text of Philox 4x64-10 (Salmon et al., 2011), equal to ``numpy.random.Philox``.

    ``n`` is the number of active threads. Each fills one part of the ``size`` numbers of a stream. Number ``i`` of a
    stream depends only on its key, ``counter[0]`` and ``i``, not on the grid.
    """
    numbers, number = NUMBERS[dtype]
    return uniform_source(dtype) + _PHILOX_KERNEL.format(type=C_TYPES[dtype], numbers=numbers, number=number)


def uniform_source(dtype: str) -> str:
    """Return the CUDA text of the functions ``philox`` and ``uniform_part``, the numbers that a thread draws."""
    numbers, number = NUMBERS[dtype]
    return _PHILOX.format(type=C_TYPES[dtype], numbers=numbers, number=number)


def counters(size: int, dtype: str) -> int:
    """Return how many counters Philox uses for ``size`` numbers.

    >>> counters(17, "float32"), counters(17, "float64")
    (3, 5)
    """
    return math.ceil(size / NUMBERS[dtype][0])


class PhiloxGenerator:
    """A generator of random numbers on the device.

    The counter is on the device, too. So a step can be recorded with its draws, and each replay draws new numbers. The
    stream differs from the other backends', which draw from PCG64: that generator is sequential, and thousands of
    threads cannot share it. The stream equals ``numpy.random.Philox(seed)``, with a new counter for each call.
    """

    def __init__(self, seed: Any) -> None:
        self._keys = import_module("cupy").zeros((1, 2), "uint64")
        self._counter = import_module("cupy").zeros(1, "uint64")
        self._set([np.random.Philox(seed).state["state"]["key"]])

    @classmethod
    def stacked(cls, generators: Sequence[PhiloxGenerator]) -> PhiloxGenerator:
        """Stack generators that have drawn equally many numbers, as in :meth:`optimlab.backends.Backend.stacked`."""
        made = cls(0)
        made._set([key for generator in generators for key in generator._key])
        made._counter[...] = generators[0]._counter
        return made

    def _set(self, keys: Sequence[Any]) -> None:
        self._key = [[int(word) for word in key] for key in keys]
        self._keys = import_module("cupy").asarray(np.array(self._key, "uint64"))

    def uniform(self, out: DeviceArray) -> None:
        dtype = out.dtype.name
        function = kernel(philox_source(dtype), f"philox_{C_TYPES[dtype]}")
        streams = len(self._key)
        size = out.size // streams
        parts = counters(size, dtype)
        if not out.flags.c_contiguous:
            raise InputError("random numbers are written to contiguous arrays")
        launch(function, streams * parts, np.int64(size), out, self._keys, self._counter)
        self.skip(parts)

    def skip(self, parts: int) -> None:
        """Count numbers that a kernel has drawn itself, in counters."""
        self._counter += np.uint64(parts)

    @property
    def stream(self) -> tuple[DeviceArray, DeviceArray]:
        """The keys, one row for each replica, and the counter."""
        return self._keys, self._counter

    @property
    def state(self) -> dict[str, Any]:
        counter = import_module("cupy").asnumpy(self._counter)
        return {"bit_generator": "Philox", "key": list(self._key[0]), "counter": int(counter[0])}

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._set([value["key"]])
        self._counter.fill(value["counter"])


__all__ = [
    "OPTIONS",
    "THREADS",
    "CuPyBackend",
    "CuPyStep",
    "PhiloxGenerator",
    "kernel",
    "launch",
    "missing",
    "philox_source",
]
