"""Matrix products by direct calls of cuBLAS.

CuPy's products cannot be captured in a CUDA graph, and copy stacks of matrices that are not contiguous, such as the
weights of replicas.

The library is called through ctypes and located by NVIDIA's ``cuda.pathfinder``, a dependency of CuPy. The mapping of
row-major products to cuBLAS is tested against a CPU's BLAS; the calls have never been run on a GPU.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from ..common.errors import InputError
from .layout import layout

WORKSPACE = 32 << 20
"""Bytes of workspace, as NVIDIA recommends for an H100. It is reserved so that a recording allocates nothing."""


DEFAULT_MATH, TF32_MATH = 0, 3
"""Modes of cuBLAS: float32 as it is, and rounded to TF32, with 10 bits in place of 23."""


class Gemm(NamedTuple):
    """The arguments of a Fortran ``gemm`` that describe the first matrix, the second, and the result."""

    transposed: tuple[bool, bool]
    m: int
    n: int
    k: int
    leading: tuple[int, int, int]


def gemm(a: Any, b: Any, out: Any) -> Gemm:
    """Return the arguments that make a column-major BLAS compute ``out = a @ b``: first ``b``, then ``a``.

    Row-major C is column-major C', and C' = B' A'. ``a`` and ``b`` are C-contiguous matrices, their transposes, or
    rows of such matrices; ``out`` is C-contiguous.

    >>> import numpy as np
    >>> gemm(np.zeros((2, 3)), np.zeros((4, 3)).T, np.zeros((2, 4)))
    Gemm(transposed=(True, False), m=4, n=2, k=3, leading=(3, 3, 4))
    """
    (rows, inner), columns = a.shape, b.shape[1]
    first, second = layout(b), layout(a)
    if first is None or second is None:
        raise InputError("a matrix for cuBLAS must be stored by rows or by columns")
    if b.shape[0] != inner or out.shape != (rows, columns) or not out.flags.c_contiguous:
        raise InputError(f"cannot multiply shapes {a.shape} and {b.shape} into {out.shape}")
    transposed = first.transposed, second.transposed
    return Gemm(transposed, columns, rows, inner, (first.leading, second.leading, columns))


class CuBLAS:
    """A handle of the library, bound to a stream. It is never destroyed: that would synchronize the device."""

    def __init__(self, stream: Any) -> None:
        self._library = library()
        self._handle = ctypes.c_void_p()
        self._math, self._stream = DEFAULT_MATH, -1
        self._call("cublasCreate_v2", ctypes.byref(self._handle))
        self._workspace = import_module("cupy").empty(WORKSPACE, "uint8")
        self.follow(stream)

    def follow(self, stream: Any) -> None:
        """Queue the next products on this stream."""
        if stream.ptr == self._stream:
            return
        self._stream = stream.ptr
        self._call("cublasSetStream_v2", self._handle, ctypes.c_void_p(stream.ptr))
        # after setting the stream, which resets the workspace
        pointer = ctypes.c_void_p(self._workspace.data.ptr)
        self._call("cublasSetWorkspace_v2", self._handle, pointer, ctypes.c_size_t(WORKSPACE))

    def matmul(self, a: Any, b: Any, out: Any) -> Any:
        """Write ``a @ b`` to ``out``; for three-dimensional arrays, one product per index of the first axis.

        Products of float32 are computed in TF32 where CuPy's own are, with ``CUPY_TF32=1``.
        """
        if out.dtype == "float32" and self._math != (math := math_mode()):
            self._call("cublasSetMathMode", self._handle, math)
            self._math = math
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


def current() -> CuBLAS:
    """Return cuBLAS on CuPy's current stream: one handle for each device."""
    cuda = import_module("cupy").cuda
    blas = on_device(cuda.runtime.getDevice())
    blas.follow(cuda.get_current_stream())
    return blas


@cache
def on_device(device: int) -> CuBLAS:
    return CuBLAS(import_module("cupy").cuda.get_current_stream())


def math_mode() -> int:
    """Return cuBLAS's mode for products of float32 that are as exact as CuPy's own."""
    linalg = import_module("cupy._core._routines_linalg")
    return TF32_MATH if linalg.get_compute_type("float32") == linalg.COMPUTE_TYPE_TF32 else DEFAULT_MATH


_FUNCTIONS = {"float32": (ctypes.c_float, "cublasSgemm_v2"), "float64": (ctypes.c_double, "cublasDgemm_v2")}


def library() -> Any:
    """Return the cuBLAS library for CuPy's CUDA version."""
    found = import_module("cuda.pathfinder").load_nvidia_dynamic_lib("cublas")
    return ctypes.CDLL(found.abs_path)
