"""Loops as machine code: compiled by Numba once, kept in the user's cache folder, and read from there with llvmlite
alone, which takes hundredths of a second where importing Numba takes half of one.

A loop is a built-in function, of the kind that CPython's C interface calls METH_FASTCALL: between two matrix products,
where nothing of Python is in the cache, a call by ctypes takes several microseconds more. It is called with array
objects of NumPy: in which words of such an object the addresses of its numbers and of its shape stand is part of
NumPy's C interface.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError
from ..files import write_atomically
from ..kernels.names import rule_name
from ..version import __version__

Loop = Callable[..., Any]
"""Called with arrays. Python's lock is held meanwhile, see :func:`unlocked`; what it returns means nothing."""

METH_FASTCALL = 0x80

NUMBERS = object.__basicsize__ // np.dtype(np.intp).itemsize
"""The word of a ``PyArrayObject`` with the address of its first number: it follows what every object begins with."""

SHAPE = NUMBERS + 2
"""The word with the address of the shape; the number of axes stands between."""


class Compiled(NamedTuple):
    """What came of making one loop."""

    rule: str
    dtype: str
    seconds: float
    cached: bool
    """Whether it was read from the disk."""


compilations: list[Compiled] = []
"""Every loop this process has compiled or read, in order."""


@cache
def compiled(name: str, text: str, dimensions: tuple[int, ...], dtype: str) -> Loop:
    """The function that ``text`` defines, from the user's cache folder or newly compiled; then, on a terminal, a line
    says so.

    ``dimensions``: of each argument, which has to be a contiguous array of that dtype, for nothing checks it again; a
    negative one is of labels, int64.
    """
    start = time.perf_counter()
    path = _place(name, dtype, text, entry_source(dimensions, dtype))
    code = _read(path)
    loop = _loaded(code) if code else _made(text, dimensions, dtype, path)
    compilations.append(Compiled(name, dtype, time.perf_counter() - start, cached=bool(code)))
    if not code and sys.stderr.isatty():
        print(f"optimlab: compiled {name} for {dtype} in {compilations[-1].seconds:.1f} s", file=sys.stderr)
    return loop


def entry_source(dimensions: tuple[int, ...], dtype: str) -> str:
    """What calls a loop with the arrays behind the addresses of their objects.

    >>> print(entry_source((2, -1), "float32"))  # doctest: +ELLIPSIS
    def entry(owner, objects, count):
        a0 = objects[0]
        a1 = objects[1]
        s0 = carray(a0[...], (2,), intp)
        s1 = carray(a1[...], (1,), intp)
        loop(carray(a0[...], (s0[0], s0[1],), float32), carray(a1[...], (s1[0],), int64))
        one_more_reference(owner)
        return owner
    """
    objects, shapes, arrays = [], [], []
    for k, axes in enumerate(dimensions):
        objects.append(f"    a{k} = objects[{k}]")
        shapes.append(f"    s{k} = carray(a{k}[{SHAPE}], ({abs(axes)},), intp)")
        sizes = " ".join(f"s{k}[{axis}]," for axis in range(abs(axes)))
        arrays.append(f"carray(a{k}[{NUMBERS}], ({sizes}), {'int64' if axes < 0 else dtype})")
    call = f"    loop({', '.join(arrays)})"
    # a built-in function has to return an object
    end = ["    one_more_reference(owner)", "    return owner"]
    return "\n".join(["def entry(owner, objects, count):", *objects, *shapes, call, *end])


def _made(text: str, dimensions: tuple[int, ...], dtype: str, path: Path) -> Loop:
    """Compile a loop, and keep it if its code needs nothing of Numba's."""
    callback, module = lowered(text, dimensions, dtype)
    if not stands_alone(module):
        return _callable(callback.address, callback)
    code = bytes(machine().emit_object(module))
    _keep(path, code)
    return _loaded(code)


