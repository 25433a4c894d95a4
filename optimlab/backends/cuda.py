"""CUDA kernels: compiled from their texts, loaded and launched by CuPy."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

OPTIONS = ("--fmad=false", "--ftz=false")
"""Options for every kernel. A fused multiply-add would round once where NumPy rounds twice. Updates are memory-bound,
so disabling it costs nothing. Subnormal numbers are kept, as in NumPy."""

THREADS = 256
MOST_BLOCKS = 1 << 16
"""Largest number of blocks. A kernel's threads stride over the elements, so more blocks gain nothing."""


def kernel(text: str, name: str) -> Any:
    """Return the CUDA function ``name`` of ``text`` on the current device."""
    return _loaded(text, name, import_module("cupy").cuda.runtime.getDevice())


@cache
def _loaded(text: str, name: str, device: int) -> Any:
    """Compile and load a CUDA function. CuPy's ``RawKernel`` would add an option that flushes subnormal numbers."""
    cuda = import_module("cupy").cuda
    binary, _ = cuda.compiler.compile_using_nvrtc(text, OPTIONS)
    module = cuda.Module()
    module.load(binary)
    return module.get_function(name)


def launch(function: Any, elements: int, *arguments: Any) -> None:
    """Run a kernel with the signature ``(long long n, ...)``, with about one thread per element."""
    if elements:
        blocks = min(-(-elements // THREADS), MOST_BLOCKS)
        function((blocks,), (THREADS,), (np.int64(elements), *arguments))


# ---- rows by index
# CuPy's own indexing takes several launches.

_ROWS = """\
extern "C" __global__ void take_{dtype}(long long n, long long width, const {type} *__restrict__ rows,
                                        const long long *__restrict__ indices, {type} *__restrict__ out)
{{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride)
        out[i] = rows[indices[i / width] * width + i % width];
}}

extern "C" __global__ void put_{dtype}(long long n, {type} *__restrict__ table, const long long *__restrict__ index,
                                      const {type} *__restrict__ row)
{{
    const long long stride = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += stride)
        table[index[0] * n + i] = row[i];
}}"""

ROW_TYPES = {"float32": "float", "float64": "double", "int64": "long long"}
"""The types of arrays whose rows are taken and put by one kernel."""


@cache
def rows_source(dtype: str) -> str:
    """Return the CUDA text of two kernels that copy rows of a matrix.

    ``take_<dtype>(n, width, rows, indices, out)`` copies the rows with these indices; ``n`` is the size of ``out``.
    ``put_<dtype>(n, table, index, row)`` replaces the row with this index, of ``n`` numbers.
    """
    return _ROWS.format(type=ROW_TYPES[dtype], dtype=dtype)
