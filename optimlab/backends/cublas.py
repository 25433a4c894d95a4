"""Matrix products by cuBLAS itself: CuPy refuses its own while a CUDA graph is recorded.

The library is called through ctypes, found by NVIDIA's ``cuda.pathfinder``, which CuPy brings along. How a product of
row-major matrices is put to it is tested against a CPU's BLAS; the calls have never been run on a GPU.
"""

from __future__ import annotations

import ctypes
from importlib import import_module
from typing import Any, NamedTuple

from ..common.errors import InputError
from .layout import layout

WORKSPACE = 32 << 20
"""Bytes: what NVIDIA recommends for an H100. It is cuBLAS's own memory, so that none is allocated in a recording."""


class Gemm(NamedTuple):
    """Those arguments of a Fortran ``gemm`` that say what is multiplied: first matrix, second, result."""

    transposed: tuple[bool, bool]
    m: int
    n: int
    k: int
    leading: tuple[int, int, int]


def gemm(a: Any, b: Any, out: Any) -> Gemm:
    """How ``out = a @ b`` is put to a BLAS, which reads matrices by columns: its first is ``b``, its second ``a``.

    Row-major C is column-major C', and C' = B' A'. ``a`` and ``b`` are C-contiguous matrices, their transposes, or
    rows of such; ``out`` is C-contiguous.

    >>> import numpy as np
    >>> gemm(np.zeros((2, 3)), np.zeros((4, 3)).T, np.zeros((2, 4)))
    Gemm(transposed=(True, False), m=4, n=2, k=3, leading=(3, 3, 4))
    """
    (rows, inner), columns = a.shape, b.shape[1]
    first, second = layout(b), layout(a)
    if first is None or second is None:
        raise InputError("a matrix for cuBLAS lies in memory by rows or by columns")
    if b.shape[0] != inner or out.shape != (rows, columns) or not out.flags.c_contiguous:
        raise InputError(f"cannot multiply shapes {a.shape} and {b.shape} into {out.shape}")
    transposed = first.transposed, second.transposed
    return Gemm(transposed, columns, rows, inner, (first.leading, second.leading, columns))


class CuBLAS:
    """A handle of the library, bound to one stream."""

    def __init__(self, stream: Any) -> None:
        self._library = library()
        self._handle = ctypes.c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream.ptr))
        # after the stream, which would set it back
        self._workspace = import_module("cupy").empty(WORKSPACE, "uint8")
        pointer = ctypes.c_void_p(self._workspace.data.ptr)
        self._call("cublasSetWorkspace_v2", self._handle, pointer, ctypes.c_size_t(WORKSPACE))

    def matmul(self, a: Any, b: Any, out: Any) -> Any:
        """``a @ b`` written to ``out``; of arrays with three axes, one product for each place on the first."""
        number, name = _FUNCTIONS[out.dtype.name]
        one, zero = number(1), number(0)
        batched = out.ndim == 3
        how = gemm(*(x[0] for x in (a, b, out))) if batched else gemm(a, b, out)
        if batched and not len(a) == len(b) == len(out):
            raise InputError(f"cannot multiply shapes {a.shape} and {b.shape} into {out.shape}")
        matrices = [
            [
                ctypes.c_void_p(x.data.ptr),
                leading,
                *([ctypes.c_longlong(x.strides[0] // x.itemsize)] if batched else []),
            ]
            for x, leading in zip((b, a, out), how.leading, strict=True)
        ]
        self._call(
            name.replace("_v2", "StridedBatched") if batched else name,
            self._handle,
            *map(int, how.transposed),
            *(how.m, how.n, how.k),
            ctypes.byref(one),
            *matrices[0],
            *matrices[1],
            ctypes.byref(zero),
            *matrices[2],
            *([len(out)] if batched else []),
        )
        return out

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise InputError(f"{name} of cuBLAS failed with status {status}")

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._library.cublasDestroy_v2(self._handle)


_FUNCTIONS = {"float32": (ctypes.c_float, "cublasSgemm_v2"), "float64": (ctypes.c_double, "cublasDgemm_v2")}


def library() -> Any:
    """The library of CuPy's CUDA version."""
    found = import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cublas")
    return ctypes.CDLL(found.abs_path)
