"""Compilation of LLVM's language to machine code by llvmlite, cached in the user's cache folder.

A kernel takes some hundredths of a second to compile, and a ten-thousandth to read from the cache.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import time
import warnings
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ..common.errors import InputError
from ..common.files import write_atomically
from ..common.version import __version__

OLDEST = (0, 45)
"""The oldest llvmlite whose LLVM reads this language. Numba's releases of 2024 bring older ones."""


@cache
def installed() -> bool:
    """Return True if llvmlite is installed, in a version that is new enough."""
    if find_spec("llvmlite") is None:
        return False
    major, minor = import_module("llvmlite").__version__.split(".")[:2]
    return (int(major), int(minor)) >= OLDEST


class Compiled(NamedTuple):
    """A record of one kernel's compilation."""

    name: str
    seconds: float
    cached: bool
    """True if it was read from the disk."""


compilations: list[Compiled] = []
"""Every kernel that this process has compiled or read, in order."""

_alive: list[Any] = []
"""The owners of the code's memory, kept until the process ends."""

_addresses: dict[str, int] = {}
"""The address of each kernel of this process, by its text."""


def address(text: str, name: str) -> int:
    """Return the address of the function ``kernel`` in ``text``, see :func:`load`."""
    if text not in _addresses:
        load([(text, name)])
    return _addresses[text]


def load(kernels: Iterable[tuple[str, str]]) -> None:
    """Load the function ``kernel`` of each text, from the user's cache folder or newly compiled.

    A text comes with a name, which identifies it in :data:`compilations` and in the file's name. To load many kernels
    takes hardly longer than to load one.
    """
    new = {text: name for text, name in kernels if text not in _addresses}
    if not new:
        return
    symbols, codes = {}, []
    for text, name in new.items():
        start = time.perf_counter()
        symbols[text], path = _place(name, text)
        code = _read(path)
        cached = code is not None
        if code is None:
            code = compiled(text, symbols[text])
            _keep(path, code)
        codes.append(code)
        compilations.append(Compiled(name, time.perf_counter() - start, cached))
    llvm = _llvm()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())
    for code in codes:
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _alive.append(engine)
    _addresses.update({text: int(engine.get_function_address(symbol)) for text, symbol in symbols.items()})


def compiled(text: str, symbol: str) -> bytes:
    """Return the machine code of ``text``, as an object file in which the function ``kernel`` is called ``symbol``."""
    llvm = _llvm()
    module = llvm.parse_assembly(text)
    module.get_function("kernel").name = symbol
    module.verify()
    optimise(module)
    return bytes(machine().emit_object(module))


def optimise(module: Any) -> None:
    """Run LLVM's passes over a module, including the vectorizer."""
    llvm = _llvm()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
    builder = llvm.create_pass_builder(machine(), options)
    builder.getModulePassManager().run(module, builder)


@cache
def _llvm() -> Any:
    llvm = import_module("llvmlite.binding")  # when first used
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@cache
def machine() -> Any:
    """Return LLVM's description of this processor."""
    llvm = _llvm()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    reloc = "static" if target.name.startswith("x86") else "default"
    cpu, features = _processor()
    return target.create_target_machine(
        cpu=cpu, features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


@cache
def _processor() -> tuple[str, str]:
    llvm = _llvm()
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def _origin() -> str:
    """Return everything that the code depends on besides its text."""
    llvmlite = import_module("llvmlite")
    return "\n".join((__version__, llvmlite.__version__, _llvm().get_process_triple(), *_processor()))


@cache
def _folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("optimlab", appauthor=False) / "kernels"


def _place(name: str, text: str) -> tuple[str, Path]:
    """Return the symbol of a kernel, which no other has, and the file that keeps it."""
    digest = hashlib.sha256(f"{_origin()}\n{text}".encode()).hexdigest()[:16]
    symbol = f"kernel_{digest}"
    return symbol, _folder() / f"{name}_{symbol}.o"


def _keep(path: Path, code: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _checksum(code) + code)
    except (OSError, InputError) as error:
        _warn_once(f"compiled kernels cannot be kept in {path.parent}, and are compiled in each process: {error}")


def _read(path: Path) -> bytes | None:
    """Return the cached code if it is complete and owned by this user or the system. Other users' code is not run."""
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


KERNEL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
"""A kernel as a function of the address of its arguments; it releases the global interpreter lock."""
