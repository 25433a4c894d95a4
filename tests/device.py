"""A device without a GPU: enough of CuPy, on NumPy's arithmetic, to run :mod:`optimlab.backends.cupy` itself.

It is stricter than NumPy where CuPy is: an array of the device mixes with none of the host and is converted to one by
``asnumpy`` or ``get`` alone. Every call is noted and, where CuPy is installed, made again on CuPy itself, see
:func:`refused_by_cupy`. Every wait for the device is counted. A kernel is its own CUDA text, compiled with g++ and run
thread by thread.
During a capture every call is noted; waiting is refused, as are products by CuPy's own cuBLAS. ``Graph.launch`` makes
the calls again, into the same memory.

What this cannot show is whatever only a GPU does: that kernels and copies run in order on a stream, their speed, what
CuPy's own kernels round differently, and cuBLAS.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import inspect
import re
import sys
import types
import warnings
import weakref
from functools import cache, partial
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import ptx
from compiling import C_HEADERS, shared_library

try:
    import cupy
    import cupyx.scipy.special
except ImportError:
    cupy = None

SHIM = """#include <math.h>
#define __global__
#define __device__
#define __umul64hi(a, b) ((unsigned long long)(((unsigned __int128)(a) * (b)) >> 64))
struct Index { unsigned x, y, z; };
extern "C" { Index blockIdx, threadIdx, blockDim, gridDim; }

#define __shared__ static
#define __launch_bounds__(threads)
extern "C" { int stage; }

/* Every thread of a launch, one after the other, up to the place where all wait; then again from there. All arguments
   are pointers or 64-bit integers, which are handed over alike; a function that takes fewer leaves the rest alone. */
typedef long long Word;
typedef void (*Kernel)(Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word,
                       Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word);
extern "C" void run_grid(Kernel kernel, unsigned blocks, unsigned threads, const Word *a, int stages)
{
    gridDim = {blocks, 1, 1};
    blockDim = {threads, 1, 1};
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (stage = 0; stage < stages; ++stage)
            for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x)
                kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11],
                       a[12], a[13], a[14], a[15], a[16], a[17], a[18], a[19], a[20], a[21], a[22], a[23]);
}
"""


def host_library(text, compiler, folder):
    """CUDA text as a shared library for the CPU, without fused multiply-adds."""
    flags = ["-x", "c++", "-O2", "-ffp-contract=off", *C_HEADERS]
    return ctypes.CDLL(str(shared_library(SHIM + staged(text), compiler, flags, folder)))


WAIT = re.compile(r"^    __syncthreads\(\);\n", re.M)


def staged(text):
    """The text of a kernel with what its threads do between two waits as ``if (stage == k) {...}``.

    No register may keep its value where threads wait, but for the constants that each computes at the beginning.
    """
    parts = WAIT.split(text.removesuffix("\n}"))
    if len(parts) == 1:
        return text
    head, first = re.split(r"(?<=;\n)(?=    if|    for)", parts[0], maxsplit=1)
    return head + "".join(f"    if (stage == {k}) {{\n{part}\n}}" for k, part in enumerate([first, *parts[1:]])) + "\n}"


def run_grid(library, name, blocks, threads, arguments, stages=1):
    """A launch of the kernel ``name``; the arguments are ctypes pointers and 64-bit integers."""
    words = (ctypes.c_longlong * 24)(*[ctypes.c_longlong(a.value or 0).value for a in arguments])
    assert len(arguments) <= 24
    library.run_grid(ctypes.cast(library[name], ctypes.c_void_p), blocks, threads, words, stages)


# ---- CuPy ----


class Machine:
    """A record of what the device did."""

    def __init__(self, compiler, folder):
        self.compiler, self.folder = compiler, folder
        self.waits, self.launches = 0, []
        self.capture, self.undo, self.graphs = None, [], 0  # the calls of a capture under way
        self.nodes = []  # the number of nodes of each graph
        self.calls = {}  # one of each kind, with the shapes in place of the arrays
        self.compiled = []  # (text, options)
        self.alive = weakref.WeakSet()  # the graphs that something refers to
        self.full = False  # whether memory is exhausted
        self.shared = SHARED
        self.tf32 = False  # whether CuPy computes products of float32 in TF32

    def note(self, path, *args, **kwargs):
        """Note a call of CuPy's function or method ``path``."""
        call = path, described(args), described(kwargs)
        self.calls.setdefault(repr(call), call)

    def wait(self):
        assert self.capture is None, "waiting for the device during a capture"
        self.waits += 1

    def call(self, function, args, kwargs):
        """Run on the bare arrays, and note it where a capture is under way."""
        if self.full:
            raise OutOfMemory("Out of memory allocating 4,096 bytes (allocated so far: 1,024 bytes).")
        bare = [unwrapped(a) for a in args], {k: unwrapped(v) for k, v in kwargs.items()}
        assert self.capture is None or not gc.isenabled(), "a collection may free memory of the device during a capture"
        if self.capture is not None:  # nothing is computed yet; here it is, for the shapes, and undone at the end
            self.undo += [(a, a.copy()) for a in arrays_in(bare)]
        with np.errstate(all="ignore"):
            result = function(*bare[0], **bare[1])
        if result is None or isinstance(result, (tuple, list)):
            if self.capture is not None:
                self.capture.append((function, *bare, None))
            return result
        made = np.asarray(result)
        if self.capture is not None:
            self.capture.append((function, *bare, made))
        out = kwargs.get("out")
        out = out[0] if isinstance(out, tuple) else out
        return out if out is not None else Array(self, made)


