"""The arithmetic of NVIDIA's instructions: rounding modes, saturation, flush to zero, approximations."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from compiling import shared_library
from ptx_text import DTYPES, TYPES, Instruction

FMA = """
#include <fenv.h>
#include <math.h>
void fma_f4(long n, const float *a, const float *b, const float *c, float *out)
{ for (long i = 0; i < n; ++i) out[i] = fmaf(a[i], b[i], c[i]); }
void fma_f8(long n, const double *a, const double *b, const double *c, double *out)
{ for (long i = 0; i < n; ++i) out[i] = fma(a[i], b[i], c[i]); }
int round_to(int how)
{ const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD}; return fesetround(modes[how]); }
"""
"""What NumPy lacks: a multiplication and an addition that round once, and the modes of rounding."""


@cache
def _c() -> Any:
    compiler = shutil.which("g++") or shutil.which("c++") or "g++"
    flags = ["-x", "c", "-O2", "-frounding-math"]
    with tempfile.TemporaryDirectory() as folder:
        return ctypes.CDLL(str(shared_library(FMA, compiler, flags, folder)))


def _fma(a: Any, b: Any, c: Any) -> Any:
    a, b, c = (np.ascontiguousarray(x) for x in np.broadcast_arrays(a, b, c))
    out = np.empty_like(a)
    _c()[f"fma_{a.dtype.str[1:]}"](ctypes.c_long(a.size), *(ctypes.c_void_p(x.ctypes.data) for x in (a, b, c, out)))
    return out


def _rounded(how: int, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        _c().round_to(how)
        try:
            return function(*values)
        finally:
            _c().round_to(0)

    return call


def _flush(x: Any) -> Any:
    return np.where(np.abs(x) < np.finfo(x.dtype).tiny, np.copysign(x.dtype.type(0), x), x)


def _saturated(x: Any) -> Any:
    return np.where(x > 0, np.minimum(x, x.dtype.type(1)), x.dtype.type(0))


def _bits(x: Any) -> Any:
    return x.view(f"u{x.dtype.itemsize}")


def _minimum(a: Any, b: Any) -> Any:
    return np.where((a == 0) & (b == 0), (_bits(a) | _bits(b)).view(a.dtype), np.fmin(a, b))


def _maximum(a: Any, b: Any) -> Any:
    return np.where((a == 0) & (b == 0), (_bits(a) & _bits(b)).view(a.dtype), np.fmax(a, b))


def _quotient(a: Any, b: Any) -> Any:
    """Rounded towards zero, where NumPy rounds down."""
    with np.errstate(all="ignore"):
        return np.where((a < 0) != (b < 0), -(np.abs(a) // np.abs(b)), np.abs(a) // np.abs(b)).astype(a.dtype)


def _high(a: Any, b: Any) -> Any:
    """The upper half of a product."""
    if a.dtype.itemsize == 4:
        wide = a.dtype.str.replace("4", "8")
        return (a.astype(wide) * b.astype(wide) >> np.array(32, wide)).astype(a.dtype)
    half, low = np.uint64(32), np.uint64(2**32 - 1)
    x, y = a.astype("u8"), b.astype("u8")
    x1, x0, y1, y0 = x >> half, x & low, y >> half, y & low
    middle = x1 * y0 + (x0 * y0 >> half)
    high = x1 * y1 + (middle >> half) + ((middle & low) + x0 * y1 >> half)
    if a.dtype.kind == "i":
        high = high - np.where(a < 0, y, np.uint64(0)) - np.where(b < 0, x, np.uint64(0))
    return high.astype(a.dtype)


def _given(x: Any) -> Any:
    """Return a result as the device gives it: of a float64 the upper half, and zeros."""
    return x if x.dtype == np.float32 else (_bits(x) & np.uint64(0xFFFFFFFF00000000)).view(x.dtype)


FLOATS: dict[str, Callable[..., Any]] = {
    "rcp": np.reciprocal,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "fma": _fma,
    "mad": _fma,
    "min": _minimum,
    "max": _maximum,
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "copysign": lambda a, b: np.copysign(b, a),
}
APPROXIMATE: dict[str, Callable[..., Any]] = {
    "ex2": np.exp2,
    "lg2": np.log2,
    "rcp": np.reciprocal,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sqrt": np.sqrt,
    "div": np.divide,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
}
INTEGERS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "mad": lambda a, b, c: a * b + c,
    "div": _quotient,
    "rem": lambda a, b: a - _quotient(a, b) * b,
    "min": np.minimum,
    "max": np.maximum,
    "neg": np.negative,
    "abs": np.abs,
    "not": np.invert,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "popc": np.bitwise_count,
    "clz": lambda a: sum(a < a.dtype.type(2**k) for k in range(8 * a.dtype.itemsize)),
    "bfi": lambda a, b, start, length: (
        (b & ~_ones(a, start, length)) | (np.left_shift(a, start.astype(a.dtype)) & _ones(a, start, length))
    ),
}
COMPARISONS: dict[str, Callable[..., Any]] = {
    "eq": np.equal,
    "ne": lambda a, b: (a < b) | (a > b),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
    # true for a NaN
    "equ": lambda a, b: ~((a < b) | (a > b)),
    "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
    "num": lambda a, b: (a == a) & (b == b),
    "nan": lambda a, b: (a != a) | (b != b),
}
LOGIC: dict[str, Callable[..., Any]] = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}
MODES = {"rn": 0, "rz": 1, "rm": 2, "rp": 3}
WHOLE = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}


def _ones(a: Any, start: Any, length: Any) -> Any:
    return np.left_shift(np.left_shift(a.dtype.type(1), length.astype(a.dtype)) - 1, start.astype(a.dtype))


def arithmetic(i: Instruction) -> Callable[..., Any]:
    """Return the function of an instruction with one type."""
    if i.type not in ("f32", "f64"):
        if i.name not in INTEGERS:
            raise NotImplementedError(f"{'.'.join((i.name, *i.modifiers))} is not taken over from PTX yet")
        return _high if "hi" in i.modifiers and i.name == "mul" else INTEGERS[i.name]
    if "approx" in i.modifiers or "full" in i.modifiers:
        wide, dtype, exact = "f8", DTYPES[i.type], APPROXIMATE[i.name]

        def function(*values: Any) -> Any:
            out = _given(exact(*(v.astype(wide) for v in values)).astype(dtype))
            return out if i.name in ("ex2", "rcp") else np.nextafter(out, dtype.type(np.inf))
    else:
        function = FLOATS[i.name]
        mode = next((MODES[m] for m in i.modifiers if m in MODES), 0)
        function = _rounded(mode, function) if mode else function
    return finished(i, function)


def finished(i: Instruction, function: Callable[..., Any]) -> Callable[..., Any]:
    saturate, flush = "sat" in i.modifiers, "ftz" in i.modifiers and i.type == "f32"

    def call(*values: Any) -> Any:
        out = function(*map(_flush, values)) if flush else function(*values)
        out = _saturated(out) if saturate else out
        return _flush(out) if flush and out.dtype == np.float32 else out

    return call if saturate or flush else function


def conversion(i: Instruction) -> Callable[..., Any]:
    to, source = (m for m in i.modifiers if m in TYPES)
    dtype = DTYPES[to]
    whole = next((WHOLE[m] for m in i.modifiers if m in WHOLE), None)
    mode = next((MODES[m] for m in i.modifiers if m in MODES), 0)

    def convert(x: Any) -> Any:
        if source[0] != "f" or to[0] == "f":
            return (whole(x) if whole else x).astype(dtype)
        info = np.iinfo(dtype)
        x = (whole or np.trunc)(x.astype("f8"))
        inside = (x > info.min) & (x < info.max)
        ends = np.where(x >= info.max, info.max, np.where(x <= info.min, info.min, 0)).astype(dtype)
        return np.where(inside, np.where(inside, x, 0).astype(dtype), ends)

    return finished(i._replace(modifiers=(*i.modifiers, source)), _rounded(mode, convert) if mode else convert)
