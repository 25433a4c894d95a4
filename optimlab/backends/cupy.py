"""The CuPy backend: arrays, matrix products and updates on an NVIDIA GPU.

A rule is one kernel, compiled from the text that :func:`optimlab.kernels.cuda_source` prints, launched once a stretch.
Nothing here waits for the device but :meth:`CuPyBackend.to_numpy` and the state of a generator. CuPy is imported when
the backend is first asked for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache, cached_property
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from ..errors import InputError, one_line
from ..kernels import Graph, cuda_source
from ..kernels.c_source import C_TYPES, function_name

DeviceArray: TypeAlias = Any
"""A ``cupy.ndarray``."""

OPTIONS = ("--fmad=false",)
"""Of every kernel: a fused multiply-add rounds once where NumPy rounds twice. An update waits for memory, so that this
costs nothing."""

THREADS = 256
MOST_BLOCKS = 1 << 16
"""A kernel's threads go over the elements in strides: more blocks than this gain nothing."""


def missing() -> str:
    """What the backend lacks on this machine, as the end of a sentence; empty where it can be used."""
    if "cupy" not in sys.modules and find_spec("cupy") is None:
        return "needs CuPy: pip install optimlab[cuda13] (or optimlab[cuda12] for an older driver)"
    try:
        if import_module("cupy").cuda.is_available():
            return ""
    except Exception as error:  # a broken installation may raise anything
        return f"needs CuPy, which cannot be imported here: {one_line(error)}"
    return "needs an NVIDIA GPU and its driver; CuPy is installed, but finds none"


class CuPyBackend:
    """Arrays of CuPy on the current device."""

    name = "cupy"
    asynchronous = True
    blas: Any = None
    """What multiplies matrices while a CUDA graph is made, see :mod:`optimlab.backends.recording`."""

    @property
    def xp(self) -> ModuleType:
        return import_module("cupy")

    @property
    def fused(self) -> Mapping[str, Any]:
        return {}

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
            return self.xp.ascontiguousarray(values, dtype=dtype)

    def to_numpy(self, array: DeviceArray) -> Any:
        return self.xp.asnumpy(array)

    def owns(self, value: Any) -> bool:
        cupy = sys.modules.get("cupy")  # an array of CuPy exists only where CuPy was imported
        return cupy is not None and isinstance(value, cupy.ndarray)

    def number(self, value: DeviceArray) -> DeviceArray:
        return value.astype("float64")

    def dot(self, a: DeviceArray, b: DeviceArray) -> DeviceArray:
        # not vdot, which calls cuBLAS: a CUDA graph could not have it
        return self.xp.multiply(a, b, dtype="float64").sum()

    def matmul(self, a: DeviceArray, b: DeviceArray, out: DeviceArray) -> DeviceArray:
        return self.blas.matmul(a, b, out) if self.blas else self.xp.matmul(a, b, out=out)

    def take(self, rows: DeviceArray, indices: DeviceArray, out: DeviceArray) -> None:
        rows.take(indices, axis=0, out=out)

    def generator(self, seed: Any) -> PhiloxGenerator:
        return PhiloxGenerator(seed)

    def bind(self, graph: Graph, arrays: list[dict[str, DeviceArray]]) -> CuPyStep:
        return CuPyStep(graph, arrays)

    def quiet(self) -> AbstractContextManager[Any]:
        return _memory()


@contextmanager
def _memory() -> Iterator[None]:
    """Turns a device that is out of memory into one clear error."""
    try:
        yield
    except MemoryError as error:  # CuPy's is one
        raise InputError(
            f"the GPU's memory is full: {one_line(error)}; take a smaller batch_size, network or data set"
        ) from None


@cache
def kernel(text: str, name: str) -> Any:
    """The CUDA function ``name`` of ``text``, compiled when it is first launched."""
    return import_module("cupy").RawKernel(text, name, OPTIONS)