def arrays_in(value):
    if isinstance(value, Scalar):
        value = value.value
    if isinstance(value, (tuple, list, dict)):
        return [a for part in (value.values() if isinstance(value, dict) else value) for a in arrays_in(part)]
    value = value._array if isinstance(value, Array) else value
    return [value] if isinstance(value, np.ndarray) else []


class OutOfMemory(MemoryError):
    pass


class OnDevice(NamedTuple):
    """The description of an array of the device."""

    shape: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...]


class OnHost(NamedTuple):
    """The description of a NumPy array."""

    shape: tuple[int, ...]
    dtype: str


class Handle(NamedTuple):
    """The description of another object of the device, such as a stream."""

    path: str


def described(value):
    """The same arguments, with descriptions in place of arrays, streams and the like."""
    if isinstance(value, Array):
        return OnDevice(value.shape, value.dtype.str, value.strides)
    if isinstance(value, np.ndarray):
        return OnHost(value.shape, value.dtype.str)
    if isinstance(value, dict):
        return {name: described(part) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(map(described, value))
    path = getattr(value, "path", None)
    return Handle(path) if path else value


def unwrapped(value):
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, tuple | list):
        return type(value)(map(unwrapped, value))
    return value._array if isinstance(value, Array) else value


PLAIN = ("shape", "dtype", "ndim", "size", "itemsize", "nbytes", "flags", "strides")


