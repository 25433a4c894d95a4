"""Addresses of the functions in NumPy's BLAS, for calls from compiled code."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import NamedTuple

import numpy as np

PREFIXES, SUFFIXES = ("scipy_cblas_", "cblas_"), ("64_", "", "$NEWLAPACK$ILP64", "$NEWLAPACK")
"""Name patterns for the functions of the C interface in builds of NumPy: OpenBLAS's and Apple's."""


class Gemm(NamedTuple):
    """The function ``cblas_sgemm`` or ``cblas_dgemm``."""

    address: int
    wide: bool
    """True if its integers have 64 bits."""


@cache
def gemm(dtype: str) -> Gemm | None:
    """Return the matrix product of NumPy's BLAS; None if NumPy was built without a BLAS."""
    try:
        library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    except (OSError, AttributeError):
        return None
    letter = {"float32": "s", "float64": "d"}[dtype]
    for prefix in PREFIXES:
        for suffix in SUFFIXES:
            function = getattr(library, f"{prefix}{letter}gemm{suffix}", None)
            if function is not None:
                return Gemm(ctypes.cast(function, ctypes.c_void_p).value or 0, "64" in suffix)
    return None
