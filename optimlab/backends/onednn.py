"""Large matrix products by Intel's oneDNN, which is faster on processors with AVX-512.

It is used only on one thread. oneDNN uses OpenMP's threads and NumPy's BLAS its own, and the two thread pools busy-wait
against each other.

Reference: oneDNN's Developer Guide, "BLAS functions" (dnnl_sgemm) and "CPU Dispatcher Control".
"""

from __future__ import annotations

import ctypes
import warnings
from functools import cache

import numpy as np

from .layout import layout
from .numpy import Floats

DISTRIBUTION = "onednn-cpu-gomp"
"""The package: oneDNN for CPUs only, on GNU's OpenMP, without further dependencies."""

LARGE, WIDE = 8_000_000, 128
"""Fewest multiplications (a tenth of a millisecond's) and columns of the result for which oneDNN is used. Measured by
``benchmarks/products.py --shapes``: with AVX-512 it is then 0.9 to 1.5 times as fast as NumPy's BLAS, and 1.1 times for
the layers of large networks; with 50 columns 0.7 to 1.0 times, and without AVX-512 0.4 to 1.2 times."""

AVX512 = 0x27
"""oneDNN's flags for the smallest instruction set with AVX-512."""


@cache
def library() -> ctypes.CDLL | None:
    """Return oneDNN; None if it is not installed or the processor has no AVX-512.

    Also return None if it cannot be loaded, with a warning that says why.
    """
    from importlib import metadata  # when first used: it takes longer than most of optimlab

    try:
        files = metadata.distribution(DISTRIBUTION).files or []
    except metadata.PackageNotFoundError:
        return None
    try:
        found = ctypes.CDLL(next((str(f.locate()) for f in files if f.name == "libdnnl.so.3"), "libdnnl.so.3"))
        instructions, _ = found.dnnl_get_effective_cpu_isa(), found.omp_get_max_threads
        size, number, matrix = ctypes.c_int64, ctypes.c_float, (ctypes.c_void_p, ctypes.c_int64)
        kinds = (ctypes.c_char, ctypes.c_char, size, size, size, number, *matrix, *matrix, number, *matrix)
        found.dnnl_sgemm.argtypes = kinds
    except (OSError, AttributeError) as error:
        warnings.warn(f"{DISTRIBUTION} is installed but cannot be used: {error}", RuntimeWarning, stacklevel=2)
        return None
    return found if instructions & AVX512 == AVX512 else None


def used() -> list[str]:
    """Return oneDNN's name and version in a list, which is empty if it is not available."""
    from importlib.metadata import version

    return [f"{DISTRIBUTION} {version(DISTRIBUTION)}"] if library() else []


def fits(a: Floats, b: Floats, out: Floats) -> bool:
    """Return True if oneDNN should compute ``out = a b``.

    This holds for large and wide products of float32 matrices with a :func:`~optimlab.backends.layout.layout`, on one
    thread. ``out`` must not share memory with the others.
    """
    columns = b.shape[-1]
    if columns < WIDE or a.size * columns < LARGE or a.ndim != 2 or b.ndim != 2:
        return False
    onednn = library()
    if onednn is None or onednn.omp_get_max_threads() != 1:
        return False
    fitting = b.shape[0] == a.shape[1] and out.shape == (a.shape[0], columns)
    fitting = fitting and a.dtype == b.dtype == out.dtype == np.float32
    return fitting and layout(a) is not None and layout(b) is not None and out.flags.carray


def multiply(a: Floats, b: Floats, out: Floats) -> bool:
    """Compute ``out = a b`` if it :func:`fits`, and return True if so."""
    return fits(a, b, out) and product(a, b, out)


def product(a: Floats, b: Floats, out: Floats) -> bool:
    """Compute ``out = a b`` for float32 matrices with a layout, of any size, and return True if it succeeded."""
    onednn, first, second = library(), layout(a), layout(b)
    assert onednn is not None
    assert first is not None
    assert second is not None
    (rows, inner), columns = a.shape, b.shape[1]
    orders = [b"T" if side.transposed else b"N" for side in (first, second)]
    left, right = (a.ctypes.data, first.leading), (b.ctypes.data, second.leading)
    result = out.ctypes.data, columns
    status: int = onednn.dnnl_sgemm(*orders, rows, columns, inner, 1.0, *left, *right, 0.0, *result)
    return status == 0


def address() -> int:
    """Return the address of ``dnnl_sgemm``; oneDNN must be loaded."""
    onednn = library()
    assert onednn is not None
    return ctypes.cast(onednn.dnnl_sgemm, ctypes.c_void_p).value or 0
