"""NumPy's own BLAS, found by the address of its functions, to be called from compiled code."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import NamedTuple

import numpy as np

PREFIXES, SUFFIXES = ("scipy_cblas_", "cblas_"), ("64_", "", "$NEWLAPACK$ILP64", "$NEWLAPACK")
"""Of the names that builds of NumPy have for the functions of the C interface: OpenBLAS's own, and Apple's."""


class Gemm(NamedTuple):
    """``cblas_sgemm`` or ``cblas_dgemm``."""

    address: int
    wide: bool
    """Whether its integers have 64 bits."""


@cache
def gemm(dtype: str) -> Gemm | None:
    """The matrix product of NumPy's BLAS; None where NumPy was built without one."""
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