def lowered(text: str, dimensions: tuple[int, ...], dtype: str) -> tuple[Any, Any]:
    """Numba's callback of a loop, and its LLVM module, where the entry is named "entry" and all else is what it needs:
    loops raise nothing, so that what Numba does after an error is gone."""
    llvm, numba = _llvm(), import_module("numba")
    loop = numba.njit(error_model="numpy", inline="always")(_defined(text, {}))
    pointer, address = numba.types.CPointer, numba.types.voidptr
    more = numba.types.ExternalFunction("Py_IncRef", numba.void(address))
    scope = {"carray": numba.carray, "loop": loop, "one_more_reference": more}
    scope |= {t: getattr(np, t) for t in ("intp", "int64", dtype)}
    entry = _defined(entry_source(dimensions, dtype), scope)
    signature = address(address, pointer(pointer(address)), numba.intp)
    callback = numba.cfunc(signature, error_model="numpy")(entry)
    module = llvm.parse_assembly(callback.inspect_llvm())
    module.get_function(callback.native_name).name = "entry"
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name != "entry":
            value.linkage = "internal"
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    # Numba has done it, and where it did not it was not worth it
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine(), options)
    builder.getModulePassManager().run(module, builder)
    return callback, module


def _defined(text: str, scope: dict[str, Any]) -> Any:
    """The function that the text defines."""
    before = set(scope)
    # exec of a string would make Python end by SIGINT after a Ctrl-C that hits it, handled or not
    exec(compile(text, "<loop>", "exec"), scope)
    return [value for name, value in scope.items() if name not in before and callable(value)][-1]


def _loaded(code: bytes) -> Loop:
    llvm = _llvm()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return _callable(engine.get_function_address("entry"), engine)


class _Definition(ctypes.Structure):
    """CPython's PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Owner(NamedTuple):
    """What a loop, a built-in function, holds as its ``__self__``: all that has to live as long."""

    definition: _Definition
    memory: Any
    """That in which the code lies."""


def _callable(address: int, memory: Any) -> Loop:
    """The code at that address as a built-in function."""
    kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(_Definition), ctypes.py_object, ctypes.c_void_p)
    make = kind(("PyCFunction_NewEx", ctypes.pythonapi))
    definition = _Definition(b"loop", address, METH_FASTCALL, None)
    loop: Loop = make(definition, _Owner(definition, memory), None)
    return loop


@cache
def unlocked(loop: Loop) -> Loop:
    """The same loop, with Python's lock let go meanwhile, so that other threads run: for what takes long."""
    function = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t)
    code = function(loop.__self__.definition.function)  # type: ignore[attr-defined]

    def call(*arrays: Any) -> None:
        # references are counted under the lock alone: with no owner, none is
        code(None, (ctypes.py_object * len(arrays))(*arrays), len(arrays))

    return call


def _llvm() -> Any:
    return import_module("llvmlite.binding")  # when first used


def machine() -> Any:
    """This processor as LLVM sees it, with the settings that Numba makes."""
    llvm = _llvm()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    cpu, features = _processor()
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=cpu, features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


def _processor() -> tuple[str, str]:
    """Name and features, by the variables that set them for Numba if these are there."""
    llvm = _llvm()
    cpu = os.environ.get("NUMBA_CPU_NAME", llvm.get_host_cpu_name())
    known = "" if cpu.lower() == "generic" else llvm.get_host_cpu_features().flatten()
    return cpu, os.environ.get("NUMBA_CPU_FEATURES", known)


def stands_alone(module: Any) -> bool:
    """Whether a process without Numba has all that the code calls, which is at most functions of C's library."""
    outside = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    try:
        return all(hasattr(ctypes.CDLL(None), name) for name in outside)
    except TypeError:  # Windows has no symbols of the whole process
        return False


def _place(name: str, dtype: str, *texts: str) -> Path:
    """The file of a loop's machine code, named after all that the code depends on."""
    from platformdirs import user_cache_path

    made_by = (__version__, version("numba"), version("llvmlite"))
    made_of = (*made_by, _llvm().get_process_triple(), *_processor(), *texts)
    digest = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:16]
    return user_cache_path("optimlab", appauthor=False) / "numba" / f"{rule_name(name)}_{dtype}_{digest}.o"


def _keep(path: Path, code: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _checksum(code) + code)
    except (OSError, InputError) as error:
        _warn_once(f"compiled loops cannot be kept in {path.parent}, and are compiled in each process: {error}")


def _read(path: Path) -> bytes | None:
    """The code that was kept, if it is whole, and by this user or the system's: what others left is not run."""
    try:
        with path.open("rb") as file:
            if hasattr(os, "getuid") and os.fstat(file.fileno()).st_uid not in (0, os.getuid()):
                return None
            content = file.read()
    except OSError:
        return None
    checksum, code = content[: len(_checksum(b""))], content[len(_checksum(b"")) :]
    return code if checksum == _checksum(code) else None


def _checksum(code: bytes) -> bytes:
    return hashlib.sha256(code).digest()


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)