def launch(function: Any, elements: int, *arguments: Any) -> None:
    """Run a kernel of the signature ``(long long n, ...)`` with about one thread an element."""
    if elements:
        blocks = min(-(-elements // THREADS), MOST_BLOCKS)
        function((blocks,), (THREADS,), (np.int64(elements), *arguments))


class CuPyStep:
    """A rule bound to flat device arrays, as one kernel launch over each stretch."""

    def __init__(self, graph: Graph, arrays: list[dict[str, DeviceArray]]) -> None:
        cupy = import_module("cupy")
        self.dtype = np.dtype(arrays[0]["w"].dtype if arrays else "float32")
        self._kernel = kernel(cuda_source(graph, self.dtype.name), function_name(graph))
        self._stretches = [tuple(part[name] for name in graph.inputs) for part in arrays]
        for views in self._stretches:
            for view in views:  # a kernel is given a pointer, and knows nothing of strides
                if not view.flags.c_contiguous or view.dtype != self.dtype or view.shape != views[0].shape:
                    raise InputError(f"a rule runs on contiguous {self.dtype} arrays of one length")
        self._scalars = np.zeros(max(1, len(graph.slots)), self.dtype)
        self.hp = cupy.zeros(self._scalars.shape, self.dtype)
        """The host scalars, on the device."""

    def __call__(self, scalars: tuple[float, ...]) -> None:
        self._scalars[: len(scalars)] = scalars
        # so few bytes from ordinary memory are copied into the command itself: nobody waits
        self.hp.set(self._scalars, stream=import_module("cupy").cuda.get_current_stream())
        self.launch()

    def launch(self) -> None:
        """One update with the scalars that ``hp`` holds."""
        for views in self._stretches:
            launch(self._kernel, views[0].size, *views, self.hp)


# ---- random numbers ----

_PHILOX = """\
extern "C" __global__ void philox_{type}(long long n, {type} *out, unsigned long long key0, unsigned long long key1,
                                         const unsigned long long *counter)
{{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i * {numbers} < n; i += stride) {{
        unsigned long long x[4] = {{counter[0] + i + 1, 0, 0, 0}}, k0 = key0, k1 = key1;
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
        for (int j = 0; j < {numbers} && i * {numbers} + j < n; ++j)
            out[i * {numbers} + j] = {number};
    }}
}}"""

_NUMBERS = {
    "float32": (8, "((unsigned)(x[j / 2] >> 32 * (j % 2)) >> 8) * (1.0f / 16777216)"),
    "float64": (4, "(x[j] >> 11) * (1.0 / 9007199254740992)"),
}
"""How many numbers of a dtype come from the four words of one counter, and number ``j`` of them, as NumPy makes it."""


def philox_source(dtype: str) -> str:
    """The CUDA text of Philox 4x64-10 (Salmon et al., 2011): ``numpy.random.Philox``'s numbers, each thread its own.

    Number ``i`` depends on the key, ``counter[0]`` and ``i`` alone, whatever the grid.
    """
    numbers, number = _NUMBERS[dtype]
    return _PHILOX.format(type=C_TYPES[dtype], numbers=numbers, number=number)


class PhiloxGenerator:
    """Random numbers made on the device. The counter lies there too: a step can be recorded with its draws, and each
    replay draws new ones.

    The stream is not that of the other backends, which draw from PCG64: that generator goes from one state to the
    next, and thousands of threads cannot share one. It is ``numpy.random.Philox(seed)``'s, each call beginning with a
    new counter.
    """

    def __init__(self, seed: Any) -> None:
        self._key = [int(word) for word in np.random.Philox(seed).state["state"]["key"]]
        self._counter = import_module("cupy").zeros(1, "uint64")

    def uniform(self, out: DeviceArray) -> None:
        dtype = out.dtype.name
        function = kernel(philox_source(dtype), f"philox_{C_TYPES[dtype]}")
        used = math.ceil(out.size / _NUMBERS[dtype][0])
        key = map(np.uint64, self._key)
        if not out.flags.c_contiguous:
            raise InputError("random numbers are written to contiguous arrays")
        launch(function, out.size, out, *key, self._counter)
        self._counter += np.uint64(used)

    @property
    def state(self) -> dict[str, Any]:
        counter = import_module("cupy").asnumpy(self._counter)
        return {"bit_generator": "Philox", "key": list(self._key), "counter": int(counter[0])}

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._key = list(value["key"])
        self._counter.fill(value["counter"])