class Array(np.lib.mixins.NDArrayOperatorsMixin):
    __array_priority__ = 100

    def __init__(self, machine, array):
        self._machine, self._array = machine, array

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        found = self._machine.call(getattr(ufunc, method), inputs, kwargs)
        self._machine.note(f"numpy.{ufunc.__name__}.{method}", *inputs, **kwargs)
        return found

    def __array_function__(self, function, types, args, kwargs):
        self._machine.note(f"{function.__module__}.{function.__name__}", *args, **kwargs)
        return self._machine.call(function, args, kwargs)

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        if name in PLAIN:
            return getattr(self._array, name)
        if name == "T":
            return Array(self._machine, self._array.T)
        method = getattr(np.ndarray, name)

        def call(*args, **kwargs):
            found = self._machine.call(method, (self, *args), kwargs)
            self._machine.note(f"cupy.ndarray.{name}", self, *args, **kwargs)
            return found

        return call

    def __getitem__(self, key):
        self._machine.note("cupy.ndarray.__getitem__", self, key)
        return self._machine.call(np.ndarray.__getitem__, (self, key), {})

    def __setitem__(self, key, value):
        self._machine.call(np.ndarray.__setitem__, (self, key, value), {})
        self._machine.note("cupy.ndarray.__setitem__", self, key, value)

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (self[k] for k in range(len(self)))

    def __deepcopy__(self, memo):
        return Array(self._machine, self._array.copy())

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self._array.ctypes.data)

    def get(self):
        self._machine.note("cupy.ndarray.get", self)
        self._machine.wait()
        return self._array.copy()

    def set(self, values, stream=None):
        assert self._machine.capture is None, "a copy from the host would be recorded with the host's address"
        if not isinstance(values, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if values.dtype != self.dtype:
            raise TypeError(f"{values.dtype} array cannot be set to {self.dtype} array")
        if values.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {values.shape}")
        self._machine.note("cupy.ndarray.set", self, values, stream=stream)
        self._array[...] = values

    def tolist(self):
        return self.get().tolist()

    def __float__(self):
        return float(self.get())

    def __int__(self):
        return int(self.get())

    def __bool__(self):
        return bool(self.get())

    def __index__(self):
        return self.get().__index__()


# ---- cuBLAS, by a CPU's BLAS ----

FORTRAN = {"cublasSgemm": ("sgemm", ctypes.c_float), "cublasDgemm": ("dgemm", ctypes.c_double)}


def fortran(name):
    """A BLAS function of SciPy's, to be called with pointers, as any BLAS is."""
    from scipy.linalg import cython_blas

    capsule, api = cython_blas.__pyx_capi__[name], ctypes.pythonapi
    api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(
        api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    )


class CpuBLAS:
    """The functions of cuBLAS that are called; products by a CPU's BLAS, with the very same arguments."""

    def __init__(self, machine):
        self._machine, self.products, self.handles = machine, 0, 0
        self.modes = []  # of mathematics, as they were set

    def __getattr__(self, name):
        kind = name.removesuffix("_v2").removesuffix("StridedBatched")
        if kind in FORTRAN:
            multiply = self._batch if name.endswith("StridedBatched") else self._gemm
            return lambda *arguments: multiply(kind, *arguments)
        if name == "cublasSetMathMode":
            return lambda handle, mode: self.modes.append(mode) or 0
        assert name in ("cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2")
        self.handles += name == "cublasCreate_v2"
        return lambda *arguments: 0

    def _batch(
        self, name, handle, trans_a, trans_b, m, n, k, alpha, a, lda, by_a, b, ldb, by_b, beta, c, ldc, by_c, count
    ):
        for i in range(count):
            size = ctypes.sizeof(FORTRAN[name][1]) * i
            a_i, b_i, c_i = (
                ctypes.c_void_p(start.value + by.value * size) for start, by in ((a, by_a), (b, by_b), (c, by_c))
            )
            self._gemm(name, handle, trans_a, trans_b, m, n, k, alpha, a_i, lda, b_i, ldb, beta, c_i, ldc)
        return 0

    def _gemm(self, name, handle, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        function, number = FORTRAN[name]
        self.products += 1
        one, zero = number(1), number(0)  # the caller's go with the call
        letters = [ctypes.c_char(b"T" if t else b"N") for t in (trans_a, trans_b)]
        sizes = [ctypes.c_int(v) for v in (m, n, k, lda, ldb, ldc)]
        at = [ctypes.addressof(v) for v in (*letters, *sizes, one, zero)]
        given = [*at[:5], at[8], a.value, at[5], b.value, at[6], at[9], c.value, at[7]]
        target = np.ctypeslib.as_array(ctypes.cast(c, ctypes.POINTER(number)), (n, m))
        keep = (letters, sizes, one, zero)
        self._machine.call(lambda out, keep=keep: fortran(function)(*given), (Array(self._machine, target),), {})
        return 0


CUBLAS = ("matmul", "vdot", "einsum")


class Namespace(types.ModuleType):
    """``cupy`` or ``cupyx.scipy.special``: NumPy's or SciPy's functions, on the device's arrays."""

    def __init__(self, name, machine, model):
        super().__init__(name)
        self._machine, self._model = machine, model

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._model, name)
        if name in CUBLAS and self._machine.capture is not None:
            raise NotImplementedError(f"{name} calls cuBLAS, which CuPy does not do while a stream is captured")
        if isinstance(found, type) or not callable(found) or name == "issubdtype":
            return found

        def call(*args, **kwargs):
            made = self._machine.call(found, args, kwargs)
            self._machine.note(f"{self.__name__}.{name}", *args, **kwargs)
            return made

        return call


class Compiler:
    """``cupy.cuda.compiler``."""

    def __init__(self, machine):
        self._machine = machine

    def compile_using_nvrtc(self, source, options=()):
        self._machine.note("cupy.cuda.compiler.compile_using_nvrtc", source, options)
        self._machine.compiled.append((source, options))
        return source.encode(), None


class Module:
    path = "cupy.cuda.Module"

    def __init__(self, machine):
        self._machine = machine
        machine.note("cupy.cuda.Module")

    def load(self, cubin):
        if not isinstance(cubin, bytes):
            raise TypeError(f"Argument 'cubin' has incorrect type (expected bytes, got {type(cubin).__name__})")
        self._machine.note("cupy.cuda.Module.load", self, cubin)
        self._text = cubin.decode()

    def get_function(self, name):
        self._machine.note("cupy.cuda.Module.get_function", self, name)
        return Function(self._machine, self._text, name)


def raw_kernel(machine, code, name, options=()):
    """``cupy.RawKernel``, which appends an option of its own."""
    machine.note("cupy.RawKernel", code, name, options)
    machine.compiled.append((code, (*options, "-ftz=true")))
    return Function(machine, code, name)


SHARED = 232_448
"""Bytes of shared memory that a thread block of an H100 or H200 may have."""


class Function:
    path = "cupy.cuda.Function"

    ptr = 0

    def __init__(self, machine, text, name):
        self._machine, self._name = machine, name
        self._kernel = self._library = None
        waits = WAIT.findall(text)
        self._stages = 1 + len(waits)
        if text.count("__syncthreads") > len(waits):  # threads wait within loops, which takes a better machine
            self._kernel = ptx.kernel(ptx.assembly(text), name)
        else:
            self._library = host_library(text, machine.compiler, machine.folder)

    def __call__(self, grid, block, arguments, shared_mem=0):
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("Argument 'grid' has incorrect type (expected tuple)")
        self._machine.note("cupy.cuda.Function.__call__", self, grid, block, arguments, shared_mem)
        self._machine.call(self._launch, (grid, block, [Scalar(a) for a in arguments], shared_mem), {})

    def _launch(self, grid, block, arguments, shared_mem):
        self._machine.launches.append(self._name)
        if self._kernel:
            bare = [a.value if isinstance(a, Scalar) else a for a in arguments]
            self._kernel(grid, block, tuple(a._array if isinstance(a, Array) else a for a in bare), shared_mem)
            return
        given = []
        for value in arguments:
            value = value.value if isinstance(value, Scalar) else value
            if isinstance(value, Array):
                assert value.flags.c_contiguous
                given.append(value._array.ctypes.data_as(ctypes.c_void_p))
            else:
                given.append({"int64": ctypes.c_longlong, "uint64": ctypes.c_ulonglong}[value.dtype.name](int(value)))
        run_grid(self._library, self._name, grid[0], block[0], given, self._stages)


class Scalar:
    """An argument of a kernel, handed through as it is."""

    def __init__(self, value):
        self.value = value


class Graph:
    path = "cupy.cuda.Graph"

    def __init__(self, calls):
        self._calls = calls

    def launch(self, stream=None):
        stream._machine.note("cupy.cuda.Graph.launch", self, stream)
        for function, args, kwargs, made in self._calls:
            with np.errstate(all="ignore"):
                result = function(*args, **kwargs)
            if made is not None:
                made[...] = result


class Stream:
    path = "cupy.cuda.Stream"
    ptr = 0

    def __init__(self, machine):
        self._machine = machine

    def record(self):
        self._machine.note("cupy.cuda.Stream.record", self)
        return Handle("cupy.cuda.Event")

    def wait_event(self, event):
        self._machine.note("cupy.cuda.Stream.wait_event", self, event)
        assert event == Handle("cupy.cuda.Event")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def begin_capture(self, mode=None):
        self._machine.note("cupy.cuda.Stream.begin_capture", self)
        self._machine.capture, self._machine.undo = [], []

    def end_capture(self):
        self._machine.note("cupy.cuda.Stream.end_capture", self)
        calls, self._machine.capture = self._machine.capture, None
        for array, before in reversed(self._machine.undo):
            array[...] = before
        self._machine.graphs += 1
        self._machine.nodes.append(len(calls))
        graph = Graph(calls)
        self._machine.alive.add(graph)
        return graph

    def synchronize(self):
        self._machine.wait()


def stand_in(compiler, folder):
    """``{name: module}`` for ``sys.modules``, and the :class:`Machine` behind them."""
    import scipy.special

    machine = Machine(compiler, folder)
    cupy = Namespace("cupy", machine, np)

    def asarray(values, dtype=None):
        machine.note("cupy.asarray", values, dtype)
        if isinstance(values, Array):
            return values if dtype in (None, values.dtype) else machine.call(np.asarray, (values, dtype), {})
        return machine.call(lambda: np.array(values, dtype=dtype, order="C"), (), {})  # an upload is a copy

    def ascontiguousarray(a):
        if not isinstance(a, Array):
            raise TypeError("Argument 'a' has incorrect type (expected cupy.ndarray, got numpy.ndarray)")
        machine.note("cupy.ascontiguousarray", a)
        return a if a.ndim and a.flags.c_contiguous else machine.call(np.ascontiguousarray, (a,), {})

    def noted(path, made):
        def call(*args, **kwargs):
            machine.note(f"cupy.{path}", *args, **kwargs)
            return made

        return call

    cupy.ndarray, cupy.asarray, cupy.ascontiguousarray = Array, asarray, ascontiguousarray
    cupy.asnumpy = lambda array: array.get()
    cupy.RawKernel = partial(raw_kernel, machine)
    stream = Stream(machine)
    pool = types.SimpleNamespace(malloc=Handle("cupy.cuda.MemoryPool.malloc"))
    cupy.cuda = types.SimpleNamespace(
        is_available=lambda: True,
        runtime=types.SimpleNamespace(
            getDevice=noted("cuda.runtime.getDevice", 0),
            cudaDevAttrMaxSharedMemoryPerBlockOptin=97,
            deviceGetAttribute=lambda *args: noted("cuda.runtime.deviceGetAttribute", machine.shared)(*args),
        ),
        driver=types.SimpleNamespace(
            CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=8,
            funcSetAttribute=noted("cuda.driver.funcSetAttribute", None),
        ),
        get_current_stream=noted("cuda.get_current_stream", stream),
        Stream=noted("cuda.Stream", stream),
        MemoryPool=noted("cuda.MemoryPool", pool),
        using_allocator=noted("cuda.using_allocator", contextlib.nullcontext()),
        compiler=Compiler(machine),
        Module=partial(Module, machine),
    )
    linalg = types.ModuleType("cupy._core._routines_linalg")
    linalg.COMPUTE_TYPE_DEFAULT, linalg.COMPUTE_TYPE_TF32 = 1, 7

    def get_compute_type(dtype):
        machine.note("cupy._core._routines_linalg.get_compute_type", dtype)
        return linalg.COMPUTE_TYPE_TF32 if machine.tf32 else linalg.COMPUTE_TYPE_DEFAULT

    linalg.get_compute_type = get_compute_type
    special = Namespace("cupyx.scipy.special", machine, scipy.special)
    scipy_like, cupyx = types.ModuleType("cupyx.scipy"), types.ModuleType("cupyx")
    scipy_like.special, cupyx.scipy = special, scipy_like
    modules = {
        "cupy": cupy,
        "cupy._core._routines_linalg": linalg,
        "cupyx": cupyx,
        "cupyx.scipy": scipy_like,
        "cupyx.scipy.special": special,
    }
    return modules, machine


# ---- the installed CuPy ----


def can_be_asked():
    """Return True if CuPy is installed on a machine without a GPU, where a call ends before it does anything."""
    return cupy is not None and not cupy.cuda.is_available()


def refused_by_cupy(machine):
    """The noted calls that the installed CuPy refuses, each with the reason.

    It needs no GPU: CuPy checks arguments first. The arrays are CuPy's own, with an address and no memory of a device.
    A call is accepted if it returns or if it fails at the missing GPU. On a machine with a GPU, no call is made.
    """
    calls = machine.calls.values() if can_be_asked() else []
    return [f"{path}: {error}" for path, args, kwargs in calls if (error := refusal(path, *args, **kwargs))]


def refusal(path, *args, **kwargs):
    """Make a call on the installed CuPy; the error if CuPy refuses it, else None."""
    try:
        if path == "cupy.cuda.Stream":  # if its constructor fails, its destructor fails, too
            inspect.signature(at(path)).bind(*args, **kwargs)
            return None
        at(path)(*real(args), **real(kwargs))
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError):
        pass
    except Exception as error:
        if not re.search(r"libcu\w+\.so", str(error)):  # a library of CUDA is missing, too
            return error
    return None


def real(value):
    """The arguments of a noted call, with CuPy's objects in place of the descriptions."""
    match value:
        case OnDevice():
            memory = cupy.cuda.UnownedMemory(MEMORY.ctypes.data, sys.maxsize, MEMORY, 0)
            return cupy.ndarray(value.shape, value.dtype, cupy.cuda.MemoryPointer(memory, 0), value.strides)
        case OnHost():
            return np.zeros(*value)
        case Handle():
            return handle(value.path)
        case dict():
            return {name: real(part) for name, part in value.items()}
    return type(value)(map(real, value)) if isinstance(value, tuple | list) else value


MEMORY = np.zeros(1)


@cache
def handle(path):
    if path == "cupy.cuda.Stream":
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            return cupy.cuda.ExternalStream(MEMORY.ctypes.data, 0)
    if path == "cupy.cuda.MemoryPool.malloc":
        return cupy.cuda.MemoryPool().malloc
    made = at(path).__new__(at(path))
    if path == "cupy.cuda.Event":
        made.ptr = 0
    return made


def at(path):
    return attrgetter(path)(types.SimpleNamespace(cupy=cupy, cupyx=cupyx, numpy=np))
