"""Functions that NumPy lacks, called as its own are: ``erf(x, out)``."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

# Fitted by tests/fit_elementary.py, with u = x + x^3 polynomial(x^2) in erf(x) = u / sqrt(pi / 4 + u^2).
STRETCHED = (
    0.30328503,
    0.07132078,
    0.011162652,
    0.0012897066,
    0.00008460378,
    0.00002183741,
    -0.0000013636582,
    0.00000019183567,
)
LIMIT = 4.25
"""From 3.92 on, erf rounds to 1."""
BLOCK = 16384
"""Numbers a block. Its three arrays of temporaries stay in the second cache."""


def erf(x: NDArray[np.floating], out: NDArray[np.floating]) -> NDArray[np.floating]:
    """Write erf(x), broadcast, into ``out`` of the same dtype, and return it; ``out`` may be ``x`` itself.

    In float32 the error is at most 3.1 units in the last place, and it takes a quarter of the time of SciPy's loop. The
    formula is u / sqrt(pi / 4 + u^2): the square root dampens an error of u, and the quotient never exceeds 1. In
    float64 it is SciPy's function.

    >>> x = np.array([-np.inf, -1, 0, 0.5], np.float32)
    >>> erf(x, np.empty_like(x)).round(4)
    array([-1.    , -0.8427,  0.    ,  0.5205], dtype=float32)
    """
    if x.dtype != np.float32:
        from scipy.special import erf as exact  # imported here: SciPy's functions take 50 ms to import

        exact(x, out=out)
    elif x.shape == out.shape and x.flags.c_contiguous and out.flags.c_contiguous:
        _erf_of_row(x.reshape(-1), out.reshape(-1))
    else:
        row = x.flatten()
        _erf_of_row(row, row)
        out[...] = row.reshape(x.shape)
    return out


_local = threading.local()


def _scratch() -> NDArray[np.floating]:
    """Three arrays to work in, this thread's own."""
    if not hasattr(_local, "scratch"):
        _local.scratch = np.empty((3, BLOCK), np.float32)
    scratch: NDArray[np.floating] = _local.scratch
    return scratch


def _erf_of_row(x: NDArray[np.floating], out: NDArray[np.floating]) -> None:
    innermost, *others = (np.float32(c) for c in reversed(STRETCHED))
    scratch = _scratch()
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK]
        a, square, u = scratch[:, : len(block)]
        np.minimum(block, LIMIT, out=a)
        np.maximum(a, -LIMIT, out=a)
        np.multiply(a, a, square)
        np.multiply(square, innermost, u)
        for c in others:
            np.add(u, c, u)
            np.multiply(u, square, u)
        np.multiply(u, a, u)
        np.add(u, a, u)
        np.multiply(u, u, square)
        np.add(square, np.float32(np.pi / 4), square)
        np.sqrt(square, square)
        np.divide(u, square, out[start : start + BLOCK])
